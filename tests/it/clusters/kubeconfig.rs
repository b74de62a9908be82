//! Contexts of all sorts into rest.Config JSON, or why not and what to do.

use std::path::Path;

use landfall::clusters::{
    kubeconfig::{Context, Server, Trust, is_loopback, rest_config, with_limits_of},
    rest_config::{Allowed, Sensitive, parse},
};
use serde_json::{Value, json};

/// PEM, and it in base64.
const PEM: (&str, &str) = ("-----BEGIN X-----", "LS0tLS1CRUdJTiBYLS0tLS0=");

/// A kubeconfig of one context, `it`.
fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    let mut cluster = cluster.clone();
    if cluster.get("server").is_none() {
        cluster["server"] = json!("https://far.example:6443");
    }
    json!({
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
    })
}

/// Files that there are.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    match path.to_str() {
        Some("/home/me/.kube/pki/x.pem") => Ok(PEM.0.as_bytes().to_vec()),
        Some("/home/me/.kube/token") => Ok(b"planted-token\n".to_vec()),
        Some("/home/me/.kube/empty") => Ok(Vec::new()),
        _ => Err("No such file or directory".to_owned()),
    }
}

/// The JSON that is stored of the context's own credential, or the refusal and the way out.
fn stored(cluster: &Value, user: &Value) -> Result<Value, String> {
    let kubeconfig = kubeconfig(cluster, user);
    let context = Context::find(&kubeconfig, "it", &read).unwrap();
    let made = context.server().and_then(|server| Ok(rest_config(&server, &context.credential()?)));
    match made {
        Ok(config) => {
            let allowed = Allowed { credentials_folder: None, insecure: true };
            parse(config.reveal().as_bytes(), &allowed).expect("what is stored is what the controller takes");
            Ok(serde_json::from_str(config.reveal()).unwrap())
        }
        Err(refusal) => {
            let text = format!("{refusal} / {}", refusal.way_out);
            assert!(!text.contains("planted"), "{text}");
            Err(text)
        }
    }
}

#[track_caller]
fn check(cluster: Value, user: Value, expected: Value) {
    assert_eq!(stored(&cluster, &user), Ok(expected), "{cluster} {user}");
}

#[track_caller]
fn check_refused(cluster: Value, user: Value, what: &str, way_out: &str) {
    let refusal = stored(&cluster, &user).unwrap_err();
    assert_eq!(refusal, format!("{what} / {way_out}"), "{cluster} {user}");
}

#[test]
fn one_credential_is_stored() {
    let host = "https://far.example:6443";
    check(
        json!({"certificate-authority-data": PEM.1, "tls-server-name": "kubernetes"}),
        json!({"token": "planted-token"}),
        json!({"Host": host, "BearerToken": "planted-token", "TLSClientConfig": {"CAData": PEM.1, "ServerName": "kubernetes"}}),
    );
    check(
        json!({}),
        json!({"client-certificate-data": PEM.1, "client-key-data": PEM.1}),
        json!({"Host": host, "TLSClientConfig": {"CertData": PEM.1, "KeyData": PEM.1}}),
    );
    check(
        json!({}),
        json!({"username": "u", "password": "planted"}),
        json!({"Host": host, "Username": "u", "Password": "planted", "TLSClientConfig": {}}),
    );
    check(
        json!({"insecure-skip-tls-verify": true}),
        json!({"token": "t"}),
        json!({"Host": host, "BearerToken": "t", "TLSClientConfig": {"Insecure": true}}),
    );
}

#[test]
fn files_are_read_in() {
    let host = "https://far.example:6443";
    check(
        json!({"certificate-authority": "/home/me/.kube/pki/x.pem"}),
        json!({"tokenFile": "/home/me/.kube/token"}),
        json!({"Host": host, "BearerToken": "planted-token", "TLSClientConfig": {"CAData": PEM.1}}),
    );
    check(
        json!({}),
        json!({"client-certificate": "/home/me/.kube/pki/x.pem", "client-key": "/home/me/.kube/pki/x.pem"}),
        json!({"Host": host, "TLSClientConfig": {"CertData": PEM.1, "KeyData": PEM.1}}),
    );
    // Data goes before a file, and a token before the file of one.
    check(
        json!({"certificate-authority-data": PEM.1, "certificate-authority": "/nowhere"}),
        json!({"token": "t", "tokenFile": "/nowhere"}),
        json!({"Host": host, "BearerToken": "t", "TLSClientConfig": {"CAData": PEM.1}}),
    );
    check_refused(
        json!({"certificate-authority": "/nowhere"}),
        json!({"token": "t"}),
        "context \"it\" names /nowhere as certificate-authority: No such file or directory",
        "files are read in, so they must be readable here",
    );
    check_refused(
        json!({}),
        json!({"tokenFile": "/home/me/.kube/empty"}),
        "the user of context \"it\" has a tokenFile without a token in it",
        "take another context",
    );
}

#[test]
fn a_user_in_the_address_is_not_stored_there() {
    let cluster = json!({"server": "http://me:planted@127.0.0.1:80/path"});
    check(
        cluster.clone(),
        json!({}),
        json!({"Host": "http://127.0.0.1:80/path", "Username": "me", "Password": "planted", "TLSClientConfig": {}}),
    );
    check(
        cluster,
        json!({"token": "t"}),
        json!({"Host": "http://127.0.0.1:80/path", "BearerToken": "t", "TLSClientConfig": {}}),
    );
}

