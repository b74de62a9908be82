//! The Secret's format row by row, and that one cluster's fate is its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Value, json};

use crate::clusters::{
    Clusters,
    health::State,
    rest_config::{Allowed, Rate, RestConfig, parse},
    secret,
};

/// The document's example, with a token in place of the stars.
fn example() -> Value {
    json!({"Host": "https://0.0.0.0:57667", "APIPath": "", "Username": "", "Password": "", "BearerToken": "planted-token",
        "TLSClientConfig": {"Insecure": false, "ServerName": "", "CertFile": "", "KeyFile": "", "CAFile": "",
            "CertData": null, "KeyData": null, "CAData": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", "NextProtos": null},
        "UserAgent": "", "DisableCompression": false, "QPS": 0, "Burst": 0, "Timeout": 0})
}

fn allowed() -> Allowed {
    Allowed { credentials_folder: Some("/credentials".into()), insecure: false }
}

/// The example with some fields replaced; null takes a field away.
fn with(changes: Value) -> Vec<u8> {
    let mut value = example();
    json_patch::merge(&mut value, &changes);
    value.to_string().into_bytes()
}

fn read(changes: Value) -> RestConfig {
    parse(&with(changes), &allowed()).expect("the config should be accepted")
}

fn check_refused(changes: Value, expected: &str) {
    let refusal = parse(&with(changes.clone()), &allowed()).expect_err(&changes.to_string());
    assert_eq!(refusal.to_string(), expected, "{changes}");
}

#[test]
fn reads_the_documents_example() {
    let config = read(json!({}));
    assert_eq!(config.host.to_string(), "https://0.0.0.0:57667/");
    assert_eq!(config.rate, Rate::Default);
    assert_eq!(config.timeout, None);
    assert!(!format!("{config:?}").contains("planted"), "{config:?}");
}

#[test]
fn keys_have_no_case_and_tls_may_be_flat() {
    let nested = read(json!({}));
    let flat = json!({"host": "https://0.0.0.0:57667", "bearertoken": "planted-token",
        "CADATA": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"});
    assert_eq!(parse(flat.to_string().as_bytes(), &allowed()), Ok(nested));
}

#[test]
fn numbers_mean_what_go_means() {
    assert_eq!(read(json!({"Timeout": 1_500_000_000})).timeout, Some(std::time::Duration::from_millis(1500)));
    assert_eq!(read(json!({"QPS": -1})).rate, Rate::Unlimited);
    assert_eq!(read(json!({"QPS": 2.5, "Burst": 7})).rate, Rate::Limited { per_second: 2.5, burst: 7 });
}

#[test]
fn refuses_by_the_fields_name() {
    check_refused(json!({"Hosts": "x"}), "field `Hosts`: is unknown");
    check_refused(json!({"Host": null}), "field `Host`: is missing");
    check_refused(json!({"Host": "ftp://there"}), "field `Host`: must be an http or https URL");
    check_refused(
        json!({"Host": "https://planted:planted@there"}),
        "field `Host`: must not hold a user; use `Username` and `Password`",
    );
    check_refused(
        json!({"Host": "http://far.example"}),
        "field `Host`: plain http to another machine would show the credential to anybody on the way",
    );
    check_refused(json!({"BearerToken": null}), "field `BearerToken`: is missing, and there is no other credential");
    check_refused(
        json!({"BearerToken": "planted\nX"}),
        "field `BearerToken`: must not contain line breaks or other control characters",
    );
    check_refused(
        json!({"CertData": "LS0tLS1CRUdJTiBYLS0tLS0=", "KeyData": "LS0tLS1CRUdJTiBYLS0tLS0="}),
        "field `BearerToken`: is given beside a client certificate",
    );
    check_refused(
        json!({"CertData": "LS0tLS1CRUdJTiBYLS0tLS0="}),
        "field `KeyData`: is missing beside the client certificate",
    );
    check_refused(json!({"Username": "u", "Password": "planted"}), "field `BearerToken`: is given beside `Username`");
    check_refused(json!({"Username": "u"}), "field `Password`: is missing beside `Username`");
    check_refused(json!({"TLSClientConfig": {"CAData": "%%"}}), "field `CAData`: is not base64");
    check_refused(
        json!({"TLSClientConfig": {"Insecure": true, "CAData": null}}),
        "field `Insecure`: is true, which the controller's flags don't allow",
    );
    check_refused(
        json!({"TLSClientConfig": {"CAData": null, "CAFile": "/etc/passwd"}}),
        "field `CAFile`: names a file outside the credentials folder",
    );
    check_refused(
        json!({"TLSClientConfig": {"CAData": null, "CAFile": "/credentials/../etc/passwd"}}),
        "field `CAFile`: names a file outside the credentials folder",
    );
    check_refused(json!({"ExecProvider": {"command": "x"}}), "field `ExecProvider`: is not supported; leave it out");
    check_refused(json!({"APIPath": "/x"}), "field `APIPath`: is not supported; leave it out");
    check_refused(json!({"Timeout": -1}), "field `Timeout`: is negative");
    check_refused(json!({"Timeout": "1s"}), "field `Timeout`: must be an integer");
    check_refused(json!({"QPS": "many"}), "field `QPS`: must be a number");
    check_refused(json!({"Burst": 3}), "field `Burst`: is given without `QPS`");
    check_refused(json!({"host": "https://twice"}), "field `Host`: is given twice");
    assert_eq!(
        parse(b"{\"BearerToken\": planted}", &allowed()).expect_err("not JSON").to_string(),
        "not JSON: line 1, column 17"
    );
}

#[test]
fn files_inside_the_folder_are_accepted() {
    let changes = json!({"TLSClientConfig": {"CAData": null, "CAFile": "/credentials/ca.crt"}});
    assert!(format!("{:?}", read(changes)).contains("/credentials/ca.crt"));
}

fn secret(entries: &[(&str, Vec<u8>)]) -> Secret {
    let data: BTreeMap<_, _> =
        entries.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.clone()))).collect();
    Secret { data: Some(data), ..Secret::default() }
}

