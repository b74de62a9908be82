//! The Secret's format row by row, and that one cluster's fate is its own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use crate::{
    api::ids::ClusterName,
    clusters::{
        Clusters,
        cluster::Cluster,
        health::State,
        rest_config::{Allowed, Credential, Rate, RestConfig, Sensitive, parse},
        secret, settings, token,
    },
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
    assert_eq!(read(json!({"Timeout": 0})).timeout, None);
    assert_eq!(read(json!({"QPS": 0, "Burst": 0})).rate, Rate::Default);
    assert_eq!(read(json!({"QPS": 1.5})).rate, Rate::Limited { per_second: 1.5, burst: 2 });
    assert_eq!(read(json!({"QPS": -1})).rate, Rate::Unlimited);
    assert_eq!(read(json!({"QPS": 2.5, "Burst": 7})).rate, Rate::Limited { per_second: 2.5, burst: 7 });
}

/// Each field of Go's `rest.Config` (client-go v0.35) and what becomes of it: a value that is acted on, with a part of what
/// it becomes, or one that is refused.
#[test]
fn every_field_is_acted_on_or_refused() {
    let pem = "LS0tLS1CRUdJTiBYLS0tLS0=";
    let without_token = |changes: Value| {
        let mut all = json!({"BearerToken": null});
        json_patch::merge(&mut all, &changes);
        all
    };
    let acted_on = [
        (json!({"Host": "there.example:6443/k8s/clusters/c-1"}), "https://there.example:6443/k8s/clusters/c-1"),
        (
            without_token(json!({"Username": "u", "Password": "planted"})),
            "Basic { username: \"u\", password: [redacted] }",
        ),
        (json!({"BearerToken": "planted"}), "Token([redacted])"),
        (without_token(json!({"BearerTokenFile": "/credentials/t"})), "TokenFile(\"/credentials/t\")"),
        (json!({"TLSClientConfig": {"CAData": null}, "Insecure": false}), "trust: System"),
        (json!({"TLSClientConfig": {"ServerName": "name"}}), "server_name: Some(\"name\")"),
        (
            without_token(json!({"CertFile": "/credentials/c", "KeyFile": "/credentials/k"})),
            "Certificate { certificate: File(\"/credentials/c\"), key: File(\"/credentials/k\") }",
        ),
        (
            json!({"TLSClientConfig": {"CAData": null}, "CAFile": "/credentials/a"}),
            "Authority(File(\"/credentials/a\"))",
        ),
        (
            without_token(json!({"CertData": pem, "KeyData": pem})),
            "certificate: Text([redacted]), key: Text([redacted])",
        ),
        (json!({"CAFile": "/credentials/a"}), "Authority(Text([redacted]))"),
        (json!({"UserAgent": "me"}), "user_agent: Some(\"me\")"),
        // Compression is never asked for, whatever is said.
        (json!({"DisableCompression": true}), "rate: Default"),
        (json!({"QPS": 5.0, "Burst": 9}), "Limited { per_second: 5.0, burst: 9 }"),
        (json!({"Timeout": 30_000_000_000_u64}), "timeout: Some(30s)"),
    ];
    for (changes, part) in acted_on {
        let shown = format!("{:?}", read(changes.clone()));
        assert!(shown.contains(part), "{changes}: {shown}");
    }
    let config = json!({"command": "x"});
    for (field, value) in [
        ("APIPath", json!("/apis")),
        ("AcceptContentTypes", json!("application/json")),
        ("ContentType", json!("application/json")),
        ("GroupVersion", json!({"Group": "apps", "Version": "v1"})),
        ("NegotiatedSerializer", config.clone()),
        ("Impersonate", json!({"UserName": "planted", "UID": "", "Groups": null, "Extra": null})),
        ("AuthProvider", json!({"name": "oidc", "config": {"id-token": "planted"}})),
        ("AuthConfigPersister", config.clone()),
        ("ExecProvider", json!({"command": "x", "env": [{"name": "A", "value": "planted"}]})),
        ("NextProtos", json!(["h2"])),
        ("Transport", config.clone()),
        ("WrapTransport", config.clone()),
        ("RateLimiter", config.clone()),
        ("WarningHandler", config.clone()),
        ("WarningHandlerWithContext", config.clone()),
        ("Dial", config.clone()),
        ("Proxy", config),
    ] {
        check_refused(json!({field: value}), &format!("field `{field}`: is not supported; leave it out"));
        read(json!({field: null}));
    }
    check_refused(
        json!({"ContentConfig": {"ContentType": "x"}}),
        "field `ContentType`: is not supported; leave it out",
    );
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
    check_refused(json!({"TLSClientConfig": {"Host": "x"}}), "field `Host`: is unknown there");
    check_refused(json!({"ContentConfig": {"QPS": 3}}), "field `QPS`: is unknown there");
    check_refused(json!({"TLSClientConfig": []}), "field `TLSClientConfig`: must be an object");
    check_refused(json!({"CAFile": "/etc/passwd"}), "field `CAFile`: names a file outside the credentials folder");
    check_refused(
        json!({"BearerToken": null, "Username": "a:b", "Password": "planted"}),
        "field `Username`: must not contain `:` or control characters",
    );
    check_refused(json!({"QPS": 0.05}), "field `QPS`: is below 0.1: calls would wait longer than they may take");
    check_refused(json!({"QPS": 3, "Burst": -1}), "field `Burst`: is out of range");
    check_refused(json!({"Timeout": 30}), "field `Timeout`: is shorter than 100 ms; it counts nanoseconds");
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

/// Every type that can hold a secret value, in both forms of `Debug`.
#[test]
fn no_debug_shows_a_secret() {
    let pem = "LS0tLS1CRUdJTiBwbGFudGVkLS0tLS0=";
    let configs = [
        json!({"BearerToken": "planted", "TLSClientConfig": {"CAData": pem}}),
        json!({"BearerToken": null, "Username": "u", "Password": "planted"}),
        json!({"BearerToken": null, "CertData": pem, "KeyData": pem}),
    ];
    let mut shown = Vec::new();
    for changes in configs {
        let value = with(changes);
        let config = parse(&value, &allowed()).expect("the config should be accepted");
        shown.extend([format!("{config:?}"), format!("{config:#?}"), format!("{:?}", config.credential)]);
        let listed =
            secret::read(&secret(&[("a", value), ("b", b"planted".to_vec())]), &ClusterName::home(), &allowed());
        shown.extend([format!("{listed:?}"), format!("{listed:#?}")]);
    }
    let token = token::Token { text: Sensitive::from("planted".to_owned()), expires: Timestamp::UNIX_EPOCH };
    shown.extend([format!("{token:?}"), format!("{:?}", Credential::Token(token.text))]);
    for text in shown {
        assert!(!text.contains("planted"), "{text}");
    }
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

/// What a server does with every request.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    /// It tells this UID of the namespace `kube-system`.
    Uid(&'static str),
    /// It refuses with this code.
    Refusal(u16),
    /// Nothing.
    Nothing,
}

/// A client of a server that answers every request alike.
fn server(answers: &watch::Sender<Answers>) -> kube::Client {
    let answers = answers.subscribe();
    let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
        let mut answers = answers.clone();
        async move {
            let answer = *answers.wait_for(|answers| *answers != Answers::Nothing).await.expect("the test goes on");
            let (code, body) = match answer {
                Answers::Uid(uid) => (200, json!({"metadata": {"name": "kube-system", "uid": uid}})),
                Answers::Refusal(code) => {
                    (code, json!({"kind": "Status", "status": "Failure", "reason": "R", "message": "no", "code": code}))
                }
                Answers::Nothing => return std::future::pending().await,
            };
            http::Response::builder().status(code).body(kube::client::Body::from(body.to_string().into_bytes()))
        }
    });
    kube::Client::new(service, "default")
}

