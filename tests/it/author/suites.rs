//! Suites as they are read: what they ask, and what is said of one that can't be.

use std::{fs, path::Path};

use landfall::author::{
    question::{Draft, Expected},
    suite::{Suite, SuiteError},
};

/// Reads a suite of the built-in module. Each question or refusal becomes a line; so does each mistake.
fn read(text: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.yaml");
    fs::write(folder.path().join("pod.yaml"), "spec: {hostNetwork: true}").unwrap();
    fs::write(folder.path().join("odd.yaml"), "spec:\n  hostPID: true\n  hostNetwrk: true").unwrap();
    fs::write(&file, format!("module: builtin\n{text}")).unwrap();
    let suite = Suite::read(folder.path()).map_err(|error| shown(&error.to_string(), folder.path()))?;
    let mut lines = Vec::new();
    for question in &suite.questions {
        let request = &question.request;
        let expected = match &question.expected {
            Expected::Allow => "allow".to_owned(),
            Expected::Deny { codes, reason } => format!("deny {codes:?} {reason:?}"),
        };
        lines.push(format!(
            "{} {}: {} {} {}/{} -> {} {}={expected}",
            question.line,
            question.name,
            question.settings,
            request.template,
            request.workflow.namespace,
            request.workflow.name,
            request.target,
            request.attributes.iter().map(|(name, value)| format!("{name}:{value} ")).collect::<String>(),
        ));
    }
    for refusal in &suite.refusals {
        lines.push(format!("{} {}: {} refused {:?}", refusal.line, refusal.name, refusal.settings, refusal.message));
    }
    Ok(lines.join("\n"))
}

/// Without the name of the folder.
fn shown(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "").replace("\n       ", "\n")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    assert_eq!(read(text), Err(expected.to_owned()), "{text}");
}

#[test]
fn cases_ask_with_their_own_words_or_the_defaults() {
    check(
        "settings: {a: 1}\nrequest: {workflow: argo/w, target: other/argo, attributes: {team: a}}\ncases:\n\
         - {name: one, expect: allow}\n\
         - {name: two, settings: {b: 2}, request: {template: t, attributes: [[x, '1']]}, expect: deny}\n\
         - {name: three, request: {workflow: b, target: {cluster: c, namespace: d}}, expect: {deny: no-rule}}\n\
         - name: four\n  expect: {deny: [x, z], reason: because}\n",
        "5 one: {\"a\":1} main argo/w -> other/argo team:a =allow\n\
         6 two: {\"b\":2} t argo/w -> other/argo x:1 =deny [] None\n\
         7 three: {\"a\":1} main b/w -> c/d team:a =deny [\"no-rule\"] None\n\
         8 four: {\"a\":1} main argo/w -> other/argo team:a =deny [\"x\", \"z\"] Some(\"because\")",
    );
}

#[test]
fn namespace_roles_become_settings() {
    let expected = r#"{"roles":[{"namespace":"a","rules":[{"clusterNames":["c"],"namespaces":[]}]}]}"#;
    for roles in [
        "namespaceRoles: [{namespace: a, rules: [{clusterNames: [c]}]}]",
        "namespaceRoles: |\n  - namespace: a\n    rules:\n      - clusterNames: [c]",
    ] {
        let found = read(&format!(
            "{roles}\nrefused: []\ncases:\n- {{name: n1, request: {{workflow: a, target: c/d}}, expect: allow}}"
        ));
        assert!(found.as_ref().is_ok_and(|found| found.contains(expected)), "{found:?}");
    }
}

