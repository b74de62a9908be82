//! Every control, by the smallest pod that breaks it; and a pod that breaks none.

use landfall_policy_sdk::{Policy, Request, configured};
use serde_json::{Value, json};

use crate::{PodSecurity, controls::CONTROLS};

const EVERYTHING: &str = r#"{"levels": [{"targets": ["*/*"], "level": "restricted", "noServiceAccountToken": true}]}"#;

/// A pod that keeps to `restricted`.
fn hardened() -> Value {
    json!({
        "metadata": {},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "main", "image": "alpine", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            }}],
        },
    })
}

/// The hardened pod with `value` at `pointer`, whose parents are there.
fn with(pointer: &str, value: Value) -> Value {
    let mut pod = hardened();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[name] = value;
    pod
}

fn code(settings: &str, target: &str, pod: &Value) -> String {
    let policy: PodSecurity = configured(settings).unwrap();
    let decision = policy.authorize(&Request::new("argo", target).with_pod(pod));
    decision.map_or_else(|denial| denial.code.into_owned(), |_| "allow".to_owned())
}

#[test]
fn every_control_forbids_what_the_standard_says() {
    let mut seen = Vec::new();
    let mut check = |pointer: &str, value: Value, expected: &'static str| {
        assert_eq!(code(EVERYTHING, "other/argo", &with(pointer, value)), expected, "{pointer}");
        seen.push(expected);
    };
    let container = "/spec/containers/0";
    let context = "/spec/containers/0/securityContext";
    check("/spec/none", json!(1), "allow");
    check(&format!("{context}/privileged"), json!(true), "privileged");
    check("/spec/initContainers", json!([{"name": "init", "securityContext": {"privileged": true}}]), "privileged");
    check("/spec/ephemeralContainers", json!([{"name": "x", "securityContext": {"privileged": true}}]), "privileged");
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        check(&format!("/spec/{field}"), json!(true), "host-namespaces");
        check(&format!("/spec/{field}"), json!(false), "allow");
    }
    check("/spec/volumes", json!([{"name": "v", "hostPath": {"path": "/"}}]), "host-path");
    check("/spec/volumes", json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]), "host-path");
    check("/spec/volumes", json!([{"name": "v", "nfs": {}}]), "volume-types");
    check("/spec/volumes", json!([{"name": "v", "image": {"reference": "a"}}]), "volume-types");
    check("/spec/volumes", json!([{"name": "v", "csi": {}}, {"name": "w", "secret": {}}, {"name": "x"}]), "allow");
    check("/spec/securityContext/windowsOptions", json!({"hostProcess": true}), "host-process");
    check(&format!("{context}/windowsOptions"), json!({"hostProcess": true}), "host-process");
    check(&format!("{context}/capabilities"), json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}), "capabilities");
    check(&format!("{context}/capabilities"), json!({"drop": ["ALL"], "add": ["CHOWN"]}), "capabilities-restricted");
    check(&format!("{context}/capabilities"), json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}), "allow");
    check(&format!("{context}/capabilities"), json!({"drop": ["KILL"]}), "capabilities-restricted");
    check(&format!("{container}/ports"), json!([{"containerPort": 1}, {"hostPort": 80}]), "host-ports");
    check(&format!("{container}/livenessProbe"), json!({"httpGet": {"host": "10.0.0.1"}}), "host-probes");
    check(&format!("{container}/readinessProbe"), json!({"tcpSocket": {"host": "10.0.0.1"}}), "host-probes");
    check(&format!("{container}/startupProbe"), json!({"httpGet": {"host": "a"}}), "host-probes");
    check(&format!("{container}/startupProbe"), json!({"httpGet": {"port": 1}}), "allow");
    check(&format!("{container}/lifecycle"), json!({"preStop": {"httpGet": {"host": "a"}}}), "host-probes");
    check(&format!("{container}/lifecycle"), json!({"postStart": {"tcpSocket": {"host": "a"}}}), "host-probes");
    let annotation = |value: &str| json!({"container.apparmor.security.beta.kubernetes.io/main": value});
    check("/metadata/annotations", annotation("unconfined"), "app-armor");
    check("/metadata/annotations", annotation("localhost/x"), "allow");
    check("/spec/securityContext/appArmorProfile", json!({"type": "Unconfined"}), "app-armor");
    check(&format!("{context}/appArmorProfile"), json!({}), "app-armor");
    check("/spec/securityContext/seLinuxOptions", json!({"type": "spc_t"}), "se-linux");
    check(&format!("{context}/seLinuxOptions"), json!({"user": "u"}), "se-linux");
    check(&format!("{context}/seLinuxOptions"), json!({"role": "r"}), "se-linux");
    check(&format!("{context}/seLinuxOptions"), json!({"type": "container_t", "level": "s0"}), "allow");
    check(&format!("{context}/procMount"), json!("Unmasked"), "proc-mount");
    check("/spec/securityContext/sysctls", json!([{"name": "kernel.msgmax", "value": "1"}]), "sysctls");
    check("/spec/securityContext/sysctls", json!([{"name": "net/ipv4/tcp_syncookies"}]), "allow");
    check(&format!("{context}/seccompProfile"), json!({"type": "Unconfined"}), "seccomp");
    check("/spec/securityContext/seccompProfile", json!({"type": "Unconfined"}), "seccomp");
    check("/spec/securityContext/seccompProfile", json!(null), "seccomp-restricted");
    check(&format!("{context}/allowPrivilegeEscalation"), json!(null), "privilege-escalation");
    check("/spec/securityContext/runAsNonRoot", json!(null), "run-as-non-root");
    check("/spec/securityContext/runAsNonRoot", json!(false), "run-as-non-root");
    check(&format!("{context}/runAsNonRoot"), json!(false), "run-as-non-root");
    check("/spec/securityContext/runAsUser", json!(0), "run-as-user");
    check(&format!("{context}/runAsUser"), json!(0), "run-as-user");
    check("/spec/automountServiceAccountToken", json!(null), "service-account-token");
    let token = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]);
    check("/spec/volumes", token, "service-account-token");
    let certificate = json!([{"name": "v", "projected": {"sources": [{"podCertificate": {"signerName": "a/b"}}]}}]);
    check("/spec/volumes", certificate, "service-account-token");
    for control in CONTROLS {
        assert!(seen.contains(&control.control.code()), "{:?} has no case", control.control);
    }
}

