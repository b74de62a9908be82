//! Which clusters, namespaces and service accounts the objects name: all of them exist from the start.
//!
//! Every namespace and account exists in every cluster. That is more than was asked for, and never less: what is to be
//! found out on a laptop is what a workflow does, not which account someone forgot to make.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::Value;

use crate::{
    api::{
        ids::{ClusterName, Namespace},
        template::Template,
        workflow::WorkflowSpec,
    },
    cli::local::files::Object,
    controller::config::{self, Settings},
    policy::roles::Roles,
};

/// The namespace of what names none, and of the controller; Argo's own manifests use it too.
pub const NAMESPACE: &str = "argo";

/// Everything that is named.
#[derive(Clone, Debug)]
pub struct Names {
    /// What the controller's configuration says, first of all the name of the home cluster.
    pub settings: Settings,
    /// The other clusters.
    pub others: BTreeSet<ClusterName>,
    /// Namespaces.
    pub namespaces: BTreeSet<Namespace>,
    /// Service accounts.
    pub service_accounts: BTreeSet<String>,
    /// The namespace of the controller's configuration.
    pub controller_namespace: Namespace,
}

impl Names {
    /// What the objects name, and the clusters that the command line adds.
    ///
    /// # Errors
    /// If the controller's configuration can't be read.
    pub fn of(objects: &[Object], clusters: &[ClusterName]) -> anyhow::Result<Names> {
        let standard: Namespace = NAMESPACE.parse()?;
        let mut names = Names {
            settings: config::parse(&BTreeMap::new())?,
            others: clusters.iter().cloned().collect(),
            namespaces: BTreeSet::from([standard.clone()]),
            service_accounts: BTreeSet::new(),
            controller_namespace: standard,
        };
        for object in objects {
            names.namespace(object.namespace());
            if object.is_configuration() {
                names.configuration(object)?;
            } else if object.is_cluster_list() {
                let secret: Secret = serde_json::from_value(object.value.clone())
                    .map_err(|error| anyhow!("{}: Secret {}: {error}", object.origin, object.name()))?;
                let keys = secret.data.into_iter().flat_map(|data| data.into_keys());
                keys.chain(secret.string_data.into_iter().flat_map(|data| data.into_keys()))
                    .for_each(|key| names.cluster(&key));
            } else if let Some(spec) = spec_of(object) {
                names.spec(&spec);
            }
        }
        names.others.remove(&names.settings.home);
        Ok(names)
    }

    /// All clusters, home first.
    pub fn clusters(&self) -> Vec<ClusterName> {
        std::iter::once(self.settings.home.clone()).chain(self.others.iter().cloned()).collect()
    }

    fn configuration(&mut self, object: &Object) -> anyhow::Result<()> {
        let invalid = |problem: String| anyhow!("{}: ConfigMap {}: {problem}", object.origin, object.name());
        let map: ConfigMap =
            serde_json::from_value(object.value.clone()).map_err(|error| invalid(error.to_string()))?;
        if let Some(namespace) = map.metadata.namespace {
            self.controller_namespace = namespace.parse().map_err(|error| invalid(format!("{error}")))?;
        }
        self.settings = config::parse(&map.data.unwrap_or_default()).map_err(|error| invalid(format!("{error:#}")))?;
        let Roles::Entries(entries) = self.settings.policy.roles.clone() else { return Ok(()) };
        for entry in entries {
            self.namespace(&entry.namespace);
            for rule in entry.rules {
                rule.cluster_names.iter().for_each(|name| self.cluster(name));
                rule.namespaces.iter().for_each(|name| self.namespace(name));
            }
        }
        Ok(())
    }

    fn spec(&mut self, spec: &WorkflowSpec) {
        self.service_accounts.extend(spec.service_account_name.clone());
        for template in spec.templates.iter().chain(spec.template_defaults.as_deref()) {
            self.template(template);
        }
    }

    fn template(&mut self, template: &Template) {
        template.cluster_name.iter().for_each(|name| self.cluster(name));
        template.namespace.iter().for_each(|name| self.namespace(name));
        self.service_accounts.extend(template.service_account.clone());
        self.service_accounts.extend(template.service_account_name.clone());
        let steps = template.steps.iter().flat_map(|group| &group.0).flat_map(|step| step.inline.as_deref());
        let tasks = template.dag.iter().flat_map(|dag| &dag.tasks).flat_map(|task| task.inline.as_deref());
        steps.chain(tasks).for_each(|inline| self.template(inline));
    }

    /// A text that is no name, as one with tags in it, names nothing that could exist from the start.
    fn cluster(&mut self, name: &str) {
        self.others.extend(name.parse::<ClusterName>());
    }

    fn namespace(&mut self, name: &str) {
        self.namespaces.extend(name.parse::<Namespace>());
    }
}

/// The spec of a workflow, in whichever kind it stands.
fn spec_of(object: &Object) -> Option<WorkflowSpec> {
    let pointer = match object.kind() {
        "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate" => "/spec",
        "CronWorkflow" => "/spec/workflowSpec",
        _ => return None,
    };
    object.value.pointer(pointer).cloned().and_then(|spec: Value| serde_json::from_value(spec).ok())
}
