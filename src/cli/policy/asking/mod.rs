//! What `run` and `explain` have in common: which modules are asked, and what. Printing is theirs.

pub mod unfold;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    api::{
        ids::{ClusterName, Namespace, Target},
        workflow::Workflow,
    },
    author::{
        chain::{Chain, ChainError},
        origin::{Origin, read_settings},
        pod,
        question::{self, Draft, QuestionError},
        suite::{Suite, SuiteError},
    },
    cli::{
        hint,
        local::{
            files::{self, Object},
            names::Names,
        },
        policy::opened,
        words,
    },
    policy::{
        config::{KEY_NAMESPACE_ROLES, KEY_POLICIES},
        host::Host,
        request::Request,
    },
};

/// The endings of a file that holds objects, where a module's would end otherwise.
const MANIFESTS: &[&str] = &["yaml", "yml", "json"];

/// Flags that say who is asked, and what.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Arguments {
    /// A .wasm file, a policy folder, `builtin`, or a file with a Workflow; without it the modules of --config are asked
    #[arg(value_name = "SUBJECT")]
    subject: Option<PathBuf>,
    /// What the module is configured with, as YAML or JSON; `{}` without it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "policies"])]
    settings: Option<PathBuf>,
    /// A file with the controller's ConfigMap, whose chain of modules is asked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder with the modules that the ConfigMap lists
    #[arg(long, value_name = "FOLDER")]
    policies: Option<PathBuf>,
    /// Of a controller in namespace mode, the namespace that it manages: pods may be in no other
    #[arg(long, value_name = "NAMESPACE")]
    managed_namespace: Option<Namespace>,
    /// A file with a Workflow: every pod that it would make is asked for
    #[arg(long = "for", value_name = "FILE", conflicts_with_all = ["request", "case"])]
    workflow_file: Option<PathBuf>,
    /// A file with one request, as in suites, or a line of the decision records
    #[arg(long, value_name = "FILE", conflicts_with = "case")]
    request: Option<PathBuf>,
    /// The request and the settings of this case of the folder's suite
    #[arg(long, value_name = "NAME", conflicts_with_all = ["config", "policies"])]
    case: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// One request as flags. They have the last word.
#[derive(Debug, Args)]
#[group(skip)]
struct Flags {
    /// Who asks
    #[arg(long, value_name = "NAMESPACE/NAME")]
    workflow: Option<String>,
    /// Where the pod is to run
    #[arg(long, value_name = "CLUSTER/NAMESPACE", value_parser = question::target)]
    target: Option<Target>,
    /// The template of the step
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// The service account that the pod runs as
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// A further fact of each request, such as target-label:policy.landfall.dev/tier=gold; can be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// The pod, or as much of it as matters, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    pod: Option<PathBuf>,
    /// The name of the home cluster
    #[arg(long, value_name = "NAME")]
    home: Option<ClusterName>,
}

/// Who is asked, and what.
pub struct Asking {
    /// The modules.
    pub chain: Chain,
    /// The questions; at least one, unless a workflow makes no pod.
    pub questions: Vec<Question>,
    /// How the workflow went, where there is one.
    pub workflow: Option<unfold::Course>,
}

/// One request and what it stands for.
#[derive(Clone, Debug)]
pub struct Question {
    /// The node of a workflow, the name of a case, or nothing.
    pub name: Option<String>,
    /// What is asked.
    pub request: Request,
}

/// Reads everything and loads the modules.
///
/// # Errors
/// What is wrong with any of it.
pub fn prepare(host: &Host, arguments: &Arguments) -> anyhow::Result<Asking> {
    let is_manifest =
        |path: &Path| path.extension().is_some_and(|extension| MANIFESTS.iter().any(|known| extension == *known));
    match &arguments.subject {
        Some(subject) if !subject.is_dir() && is_manifest(subject) => {
            if arguments.workflow_file.is_some() || arguments.settings.is_some() || arguments.case.is_some() {
                return Err(hint::error(
                    format!(
                        "{}: a file with a Workflow is put to the chain of modules that its ConfigMap names",
                        subject.display()
                    ),
                    format!("to put it to one module: landfall policy run builtin --for {}", words::quoted(subject)),
                ));
            }
            of_chain(host, arguments, Some(subject))
        }
        Some(subject) => of_subject(host, arguments, subject),
        None => of_chain(host, arguments, arguments.workflow_file.as_ref()),
    }
}

