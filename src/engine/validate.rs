//! What is wrong with a spec before it runs. Texts are Argo's (v4.1.2, `workflow/validate/validate.go`); the paths in
//! them are Argo's too: `templates.NAME.steps[0].STEP`.

use std::collections::BTreeSet;

use crate::{
    api::{
        arguments::Arguments,
        dag::{DagTask, DagTemplate},
        template::{Template, TemplateType},
        workflow::WorkflowSpec,
    },
    engine::{
        depends::{Condition, TaskResult},
        references::Known,
    },
};

/// The kinds of template, as messages list them.
const TYPES: &str = "container, containerSet, steps, script, resource, dag, suspend, template, template ref";
/// Longest name of a template, step or task.
const NAME_LENGTH_MAX: usize = 128;

/// Refuses a spec that can't be run.
///
/// # Errors
/// The first thing that is wrong, with where it is.
pub fn check(spec: &WorkflowSpec) -> Result<(), String> {
    if spec.workflow_template_ref.is_some() {
        // Most of the spec is in the template; it can be checked once it is there.
        return Ok(());
    }
    let entrypoint = spec.entrypoint.as_deref().ok_or("spec.entrypoint is required")?;
    check_names("spec.templates", spec.templates.iter().map(|template| template.name.as_str()))?;
    for parameter in &spec.arguments.parameters {
        if parameter.value.is_none() && parameter.value_from.is_none() {
            let name = &parameter.name;
            return Err(format!("spec.arguments.{name}.value or spec.arguments.{name}.valueFrom is required"));
        }
    }
    check_names("spec.arguments.parameters", spec.arguments.parameters.iter().map(|it| it.name.as_str()))?;
    let mut validator = Validator { spec, checked: BTreeSet::new() };
    validator.called(entrypoint, Some(&spec.arguments))?;
    for template in &spec.templates {
        validator.called(&template.name, None).map_err(|problem| format!("templates.{} {problem}", template.name))?;
    }
    Ok(())
}

struct Validator<'s> {
    spec: &'s WorkflowSpec,
    /// Templates whose own contents were found good.
    checked: BTreeSet<&'s str>,
}

impl<'s> Validator<'s> {
    /// Checks a template, and with `arguments` that they are enough for it.
    fn called(&mut self, name: &str, arguments: Option<&Arguments>) -> Result<(), String> {
        let Some(template) = self.spec.templates.iter().find(|template| template.name == name) else {
            return Err(format!("template name '{name}' undefined: template {name} not found"));
        };
        check_type(template)?;
        if let Some(arguments) = arguments {
            check_supplied(template, arguments)?;
        }
        // A template may call itself: it counts as checked as soon as its check begins.
        if !self.checked.insert(template.name.as_str()) {
            return Ok(());
        }
        check_names(
            &format!("templates.{name}.inputs.parameters"),
            template.inputs.parameters.iter().map(|parameter| parameter.name.as_str()),
        )?;
        check_service_account(template)?;
        let known = Known::of_template(self.spec, template);
        match template.template_type() {
            Some(TemplateType::Steps) => self.check_steps(template, known),
            Some(TemplateType::Dag) => match &template.dag {
                Some(dag) => self.check_dag(template, dag, known),
                None => Ok(()),
            },
            Some(
                TemplateType::Container
                | TemplateType::ContainerSet
                | TemplateType::Script
                | TemplateType::Resource
                | TemplateType::Data
                | TemplateType::Suspend
                | TemplateType::Http
                | TemplateType::Plugin,
            )
            | None => check_leaf(template, &known),
        }
    }

