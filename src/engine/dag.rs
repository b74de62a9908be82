//! Dags: each task as soon as what it depends on has come out as it asks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    api::{
        dag::{DagTask, DagTemplate},
        node::{NodeFlag, NodePhase, NodeStatus, NodeType},
    },
    engine::{
        depends::Condition,
        execute::{self, Call, Fault, Frame},
        inputs,
        nodes::NewNode,
        pass::Pass,
        scope, steps,
    },
    expr::Variables,
};

/// Message of a task whose condition came out false.
const OMITTED: &str = "omitted: depends condition not met";

/// A dag during one pass.
struct Dag<'f> {
    frame: &'f Frame<'f>,
    tasks: &'f [DagTask],
    conditions: BTreeMap<&'f str, Condition>,
    fail_fast: bool,
}

/// Goes on with a dag node: starts every task that can start, then looks whether the dag has ended.
pub fn execute(pass: &mut Pass<'_>, frame: &Frame<'_>) {
    let Some(template) = &frame.template.dag else { return };
    let dag = match Dag::new(frame, template) {
        Ok(dag) => dag,
        Err(problem) => {
            pass.nodes.mark(&frame.node_id, NodePhase::Error, Some(problem));
            return;
        }
    };
    let targets = targets(template);
    for name in dag.in_order(&targets) {
        dag.execute_task(pass, name);
    }
    let phase = dag.assess(pass, &targets);
    if !phase.is_fulfilled() {
        return;
    }
    let outbound = targets
        .iter()
        .filter_map(|name| dag.node(pass, name).map(|node| node.id.clone()))
        .flat_map(|id| pass.nodes.outbound(&id))
        .collect();
    if let Some(node) = pass.nodes.get_mut(&frame.node_id) {
        node.outbound_nodes = outbound;
    }
    pass.nodes.mark(&frame.node_id, phase, None);
}

