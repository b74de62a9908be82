//! What a target needs, compared with what it has, and what goes with a controller.

use landfall::clusters::grants::{
    Change, Grant, Owner, Places, Share, Wanted, account_of, change, objects, rights, to_purge,
};
use serde_json::{Value, json};

fn these(names: &[&str]) -> Places {
    Places::These(names.iter().map(|name| name.parse().unwrap()).collect())
}

/// What a controller in namespace `argo` of home `default` needs.
fn wanted(places: &Places) -> Vec<Grant> {
    let (home, controller) = ("default".parse().unwrap(), "argo".parse().unwrap());
    let owner = Owner { home: &home, home_uid: "1", controller: &controller };
    objects(Wanted { owner, places, pods_account: "workflow" })
}

fn named<'a>(grants: &'a [Grant], name: &str) -> &'a Grant {
    grants.iter().find(|grant| grant.to_string() == name).unwrap_or_else(|| panic!("there is no {name}"))
}

#[test]
fn namespaces_get_roles_of_their_own() {
    let all: Vec<String> = wanted(&these(&["a", "b"])).iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [
            "Namespace landfall",
            "ServiceAccount landfall/landfall-default",
            "Role landfall/landfall-default-token",
            "RoleBinding landfall/landfall-default-token",
            "ClusterRole landfall-default",
            "ClusterRoleBinding landfall-default",
            "Role a/landfall-default",
            "RoleBinding a/landfall-default",
            "ServiceAccount a/workflow",
            "Role a/landfall:pods",
            "RoleBinding a/landfall:pods:workflow",
            "Role b/landfall-default",
            "RoleBinding b/landfall-default",
            "ServiceAccount b/workflow",
            "Role b/landfall:pods",
            "RoleBinding b/landfall:pods:workflow",
        ]
    );
    let all: Vec<String> = wanted(&Places::All).iter().map(ToString::to_string).collect();
    assert_eq!(all.last().map(String::as_str), Some("ClusterRole landfall:pods"));
    assert_eq!(all.len(), 7);
}

/// Whether rules of roles give a right in a namespace, as RBAC counts.
fn gives(rules: &Value, right: &landfall::clusters::grants::Right) -> bool {
    let has = |rule: &Value, field: &str, text: &str| {
        rule[field].as_array().is_some_and(|all| all.iter().any(|it| it == text))
    };
    let resource = match right.subresource.as_str() {
        "" => right.resource.clone(),
        subresource => format!("{}/{subresource}", right.resource),
    };
    rules.as_array().into_iter().flatten().any(|rule| {
        has(rule, "verbs", &right.verb)
            && has(rule, "apiGroups", &right.group)
            && has(rule, "resources", &resource)
            && match (&right.name, rule.get("resourceNames")) {
                (_, None) => true,
                (Some(name), Some(_)) => has(rule, "resourceNames", name),
                (None, Some(_)) => false,
            }
    })
}

#[test]
fn what_is_checked_is_what_is_given_and_nothing_else() {
    let account = account_of(&"default".parse().unwrap());
    for places in [these(&["a", "b"]), Places::All] {
        let grants = wanted(&places);
        let everywhere = &named(&grants, "ClusterRole landfall-default").value["rules"];
        let rights = rights(&places, Some(&account));
        for right in &rights {
            let role = match right.namespace.as_deref() {
                Some("landfall") => "Role landfall/landfall-default-token".to_owned(),
                Some(namespace) => format!("Role {namespace}/landfall-default"),
                None => "ClusterRole landfall-default".to_owned(),
            };
            assert!(gives(&named(&grants, &role).value["rules"], right), "{right}");
        }
        let listed = everywhere.to_string();
        assert!(!listed.contains('*'), "{listed}");
        assert!(!listed.contains("secrets"), "{listed}");
        let in_all = rights.iter().filter(|right| right.namespace.is_none() && right.name.is_none()).count();
        assert_eq!(in_all > 0, places == Places::All);
    }
}

#[test]
fn what_is_there_is_compared() {
    let grants = wanted(&these(&["a"]));
    let role = named(&grants, "Role a/landfall-default");
    let check = |grant: &Grant, changes: Value, expected: Change| {
        let mut current = grant.value.clone();
        current["metadata"]["uid"] = json!("u");
        json_patch::merge(&mut current, &changes);
        let (home, controller) = ("default".parse().unwrap(), "argo".parse().unwrap());
        let owner = Owner { home: &home, home_uid: "1", controller: &controller };
        assert_eq!(change(grant, Some(&current), owner), expected, "{changes}");
    };
    check(role, json!({}), Change::Unchanged);
    check(role, json!({"metadata": {"labels": {"theirs": "x"}}}), Change::Unchanged);
    check(role, json!({"rules": []}), Change::Update(vec!["rules".to_owned()]));
    check(
        role,
        json!({"rules": null, "metadata": {"labels": null}}),
        Change::Update(
            [
                "metadata.labels.app.kubernetes.io/managed-by",
                "metadata.labels.landfall.dev/controller-namespace",
                "metadata.labels.landfall.dev/home-cluster",
                "metadata.labels.landfall.dev/home-uid",
                "rules",
            ]
            .map(str::to_owned)
            .into(),
        ),
    );
    let blocked = |uid: &str, controller: &str| {
        Change::Blocked(format!(
            "it belongs to the controller in namespace {controller} of home default (kube-system UID {uid}); give one of the two \
             homes another name, by the key `cluster` of its config map"
        ))
    };
    check(role, json!({"metadata": {"labels": {"landfall.dev/home-uid": "2"}}}), blocked("2", "argo"));
    check(role, json!({"metadata": {"labels": {"landfall.dev/controller-namespace": "x"}}}), blocked("1", "x"));
    check(
        named(&grants, "RoleBinding a/landfall-default"),
        json!({"roleRef": {"name": "admin"}}),
        Change::Blocked("its roleRef is another, which can't be changed; delete the binding first".to_owned()),
    );
    let account = named(&grants, "ServiceAccount a/workflow");
    assert_eq!(account.share, Share::Existence);
    check(account, json!({"metadata": {"labels": null}}), Change::Unchanged);
}

#[test]
fn what_others_use_stays() {
    let (home, controller) = ("default".parse().unwrap(), "argo".parse().unwrap());
    let owner = |uid| Owner { home: &home, home_uid: uid, controller: &controller };
    let of = |uid: &'static str, places: &Places| -> Vec<Value> {
        let all = objects(Wanted { owner: owner(uid), places, pods_account: "workflow" });
        all.into_iter().filter(|grant| grant.kind() != "Namespace").map(|grant| grant.value).collect()
    };
    let check = |all: &[Value], expected: usize| assert_eq!(to_purge(all, owner("1")).len(), expected);
    let alone = of("1", &these(&["a", "b"]));
    check(&alone, alone.len());
    // Another home uses namespace b: what pods need there stays, an account, a role and a binding.
    check(&[alone.clone(), of("2", &these(&["b"]))].concat(), alone.len() - 3);
    check(&of("2", &these(&["a"])), 0);
    // In all namespaces there is only one role for pods.
    let all = of("1", &Places::All);
    check(&all, all.len());
    check(&[all.clone(), of("2", &Places::All)].concat(), all.len() - 1);
}
