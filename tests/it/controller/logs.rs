//! `landfall logs` against a controller with two clusters: what is shown, to whom, and what happens while a cluster is away.

use std::{path::PathBuf, process::Stdio};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Pod, Secret, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use landfall::{api::workflow::Workflow, controller::logs::item::Item, local::apiserver::Listening};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    cli::binary::{Ended, landfall},
    controller::{
        gate::Gate,
        world::{ROLES, Side, World, one_pod, outcome},
    },
};

/// Somebody at a command line, whose kubeconfig leads to home.
struct User {
    folder: TempDir,
    address: String,
    _home: Listening,
}

impl User {
    async fn new(world: &World) -> User {
        let folder = TempDir::new().unwrap();
        let home = world.home.listen().await;
        let address = format!("https://{}", world.logs.unwrap());
        let user = User { folder, address, _home: home };
        std::fs::write(user.file("kubeconfig"), world.home.server.kubeconfig(&user._home.url())).unwrap();
        user
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = landfall(&["logs", "--insecure-skip-tls-verify", "--address", &self.address]);
        command.arg("--kubeconfig").arg(self.file("kubeconfig")).args(arguments);
        if !arguments.contains(&"-n") {
            command.args(["-n", "argo"]);
        }
        Command::from(command)
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().await.unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Begins to follow.
    fn follow(&self, arguments: &[&str]) -> Following {
        let mut command = self.command(&[&["-f"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Following { child, lines }
    }

    /// A file with a token of that service account of home.
    async fn token_of(&self, home: &Side, account: &str) -> String {
        home.server.ensure_service_account("argo", account);
        let accounts: Api<ServiceAccount> = home.api("argo");
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let made = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        let file = self.file(account);
        std::fs::write(&file, made.status.unwrap().token).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().expect("it goes on")
    }

    /// The rest of its lines, what it said besides, and its exit status.
    async fn end(mut self) -> (Vec<String>, String, Option<i32>) {
        let mut rest = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            rest.push(line);
        }
        let output = self.child.wait_with_output().await.unwrap();
        (rest, String::from_utf8(output.stderr).unwrap(), output.status.code())
    }
}

/// Two steps, one at home and one elsewhere.
fn two_pods(name: &str) -> Value {
    let container = json!({"image": "argoproj/argosay:v2"});
    json!({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": [
        {"name": "main", "dag": {"tasks": [{"name": "this", "template": "this"}, {"name": "other", "template": "other"}]}},
        {"name": "this", "container": container},
        {"name": "other", "clusterName": "other", "container": container},
    ]}})
}

fn of(workflow: &Workflow) -> impl Fn(&Pod) -> bool + use<> {
    let uid = workflow.uid().unwrap();
    move |pod: &Pod| pod.labels().get("landfall.dev/workflow-uid") == Some(&uid)
}

/// Plays the kubelet: the pod's container begins.
async fn begin(side: &Side, pod: &Pod) {
    let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let container =
        json!({"name": "main", "image": "x", "imageID": "", "ready": true, "restartCount": 0, "state": state});
    let patch = json!({"status": {"phase": "Running", "containerStatuses": [container]}});
    let api: Api<Pod> = side.api(&pod.namespace().unwrap());
    api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn print(side: &Side, pod: &Pod, text: &str) {
    side.logs.append(&pod.uid().unwrap(), "main", text.as_bytes());
}

/// The container ends well.
async fn end(side: &Side, pod: &Pod) {
    side.logs.close(&pod.uid().unwrap(), "main");
    side.end_pod(pod, 0).await;
}

/// A workflow of two pods that have printed and ended.
async fn ended(world: &World) -> Workflow {
    let workflow: Workflow = world.home.create("argo", two_pods("w")).await;
    for (side, text) in [(&world.home, "hello from here\nand again\n"), (&world.other, "hello from there\n")] {
        let pod = side.pod("argo", of(&workflow)).await;
        begin(side, &pod).await;
        print(side, &pod, text);
        end(side, &pod).await;
    }
    let ended = world.end_of(&workflow).await;
    assert_eq!(outcome(&ended), "Succeeded: ");
    ended
}

async fn grant(home: &Side, account: &str, rules: Value) {
    let name = json!({"name": account});
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account});
    let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": "argo"}]);
    home.create::<Role>("argo", json!({"metadata": name, "rules": rules})).await;
    home.create::<RoleBinding>("argo", json!({"metadata": name, "roleRef": role_ref, "subjects": subjects})).await;
}

