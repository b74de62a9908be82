//! Calls of templates: from the entrypoint down, each as far as it can go in this pass.

use crate::{
    api::{
        arguments::Arguments,
        node::{NodePhase, NodeType},
        template::{Template, TemplateType},
    },
    engine::{dag, inputs, nodes::NewNode, pass::Pass, pod_node, steps},
    expr::Variables,
};

/// Deepest nesting of calls; templates may call themselves.
const DEPTH_MAX: usize = 100;
/// The address that Argo's message names.
const DEPTH_MESSAGE: &str = "Maximum recursion depth exceeded. See https://argo-workflows.readthedocs.io/en/latest/scaling/#maximum-recursion-depth";

/// A call of a template: what a node is made for.
#[derive(Clone, Debug)]
pub struct Call {
    /// The name of the node that stands for it.
    pub node_name: String,
    /// The template called.
    pub template_name: String,
    /// Its arguments, with their variables replaced.
    pub arguments: Arguments,
    /// Variables that only this call knows, such as `steps.name`.
    pub locals: Variables,
    /// ID of the steps or dag node that makes the call.
    pub boundary_id: Option<String>,
    /// How many calls it is below the entrypoint.
    pub depth: usize,
}

/// A call that couldn't be carried out: the node, if there is one, is an Error already, and the caller ends as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

/// What a node with a template in it works with.
pub struct Frame<'f> {
    /// The node's ID.
    pub node_id: String,
    /// The call.
    pub call: &'f Call,
    /// The template with inputs and variables in it.
    pub template: &'f Template,
}

/// Carries out the workflow's entrypoint; gives the ID of the root node.
///
/// # Errors
/// If the entry template couldn't be carried out.
pub fn entrypoint(pass: &mut Pass<'_>) -> Result<String, Fault> {
    let spec = &pass.workflow.spec;
    let call = Call {
        node_name: pass.workflow_name().to_owned(),
        template_name: spec.entrypoint.clone().unwrap_or_default(),
        arguments: spec.arguments.clone(),
        locals: Variables::new(),
        boundary_id: None,
        depth: 0,
    };
    execute(pass, &call)
}

/// Carries out one call as far as it can go; gives the ID of its node.
///
/// # Errors
/// If it couldn't be carried out; the node is an Error with that message.
pub fn execute(pass: &mut Pass<'_>, call: &Call) -> Result<String, Fault> {
    if let Some(node) = pass.nodes.by_name(&call.node_name) {
        let awaits_pod = node.r#type == NodeType::Pod && !pod_node::needs_pod(pass, &node.id);
        if node.is_fulfilled() || awaits_pod {
            return Ok(node.id.clone());
        }
    }
    match carry_out(pass, call) {
        Ok(id) => Ok(id),
        Err(fault) => {
            mark_error(pass, call, &fault.0);
            Err(fault)
        }
    }
}

/// Where the templates of this workflow live, as `templateScope` says it.
pub fn template_scope(pass: &Pass<'_>) -> Option<String> {
    Some(format!("local/{}", pass.workflow_name()))
}

fn carry_out(pass: &mut Pass<'_>, call: &Call) -> Result<String, Fault> {
    if DEPTH_MAX < call.depth {
        return Err(Fault(DEPTH_MESSAGE.to_owned()));
    }
    let template = prepare(pass, call).map_err(Fault)?;
    match template.template_type() {
        Some(TemplateType::Container) => pod_node::execute(pass, call, &template),
        Some(TemplateType::Steps) => {
            let node_id = start(pass, call, &template, NodeType::Steps);
            steps::execute(pass, &Frame { node_id: node_id.clone(), call, template: &template });
            Ok(node_id)
        }
        Some(TemplateType::Dag) => {
            let node_id = start(pass, call, &template, NodeType::Dag);
            dag::execute(pass, &Frame { node_id: node_id.clone(), call, template: &template });
            Ok(node_id)
        }
        Some(
            other @ (TemplateType::ContainerSet
            | TemplateType::Script
            | TemplateType::Resource
            | TemplateType::Data
            | TemplateType::Suspend
            | TemplateType::Http
            | TemplateType::Plugin),
        ) => Err(Fault(format!("template '{}': {other} is not supported yet", template.name))),
        None => Err(Fault(format!("template '{}' has no type", template.name))),
    }
}

/// The template of a call with everything put in. Boxed, and apart from [`carry_out`], because that one recurses and a
/// template is kilobytes.
fn prepare(pass: &Pass<'_>, call: &Call) -> Result<Box<Template>, String> {
    let Some(template) = pass.template(&call.template_name) else {
        return Err(format!("template name '{}' undefined", call.template_name));
    };
    let mut locals = call.locals.clone();
    locals.insert("node.name".to_owned(), call.node_name.clone());
    if template.template_type() == Some(TemplateType::Container) {
        // The target decides the pod's name and may itself hold variables, so they are put in once without that name.
        let bare = inputs::process(template, &call.arguments, &pass.globals, &locals)?;
        locals.insert("pod.name".to_owned(), pod_node::pod_name(pass, call, &bare)?);
    }
    inputs::process(template, &call.arguments, &pass.globals, &locals).map(Box::new)
}

/// The node of a template that makes calls itself: Running from its first pass on.
fn start(pass: &mut Pass<'_>, call: &Call, template: &Template, node_type: NodeType) -> String {
    if let Some(node) = pass.nodes.by_name(&call.node_name) {
        return node.id.clone();
    }
    let new = new_node(pass, call, node_type, NodePhase::Running);
    let id = pass.nodes.add(&call.node_name, new);
    if let Some(node) = pass.nodes.get_mut(&id) {
        node.inputs = Some(template.inputs.clone()).filter(|inputs| *inputs != Default::default());
    }
    id
}

/// A node for a call, with nothing in it yet.
pub fn new_node(pass: &Pass<'_>, call: &Call, node_type: NodeType, phase: NodePhase) -> NewNode {
    NewNode {
        node_type,
        phase,
        boundary_id: call.boundary_id.clone(),
        template_name: Some(call.template_name.clone()),
        template_scope: template_scope(pass),
        flag: None,
        message: None,
    }
}

/// A call that fails before its node has a type leaves a Skipped node in phase Error, as Argo does.
fn mark_error(pass: &mut Pass<'_>, call: &Call, message: &str) {
    match pass.nodes.by_name(&call.node_name).map(|node| node.id.clone()) {
        Some(id) => pass.nodes.mark(&id, NodePhase::Error, Some(message.to_owned())),
        None => {
            let new = NewNode {
                message: Some(message.to_owned()),
                ..new_node(pass, call, NodeType::Skipped, NodePhase::Error)
            };
            pass.nodes.add(&call.node_name, new);
        }
    }
}