/// The time since the first time that it was asked for, in a test whose time is paused.
fn clock() -> Timestamp {
    thread_local! {
        static BEGUN: Instant = Instant::now();
    }
    let elapsed = BEGUN.with(Instant::elapsed);
    Timestamp::UNIX_EPOCH + SignedDuration::try_from(elapsed).expect("a test is short")
}

/// Home, which always answers, and `other`, which answers as the test says.
fn two_clusters() -> (Clusters, Arc<Cluster>, watch::Sender<Answers>) {
    clock();
    let answers = watch::Sender::new(Answers::Uid("a"));
    let home = watch::Sender::new(Answers::Uid("home"));
    let clusters = Clusters::new(ClusterName::home(), server(&home), allowed(), clock);
    let name: ClusterName = "other".parse().expect("a name");
    clusters.insert_client(name.clone(), server(&answers));
    let cluster = clusters.get(&name).expect("it was inserted");
    // Who answers for home must go on.
    std::mem::forget(home);
    (clusters, cluster, answers)
}

/// Why it is unavailable, and since which second; nothing while it is ready.
fn told(cluster: &Cluster) -> Option<(String, i64)> {
    match cluster.state() {
        State::Ready => None,
        State::Unavailable { reason, since } => Some((reason, since.as_second())),
    }
}

