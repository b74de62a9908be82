//! What `namespaceRoles` means: every row of the table, through the YAML, the component and the chain.

use crate::policy::support::{builtin, request, told};

/// The document's own example.
const DOCUMENT: &str = "
# Which cluster-namespaces workflows created in namespace \"argo\" may run pods in.
- namespace: argo
  rules:
    - clusterNames: [default]
      namespaces: [argo]
    - clusterNames: [other]
      namespaces: [other-ns]
";

/// Asks for pods of workflows in the namespace before the arrow, in the target after it.
fn check(roles: Option<&str>, cases: &[(&str, &str)]) {
    let policies = builtin(roles);
    assert_eq!(policies.state().refusal, None, "{roles:?}");
    for (question, expected) in cases {
        let (namespace, target) = question.split_once(" -> ").expect("namespace -> cluster/namespace");
        let decision = policies.decide_blocking(&request(namespace, target));
        assert_eq!(decision.code().unwrap_or("allow"), *expected, "{question} under {roles:?}: {decision:?}");
    }
}

#[test]
fn absent_roles_mean_the_own_namespace_at_home() {
    check(
        None,
        &[
            ("argo -> default/argo", "allow"),
            ("team -> default/team", "allow"),
            ("argo -> default/team", "not-at-home"),
            ("argo -> other/argo", "not-at-home"),
        ],
    );
}

#[test]
fn present_roles_allow_only_what_a_rule_says() {
    check(
        Some(DOCUMENT),
        &[
            ("argo -> default/argo", "allow"),
            ("argo -> other/other-ns", "allow"),
            ("argo -> other/argo", "no-rule"),
            ("argo -> default/other-ns", "no-rule"),
            ("argo -> third/argo", "no-rule"),
            ("team -> default/team", "namespace-has-no-entry"),
            ("other-ns -> other/other-ns", "namespace-has-no-entry"),
        ],
    );
    for empty in ["", "[]", "null", "namespaces: []"] {
        check(Some(empty), &[("argo -> default/argo", "namespace-has-no-entry")]);
    }
}

#[test]
fn entries_for_one_namespace_add_up() {
    check(
        Some(
            "
- {namespace: argo, rules: [{clusterNames: [default], namespaces: [argo]}]}
- {namespace: team, rules: [{clusterNames: [default], namespaces: [team]}]}
- {namespace: argo, rules: [{clusterNames: [other], namespaces: [argo]}]}
- {namespace: '', rules: [{clusterNames: [shared], namespaces: [pool]}]}
",
        ),
        &[
            ("argo -> default/argo", "allow"),
            ("argo -> other/argo", "allow"),
            ("argo -> shared/pool", "allow"),
            ("team -> shared/pool", "allow"),
            ("nobody -> shared/pool", "allow"),
            ("team -> other/argo", "no-rule"),
            ("argo -> default/team", "no-rule"),
            ("nobody -> default/nobody", "no-rule"),
        ],
    );
}

#[test]
fn empty_text_is_any_and_an_empty_list_is_nothing() {
    check(
        Some(
            "
- namespace: everywhere
  rules: [{clusterNames: [''], namespaces: ['']}]
- namespace: any-cluster
  rules: [{clusterNames: [''], namespaces: [shared]}]
- namespace: any-namespace
  rules: [{clusterNames: [other], namespaces: ['']}]
- namespace: nothing
  rules: [{clusterNames: [], namespaces: ['']}, {clusterNames: ['']}, {namespaces: [a]}, {}]
- namespace: no-rules
",
        ),
        &[
            ("everywhere -> default/a", "allow"),
            ("everywhere -> other/b", "allow"),
            ("any-cluster -> default/shared", "allow"),
            ("any-cluster -> other/shared", "allow"),
            ("any-cluster -> other/argo", "no-rule"),
            ("any-namespace -> other/x", "allow"),
            ("any-namespace -> default/x", "no-rule"),
            ("nothing -> default/nothing", "no-rule"),
            ("nothing -> other/a", "no-rule"),
            ("no-rules -> default/no-rules", "no-rule"),
        ],
    );
}

#[test]
fn the_later_spelling_and_a_star_that_is_no_wildcard() {
    check(
        Some("namespaces: [{name: argo, rules: [{clusterNames: [other], namespaces: ['*']}]}]"),
        &[("argo -> other/argo", "no-rule"), ("team -> other/argo", "namespace-has-no-entry")],
    );
}

#[test]
fn a_denial_says_what_is_missing_and_what_is_allowed() {
    let check = |roles: Option<&str>, namespace: &str, target: &str, expected: &str| {
        assert_eq!(told(builtin(roles).decide_blocking(&request(namespace, target))), expected);
    };
    check(Some(DOCUMENT), "argo", "default/argo", "allow");
    check(
        Some(DOCUMENT),
        "argo",
        "other/argo",
        "denied by policy module \"builtin\" (generation 1): no-rule: no rule for workflows of namespace \"argo\" allows \
         cluster \"other\", namespace \"argo\"; allowed there: namespaces \"other-ns\"",
    );
    check(
        Some(DOCUMENT),
        "argo",
        "third/argo",
        "denied by policy module \"builtin\" (generation 1): no-rule: no rule for workflows of namespace \"argo\" allows \
         cluster \"third\", namespace \"argo\"; allowed clusters: \"default\", \"other\"",
    );
    check(
        Some(DOCUMENT),
        "team",
        "default/team",
        "denied by policy module \"builtin\" (generation 1): namespace-has-no-entry: no entry of namespaceRoles is for \
         workflows of namespace \"team\"",
    );
    check(
        None,
        "argo",
        "other/argo",
        "denied by policy module \"builtin\" (generation 1): not-at-home: namespaceRoles is not set: workflows of namespace \
         \"argo\" may run pods only in cluster \"default\", namespace \"argo\", not in cluster \"other\", namespace \"argo\"",
    );
}