#[test]
fn windows_is_spared_what_it_does_not_have() {
    let mut pod = json!({"spec": {"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true},
        "containers": [{"name": "main"}]}});
    let settings = r#"{"otherwise": "restricted"}"#;
    assert_eq!(code(settings, "other/argo", &pod), "allow");
    pod["spec"]["os"]["name"] = json!("linux");
    assert_eq!(code(settings, "other/argo", &pod), "privilege-escalation");
}

#[test]
fn the_strictest_level_of_a_target_counts() {
    let settings = r#"{"otherwise": "privileged", "levels": [
        {"targets": ["@remote/*"], "level": "baseline"},
        {"targets": ["other/*"], "level": "privileged"},
        {"targets": ["*/prod"], "level": "restricted"}]}"#;
    let plain = json!({"spec": {"containers": [{"name": "main"}]}});
    let network = json!({"spec": {"hostNetwork": true, "containers": [{"name": "main"}]}});
    let check = |target: &str, of_plain: &str, of_network: &str| {
        assert_eq!(code(settings, target, &plain), of_plain, "{target}");
        assert_eq!(code(settings, target, &network), of_network, "{target}");
    };
    check("default/argo", "allow", "allow");
    check("other/argo", "allow", "host-namespaces");
    check("other/prod", "privilege-escalation", "host-namespaces");
    check("default/prod", "privilege-escalation", "host-namespaces");
    assert_eq!(code("{}", "default/argo", &network), "host-namespaces");
    // Nothing is forbidden there, but what can't be read is denied all the same.
    assert_eq!(code(settings, "default/argo", &json!({"spec": {"hostNetwork": "yes"}})), "unreadable-pod");
}

#[test]
fn exemptions_are_for_who_is_named() {
    let settings = r#"{"levels": [{"targets": ["*/*"], "level": "baseline"}], "exemptions": [
        {"targets": ["other/ci"], "workflowNamespaces": ["argo"], "controls": ["host-path"]},
        {"targets": ["other/net"], "capabilities": ["NET_ADMIN"]}]}"#;
    let path = json!({"spec": {"volumes": [{"name": "v", "hostPath": {}}]}});
    assert_eq!(code(settings, "other/ci", &path), "allow");
    assert_eq!(code(settings, "other/net", &path), "host-path");
    let policy: PodSecurity = configured(settings).unwrap();
    let denial = policy.authorize(&Request::new("team-a", "other/ci").with_pod(&path)).unwrap_err();
    assert_eq!(denial.reason, "pods in other/ci are of level baseline: volume \"v\" must not be a hostPath");
    let adding = |name: &str| json!({"spec": {"containers": [{"name": "main", "securityContext": {"capabilities": {"add": [name]}}}]}});
    assert_eq!(code(settings, "other/net", &adding("NET_ADMIN")), "allow");
    assert_eq!(code(settings, "other/net", &adding("SYS_ADMIN")), "capabilities");
    assert_eq!(code(settings, "other/ci", &adding("NET_ADMIN")), "capabilities");
}

#[test]
fn settings_that_do_less_than_they_look_are_refused() {
    let check = |settings: &str, expected: &str| {
        let error = configured::<PodSecurity>(settings).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(r#"{"level": "baseline"}"#, "unknown field `level`");
    check(r#"{"otherwise": "default"}"#, "otherwise: unknown variant `default`");
    check(r#"{"levels": [{"targets": [], "level": "baseline"}]}"#, "levels[0].targets: is empty");
    check(r#"{"levels": [{"targets": ["other"], "level": "baseline"}]}"#, "levels[0].targets[0]: \"other\"");
    check(r#"{"exemptions": [{"targets": ["*/*"]}]}"#, "exemptions[0]: names neither");
    check(r#"{"exemptions": [{"targets": ["*/*"], "controls": ["hostPath"]}]}"#, "exemptions[0].controls[0]");
    check(
        r#"{"exemptions": [{"targets": ["*/*"], "controls": ["host-path"], "workflowNamespaces": ["a", "team-*"]}]}"#,
        "exemptions[0].workflowNamespaces[1]: \"team-*\" is not",
    );
    for name in ["CAP_NET_ADMIN", "net_admin", "NET ADMIN", " NET_ADMIN", ""] {
        let settings = json!({"exemptions": [{"targets": ["*/*"], "capabilities": ["KILL", name]}]});
        check(&settings.to_string(), &format!("exemptions[0].capabilities[1]: {name:?} is not"));
    }
    check(
        r#"{"exemptions": [{"targets": ["*/*"], "controls": ["host-path"], "workflowNamespaces": []}]}"#,
        "exemptions[0].workflowNamespaces: is empty",
    );
}
