//! Writing what was decided into the Workflow: by PUT of the whole object as it was read, so that a stale view gets a
//! conflict and never overwrites. There is no status subresource.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
    core::TypeMeta,
};
use serde_json::Value;

use crate::{
    api::{contract::FINALIZER_PODS_ELSEWHERE, status::WorkflowStatus, workflow::Workflow},
    clusters::{call::CallError, cluster::Cluster},
    controller::workflows::{self, Kind, Stored, Uid},
    engine::plan::{Action, Plan},
};

/// What a pass wants to stand in the Workflow.
pub struct Wanted<'a> {
    /// The status.
    pub status: &'a WorkflowStatus,
    /// Labels to bear, beside those that are there.
    pub labels: &'a BTreeMap<String, String>,
    /// Annotations to bear, beside those that are there.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether pods are created next. Then it is written even if nothing is new, so that a stale view gets its conflict
    /// before it does anything.
    pub creates: bool,
    /// Whether our finalizer must be there. One that is there stays: only deletion takes it away.
    pub finalizer: bool,
}

impl<'a> From<&'a Plan> for Wanted<'a> {
    fn from(plan: &'a Plan) -> Wanted<'a> {
        let Plan { status, labels, annotations, finalizer, actions, wake_at: _ } = plan;
        let creates = actions.iter().any(|action| match action {
            Action::CreatePod(_) => true,
            Action::DeletePod { .. } => false,
        });
        Wanted { status, labels, annotations, creates, finalizer: *finalizer }
    }
}

/// The workflows of one namespace, or of all, at home.
pub fn api(client: kube::Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<Workflow>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}

/// Writes, if there is anything to write, and returns the object as it then is stored; `None`: it was so already.
pub async fn write(home: &Cluster, stored: &Stored, wanted: Wanted<'_>) -> Result<Option<Kind>, CallError> {
    let metadata = merged(&stored.workflow.metadata, &wanted);
    let is_news = metadata != stored.workflow.metadata || *wanted.status != stored.workflow.status;
    if !is_news && !wanted.creates {
        return Ok(None);
    }
    let mut fields = stored.rest.clone();
    let status = serde_json::to_value(wanted.status).expect("a status is plain data with text for keys");
    fields.insert("status".to_owned(), status);
    fields.remove("apiVersion");
    fields.remove("kind");
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    let object = DynamicObject { types: Some(TypeMeta::resource::<Workflow>()), metadata, data: Value::Object(fields) };
    let api = api(home.client(), Some(&namespace));
    let written = home.call(api.replace(&name, &PostParams::default(), &object)).await?;
    Ok(Some(workflows::sort(written)))
}

/// Reads the object anew; `None`: it is gone, or another has taken its name.
pub async fn read(home: &Cluster, stored: &Stored) -> Result<Option<Arc<Stored>>, CallError> {
    let metadata = &stored.workflow.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    read_named(home, &stored.uid, namespace.unwrap_or_default(), name.unwrap_or_default()).await
}

/// Reads the workflow with this UID and name; `None`: it is gone, or another has taken its name.
pub async fn read_named(
    home: &Cluster,
    uid: &Uid,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<Stored>>, CallError> {
    let object = home.call(api(home.client(), Some(namespace)).get_opt(name)).await?;
    let same = object.filter(|object| object.metadata.uid.as_deref() == Some(uid));
    Ok(same.map(|object| Arc::new(workflows::decode(uid.clone(), object))))
}

/// The metadata with what is wanted; what others put there stays. UID and version go along, so that the write is refused
/// if the object is not the one that was read.
fn merged(metadata: &ObjectMeta, wanted: &Wanted<'_>) -> ObjectMeta {
    let mut metadata = metadata.clone();
    merge(&mut metadata.labels, wanted.labels);
    merge(&mut metadata.annotations, wanted.annotations);
    if wanted.finalizer && !workflows::has_finalizer(&metadata) {
        metadata.finalizers.get_or_insert_default().push(FINALIZER_PODS_ELSEWHERE.to_owned());
    }
    metadata
}

fn merge(held: &mut Option<BTreeMap<String, String>>, wanted: &BTreeMap<String, String>) {
    if !wanted.is_empty() {
        held.get_or_insert_default().extend(wanted.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}