    fn check_steps(&mut self, template: &Template, mut known: Known) -> Result<(), String> {
        let name = &template.name;
        let mut names = BTreeSet::new();
        for (index, group) in template.steps.iter().enumerate() {
            let path = format!("templates.{name}.steps[{index}]");
            for step in &group.0 {
                check_name(&step.name).map_err(|problem| format!("{path}.name {problem}"))?;
                if !names.insert(step.name.as_str()) {
                    return Err(format!("{path}.name '{}' is not unique", step.name));
                }
                let here = |problem| format!("{path}.{} {problem}", step.name);
                known.resolve(step, step.with_items.is_empty()).map_err(here)?;
                if let Some(callee) = &step.template {
                    self.called(callee, Some(&step.arguments)).map_err(here)?;
                }
            }
            for step in &group.0 {
                known.add_node("steps", &step.name);
            }
        }
        Ok(())
    }

    fn check_dag(&mut self, template: &Template, dag: &DagTemplate, known: Known) -> Result<(), String> {
        let name = &template.name;
        let path = format!("templates.{name}.tasks");
        check_names(&path, dag.tasks.iter().map(|task| task.name.as_str()))?;
        let graph = Graph::new(name, dag)?;
        for target in dag.target.as_deref().unwrap_or_default().split_whitespace() {
            if !target.contains("{{") && !graph.has(target) {
                return Err(format!("templates.{name}.targets target '{target}' is not defined"));
            }
        }
        for task in &dag.tasks {
            let here = |problem| format!("{path}.{} {problem}", task.name);
            let mut known = known.clone();
            for ancestor in graph.ancestors(&task.name)? {
                known.add_node("tasks", ancestor);
            }
            known.resolve(task, task.with_items.is_empty()).map_err(here)?;
            if let Some(callee) = &task.template {
                self.called(callee, Some(&task.arguments)).map_err(here)?;
            }
        }
        Ok(())
    }
}

fn check_leaf(template: &Template, known: &Known) -> Result<(), String> {
    let name = &template.name;
    if template.container.as_ref().is_some_and(|it| it.image.as_deref().unwrap_or_default().is_empty()) {
        return Err(format!("templates.{name}.container.image may not be empty"));
    }
    if template.script.as_ref().is_some_and(|it| it.container.image.as_deref().unwrap_or_default().is_empty()) {
        return Err(format!("templates.{name}.script.image may not be empty"));
    }
    if template.init_containers.iter().any(|container| container.container.name.is_empty()) {
        return Err(format!("templates.{name} initContainers must all have container name"));
    }
    known.resolve(template, true).map_err(|problem| format!("templates.{name}: {problem}"))
}

fn check_type(template: &Template) -> Result<(), String> {
    match template.template_types().len() {
        0 => Err(format!("templates.{} template type unspecified. choose one of: {TYPES}", template.name)),
        1 => Ok(()),
        _ => Err(format!("templates.{} multiple template types specified. choose one of: {TYPES}", template.name)),
    }
}

fn check_supplied(template: &Template, arguments: &Arguments) -> Result<(), String> {
    for parameter in &template.inputs.parameters {
        let argument = arguments.parameters.iter().find(|argument| argument.name == parameter.name);
        let is_given = argument.is_some_and(|argument| argument.value.is_some() || argument.value_from.is_some());
        if !is_given && parameter.value.is_none() && parameter.default.is_none() && parameter.value_from.is_none() {
            return Err(format!("templates.{} inputs.parameters.{} was not supplied", template.name, parameter.name));
        }
    }
    Ok(())
}

