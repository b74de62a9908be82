//! What kinds of objects there are: their names, scope and subresources. Which columns they print stands in `table.rs`.

use k8s_openapi::api::{
    coordination::v1 as coordination, core::v1 as core, events::v1 as events, policy::v1 as policy, rbac::v1 as rbac,
};
use serde_json::Value;

use crate::local::apiserver::decode::{Decode, typed};

/// Which collection of objects: Kubernetes' GroupResource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub group: String,
    pub plural: String,
}

/// A kind of object that this server keeps.
#[derive(Debug, Clone)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether status is written through its own subresource only.
    pub status: bool,
    /// Whether an update may leave the resource version out.
    pub unconditional_update: bool,
    /// Whether `metadata.generation` counts changes of anything but metadata and status.
    pub generation: bool,
    /// Reads an object as its Go type would; custom resources have none and keep every field.
    pub decode: Option<Decode>,
    /// Columns that a CustomResourceDefinition names for itself.
    pub columns: Vec<Column>,
}

/// A printer column as a CustomResourceDefinition states it.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub description: String,
    pub path: String,
    pub priority: i64,
}

impl Id {
    pub fn new(group: &str, plural: &str) -> Id {
        Id { group: group.to_owned(), plural: plural.to_owned() }
    }
}

impl Resource {
    pub fn id(&self) -> Id {
        Id::new(&self.group, &self.plural)
    }

    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub fn is_pods(&self) -> bool {
        self.is("", "pods")
    }

    pub fn is_namespaces(&self) -> bool {
        self.is("", "namespaces")
    }

    pub fn is_definitions(&self) -> bool {
        self.is("apiextensions.k8s.io", "customresourcedefinitions")
    }

    /// Kubernetes' Events, of either group.
    pub fn is_events(&self) -> bool {
        self.is("", "events") || self.is("events.k8s.io", "events")
    }

    /// `pods`, or `workflows.argoproj.io`, as messages name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// A custom resource has no Go type: strategic merge patches don't apply to it.
    pub fn is_custom(&self) -> bool {
        self.decode.is_none() && !self.is_definitions()
    }
}