#[tokio::test]
async fn lines_of_all_clusters_are_shown_with_where_they_are_from() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow = ended(&world).await;
    let user = User::new(&world).await;
    let check = async |arguments: &[&str], expected: &[&str]| {
        let ended = user.run(&[&["w"], arguments].concat()).await;
        let mut lines: Vec<&str> = ended.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!((lines.as_slice(), ended.stderr.as_str(), ended.code), (expected, "", Some(0)), "{arguments:?}");
    };
    let [again, here, there] = [
        "default/argo w.this │ and again",
        "default/argo w.this │ hello from here",
        "other/argo w.other │ hello from there",
    ];
    check(&[], &[again, here, there]).await;
    check(&["-f"], &[again, here, there]).await;
    check(&["--tail", "1"], &[again, there]).await;
    check(&["--since", "1h"], &[again, here, there]).await;
    check(&["--node", "other"], &[there]).await;
    check(&["--node", "w.this", "--container", "main"], &[again, here]).await;
    check(&["--container", "wait"], &[]).await;
    let pod = world.other.pods("argo").await[0].name_any();
    check(&["--node", &pod], &[there]).await;
    check(&["--since-time", "2026-01-01T00:00:00Z"], &[again, here, there]).await;
    check(&["--since-time", "9000-01-01T00:00:00Z", "--no-color"], &[]).await;
    let timed = user.run(&["w", "--timestamps", "--node", &pod]).await.stdout;
    let (prefix, time) = (&timed[..timed.find("│ ").unwrap()], timed.split_once("│ ").unwrap().1);
    let (time, text) = time.split_once(' ').unwrap();
    assert_eq!((prefix, text), ("other/argo w.other ", "hello from there\n"));
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");

    let json = user.run(&["w", "--node", "other", "-o", "json"]).await;
    let line = json.json();
    let expected = json!({"node": "w.other", "pod": pod, "cluster": "other", "namespace": "argo",
        "container": "main", "text": "hello from there", "time": line["time"]});
    assert_eq!(line, expected);
    assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());

    let missing = user.run(&["nothing"]).await;
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    assert_eq!(missing.stderr, "error: there is no workflow argo/nothing (HTTP 404)\n");
    assert_eq!(outcome(&workflow), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn pods_are_followed_as_they_begin_until_the_workflow_has_ended() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", two_pods("w")).await;
    let here = world.home.pod("argo", of(&workflow)).await;
    let there = world.other.pod("argo", of(&workflow)).await;
    let user = User::new(&world).await;
    let mut following = user.follow(&["w"]);
    begin(&world.home, &here).await;
    print(&world.home, &here, "one\n");
    assert_eq!(following.line().await, "default/argo w.this │ one");
    begin(&world.other, &there).await;
    print(&world.other, &there, "tw");
    print(&world.other, &there, "o\n");
    assert_eq!(following.line().await, "other/argo w.other │ two");
    print(&world.home, &here, "three\nwithout a break");
    assert_eq!(following.line().await, "default/argo w.this │ three");
    end(&world.home, &here).await;
    assert_eq!(following.line().await, "default/argo w.this │ without a break");
    end(&world.other, &there).await;
    assert_eq!(following.end().await, (Vec::new(), String::new(), Some(0)));
    assert_eq!(outcome(&world.end_of(&workflow).await), "Succeeded: ");
    world.shutdown().await;
}

#[tokio::test]
async fn what_was_printed_while_a_cluster_was_away_comes_once_when_it_is_back() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", two_pods("w")).await;
    let here = world.home.pod("argo", of(&workflow)).await;
    let there = world.other.pod("argo", of(&workflow)).await;
    begin(&world.home, &here).await;
    begin(&world.other, &there).await;
    let user = User::new(&world).await;
    let mut following = user.follow(&["w"]);
    print(&world.other, &there, "one\none\n");
    for _ in 0..2 {
        assert_eq!(following.line().await, "other/argo w.other │ one");
    }
    world.other.gate.send_replace(Gate::Closed);
    world.cluster_lost("other").await;
    print(&world.other, &there, "one\ntwo\n");
    print(&world.home, &here, "goes on\n");
    assert_eq!(following.line().await, "default/argo w.this │ goes on");
    world.other.gate.send_replace(Gate::Open);
    assert_eq!(following.line().await, "other/argo w.other │ one");
    assert_eq!(following.line().await, "other/argo w.other │ two");
    end(&world.home, &here).await;
    end(&world.other, &there).await;
    let (rest, said, code) = following.end().await;
    assert_eq!((rest, code), (Vec::new(), Some(1)));
    assert!(said.contains("warning: other/argo") && said.contains("refused by the gate"), "{said}");
    world.shutdown().await;
}