/// The tasks that the dag is to reach: those that `target` names, else all that no other depends on.
fn targets(template: &DagTemplate) -> Vec<&str> {
    let named: Vec<&str> = template.target.as_deref().unwrap_or_default().split_whitespace().collect();
    if !named.is_empty() {
        return named;
    }
    let needed: BTreeSet<String> = template
        .tasks
        .iter()
        .filter_map(|task| Condition::of(task, &template.tasks).ok().flatten())
        .flat_map(|condition| condition.tasks().into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    template.tasks.iter().map(|task| task.name.as_str()).filter(|name| !needed.contains(*name)).collect()
}

impl<'f> Dag<'f> {
    fn new(frame: &'f Frame<'f>, template: &'f DagTemplate) -> Result<Dag<'f>, String> {
        let mut conditions = BTreeMap::new();
        for task in &template.tasks {
            if let Some(condition) = Condition::of(task, &template.tasks)? {
                conditions.insert(task.name.as_str(), condition);
            }
        }
        Ok(Dag { frame, tasks: &template.tasks, conditions, fail_fast: template.fail_fast != Some(false) })
    }

    fn task(&self, name: &str) -> Option<&'f DagTask> {
        self.tasks.iter().find(|task| task.name == name)
    }

    fn node_name(&self, task: &str) -> String {
        format!("{}.{task}", self.frame.call.node_name)
    }

    fn node<'p>(&self, pass: &'p Pass<'_>, task: &str) -> Option<&'p NodeStatus> {
        pass.nodes.by_name(&self.node_name(task))
    }

    /// What a task depends on, in the order of the dag.
    fn dependencies(&self, task: &str) -> Vec<&'f str> {
        let Some(condition) = self.conditions.get(task) else { return Vec::new() };
        let names = condition.tasks();
        self.tasks.iter().map(|task| task.name.as_str()).filter(|name| names.contains(name)).collect()
    }

    /// The targets and all that they depend on, each after what it depends on.
    fn in_order(&self, targets: &[&str]) -> Vec<&'f str> {
        let mut ordered = Vec::new();
        let mut entered = BTreeSet::new();
        let mut open: Vec<(&str, bool)> = targets.iter().rev().map(|name| (*name, false)).collect();
        while let Some((name, is_left)) = open.pop() {
            let Some(task) = self.task(name) else { continue };
            if is_left {
                ordered.push(task.name.as_str());
            } else if entered.insert(task.name.as_str()) {
                open.push((name, true));
                open.extend(self.dependencies(name).into_iter().rev().map(|name| (name, false)));
            }
        }
        ordered
    }

    /// Everything that comes before a task, however far.
    fn ancestors(&self, task: &str) -> Vec<&'f str> {
        let dependencies = self.dependencies(task);
        self.in_order(&dependencies)
    }

    fn execute_task(&self, pass: &mut Pass<'_>, name: &str) {
        if let Some(node) = self.node(pass, name)
            && node.is_fulfilled()
        {
            return;
        }
        let node_name = self.node_name(name);
        let Some(task) = self.task(name) else { return };
        if let Some(condition) = self.conditions.get(name) {
            let dependencies = self.dependencies(name);
            let are_done = dependencies.iter().all(|name| self.node(pass, name).is_some_and(NodeStatus::is_fulfilled));
            if !are_done {
                return;
            }
            if !condition.holds(&|name| self.node(pass, name)) {
                self.add_skipped(pass, &node_name, NodePhase::Omitted, OMITTED);
                self.connect(pass, name);
                return;
            }
        }
        let called = match self.call(pass, task) {
            Ok(call) => execute::execute(pass, &call),
            Err(Fault(fault)) => {
                self.add_skipped(pass, &node_name, NodePhase::Error, &fault);
                self.connect(pass, name);
                return;
            }
        };
        self.connect(pass, name);
        if let Err(Fault(fault)) = called {
            let id = pass.nodes.id_of(&node_name);
            pass.nodes.mark(&id, NodePhase::Error, Some(format!("task '{node_name}' errored: {fault}")));
        }
    }

    fn call(&self, pass: &Pass<'_>, task: &DagTask) -> Result<Call, Fault> {
        let mut variables = Variables::new();
        for name in self.ancestors(&task.name) {
            if let Some(node) = self.node(pass, name) {
                scope::add_node(&mut variables, &format!("tasks.{name}"), node);
            }
        }
        let lookup = |name: &str| variables.get(name).map(String::as_str);
        Ok(Call {
            node_name: self.node_name(&task.name),
            template_name: task.template.clone().unwrap_or_default(),
            arguments: inputs::substitute(&task.arguments, &lookup).map_err(Fault)?,
            locals: Variables::from([("tasks.name".to_owned(), task.name.clone())]),
            boundary_id: Some(self.frame.node_id.clone()),
            depth: self.frame.call.depth + 1,
        })
    }

    fn add_skipped(&self, pass: &mut Pass<'_>, node_name: &str, phase: NodePhase, message: &str) {
        let task = node_name.strip_prefix(&format!("{}.", self.frame.call.node_name)).unwrap_or(node_name);
        let new = NewNode {
            node_type: NodeType::Skipped,
            phase,
            boundary_id: Some(self.frame.node_id.clone()),
            template_name: self.task(task).and_then(|task| task.template.clone()),
            template_scope: execute::template_scope(pass),
            flag: Some(NodeFlag::default()),
            message: Some(message.to_owned()),
        };
        pass.nodes.add(node_name, new);
    }

    /// Hangs a task on the dag if it depends on nothing, else on the leaves of all that it depends on.
    fn connect(&self, pass: &mut Pass<'_>, name: &str) {
        let Some(id) = self.node(pass, name).map(|node| node.id.clone()) else { return };
        let dependencies = self.dependencies(name);
        if dependencies.is_empty() {
            pass.nodes.link(&self.frame.node_id, &id);
        }
        for dependency in dependencies {
            let Some(dependency) = self.node(pass, dependency).map(|node| node.id.clone()) else { continue };
            for parent in pass.nodes.outbound(&dependency) {
                pass.nodes.link(&parent, &id);
            }
        }
    }

    /// The phase of the dag: Running while anything runs, then that of the worst target. A target that was left out
    /// or skipped counts as the branch that led to it.
    fn assess(&self, pass: &Pass<'_>, targets: &[&str]) -> NodePhase {
        let mut of_target: BTreeMap<&str, Option<NodePhase>> = targets.iter().map(|name| (*name, None)).collect();
        let roots = pass.nodes.get(&self.frame.node_id).map(|node| node.children.clone()).unwrap_or_default();
        let mut open: VecDeque<(String, NodePhase)> = roots.into_iter().map(|id| (id, NodePhase::Succeeded)).collect();
        let mut seen = BTreeSet::new();
        while let Some((id, branch)) = open.pop_front() {
            if !seen.insert((id.clone(), branch)) {
                continue;
            }
            let Some(node) = pass.nodes.get(&id) else { continue };
            if !node.is_fulfilled() {
                return NodePhase::Running;
            }
            let branch = if node.phase.is_completed() { node.phase } else { branch };
            let task = node.name.strip_prefix(&self.frame.call.node_name).and_then(|rest| rest.strip_prefix('.'));
            if let Some(phase) = task.and_then(|task| of_target.get_mut(task)) {
                *phase = Some(phase.map_or(branch, |before| worse(before, branch)));
            }
            open.extend(node.children.iter().map(|child| (child.clone(), branch)));
        }
        self.result(targets, &of_target)
    }

    fn result(&self, targets: &[&str], of_target: &BTreeMap<&str, Option<NodePhase>>) -> NodePhase {
        let mut result = NodePhase::Succeeded;
        for name in targets {
            let phase = of_target.get(name).copied().flatten();
            let continue_on = self.task(name).and_then(|task| task.continue_on.as_ref());
            match phase {
                // Without failFast every target is waited for before a failure counts.
                None if !self.fail_fast => return NodePhase::Running,
                None => result = NodePhase::Running,
                Some(phase) if phase.is_failed_or_error() && !steps::continues_on(continue_on, phase) => {
                    result = phase;
                    if self.fail_fast {
                        return result;
                    }
                }
                Some(_) => (),
            }
        }
        result
    }
}

fn worse(one: NodePhase, other: NodePhase) -> NodePhase {
    let rank = |phase: NodePhase| match phase {
        NodePhase::Error => 2,
        NodePhase::Failed => 1,
        NodePhase::Pending | NodePhase::Running | NodePhase::Succeeded | NodePhase::Skipped | NodePhase::Omitted => 0,
    };
    if rank(one) < rank(other) { other } else { one }
}