impl Arguments {
    /// The file with the workflow that is followed, if one is.
    pub fn workflow_file(&self) -> Option<&Path> {
        self.workflow_file.as_deref().or(self.subject.as_deref())
    }

    /// The chain in the mode that is asked for.
    fn in_mode(&self, chain: Chain) -> Chain {
        Chain { managed: self.managed_namespace.clone(), ..chain }
    }
}

/// One module is asked.
fn of_subject(host: &Host, arguments: &Arguments, path: &Path) -> anyhow::Result<Asking> {
    if arguments.config.is_some() || arguments.policies.is_some() {
        return Err(hint::error(
            "--config and --policies name a chain of modules, and one module is named beside them",
            "leave the module out, or configure it alone: --settings FILE",
        ));
    }
    let mut settings = (serde_json::json!({}), Origin::None);
    let mut draft = Draft::default();
    let (mut name, mut request) = (None, None);
    let subject = match &arguments.case {
        None => opened::subject(path)?,
        Some(case) => {
            let suite = Suite::read(path).map_err(suite_error)?;
            let found = find_case(&suite, case)?;
            let origin = suite.origin(found.line);
            settings = (serde_json::Value::clone(&found.settings), origin);
            (name, request) = (Some(found.name.clone()), Some(found.request.clone()));
            opened::warn_if_stale(&suite.subject);
            suite.subject
        }
    };
    if let Some(file) = &arguments.settings {
        settings = read_settings(file)?;
    }
    let chain = arguments.in_mode(Chain::of_subject(host, &subject, settings.0, settings.1).map_err(chain_error)?);
    if let Some(file) = &arguments.workflow_file {
        let objects = files::read(std::slice::from_ref(file))?;
        let home = arguments.flags.home.clone();
        let (questions, workflow) = unfolded(objects, file, home, &arguments.flags.attributes)?;
        return Ok(Asking { chain, questions, workflow: Some(workflow) });
    }
    if let Some(file) = &arguments.request {
        draft = Draft::read_file(file).map_err(question_error)?;
    }
    let request = match request {
        Some(request) => request,
        None => finish(arguments.flags.draft()?.over(&draft))?,
    };
    Ok(Asking { chain, questions: vec![Question { name, request }], workflow: None })
}

/// The chain of a configuration is asked.
fn of_chain(host: &Host, arguments: &Arguments, file: Option<&PathBuf>) -> anyhow::Result<Asking> {
    let mut objects = match file {
        Some(file) => files::read(std::slice::from_ref(file))?,
        None => Vec::new(),
    };
    if let Some(config) = &arguments.config {
        objects.retain(|object| !object.is_configuration());
        objects.push(configuration_in(config)?);
    }
    let names = Names::of(&objects, &[])?;
    let chain = arguments.in_mode(chain_of_objects(host, &objects, &names, arguments.policies.as_deref())?);
    if let Some(file) = file {
        let home = Some(arguments.flags.home.clone().unwrap_or(names.settings.home));
        let (questions, workflow) = unfolded(objects, file, home, &arguments.flags.attributes)?;
        return Ok(Asking { chain, questions, workflow: Some(workflow) });
    }
    let mut draft = Draft { home: Some(names.settings.home), ..Draft::default() };
    if let Some(file) = &arguments.request {
        draft = Draft::read_file(file).map_err(question_error)?.over(&draft);
    }
    let request = finish(arguments.flags.draft()?.over(&draft))?;
    Ok(Asking { chain, questions: vec![Question { name: None, request }], workflow: None })
}

/// The chain that a controller with this ConfigMap, in a file, and this folder of modules would have in force.
///
/// # Errors
/// A file can't be read, or the controller would refuse the set.
pub fn chain_in_force(
    host: &Host,
    config: Option<&PathBuf>,
    policies: Option<&Path>,
) -> anyhow::Result<crate::policy::store::Chain> {
    let objects: Vec<Object> = config.map(configuration_in).transpose()?.into_iter().collect();
    let names = Names::of(&objects, &[])?;
    Ok(chain_of_objects(host, &objects, &names, policies)?.modules)
}

