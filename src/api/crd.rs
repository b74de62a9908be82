//! The CRDs, named as Argo names them. `manifests/crds` is generated from here.
//!
//! Specs have structural schemas, so that an API server refuses what can't be read and `kubectl explain` has something
//! to say. Nothing is required, and statuses are open: objects that any version of Argo wrote stay valid.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::api::{
    cron_workflow::CronWorkflow,
    schema::{KUBERNETES, Kind, Shape, Shapes, shapes},
    task_result::WorkflowTaskResult,
    workflow::Workflow,
    workflow_template::{ClusterWorkflowTemplate, WorkflowTemplate},
};

/// Fields that are left open: statuses are ours to write, and defaults would repeat all that templates say.
const OPEN: [&str; 2] = ["status", "templateDefaults"];

/// Longer descriptions are Kubernetes' own, of fields that stand among ours; ours are one line each.
const DESCRIPTION_MAX: usize = 140;

/// One kind, for its CRD.
struct Definition {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short_names: &'static [&'static str],
    scope: &'static str,
    columns: Vec<Value>,
    status_subresource: bool,
    schema: Value,
}

/// All CRDs.
pub fn documents() -> Vec<Value> {
    definitions().into_iter().map(document).collect()
}

/// All CRDs as YAML, each with the name of its file.
pub fn files() -> Vec<(String, String)> {
    definitions()
        .into_iter()
        .map(|definition| {
            let name = format!("{}.yaml", definition.plural);
            let text = serde_saphyr::to_string(&document(definition)).expect("a JSON value is always YAML");
            (name, text)
        })
        .collect()
}

fn definitions() -> Vec<Definition> {
    let definition = |kind, plural, singular, short_names, schema| Definition {
        kind,
        plural,
        singular,
        short_names,
        scope: "Namespaced",
        columns: Vec::new(),
        status_subresource: false,
        schema,
    };
    vec![
        Definition {
            columns: vec![
                json!({ "name": "Status", "type": "string", "jsonPath": ".status.phase" }),
                json!({ "name": "Age", "type": "date", "jsonPath": ".status.startedAt" }),
                json!({ "name": "Message", "type": "string", "jsonPath": ".status.message" }),
            ],
            ..definition("Workflow", "workflows", "workflow", &["wf"], of::<Workflow>())
        },
        definition("WorkflowTemplate", "workflowtemplates", "workflowtemplate", &["wftmpl"], of::<WorkflowTemplate>()),
        Definition {
            scope: "Cluster",
            ..definition(
                "ClusterWorkflowTemplate",
                "clusterworkflowtemplates",
                "clusterworkflowtemplate",
                &["clusterwftmpl", "cwft"],
                of::<ClusterWorkflowTemplate>(),
            )
        },
        definition("CronWorkflow", "cronworkflows", "cronworkflow", &["cwf", "cronwf"], of::<CronWorkflow>()),
        definition("WorkflowTaskResult", "workflowtaskresults", "workflowtaskresult", &[], of::<WorkflowTaskResult>()),
        definition("WorkflowEventBinding", "workfloweventbindings", "workfloweventbinding", &["wfeb"], untyped()),
        Definition {
            status_subresource: true,
            ..definition("WorkflowTaskSet", "workflowtasksets", "workflowtaskset", &["wfts"], untyped())
        },
        Definition {
            status_subresource: true,
            ..definition(
                "WorkflowArtifactGCTask",
                "workflowartifactgctasks",
                "workflowartifactgctask",
                &["wfat"],
                untyped(),
            )
        },
    ]
}

fn document(definition: Definition) -> Value {
    let Definition { kind, plural, singular, short_names, scope, columns, status_subresource, schema } = definition;
    let mut version = json!({
        "name": "v1alpha1",
        "served": true,
        "storage": true,
        "schema": { "openAPIV3Schema": schema },
    });
    if !columns.is_empty() {
        version["additionalPrinterColumns"] = columns.into();
    }
    if status_subresource {
        version["subresources"] = json!({ "status": {} });
    }
    let mut names = json!({ "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular });
    if !short_names.is_empty() {
        names["shortNames"] = json!(short_names);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.argoproj.io") },
        "spec": { "group": "argoproj.io", "names": names, "scope": scope, "versions": [version] },
    })
}

/// The schema of an object whose spec and status may be anything.
fn untyped() -> Value {
    object(json!({ "spec": open_object(), "status": open_object() }))
}

/// The schema of a type.
fn of<T: JsonSchema>() -> Value {
    let shapes = shapes::<T>();
    let Kind::Object(fields) = &shapes.root.kind else { return untyped() };
    let mut properties = Map::new();
    for (name, field) in fields {
        if name != "metadata" {
            properties.insert(name.clone(), field_schema(name, field, &shapes, &mut Vec::new()));
        }
    }
    object(Value::Object(properties))
}

fn object(mut properties: Value) -> Value {
    properties["apiVersion"] = json!({ "type": "string" });
    properties["kind"] = json!({ "type": "string" });
    properties["metadata"] = json!({ "type": "object" });
    json!({ "type": "object", "properties": properties })
}

fn open_object() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

fn field_schema(name: &str, field: &Shape, shapes: &Shapes, within: &mut Vec<String>) -> Value {
    if OPEN.contains(&name) { open_object() } else { structural(field, shapes, within) }
}

/// A schema without references. `within` holds the names of the shapes around; one that comes back is left open,
/// since a structural schema can't hold itself.
fn structural(shape: &Shape, shapes: &Shapes, within: &mut Vec<String>) -> Value {
    // Kubernetes' own types are described one level deep and not in words: whole, they would make the CRDs too large
    // for `kubectl apply`, and the API server checks them once they are part of a pod.
    let foreign = within.iter().any(|name| name.starts_with(KUBERNETES));
    let mut schema = match &shape.kind {
        Kind::Named(name) if within.contains(name) => open_object(),
        Kind::Named(_) if foreign && matches!(shapes.resolve(shape).kind, Kind::Object(_)) => open_object(),
        Kind::Named(name) => {
            within.push(name.clone());
            let schema = shapes.named.get(name).map_or_else(open_object, |it| structural(it, shapes, within));
            within.pop();
            schema
        }
        Kind::Any => json!({ "x-kubernetes-preserve-unknown-fields": true }),
        Kind::AnyText => json!({ "x-kubernetes-preserve-unknown-fields": true }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(format) => typed("integer", format.as_deref()),
        Kind::Number => json!({ "type": "number" }),
        Kind::Text(format) => typed("string", format.as_deref()),
        Kind::IntegerOrText => json!({ "x-kubernetes-int-or-string": true }),
        Kind::List(item) => json!({ "type": "array", "items": structural(item, shapes, within) }),
        Kind::Dictionary(item) if item.kind == Kind::Any => open_object(),
        Kind::Dictionary(item) => {
            json!({ "type": "object", "additionalProperties": structural(item, shapes, within) })
        }
        Kind::Object(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|(name, field)| (name.clone(), field_schema(name, field, shapes, within))).collect();
            json!({ "type": "object", "properties": properties })
        }
    };
    match &shape.description {
        Some(description) if !foreign && description.len() <= DESCRIPTION_MAX => {
            schema["description"] = json!(description)
        }
        Some(_) | None => (),
    }
    schema
}

fn typed(name: &str, format: Option<&str>) -> Value {
    match format {
        // The API server knows no unsigned numbers.
        Some(format) if !format.starts_with('u') => json!({ "type": name, "format": format }),
        Some(_) | None => json!({ "type": name }),
    }
}