#[test]
fn a_matrix_asks_everything_and_what_it_does_not_list_is_denied() {
    check(
        "matrices:\n- name: own\n  namespaces: [a, b]\n  clusters: [c]\n  allow:\n  - '* -> c/<own>'\n  - b -> */a\n  deny: no-rule\n",
        "7 own: a -> c/a: {} main a/main -> c/a =allow\n\
         3 own: a -> c/b: {} main a/main -> c/b =deny [\"no-rule\"] None\n\
         8 own: b -> c/a: {} main b/main -> c/a =allow\n\
         7 own: b -> c/b: {} main b/main -> c/b =allow",
    );
    check(
        "matrices:\n- {name: none, namespaces: [a], clusters: [c, d], targetNamespaces: [x], reason: never}\n\
         refused:\n- {name: odd, settings: [1], message: list}",
        "3 none: a -> c/x: {} main a/main -> c/x =deny [] Some(\"never\")\n\
         3 none: a -> d/x: {} main a/main -> d/x =deny [] Some(\"never\")\n\
         5 odd: [1] refused Some(\"list\")",
    );
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    check_refused("cases: []", "cases.yaml:1: nothing is asked: there are no cases, no matrices and no refused");
    check_refused("cases: [", "cases.yaml:2: unclosed bracket '[' at line 2, column 8");
    check_refused(
        "setings: {}\nrequest: {workflow: Argo/w, target: home}\ncases:\n- {name: a, expect: deni}\n- name: a\n  expects: allow\n\
         - {name: b, expect: {reason: x}}\n- {expect: allow}\n- text",
        "cases.yaml:2: setings: unknown field, did you mean \"settings\"?\n\
         cases.yaml:3: request.workflow: namespace name \"Argo\" is not a DNS label: lower-case letters, digits and '-', at \
         most 63, starting and ending with a letter or digit\n\
         cases.yaml:3: request.target: \"home\" is not cluster/namespace, such as other/argo\n\
         cases.yaml:5: cases[0].expect: expected allow, deny or {deny: CODE, reason: TEXT}\n\
         cases.yaml:6: cases[1].name: \"a\" is there twice, first in line 5\n\
         cases.yaml:6: cases[1]: missing field \"expect\": allow, or {deny: CODE}\n\
         cases.yaml:7: cases[1].expects: unknown field, did you mean \"expect\"?\n\
         cases.yaml:8: cases[2].expect: missing field \"deny\"\n\
         cases.yaml:9: cases[3]: missing field \"name\"\n\
         cases.yaml:10: cases[4]: expected a map with \"name\" and \"settings\" and \"namespaceRoles\" and \"request\" and \
         \"expect\", found text",
    );
    check_refused(
        "cases:\n- name: roles\n  namespaceRoles: |\n    - namespace: a\n      rulez: []\n  settings: {}\n  expect: allow\n\
         - name: more\n  namespaceRoles: |\n    - namespace: a\n      rulez: []\n  request: {podFile: no.yaml}\n  expect: allow\n\
         - {name: less, request: {pod: 3, attributes: {a: 1}, creates: job}, expect: allow}\n\
         - {name: none, expect: allow}",
        "cases.yaml:5: cases[0].namespaceRoles: there are settings already, and these are made from namespaceRoles\n\
         cases.yaml:12: cases[1].namespaceRoles[0].rulez: unknown field, did you mean \"rules\"?\n\
         cases.yaml:13: cases[1].request.podFile: no.yaml: No such file or directory (os error 2)\n\
         cases.yaml:15: cases[2].request.pod: expected a pod, found a number\n\
         cases.yaml:15: cases[2].request.attributes.a: expected text, found a number\n\
         cases.yaml:15: cases[2].request.creates: \"job\" is nothing that is created, which is \"pod\"",
    );
    check_refused(
        "request:\n  workflow: a\n  target: b/c\n  pod:\n    spec:\n      hostNetwrk: true\n      containers:\n      - name: main\n        \
         securityContext: {privilged: 1, privileged: 1}\n    sttus: {}\n    odd: {}\ncases:\n- {name: a, request: {podFields: none}, expect: deny}\n\
         - {name: b, request: {podFile: odd.yaml}, expect: deny}",
        "cases.yaml:7: request.pod.spec.hostNetwrk: unknown field, did you mean \"hostNetwork\"?\n\
         cases.yaml:10: request.pod.spec.containers[0].securityContext.privilged: unknown field, did you mean \"privileged\"?\n\
         cases.yaml:11: request.pod.sttus: unknown field, did you mean \"status\"?\n\
         cases.yaml:12: request.pod.odd: unknown field; if it is one of a newer Kubernetes, `podFields: any` beside the pod takes it\n\
         cases.yaml:14: cases[0].request.podFields: expected known or any\n\
         cases.yaml:15: cases[1].request.podFile: odd.yaml:3: spec.hostNetwrk: unknown field, did you mean \"hostNetwork\"?",
    );
    check_refused(
        "cases:\n- {name: none, request: {target: a/b}, expect: allow}",
        "cases.yaml:3: cases[0].request: no \"workflow\", such as argo/my-workflow",
    );
    check_refused(
        "matrices:\n- {name: one, namespaces: [a, a], clusters: [], allow: [x]}\n\
         - {name: two, namespaces: [a], clusters: [c], allow: [a -> c/b]}\n- {name: two, namespaces: [a], clusters: [c]}",
        "cases.yaml:3: matrices[0].allow[0]: \"x\" is not NAMESPACE -> CLUSTER/NAMESPACE, such as argo -> other/argo\n\
         cases.yaml:3: matrices[0].namespaces[1]: is there twice\n\
         cases.yaml:3: matrices[0].clusters: a matrix asks nothing without it\n\
         cases.yaml:4: matrices[1].allow[0]: \"a -> c/b\" is nothing that this matrix asks\n\
         cases.yaml:5: matrices[2].name: \"two\" is there twice, first in line 4",
    );
}

