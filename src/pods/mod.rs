//! Template in, final pod out. The template has been through substitution; nothing is left to be decided after this.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    apimachinery::pkg::{
        apis::meta::v1::{ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};

use crate::api::{
    contract,
    ids::{ClusterName, Target},
    template::Template,
    workflow::{Workflow, WorkflowSpec},
};

pub mod name;

/// Whose pod it is and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The cluster that the workflow lives in.
    pub home: &'a ClusterName,
    /// The UID of that cluster's namespace `kube-system`.
    pub home_uid: &'a str,
    /// The workflow.
    pub workflow: &'a Workflow,
    /// The node's ID.
    pub node_id: &'a str,
    /// The node's name.
    pub node_name: &'a str,
    /// Where the pod runs.
    pub target: &'a Target,
    /// The pod's name.
    pub pod_name: &'a str,
}

/// The pod of a container template: a plain pod, with nothing beside the user's containers.
///
/// # Errors
/// If a field that must be a number after substitution isn't one; the text names the field.
pub fn build(identity: Identity<'_>, template: &Template) -> Result<Pod, String> {
    let spec = &identity.workflow.spec;
    let mut main = template.container.clone().unwrap_or_default();
    main.name = contract::CONTAINER_MAIN.to_owned();
    let init_containers: Vec<Container> =
        template.init_containers.iter().map(|container| container.container.clone()).collect();
    let pod_spec = PodSpec {
        containers: vec![main],
        init_containers: given(init_containers),
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: active_deadline_seconds(template)?,
        ..pod_spec(spec, template)
    };
    Ok(Pod { metadata: metadata(identity, template), spec: Some(pod_spec), status: None })
}

/// Whether a pod there can have the workflow as its owner reference: only in the workflow's own cluster and namespace,
/// since the garbage collector of any other would look for the owner beside the pod and delete it.
pub fn is_beside_workflow(home: &ClusterName, workflow: &Workflow, target: &Target) -> bool {
    target.cluster == *home && workflow.metadata.namespace.as_deref() == Some(target.namespace.as_str())
}

fn metadata(identity: Identity<'_>, template: &Template) -> ObjectMeta {
    let workflow = identity.workflow;
    let workflow_name = workflow.metadata.name.clone().unwrap_or_default();
    let workflow_uid = workflow.metadata.uid.clone().unwrap_or_default();
    let spec_metadata = workflow.spec.pod_metadata.clone().unwrap_or_default();

    let mut labels = spec_metadata.labels;
    labels.extend(template.metadata.labels.clone());
    let home_namespace = workflow.metadata.namespace.clone().unwrap_or_default();
    labels.extend(
        [
            (contract::LABEL_WORKFLOW, workflow_name.clone()),
            (contract::LABEL_COMPLETED, "false".to_owned()),
            (contract::LABEL_HOME_CLUSTER, identity.home.to_string()),
            (contract::LABEL_HOME_UID, identity.home_uid.to_owned()),
            (contract::LABEL_HOME_NAMESPACE, home_namespace),
            (contract::LABEL_WORKFLOW_UID, workflow_uid.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );

    let mut annotations = spec_metadata.annotations;
    annotations.insert(contract::ANNOTATION_DEFAULT_CONTAINER.to_owned(), contract::CONTAINER_MAIN.to_owned());
    annotations.extend(template.metadata.annotations.clone());
    annotations.insert(contract::ANNOTATION_NODE_NAME.to_owned(), identity.node_name.to_owned());
    annotations.insert(contract::ANNOTATION_NODE_ID.to_owned(), identity.node_id.to_owned());

    let owner = is_beside_workflow(identity.home, workflow, identity.target).then(|| {
        vec![OwnerReference {
            api_version: "argoproj.io/v1alpha1".to_owned(),
            kind: "Workflow".to_owned(),
            name: workflow_name,
            uid: workflow_uid,
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]
    });
    ObjectMeta {
        name: Some(identity.pod_name.to_owned()),
        namespace: Some(identity.target.namespace.to_string()),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: owner,
        ..ObjectMeta::default()
    }
}

/// What workflow and template say of the pod beside its containers; the template's word goes before the workflow's.
fn pod_spec(spec: &WorkflowSpec, template: &Template) -> PodSpec {
    let volumes = [spec.volumes.clone(), template.volumes.clone()].concat();
    let host_aliases = [spec.host_aliases.clone(), template.host_aliases.clone()].concat();
    let service_account = template.service_account.clone().or_else(|| template.service_account_name.clone());
    let resource_claims = first_given(&template.resource_claims, &spec.resource_claims);
    PodSpec {
        service_account_name: service_account.or_else(|| spec.service_account_name.clone()),
        automount_service_account_token: template
            .automount_service_account_token
            .or(spec.automount_service_account_token),
        volumes: given(volumes),
        host_aliases: given(host_aliases),
        node_selector: first_given_map(&template.node_selector, &spec.node_selector),
        affinity: template.affinity.clone().or_else(|| spec.affinity.clone()),
        tolerations: first_given(&template.tolerations, &spec.tolerations),
        scheduler_name: template.scheduler_name.clone().or_else(|| spec.scheduler_name.clone()),
        priority_class_name: template.priority_class_name.clone().or_else(|| spec.pod_priority_class_name.clone()),
        security_context: template.security_context.clone().or_else(|| spec.security_context.clone()),
        resources: template.pod_resources.clone().or_else(|| spec.pod_resources.clone()),
        resource_claims,
        image_pull_secrets: given(spec.image_pull_secrets.clone()),
        host_network: spec.host_network,
        dns_policy: spec.dns_policy.clone(),
        dns_config: spec.dns_config.clone(),
        ..PodSpec::default()
    }
}

fn active_deadline_seconds(template: &Template) -> Result<Option<i64>, String> {
    match &template.active_deadline_seconds {
        None => Ok(None),
        Some(IntOrString::Int(seconds)) => Ok(Some(i64::from(*seconds))),
        Some(IntOrString::String(text)) => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(format!("templates.{}.activeDeadlineSeconds: {text:?} is not a number", template.name)),
        },
    }
}

fn given<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn first_given<T: Clone>(own: &[T], inherited: &[T]) -> Option<Vec<T>> {
    given(if own.is_empty() { inherited.to_vec() } else { own.to_vec() })
}

fn first_given_map(
    own: &BTreeMap<String, String>,
    inherited: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    let map = if own.is_empty() { inherited } else { own };
    (!map.is_empty()).then(|| map.clone())
}
