//! A cluster that has Argo's CRDs gets ours: objects that are there stay as they are and stay valid.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    runtime::wait::{await_condition, conditions},
};
use serde_json::{Value, json};

use crate::real::{self, cluster::RealCluster};

/// Argo's kinds: plural, kind, short names, whether they are namespaced, and the spec of an object that it would have there.
fn kinds() -> [(&'static str, &'static str, Value, bool, Value); 8] {
    let template = json!({"name": "main", "container": {"image": "argoproj/argosay:v2", "args": ["echo", "{{inputs.parameters.a}}"]},
        "inputs": {"parameters": [{"name": "a", "value": 1}]}, "retryStrategy": {"limit": "2"}, "nodeSelector": {"a": "b"}});
    let spec = json!({"entrypoint": "main", "arguments": {"parameters": [{"name": "p", "value": true}]}, "templates": [template],
        "ttlStrategy": {"secondsAfterCompletion": 10}, "podGC": {"strategy": "OnPodSuccess"}, "parallelism": 3});
    let task_set = json!({"tasks": {"w-1": {"name": "main", "http": {"url": "https://example.org"}}}});
    let binding =
        json!({"event": {"selector": "payload.message != ''"}, "submit": {"workflowTemplateRef": {"name": "t"}}});
    [
        ("workflows", "Workflow", json!(["wf"]), true, spec.clone()),
        ("workflowtemplates", "WorkflowTemplate", json!(["wftmpl"]), true, spec.clone()),
        ("clusterworkflowtemplates", "ClusterWorkflowTemplate", json!(["clusterwftmpl", "cwft"]), false, spec.clone()),
        (
            "cronworkflows",
            "CronWorkflow",
            json!(["cwf", "cronwf"]),
            true,
            json!({"schedules": ["* * * * *"], "workflowSpec": spec}),
        ),
        ("workflowtasksets", "WorkflowTaskSet", json!(["wfts"]), true, task_set),
        (
            "workflowartifactgctasks",
            "WorkflowArtifactGCTask",
            json!(["wfat"]),
            true,
            json!({"artifactsByNode": {"w-1": {}}}),
        ),
        ("workfloweventbindings", "WorkflowEventBinding", json!(["wfeb"]), true, binding),
        ("workflowtaskresults", "WorkflowTaskResult", json!([]), true, json!(null)),
    ]
}

/// As Argo's minimal installation has it: everything is kept and nothing is checked.
fn argos((plural, kind, short, namespaced, _): &(&str, &str, Value, bool, Value)) -> Value {
    let open =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic"});
    let properties = json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": open, "status": open});
    let mut schema = json!({"type": "object", "properties": properties});
    if *kind == "WorkflowTaskResult" {
        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
    let version = json!({"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.argoproj.io")},
        "spec": {
            "group": "argoproj.io", "scope": if *namespaced { "Namespaced" } else { "Cluster" }, "versions": [version],
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase(), "shortNames": short},
        },
    })
}

fn api(client: &Client, namespaced: bool, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind));
    if namespaced {
        Api::namespaced_with(client.clone(), "default", &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

async fn install_argos(cluster: &RealCluster) {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.admin());
    for kind in kinds() {
        let made: CustomResourceDefinition = serde_json::from_value(argos(&kind)).unwrap();
        definitions.create(&PostParams::default(), &made).await.unwrap();
        await_condition(definitions.clone(), &made.name_any(), conditions::is_crd_established()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_objects_stay_valid() {
    let Some([cluster]) = real::own_clusters(&[]).await else { return };
    let client = cluster.admin();
    install_argos(&cluster).await;
    let mut before = Vec::new();
    for (_, kind, _, namespaced, spec) in kinds() {
        let mut object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": "old"}});
        match kind {
            "WorkflowTaskResult" => object["outputs"] = json!({"parameters": [{"name": "o", "value": "v"}]}),
            _ => object["spec"] = spec,
        }
        if kind == "Workflow" {
            let node = json!({"id": "old", "name": "old", "displayName": "old", "type": "Pod", "phase": "Succeeded",
                "startedAt": "2026-01-01T00:00:00Z", "finishedAt": null, "templateName": "main"});
            object["status"] = json!({"phase": "Succeeded", "progress": "1/1", "nodes": {"old": node}});
        }
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let made = api(&client, namespaced, kind).create(&PostParams::default(), &object).await.unwrap();
        before.push((kind, namespaced, made));
    }

    cluster.install_crds().await;

    for (kind, namespaced, old) in before {
        let api = api(&client, namespaced, kind);
        let now = api.get("old").await.unwrap();
        assert_eq!((&now.data, now.uid()), (&old.data, old.uid()), "{kind} is as it was");
        // A write checks the whole object.
        let mut written = now.clone();
        written.labels_mut().insert("touched".to_owned(), "yes".to_owned());
        let written = api.replace("old", &PostParams::default(), &written).await;
        let written = written.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(written.data, old.data, "{kind} loses nothing when it is written");
        let label = Patch::Merge(json!({"metadata": {"labels": {"touched": "twice"}}}));
        api.patch("old", &PatchParams::default(), &label).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}