#[tokio::test]
async fn a_cluster_that_is_away_is_named_and_the_rest_is_shown() {
    let mut world = World::new(ROLES).await;
    world.start();
    ended(&world).await;
    let user = User::new(&world).await;
    world.other.gate.send_replace(Gate::Closed);
    let shown = user.run(&["w"]).await;
    assert_eq!(shown.stdout, "default/argo w.this │ hello from here\ndefault/argo w.this │ and again\n");
    assert!(shown.stderr.starts_with("warning: other/argo: connection refused by the gate"), "{}", shown.stderr);
    assert_eq!(shown.code, Some(1));
    world.shutdown().await;
}

#[tokio::test]
async fn only_who_may_read_logs_at_home_is_shown_any() {
    let mut world = World::new(ROLES).await;
    world.start();
    ended(&world).await;
    let user = User::new(&world).await;
    let robot = user.token_of(&world.home, "robot").await;
    let check = async |arguments: &[&str], expected: &str| {
        let ended = user.run(&[&["w"], arguments].concat()).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.starts_with(&format!("error: {expected}")), "{}", ended.stderr);
    };
    let who = "\"system:serviceaccount:argo:robot\" may not get";
    let place = "in namespace \"argo\" of the cluster of the controller (HTTP 403)\n";
    check(&["--token-file", &robot], &format!("{who} pods/log {place}")).await;
    let logs = json!({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]});
    grant(&world.home, "robot", json!([logs])).await;
    check(&["--token-file", &robot], &format!("{who} workflow \"w\" {place}")).await;
    let other = user.token_of(&world.home, "reader").await;
    let workflow =
        json!({"apiGroups": ["argoproj.io"], "resources": ["workflows"], "resourceNames": ["w"], "verbs": ["get"]});
    grant(&world.home, "reader", json!([logs, workflow])).await;
    let shown = user.run(&["w", "--token-file", &other]).await;
    assert_eq!((shown.stdout.lines().count(), shown.code), (3, Some(0)), "{}", shown.stderr);
    // Whether there is a workflow is not told to who may not see it.
    let hidden = user.run(&["nothing", "--token-file", &other]).await;
    assert!(hidden.stderr.contains("may not get workflow \"nothing\""), "{}", hidden.stderr);
    // Rights in other namespaces are of no use.
    let elsewhere = user.run(&["w", "--token-file", &other, "-n", "elsewhere"]).await;
    assert!(elsewhere.stderr.contains("in namespace \"elsewhere\""), "{}", elsewhere.stderr);

    std::fs::write(user.file("wrong"), "a.b.c").unwrap();
    let wrong = user.file("wrong");
    let unknown = "the cluster of the controller does not know this token, or it has ended (HTTP 401)\n";
    check(&["--token-file", wrong.to_str().unwrap()], unknown).await;
    world.shutdown().await;
}

#[tokio::test]
async fn what_is_not_logs_or_bears_no_token_is_refused() {
    let mut world = World::new(ROLES).await;
    world.start();
    ended(&world).await;
    let mut config = kube::Config::new(format!("https://{}", world.logs.unwrap()).parse().unwrap());
    config.accept_invalid_certs = true;
    let nobody = kube::Client::try_from(config.clone()).unwrap();
    config.auth_info.token = Some(world.home.server.token().to_owned().into());
    let somebody = kube::Client::try_from(config).unwrap();
    let check = async |client: &kube::Client, path: &str, code: u16, part: &str| {
        let answer = client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await;
        let Err(kube::Error::Api(status)) = answer else { panic!("{path}: {answer:?}") };
        assert!(status.code == code && status.message.contains(part), "{path}: {status:?}");
    };
    check(&nobody, "/logs/argo/w", 401, "the request bears no token").await;
    check(&nobody, "/logs/argo/w?follow=maybe", 401, "no token").await;
    check(&somebody, "/logs/argo/w?follow=maybe", 400, "follow: expected true or false").await;
    check(&somebody, "/logs/argo/w?previous", 400, "\"previous\" is nothing that can be asked for").await;
    check(&somebody, "/logs/argo/..%2Fsecrets", 400, "is not the name of a workflow").await;
    check(&somebody, "/logs/..%2Fargo/w", 400, "is not a DNS label").await;
    check(&somebody, "/metrics", 404, "there is nothing but GET /logs/NAMESPACE/WORKFLOW").await;
    let text = somebody.request_text(http::Request::get("/logs/argo/w").body(Vec::new()).unwrap()).await.unwrap();
    let items: Vec<Item> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(items.last(), Some(&Item::End { end: "Succeeded".to_owned() }));
    assert_eq!(items.len(), 4);
    world.shutdown().await;
}