#[test]
fn each_key_is_read_by_itself() {
    let listed = secret::read(
        &secret(&[
            ("good", with(json!({}))),
            ("bad", b"{}".to_vec()),
            ("default", with(json!({}))),
            ("No_Name", vec![]),
        ]),
        &"default".parse().expect("a name"),
        &allowed(),
    );
    assert!(listed.clusters[&"good".parse().expect("a name")].said.is_ok());
    assert!(listed.clusters[&"bad".parse().expect("a name")].said.is_err());
    assert_eq!(listed.misnamed.keys().collect::<Vec<_>>(), ["No_Name", "default"]);
    assert!(!format!("{listed:?}").contains("planted"));
}

/// A client of a server that answers every request alike.
fn server(code: u16) -> kube::Client {
    let body = json!({"major": "1", "minor": "33", "gitVersion": "", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": ""});
    let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
        let answer =
            http::Response::builder().status(code).body(kube::client::Body::from(body.to_string().into_bytes()));
        async move { answer }
    });
    kube::Client::new(service, "default")
}

#[tokio::test]
async fn update_leaves_unchanged_clusters_alone() {
    let clusters = Clusters::new("default".parse().expect("a name"), server(200), allowed(), || Timestamp::UNIX_EPOCH);
    let name = "same".parse().expect("a name");
    let same = ("same", with(json!({"TLSClientConfig": {"CAData": null}, "Host": "http://127.0.0.1:1"})));
    clusters.update(&secret(&[same.clone(), ("bad", b"{}".to_vec())]));
    let before = clusters.get(&name).expect("it is configured");
    let mut versions = clusters.subscribe();
    clusters.update(&secret(&[same]));
    assert_eq!(clusters.get(&name).expect("it stays").identity(), before.identity());
    assert!(versions.has_changed().expect("the clusters are there"));
    versions.mark_unchanged();
    assert_eq!(clusters.states().len(), 2);

    clusters.update(&Secret::default());
    assert!(clusters.get(&name).is_none());
    assert!(before.cancelled().is_cancelled());
    assert_eq!(clusters.states().keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["default"]);
    clusters.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_on_silence_and_closes_on_an_answer() {
    let clusters = Clusters::new("default".parse().expect("a name"), server(200), allowed(), || Timestamp::UNIX_EPOCH);
    let name = "other".parse().expect("a name");
    clusters.insert_client("other".parse().expect("a name"), server(200));
    let cluster = clusters.get(&name).expect("it was inserted");
    let mut versions = clusters.subscribe();

    let outcome = cluster.call(std::future::pending::<kube::Result<()>>()).await;
    assert_eq!(outcome.expect_err("there is no answer").to_string(), "no answer within 15 s");
    assert_eq!(
        cluster.state(),
        State::Unavailable { reason: "no answer within 15 s".to_owned(), since: Timestamp::UNIX_EPOCH }
    );
    assert_eq!(clusters.home().state(), State::Ready);

    while cluster.state() != State::Ready {
        versions.changed().await.expect("the clusters are there");
    }
    assert!(cluster.call(cluster.client().apiserver_version()).await.is_ok());
    clusters.shutdown().await;
}