fn said(reason: &str, since: i64) -> Option<(String, i64)> {
    Some((reason.to_owned(), since))
}

#[tokio::test]
async fn update_leaves_unchanged_clusters_alone() {
    let (clusters, ..) = two_clusters();
    let name = "same".parse().expect("a name");
    let same = ("same", with(json!({"TLSClientConfig": {"CAData": null}, "Host": "http://127.0.0.1:1"})));
    clusters.update(&secret(&[same.clone(), ("bad", b"{}".to_vec())]));
    let before = clusters.get(&name).expect("it is configured");
    let mut versions = clusters.subscribe();
    clusters.update(&secret(&[same]));
    assert_eq!(clusters.get(&name).expect("it stays").number(), before.number());
    assert!(versions.has_changed().expect("the clusters are there"));
    versions.mark_unchanged();
    assert_eq!(clusters.states().len(), 3);

    clusters.update(&Secret::default());
    assert!(clusters.get(&name).is_none());
    assert!(before.cancelled().is_cancelled());
    assert_eq!(clusters.states().keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["default", "other"]);
    clusters.shutdown().await;
}

#[tokio::test]
async fn what_changes_of_a_cluster_is_taken_over_without_closing_it() {
    let (clusters, ..) = two_clusters();
    let name: ClusterName = "third".parse().expect("a name");
    let entry = |changes: Value| {
        let mut here = json!({"TLSClientConfig": {"CAData": null}, "Host": "http://127.0.0.1:1"});
        json_patch::merge(&mut here, &changes);
        secret(&[("third", with(here))])
    };
    clusters.update(&entry(json!({})));
    let cluster = clusters.get(&name).expect("it is configured");
    let mut clients = cluster.subscribe_client();
    let mut check = |secret: Secret, is_connected_anew: bool| {
        clients.mark_unchanged();
        clusters.update(&secret);
        assert_eq!(clusters.get(&name).expect("it stays").number(), cluster.number());
        assert_eq!(clients.has_changed().expect("it is there"), is_connected_anew, "{:?}", cluster.settings());
    };
    check(entry(json!({"BearerToken": "planted-other"})), true);
    check(entry(json!({"Host": "http://127.0.0.1:2"})), true);
    check(entry(json!({"QPS": 3})), true);
    let mut annotated = entry(json!({"QPS": 3}));
    let annotation = ("clusters.landfall.dev/third".to_owned(), r#"{"namespaces": ["argo"]}"#.to_owned());
    annotated.metadata.annotations = Some([annotation.clone()].into());
    check(annotated.clone(), false);
    assert!(!cluster.settings().allows(&"other".parse().expect("a name")));

    annotated.metadata.annotations = Some([(annotation.0, "{\"uuid\": 1}".to_owned())].into());
    clusters.update(&annotated);
    assert!(cluster.cancelled().is_cancelled());
    let reason = match &clusters.states()[&name] {
        State::Unavailable { reason, .. } => reason.clone(),
        State::Ready => String::new(),
    };
    assert!(reason.starts_with("its annotation on the secret is refused: uuid: unknown field `uuid`"), "{reason}");
    clusters.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_when_a_call_is_not_answered_and_closes_on_an_answer() {
    let (clusters, cluster, _answers) = two_clusters();
    let outcome = cluster.call(std::future::pending::<kube::Result<()>>()).await;
    assert_eq!(outcome.expect_err("there is no answer").to_string(), "no answer within 15 s");
    assert_eq!(told(&cluster), said("no answer within 15 s", 15));
    assert_eq!(clusters.home().state(), State::Ready);
    cluster.ready().await;
    assert_eq!(cluster.verify().await.map_err(|error| error.to_string()), Ok(()));
    clusters.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn silence_opens_the_breaker_and_the_first_reason_dates_it() {
    let (clusters, cluster, answers) = two_clusters();
    cluster.verify().await.expect("it answers");
    answers.send_replace(Answers::Nothing);
    cluster.unavailable().await;
    assert_eq!(told(&cluster), said("no answer within 5 s", 15));
    answers.send_replace(Answers::Refusal(503));
    let mut versions = clusters.subscribe();
    while told(&cluster) != said("no (HTTP 503)", 15) {
        versions.changed().await.expect("the clusters are there");
    }
    let back = Instant::now();
    answers.send_replace(Answers::Uid("a"));
    cluster.ready().await;
    assert!(back.elapsed() <= Duration::from_secs(2), "{:?}", back.elapsed());
    // An answer is an answer: a busy server is not taken for a lost one.
    answers.send_replace(Answers::Refusal(429));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&cluster), None);
    clusters.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn client_is_another_after_an_outage() {
    let (clusters, cluster, _answers) = two_clusters();
    let mut clients = cluster.subscribe_client();
    cluster.lost("gone");
    cluster.ready().await;
    assert!(clients.has_changed().expect("it is there"));
    clients.mark_unchanged();
    cluster.verify().await.expect("it answers");
    assert!(!clients.has_changed().expect("it is there"));
    clusters.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn clusters_that_must_not_be_used_say_why() {
    let (clusters, cluster, answers) = two_clusters();
    cluster.verify().await.expect("it answers");
    let check = async |answer: Answers, expected: &str| {
        answers.send_replace(answer);
        cluster.unavailable().await;
        assert_eq!(told(&cluster).map(|(reason, _)| reason).as_deref(), Some(expected));
        answers.send_replace(Answers::Uid("a"));
        cluster.ready().await;
    };
    let right = "it can't be told which cluster it is: that takes the right to get the namespace \"kube-system\", whose uid \
                 says so: no";
    check(Answers::Refusal(401), "no (HTTP 401)").await;
    check(Answers::Refusal(403), right).await;
    check(Answers::Refusal(404), right).await;
    let stranger = "another cluster answers: the uid of its namespace \"kube-system\" is b, the one that is remembered is a; \
                    nothing is created or deleted there until you accept it: restart the controller";
    check(Answers::Uid("b"), stranger).await;

    answers.send_replace(Answers::Uid("b"));
    assert_eq!(cluster.verify().await.map_err(|error| error.to_string()), Err(stranger.to_owned()));
    cluster.set_settings(settings::parse(r#"{"uid": "b"}"#).expect("settings"));
    cluster.ready().await;
    clusters.shutdown().await;
}