#[tokio::test]
async fn one_caller_can_not_take_all_places() {
    let mut world = World::new(ROLES).await;
    world.start();
    let workflow: Workflow = world.home.create("argo", one_pod("w", json!({}))).await;
    let pod = world.home.pod("argo", of(&workflow)).await;
    begin(&world.home, &pod).await;
    print(&world.home, &pod, "begun\n");
    let user = User::new(&world).await;
    let mut followers = Vec::new();
    for _ in 0..16 {
        let mut following = user.follow(&["w"]);
        assert_eq!(following.line().await, "default/argo w │ begun");
        followers.push(following);
    }
    let refused = user.run(&["w"]).await;
    assert!(refused.stderr.contains("reads 16 logs already; end one first (HTTP 429)"), "{}", refused.stderr);
    // A place is free again when its caller has gone.
    drop(followers.pop());
    let mut others = user.run(&["w"]).await;
    while others.code != Some(0) {
        assert!(others.stderr.contains("HTTP 429"), "{}", others.stderr);
        others = user.run(&["w"]).await;
    }
    end(&world.home, &pod).await;
    for following in followers {
        assert_eq!(following.end().await, (Vec::new(), String::new(), Some(0)));
    }
    world.shutdown().await;
}

#[tokio::test]
async fn a_kubeconfig_without_a_token_is_told_the_way_out() {
    let mut world = World::new(ROLES).await;
    world.start();
    let user = User::new(&world).await;
    let server = "https://127.0.0.1:1";
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"username": "me", "password": "hunter2"}}],
    });
    std::fs::write(user.file("kubeconfig"), config.to_string()).unwrap();
    let ended = user.run(&["w"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: the kubeconfig has no token"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--token-file token") && !ended.stderr.contains("hunter2"), "{}", ended.stderr);

    // A plug-in that makes tokens, as those of the big clouds do.
    let token = world.home.server.token();
    let credential =
        json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}});
    std::fs::write(user.file("credential"), credential.to_string()).unwrap();
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "cat",
        "args": [user.file("credential")], "interactiveMode": "Never"});
    let mut config = config;
    config["users"][0]["user"] = json!({"exec": exec});
    std::fs::write(user.file("kubeconfig"), config.to_string()).unwrap();
    let ended = user.run(&["nothing"]).await;
    assert_eq!(ended.stderr, "error: there is no workflow argo/nothing (HTTP 404)\n");
    world.shutdown().await;
}

#[tokio::test]
async fn nothing_of_the_secret_is_in_any_output() {
    let mut world = World::new(ROLES).await;
    world.start();
    let third = Side::new("third");
    let port = third.listen().await;
    let data = json!({"third": third.rest_config(&port, json!({}))});
    world.home.create::<Secret>("argo", json!({"metadata": {"name": "clusters"}, "data": data})).await;
    world.clusters_ready(&["default", "other", "third"]).await;
    let workflow: Workflow = world.home.create("argo", one_pod("w", json!({"clusterName": "third"}))).await;
    let pod = third.pod("argo", of(&workflow)).await;
    begin(&third, &pod).await;
    print(&third, &pod, "one\n");
    let user = User::new(&world).await;
    let mut following = user.follow(&["w", "-o", "json"]);
    let first = following.line().await;
    assert!(first.contains("\"text\":\"one\""), "{first}");
    // Another token, which is none, and the cluster away.
    let planted = "hunter2-token";
    let bad = json!({"data": {"third": third.rest_config(&port, json!({"BearerToken": planted}))}});
    world.home.patch::<Secret>("argo", "clusters", bad).await;
    world.cluster_says("third", "HTTP 401").await;
    let shown = user.run(&["w"]).await;
    assert!(shown.stderr.contains("warning: third/argo: "), "{}", shown.stderr);
    let good = json!({"data": data});
    world.home.patch::<Secret>("argo", "clusters", good).await;
    world.clusters_ready(&["default", "other", "third"]).await;
    end(&third, &pod).await;
    let (rest, said, _) = following.end().await;
    let all = format!("{first}{rest:?}{said}{}{}", shown.stdout, shown.stderr);
    for secret in [planted, third.server.token(), world.home.server.token()] {
        assert!(!all.contains(secret), "{all}");
    }
    world.shutdown().await;
}