/// `serviceAccount` is another word for `serviceAccountName`; two different answers are none.
fn check_service_account(template: &Template) -> Result<(), String> {
    match (&template.service_account, &template.service_account_name) {
        (Some(one), Some(other)) if one != other => Err(format!(
            "templates.{}.serviceAccount '{one}' and serviceAccountName '{other}' differ: keep one",
            template.name
        )),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn check_names<'n>(path: &str, names: impl Iterator<Item = &'n str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if name.is_empty() {
            return Err(format!("{path}[{index}].name is required"));
        }
        if path.ends_with("parameters") {
            check_parameter_name(name).map_err(|problem| format!("{path}[{index}].name: {problem}"))?;
        } else {
            check_name(name).map_err(|problem| format!("{path}[{index}].name: {problem}"))?;
        }
        if !seen.insert(name) {
            return Err(format!("{path}[{index}].name '{name}' is not unique"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let is_good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && name.len() <= NAME_LENGTH_MAX;
    if is_good {
        return Ok(());
    }
    Err(format!(
        "'{name}' is invalid: name must consist of at most {NAME_LENGTH_MAX} alpha-numeric characters or '-', and must start with an alpha-numeric character"
    ))
}

fn check_parameter_name(name: &str) -> Result<(), String> {
    let is_good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_good {
        return Ok(());
    }
    Err(format!("'{name}' is invalid: parameter name must consist of alpha-numeric characters, '_' or '-'"))
}

/// What the tasks of a dag wait for.
struct Graph<'d> {
    template: &'d str,
    nodes: Vec<(&'d DagTask, BTreeSet<String>)>,
}

impl<'d> Graph<'d> {
    fn new(template: &'d str, dag: &'d DagTemplate) -> Result<Graph<'d>, String> {
        let uses_depends = dag.tasks.iter().any(|task| task.depends.is_some());
        if uses_depends && dag.tasks.iter().any(|task| !task.dependencies.is_empty()) {
            return Err(format!(
                "templates.{template} cannot use both 'depends' and 'dependencies' in the same DAG template"
            ));
        }
        if uses_depends && dag.tasks.iter().any(|task| task.continue_on.is_some()) {
            return Err(format!(
                "templates.{template} cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'"
            ));
        }
        let waits = uses_depends || dag.tasks.iter().any(|task| !task.dependencies.is_empty());
        let mut nodes = Vec::new();
        for task in &dag.tasks {
            let path = format!("templates.{template}.tasks.{}", task.name);
            if waits && task.name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(format!(
                    "{path} name cannot begin with a digit when using either 'depends' or 'dependencies'"
                ));
            }
            let condition = Condition::of(task, &dag.tasks).map_err(|problem| format!("{path} {problem}"))?;
            let mut names = BTreeSet::new();
            if let Some(condition) = &condition {
                check_condition(condition, dag).map_err(|problem| format!("{path} {problem}"))?;
                names.extend(condition.tasks().into_iter().map(str::to_owned));
            }
            nodes.push((task, names));
        }
        Ok(Graph { template, nodes })
    }

    fn has(&self, name: &str) -> bool {
        self.nodes.iter().any(|(task, _)| task.name == name)
    }

    /// All that comes before a task.
    ///
    /// # Errors
    /// If the task comes before itself.
    fn ancestors(&self, name: &str) -> Result<BTreeSet<&str>, String> {
        let mut found = BTreeSet::new();
        let mut open = vec![name];
        while let Some(current) = open.pop() {
            let Some((_, names)) = self.nodes.iter().find(|(task, _)| task.name == current) else { continue };
            for next in names {
                if next == name {
                    return Err(format!(
                        "templates.{}.tasks dependency cycle detected: {name}->{current}->{name}",
                        self.template
                    ));
                }
                if found.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        Ok(found)
    }
}

fn check_condition(condition: &Condition, dag: &DagTemplate) -> Result<(), String> {
    let mut problem = None;
    condition.visit(&mut |name, result| {
        let task = dag.tasks.iter().find(|task| task.name == name);
        let expands =
            |task: &DagTask| !task.with_items.is_empty() || task.with_param.is_some() || task.with_sequence.is_some();
        let found = match task {
            None => Some(format!("dependency '{name}' not defined")),
            Some(task) if matches!(result, TaskResult::AnySucceeded | TaskResult::AllFailed) && !expands(task) => {
                Some(format!("depends on a result of an expanded task, but task '{name}' does not contain any items"))
            }
            Some(_) => None,
        };
        problem = problem.take().or(found);
    });
    problem.map_or(Ok(()), Err)
}
