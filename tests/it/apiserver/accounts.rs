//! Service accounts of the embedded server over its port: their tokens, and that they may do what roles say and nothing else.

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    authorization::v1::{SelfSubjectAccessReview, SubjectAccessReview},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client, Config,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use landfall::local::apiserver::{ApiServer, Listening, Options};
use serde_json::{Value, json};

use crate::apiserver::{api, config_map, config_maps, create, object, pods, refused};

/// A server with service account `ns/robot`.
async fn server() -> (ApiServer, Listening) {
    let server = ApiServer::new(Options { name: "one".to_owned(), ..Options::default() });
    server.ensure_service_account("ns", "robot");
    let listening = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    (server, listening)
}

/// A token of the account, asked for by the administrator.
async fn token(server: &ApiServer, seconds: Option<i64>) -> kube::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(server.client(), "ns");
    let spec = TokenRequestSpec { expiration_seconds: seconds, ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = accounts.create_token_request("robot", &PostParams::default(), &request).await?;
    Ok(made.status.unwrap().token)
}

fn client(listening: &Listening, token: &str) -> Client {
    let mut config = Config::new(listening.url().parse().unwrap());
    config.auth_info.token = Some(token.to_owned().into());
    Client::try_from(config).unwrap()
}

/// Gives the account the rules of a role in `ns`.
async fn grant(server: &ApiServer, rules: Value) {
    let rbac = "rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": rbac, "metadata": {"name": "r"}, "rules": rules});
    create(&api(&server.client(), "ns", rbac, "Role"), &object("Role", role)).await;
    let binding = json!({
        "apiVersion": rbac, "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "ns"}],
    });
    create(&api(&server.client(), "ns", rbac, "RoleBinding"), &object("RoleBinding", binding)).await;
}

#[tokio::test]
async fn tokens_end_with_their_account() {
    let (server, listening) = server().await;
    let old = token(&server, None).await.unwrap();
    assert_eq!(old.split('.').count(), 3, "a token can be read as a JWT");
    let reader = client(&listening, &old);
    reader.apiserver_version().await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(server.client(), "ns");
    accounts.delete("robot", &Default::default()).await.unwrap();
    assert_eq!(refused(reader.apiserver_version().await).code, 401);
    // Another account of the same name is another account.
    server.ensure_service_account("ns", "robot");
    assert_eq!(refused(reader.apiserver_version().await).code, 401);
    let new = token(&server, Some(600)).await.unwrap();
    client(&listening, &new).apiserver_version().await.unwrap();
    let status = refused(token(&server, Some(599)).await);
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert!(status.message.contains("may not specify a duration less than 10 minutes"), "{}", status.message);
}

#[tokio::test]
async fn an_account_may_do_what_roles_say() {
    let (server, listening) = server().await;
    let robot = client(&listening, &token(&server, None).await.unwrap());
    let maps = config_maps(&robot, "ns");
    let status = refused(maps.list(&ListParams::default()).await);
    assert_eq!((status.code, &*status.reason), (403, "Forbidden"));
    assert_eq!(
        status.message,
        "configmaps is forbidden: User \"system:serviceaccount:ns:robot\" cannot list resource \"configmaps\" in API group \"\" \
         in the namespace \"ns\""
    );
    grant(&server, json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "watch", "list"], "resourceNames": ["mine"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"], "resourceNames": ["mine"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    ]))
    .await;
    let admin = config_maps(&server.client(), "ns");
    create(&admin, &config_map("mine", json!({}))).await;
    create(&admin, &config_map("other", json!({}))).await;
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 2);
    assert!(maps.get("mine").await.is_ok());
    assert_eq!(refused(maps.get("other").await).code, 403);
    assert_eq!(refused(config_maps(&robot, "default").list(&ListParams::default()).await).code, 403);
    // A list that can only be of one name is a request for that one.
    let listed = pods(&robot, "ns");
    assert!(listed.list(&ListParams::default().fields("metadata.name=mine")).await.is_ok());
    assert_eq!(refused(listed.list(&ListParams::default()).await).code, 403);
    // A namespace is in itself.
    let namespaces: Api<Namespace> = Api::all(robot.clone());
    assert!(namespaces.get("ns").await.is_ok());
    assert_eq!(refused(namespaces.get("default").await).code, 403);
    // An apply that creates takes more than the right to patch.
    let apply = |name: &str| Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}));
    assert!(maps.patch("mine", &PatchParams::apply("robot"), &apply("mine")).await.is_ok());
    let status = refused(maps.patch("new", &PatchParams::apply("robot"), &apply("new")).await);
    assert!(status.message.contains("cannot create resource \"configmaps\""), "{}", status.message);
}

#[tokio::test]
async fn reviews_say_what_roles_say() {
    let (server, listening) = server().await;
    grant(&server, json!([{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}])).await;
    let robot = client(&listening, &token(&server, None).await.unwrap());
    let attributes =
        |resource: &str| json!({"namespace": "ns", "verb": "get", "resource": resource, "subresource": "log"});
    let own = |client: &Client, resource: &str| {
        let review = json!({"spec": {"resourceAttributes": attributes(resource)}});
        let review: SelfSubjectAccessReview = serde_json::from_value(review).unwrap();
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        async move { api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed }
    };
    assert!(own(&robot, "pods").await);
    assert!(!own(&robot, "secrets").await);
    assert!(own(&server.client(), "secrets").await, "the administrator may do everything");
    let of = |client: &Client, user: &str, groups: &[&str]| {
        let review = json!({"spec": {"resourceAttributes": attributes("pods"), "user": user, "groups": groups}});
        let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
        let api: Api<SubjectAccessReview> = Api::all(client.clone());
        async move { api.create(&PostParams::default(), &review).await }
    };
    let allowed = |answer: kube::Result<SubjectAccessReview>| answer.unwrap().status.unwrap().allowed;
    assert!(allowed(of(&server.client(), "system:serviceaccount:ns:robot", &[]).await));
    assert!(!allowed(of(&server.client(), "somebody", &[]).await));
    assert!(allowed(of(&server.client(), "somebody", &["system:masters"]).await));
    assert_eq!(refused(of(&robot, "somebody", &[]).await).code, 403, "to ask about others is a right of its own");
}
