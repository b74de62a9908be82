//! Service accounts over the network: their tokens, and that they may do what roles say and nothing else.

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    authorization::v1::{SelfSubjectAccessReview, SubjectAccessReview},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::apiserver::{Place, api, config_map, config_maps, create, eventually, object, pods, refused};

both!(
    accounts:
    tokens_end_with_their_account,
    an_account_may_do_what_roles_say,
    reviews_say_what_roles_say,
);

impl Place {
    fn accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes service account `robot`.
    async fn make_robot(&self) {
        let robot = serde_json::from_value(json!({"metadata": {"name": "robot"}})).unwrap();
        self.accounts().create(&PostParams::default(), &robot).await.unwrap();
    }

    /// A token of the account, asked for by the administrator.
    async fn token(&self, seconds: Option<i64>) -> kube::Result<String> {
        let spec = TokenRequestSpec { expiration_seconds: seconds, ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let made = self.accounts().create_token_request("robot", &PostParams::default(), &request).await?;
        Ok(made.status.unwrap().token)
    }

    /// A client with the rights of the account.
    async fn robot(&self) -> Client {
        (self.enter)(&self.token(None).await.unwrap())
    }

    /// Gives the account the rules of a role in the namespace. A real server takes a moment to know of it.
    async fn grant(&self, rules: Value) {
        let (rbac, namespace) = ("rbac.authorization.k8s.io/v1", &self.namespace);
        let role = json!({"apiVersion": rbac, "metadata": {"name": "r"}, "rules": rules});
        create(&api(&self.client, namespace, rbac, "Role"), &object("Role", role)).await;
        let binding = json!({
            "apiVersion": rbac, "metadata": {"name": "r"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}],
        });
        create(&api(&self.client, namespace, rbac, "RoleBinding"), &object("RoleBinding", binding)).await;
    }
}

async fn tokens_end_with_their_account(place: Place) {
    place.make_robot().await;
    let old = place.token(None).await.unwrap();
    assert_eq!(old.split('.').count(), 3, "a token can be read as a JWT");
    let reader = (place.enter)(&old);
    reader.apiserver_version().await.unwrap();
    place.accounts().delete("robot", &Default::default()).await.unwrap();
    // A real server remembers for ten seconds that a token was good.
    eventually(|| async { reader.apiserver_version().await.is_err() }).await;
    assert_eq!(refused(reader.apiserver_version().await).code, 401);
    // Another account of the same name is another account.
    place.make_robot().await;
    let new = place.token(Some(600)).await.unwrap();
    (place.enter)(&new).apiserver_version().await.unwrap();
    assert_eq!(refused(reader.apiserver_version().await).code, 401);
    let status = refused(place.token(Some(599)).await);
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert!(status.message.contains("may not specify a duration less than 10 minutes"), "{}", status.message);
}

async fn an_account_may_do_what_roles_say(place: Place) {
    place.make_robot().await;
    let (robot, namespace) = (place.robot().await, &place.namespace);
    let maps = config_maps(&robot, namespace);
    let status = refused(maps.list(&ListParams::default()).await);
    assert_eq!((status.code, &*status.reason), (403, "Forbidden"));
    let message = format!(
        "configmaps is forbidden: User \"system:serviceaccount:{namespace}:robot\" cannot list resource \"configmaps\" in API \
         group \"\" in the namespace \"{namespace}\""
    );
    assert_eq!(status.message, message);
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "watch", "list"], "resourceNames": ["mine"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"], "resourceNames": ["mine"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    ]);
    place.grant(rules).await;
    eventually(|| async { maps.list(&ListParams::default()).await.is_ok() }).await;
    let admin = config_maps(&place.client, namespace);
    create(&admin, &config_map("mine", json!({"app": "a"}))).await;
    create(&admin, &config_map("other", json!({"app": "a"}))).await;
    assert_eq!(maps.list(&ListParams::default().labels("app=a")).await.unwrap().items.len(), 2);
    assert!(maps.get("mine").await.is_ok());
    assert_eq!(refused(maps.get("other").await).code, 403);
    assert_eq!(refused(config_maps(&robot, "default").list(&ListParams::default()).await).code, 403);
    // A list that can only be of one name is a request for that one.
    let listed = pods(&robot, namespace);
    assert!(listed.list(&ListParams::default().fields("metadata.name=mine")).await.is_ok());
    assert_eq!(refused(listed.list(&ListParams::default()).await).code, 403);
    // A namespace is in itself.
    let namespaces: Api<Namespace> = Api::all(robot.clone());
    assert!(namespaces.get(namespace).await.is_ok());
    assert_eq!(refused(namespaces.get("default").await).code, 403);
    // An apply that creates takes more than the right to patch.
    let apply = |name: &str| Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}));
    assert!(maps.patch("mine", &PatchParams::apply("robot"), &apply("mine")).await.is_ok());
    let status = refused(maps.patch("new", &PatchParams::apply("robot"), &apply("new")).await);
    assert!(status.message.contains("cannot create resource \"configmaps\""), "{}", status.message);
}

async fn reviews_say_what_roles_say(place: Place) {
    place.make_robot().await;
    let robot = place.robot().await;
    let attributes = |resource: &str| json!({"namespace": place.namespace, "verb": "get", "resource": resource, "subresource": "log"});
    let own = |client: &Client, resource: &str| {
        let review = json!({"spec": {"resourceAttributes": attributes(resource)}});
        let review: SelfSubjectAccessReview = serde_json::from_value(review).unwrap();
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        async move { api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed }
    };
    assert!(!own(&robot, "pods").await);
    place.grant(json!([{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}])).await;
    eventually(|| own(&robot, "pods")).await;
    assert!(!own(&robot, "secrets").await);
    assert!(own(&place.client, "secrets").await, "the administrator may do everything");
    let of = |client: &Client, user: &str, groups: &[&str]| {
        let review = json!({"spec": {"resourceAttributes": attributes("pods"), "user": user, "groups": groups}});
        let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
        let api: Api<SubjectAccessReview> = Api::all(client.clone());
        async move { api.create(&PostParams::default(), &review).await }
    };
    let allowed = |answer: kube::Result<SubjectAccessReview>| answer.unwrap().status.unwrap().allowed;
    let robots_name = format!("system:serviceaccount:{}:robot", place.namespace);
    assert!(allowed(of(&place.client, &robots_name, &[]).await));
    assert!(!allowed(of(&place.client, "somebody", &[]).await));
    assert!(allowed(of(&place.client, "somebody", &["system:masters"]).await));
    assert_eq!(refused(of(&robot, "somebody", &[]).await).code, 403, "to ask about others is a right of its own");
}