#[test]
fn a_suite_needs_its_file_and_its_module() {
    let folder = tempfile::tempdir().unwrap();
    let check = |expected: &str, hint: &str| {
        let error = Suite::read(folder.path()).unwrap_err();
        assert_eq!(
            shown(&error.to_string(), folder.path().parent().unwrap()).replace(&name(folder.path()), "NAME"),
            expected
        );
        assert!(error.hint().unwrap().starts_with(hint), "{error}");
    };
    check("NAME: there is no cases.yaml", "name a policy folder");
    fs::write(folder.path().join("cases.yaml"), "refused: [{name: one, settings: 1}]").unwrap();
    check("NAME: not built yet: there is no NAME/NAME.wasm", "there are no sources to build it of");
    fs::write(folder.path().join("package.json"), "{}").unwrap();
    check("NAME: not built yet: there is no NAME/NAME.wasm", "build it first: landfall policy build ");
    assert!(matches!(Suite::read(Path::new("no-such-folder")), Err(SuiteError::Unreadable { .. })));
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_request_has_a_whole_pod() {
    let check = |text: &str, account: &str, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("request.yaml");
        fs::write(folder.path().join("pod.yaml"), "spec: {hostNetwork: true}").unwrap();
        fs::write(&file, format!("workflow: argo\ntarget: other/b\n{text}")).unwrap();
        let request = Draft::read_file(&file).unwrap().finish().unwrap();
        assert_eq!(request.service_account, account);
        let pod: serde_json::Value = serde_json::from_str(request.pod.unwrap().as_str()).unwrap();
        assert_eq!(pod, serde_json::from_str::<serde_json::Value>(expected).unwrap(), "{text}");
    };
    let head = r#""apiVersion":"v1","kind":"Pod""#;
    let main = r#""metadata":{"name":"main","namespace":"b"}"#;
    check("", "default", &format!(r#"{{{head},{main},"spec":{{"containers":[]}}}}"#));
    check(
        "serviceAccount: s",
        "s",
        &format!(r#"{{{head},{main},"spec":{{"containers":[],"serviceAccountName":"s"}}}}"#),
    );
    check(
        "pod: {spec: {hostNetwrk: true, hostPID: maybe}}\npodFields: any",
        "default",
        &format!(r#"{{{head},{main},"spec":{{"containers":[],"hostNetwrk":true,"hostPID":"maybe"}}}}"#),
    );
    check(
        "podFile: pod.yaml",
        "default",
        &format!(r#"{{{head},{main},"spec":{{"containers":[],"hostNetwork":true}}}}"#),
    );
    check(
        "pod: {metadata: {name: x, labels: {a: b}}, spec: {serviceAccountName: t, containers: [{name: c}]}}",
        "t",
        &format!(
            r#"{{{head},"metadata":{{"name":"x","namespace":"b","labels":{{"a":"b"}}}},"spec":{{"containers":[{{"name":"c"}}],"serviceAccountName":"t"}}}}"#
        ),
    );
}