fn chain_of_objects(host: &Host, objects: &[Object], names: &Names, policies: Option<&Path>) -> anyhow::Result<Chain> {
    let texts = configuration(objects)?;
    let text = |key: &str| texts.get(key).map(String::as_str);
    let texts = [text(KEY_NAMESPACE_ROLES), text(KEY_POLICIES)];
    Chain::of_config(host, &names.settings.policy, texts, policies).map_err(|error| {
        // The line is one of a text in the ConfigMap, so that the file alone is named beside it.
        let file = objects.iter().find(|object| object.is_configuration()).map(|object| &object.origin);
        match (&error, file) {
            (ChainError::Settings { .. }, Some(origin)) => chain_error(error).context(origin.to_string()),
            _ => chain_error(error),
        }
    })
}

fn configuration_in(file: &PathBuf) -> anyhow::Result<Object> {
    let found = files::read(std::slice::from_ref(file))?.into_iter().find(Object::is_configuration);
    found.ok_or_else(|| {
        hint::error(
            format!("{}: no ConfigMap workflow-controller-configmap", file.display()),
            "the file must hold the controller's configuration: kubectl get configmap -o yaml",
        )
    })
}

fn unfolded(
    mut objects: Vec<Object>,
    file: &Path,
    home: Option<ClusterName>,
    attributes: &[(String, String)],
) -> anyhow::Result<(Vec<Question>, unfold::Course)> {
    let names = Names::of(&objects, &[])?;
    let object = files::take_workflow(&mut objects, &[file.to_owned()])?;
    let workflow: Workflow =
        serde_json::from_value(object.value.clone()).with_context(|| format!("{}: Workflow", object.origin))?;
    let (mut questions, course) = unfold::unfold(workflow, &home.unwrap_or(names.settings.home), &object.value)?;
    for Question { request, .. } in &mut questions {
        request.attributes.retain(|(name, _)| attributes.iter().all(|(given, _)| given != name));
        request.attributes.extend_from_slice(attributes);
    }
    Ok((questions, course))
}

fn find_case<'s>(suite: &'s Suite, name: &str) -> anyhow::Result<&'s crate::author::question::Question> {
    let Some(found) = suite.questions.iter().find(|question| question.name == name) else {
        let names: Vec<&str> = suite.questions.iter().map(|question| question.name.as_str()).collect();
        let advice = match crate::policy::config::reader::nearest(name, &names) {
            Some(other) => format!("did you mean {other:?}?"),
            None => format!("there are: {}", suite.names_listed()),
        };
        return Err(hint::error(format!("{}: there is no case {name:?}", suite.file.display()), advice));
    };
    Ok(found)
}

fn configuration(objects: &[Object]) -> anyhow::Result<BTreeMap<String, String>> {
    let Some(object) = objects.iter().find(|object| object.is_configuration()) else { return Ok(BTreeMap::new()) };
    let map: ConfigMap = serde_json::from_value(object.value.clone())
        .with_context(|| format!("{}: ConfigMap {}", object.origin, object.name()))?;
    Ok(map.data.unwrap_or_default())
}

fn finish(draft: Draft) -> anyhow::Result<Request> {
    draft.finish().map_err(|problem| {
        hint::error(
            format!("the request has {problem}"),
            "say it with --workflow and --target, in a file with --request, or give a Workflow with --for",
        )
    })
}

impl Flags {
    fn draft(&self) -> anyhow::Result<Draft> {
        let (namespace, workflow) = match self.workflow.as_deref().map(|text| text.split_once('/').ok_or(text)) {
            None => (None, None),
            Some(Ok((namespace, name))) => (Some(namespace), Some(name.to_owned())),
            Some(Err(namespace)) => (Some(namespace), None),
        };
        let namespace = namespace.map(str::parse::<Namespace>).transpose().context("--workflow")?;
        let pod = self.pod.as_deref().map(|file| pod::read_file(file, pod::Known::Only)).transpose();
        Ok(Draft {
            home: self.home.clone(),
            namespace,
            workflow,
            uid: None,
            target: self.target.clone(),
            template: self.template.clone(),
            service_account: self.service_account.clone(),
            pod: pod.map_err(|problem| anyhow!("{problem}"))?,
            attributes: (!self.attributes.is_empty()).then(|| self.attributes.clone()),
        })
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("not NAME=VALUE, such as team=a".to_owned()),
    }
}

fn suite_error(error: SuiteError) -> anyhow::Error {
    match error.hint() {
        Some(advice) => hint::error(&error, advice),
        None => error.into(),
    }
}

fn question_error(error: QuestionError) -> anyhow::Error {
    error.into()
}

fn chain_error(error: ChainError) -> anyhow::Error {
    match error.hint() {
        Some(advice) => hint::error(&error, advice),
        None => error.into(),
    }
}