/// The kinds that every server has, in the order in which discovery lists them.
pub fn built_in() -> Vec<Resource> {
    let mut all = vec![
        kind::<core::Namespace>("", "Namespace", "namespaces", &["ns"]).cluster().with_status(),
        kind::<core::Node>("", "Node", "nodes", &["no"]).cluster().with_status(),
        kind::<core::Pod>("", "Pod", "pods", &["po"]).with_status().in_all(),
        kind::<core::ConfigMap>("", "ConfigMap", "configmaps", &["cm"]),
        kind::<core::Secret>("", "Secret", "secrets", &[]),
        kind::<core::ServiceAccount>("", "ServiceAccount", "serviceaccounts", &["sa"]),
        kind::<core::Event>("", "Event", "events", &["ev"]),
        kind::<core::PersistentVolumeClaim>("", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"])
            .with_status(),
        kind::<core::Service>("", "Service", "services", &["svc"]).with_status().in_all(),
        kind::<events::Event>("events.k8s.io", "Event", "events", &["ev"]),
        kind::<rbac::Role>("rbac.authorization.k8s.io", "Role", "roles", &[]),
        kind::<rbac::RoleBinding>("rbac.authorization.k8s.io", "RoleBinding", "rolebindings", &[]),
        kind::<rbac::ClusterRole>("rbac.authorization.k8s.io", "ClusterRole", "clusterroles", &[]).cluster(),
        kind::<rbac::ClusterRoleBinding>("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings", &[])
            .cluster(),
        kind::<coordination::Lease>("coordination.k8s.io", "Lease", "leases", &[]).conditional(),
        kind::<policy::PodDisruptionBudget>("policy", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"])
            .with_status()
            .counted()
            .conditional(),
    ];
    let definitions = untyped(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        &["crd", "crds"],
    );
    all.push(Resource {
        categories: vec!["api-extensions".to_owned()],
        ..definitions.cluster().with_status().counted().conditional()
    });
    all.extend(argo());
    all
}

/// Argo's kinds, as its CustomResourceDefinitions declare them: none but the task set has a status subresource.
fn argo() -> Vec<Resource> {
    let kinds: [(&str, &str, &[&str]); 8] = [
        ("Workflow", "workflows", &["wf"]),
        ("WorkflowTemplate", "workflowtemplates", &["wftmpl"]),
        ("ClusterWorkflowTemplate", "clusterworkflowtemplates", &["clusterwftmpl", "cwft"]),
        ("CronWorkflow", "cronworkflows", &["cwf", "cronwf"]),
        ("WorkflowTaskResult", "workflowtaskresults", &[]),
        ("WorkflowEventBinding", "workfloweventbindings", &["wfeb"]),
        ("WorkflowTaskSet", "workflowtasksets", &["wfts"]),
        ("WorkflowArtifactGCTask", "workflowartifactgctasks", &["wfat"]),
    ];
    let mut all = Vec::new();
    for (kind, plural, short_names) in kinds {
        let mut resource = untyped("argoproj.io", "v1alpha1", kind, plural, short_names).counted().conditional();
        resource.namespaced = kind != "ClusterWorkflowTemplate";
        resource.status = matches!(kind, "WorkflowTaskSet" | "WorkflowArtifactGCTask");
        if kind == "Workflow" {
            resource.columns = vec![
                column("Status", "string", ".status.phase", "Status of the workflow"),
                column("Age", "date", ".status.startedAt", "When the workflow was started"),
                column(
                    "Message",
                    "string",
                    ".status.message",
                    "Human readable message indicating details about why the workflow is in this condition.",
                ),
            ];
        }
        all.push(resource);
    }
    all
}

fn column(name: &str, kind: &str, path: &str, description: &str) -> Column {
    Column {
        name: name.to_owned(),
        kind: kind.to_owned(),
        format: if kind == "date" { "date".to_owned() } else { String::new() },
        description: description.to_owned(),
        path: path.to_owned(),
        priority: 0,
    }
}

fn kind<T: serde::Serialize + serde::de::DeserializeOwned>(
    group: &str,
    kind: &str,
    plural: &str,
    short_names: &[&str],
) -> Resource {
    Resource { decode: Some(typed::<T>), unconditional_update: true, ..untyped(group, "v1", kind, plural, short_names) }
}

/// A resource with nothing but names.
pub fn untyped(group: &str, version: &str, kind: &str, plural: &str, short_names: &[&str]) -> Resource {
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short_names.iter().map(|name| (*name).to_owned()).collect(),
        categories: Vec::new(),
        namespaced: true,
        status: false,
        unconditional_update: true,
        generation: false,
        decode: None,
        columns: Vec::new(),
    }
}

impl Resource {
    fn cluster(mut self) -> Resource {
        self.namespaced = false;
        self
    }

    fn with_status(mut self) -> Resource {
        self.status = true;
        self
    }

    fn counted(mut self) -> Resource {
        self.generation = true;
        self
    }

    fn conditional(mut self) -> Resource {
        self.unconditional_update = false;
        self
    }

    fn in_all(mut self) -> Resource {
        self.categories = vec!["all".to_owned()];
        self
    }
}

/// The resource that a CustomResourceDefinition declares, in its storage version; `None` if it declares none that can be served.
pub fn from_definition(definition: &Value) -> Option<Resource> {
    let spec = definition.get("spec")?;
    let names = spec.get("names")?;
    let versions = spec.get("versions")?.as_array()?;
    let version = versions.iter().find(|version| version["storage"] == true).or(versions.first())?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = |value: &Value| value.as_array().into_iter().flatten().filter_map(text).collect::<Vec<String>>();
    let kind = text(&names["kind"])?;
    let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
    let columns = columns.map(|column| Column {
        name: text(&column["name"]).unwrap_or_default(),
        kind: text(&column["type"]).unwrap_or_default(),
        format: text(&column["format"]).unwrap_or_default(),
        description: text(&column["description"]).unwrap_or_default(),
        path: text(&column["jsonPath"]).unwrap_or_default(),
        priority: column["priority"].as_i64().unwrap_or_default(),
    });
    Some(Resource {
        group: text(&spec["group"])?,
        version: text(&version["name"])?,
        plural: text(&names["plural"])?,
        singular: text(&names["singular"]).unwrap_or_else(|| kind.to_lowercase()),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        namespaced: spec["scope"] != "Cluster",
        status: version.pointer("/subresources/status").is_some(),
        unconditional_update: false,
        generation: true,
        decode: None,
        columns: columns.collect(),
        kind,
    })
}