#[test]
fn what_this_machine_makes_anew_is_refused() {
    let plug_in =
        |command: &str| json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command}});
    for command in ["aws", "gke-gcloud-auth-plugin"] {
        check_refused(
            json!({}),
            plug_in(command),
            &format!("the user of context \"it\" has an exec plug-in ({command}), which only this machine can run"),
            "leave out --as-is: the plug-in is then used here, once, to make an account whose token the controller renews",
        );
    }
    let mut both = plug_in("aws");
    both["token"] = json!("planted");
    assert!(stored(&json!({}), &both).unwrap_err().contains("exec plug-in (aws)"));
    check_refused(
        json!({}),
        json!({"auth-provider": {"name": "gcp", "config": {"access-token": "planted"}}}),
        "the user of context \"it\" has an auth provider (gcp), whose tokens end and are renewed on this machine only",
        "take a context with another credential, and leave out --as-is",
    );
    check_refused(
        json!({}),
        json!({"token": "planted", "as": "root"}),
        "the user of context \"it\" has impersonation (as), which the controller does not do",
        "leave out --as-is, or take a context that is that user itself",
    );
}

#[test]
fn credentials_exclude_each_other() {
    let certificate = json!({"client-certificate-data": PEM.1, "client-key-data": PEM.1});
    let with = |more: Value| {
        let mut user = certificate.clone();
        json_patch::merge(&mut user, &more);
        user
    };
    for user in [
        with(json!({"token": "planted"})),
        with(json!({"username": "u", "password": "planted"})),
        json!({"token": "planted", "username": "u", "password": "planted"}),
    ] {
        check_refused(
            json!({}),
            user,
            "the user of context \"it\" has more than one credential: a token, a password and a client certificate exclude \
             each other",
            "an API server would take them for two users: keep one in the kubeconfig",
        );
    }
    let half = |user: Value, what: &str| {
        check_refused(json!({}), user, &format!("the user of context \"it\" has {what}"), "complete the kubeconfig");
    };
    half(json!({"client-certificate-data": PEM.1}), "a client certificate or a client key without the other");
    half(json!({"password": "planted"}), "a username or a password without the other");
    check_refused(
        json!({}),
        json!({}),
        "the user of context \"it\" has no credential",
        "leave out --as-is, or take another context",
    );
    check_refused(
        json!({}),
        json!({"client-certificate-data": "%%", "client-key-data": PEM.1}),
        "the user of context \"it\" has a client-certificate-data that is not base64",
        "mend the kubeconfig",
    );
}

#[test]
fn servers_must_be_reachable_as_they_are() {
    let user = || json!({"token": "planted"});
    check_refused(
        json!({"proxy-url": "http://planted@proxy"}),
        user(),
        "context \"it\" reaches its cluster through a proxy (proxy-url)",
        "the controller can't: give it an address that it reaches without, in a kubeconfig without proxy-url",
    );
    check_refused(
        json!({"insecure-skip-tls-verify": true, "certificate-authority-data": PEM.1}),
        user(),
        "context \"it\" has insecure-skip-tls-verify beside an authority to trust",
        "take insecure-skip-tls-verify away from the kubeconfig",
    );
    for server in ["", "ftp://there", "https://", "not a url"] {
        check_refused(
            json!({"server": server}),
            user(),
            "the cluster of context \"it\" has no usable server URL",
            "give the address with --server",
        );
    }
}

#[test]
fn a_context_that_is_not_there_is_named_with_those_that_are() {
    let some = kubeconfig(&json!({}), &json!({}));
    let refusal = Context::find(&some, "other", &read).err().unwrap();
    assert_eq!(refusal.to_string(), "the kubeconfig has no context \"other\"");
    assert_eq!(refusal.way_out, "it has it; --kubeconfig or KUBECONFIG name other files");
    let none = json!({"contexts": [{"name": "it", "context": {"cluster": "c"}}]});
    assert!(Context::find(&json!({}), "it", &read).err().unwrap().way_out.starts_with("it has none at all"));
    let refusal = Context::find(&none, "it", &read).err().unwrap();
    assert_eq!(refusal.to_string(), "context \"it\" is of cluster \"c\", which the kubeconfig does not have");
}

#[test]
fn limits_stay_when_the_rest_is_replaced() {
    let check = |before: &str, expected: Value| {
        let new = Sensitive::from(r#"{"Host":"https://b"}"#.to_owned());
        let found: Value = serde_json::from_str(with_limits_of(before.as_bytes(), &new).reveal()).unwrap();
        assert_eq!(found, expected, "{before}");
    };
    check(
        r#"{"Host": "https://a", "qps": 5, "Burst": 7, "Timeout": 0, "BearerToken": "old"}"#,
        json!({"Host": "https://b", "qps": 5, "Burst": 7, "Timeout": 0}),
    );
    check("", json!({"Host": "https://b"}));
}

#[test]
fn loopback_is_told_from_other_addresses() {
    let check = |url: &str, expected: bool| assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
    check("https://127.0.0.1:6443", true);
    check("https://127.8.0.1", true);
    check("https://[::1]:6443", true);
    check("https://0.0.0.0:57667", true);
    check("https://localhost:1", true);
    check("https://x.localhost", true);
    check("https://10.0.0.1", false);
    check("https://localhost.example", false);
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let user = json!({"token": "planted"});
    let kubeconfig = kubeconfig(&json!({}), &user);
    let context = Context::find(&kubeconfig, "it", &read).unwrap();
    let credential = context.credential().unwrap();
    let server = Server { url: "https://a".parse().unwrap(), trust: Trust::System, server_name: None };
    let shown = format!("{credential:?} {server:?} {:?}", rest_config(&server, &credential));
    assert!(!shown.contains("planted"), "{shown}");
}
