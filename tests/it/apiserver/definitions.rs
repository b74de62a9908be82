//! New kinds by CustomResourceDefinition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use crate::apiserver::{Place, api, create, eventually, object, refused};

both!(
    definitions:
    a_definition_makes_its_kind_available,
    a_definition_needs_a_schema,
);

/// A definition of boats in a group of the check's own.
fn definition(group: &str, version: Value) -> DynamicObject {
    let names = json!({"plural": "boats", "kind": "Boat", "singular": "boat", "shortNames": ["bt"]});
    let mut served = json!({"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}});
    json_patch::merge(&mut served, &version);
    let spec = json!({"group": group, "scope": "Namespaced", "names": names, "versions": [served]});
    let fields =
        json!({"apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": format!("boats.{group}")}, "spec": spec});
    object("CustomResourceDefinition", fields)
}

async fn a_definition_makes_its_kind_available(Place { client, namespace, .. }: Place) {
    let group = format!("{namespace}.example.com");
    let boats = api(&client, &namespace, &format!("{group}/v1"), "Boat");
    let boat =
        object("Boat", json!({"apiVersion": format!("{group}/v1"), "metadata": {"name": "b"}, "spec": {"sails": 2}}));
    assert_eq!(refused(boats.create(&PostParams::default(), &boat).await).code, 404);
    let definitions: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::erase::<CustomResourceDefinition>(&()));
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    create(&definitions, &definition(&group, json!({"schema": {"openAPIV3Schema": schema}}))).await;
    let name = format!("boats.{group}");
    let established = || async {
        let definition = definitions.get(&name).await.unwrap();
        let conditions = definition.data.pointer("/status/conditions").and_then(Value::as_array).cloned();
        let holds = |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
        conditions.unwrap_or_default().iter().any(holds)
    };
    eventually(established).await;
    eventually(|| async { boats.create(&PostParams::default(), &boat).await.is_ok() }).await;
    assert_eq!(boats.get("b").await.unwrap().metadata.generation, Some(1));
    let short_names = || async {
        let listed = client.list_api_group_resources(&format!("{group}/v1")).await;
        listed.is_ok_and(|group| group.resources[0].short_names == Some(vec!["bt".to_owned()]))
    };
    eventually(short_names).await;
    definitions.delete(&name, &Default::default()).await.unwrap();
    eventually(|| async { definitions.get_opt(&name).await.unwrap().is_none() }).await;
    eventually(|| async { boats.get("b").await.is_err() }).await;
}

async fn a_definition_needs_a_schema(Place { client, namespace, .. }: Place) {
    let definitions: Api<DynamicObject> = Api::all_with(client, &ApiResource::erase::<CustomResourceDefinition>(&()));
    let definition = definition(&format!("{namespace}.example.com"), json!({}));
    let status = refused(definitions.create(&PostParams::default(), &definition).await);
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    let causes: Vec<String> =
        status.details.unwrap().causes.into_iter().map(|it| it.field + ": " + &it.message).collect();
    assert_eq!(causes, ["spec.versions[0].schema.openAPIV3Schema: Required value"]);
}
