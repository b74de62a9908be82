//! kubectl against the embedded server, and the same commands against a real one, without special flags.

use std::{fs, process::Output};

use landfall::local::{
    apiserver::{ApiServer, Options},
    logs::Logs,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    apiserver::{create, namespace, pod, pods},
    real::{
        self,
        programs::{self, Program},
    },
};

const MANIFESTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: map, labels: {app: web}}
data: {key: value}
---
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  containers:
  - name: main
    image: busybox
    command: [sleep, "1"]
---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: hello}
spec: {entrypoint: main}
status: {phase: Running, message: "all is well", startedAt: "2020-01-01T00:00:00Z"}
"#;

struct Kubectl {
    program: Program,
    folder: TempDir,
    namespace: String,
}

impl Kubectl {
    /// One that a kubeconfig leads to a server.
    fn new(program: Program, kubeconfig: &str, namespace: &str) -> Kubectl {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config"), kubeconfig).unwrap();
        fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
        Kubectl { program, folder, namespace: namespace.to_owned() }
    }

    /// Runs a command, in the namespace of the test if it names none.
    fn run(&self, arguments: &str) -> Output {
        let folder = self.folder.path();
        let mut command = self.program.command();
        command.arg("--kubeconfig").arg(folder.join("config")).arg("--cache-dir").arg(folder.join("cache"));
        command.args(["--namespace", &self.namespace]);
        command.args(arguments.split_whitespace()).current_dir(folder).env("HOME", folder);
        command.output().unwrap()
    }

    /// Runs a command that must succeed and whose output must have these parts.
    fn check(&self, arguments: &str, expected: &[&str]) {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {arguments}\n{text}\n{errors}");
        for part in expected {
            assert!(text.contains(part), "kubectl {arguments}: no {part:?} in\n{text}\n{errors}");
        }
    }

    fn refuses(&self, arguments: &str, expected: &str) {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "kubectl {arguments}");
        assert!(errors.contains(expected), "kubectl {arguments}: no {expected:?} in\n{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_kubectl_works_without_special_flags() {
    let Some(program) = program().await else { return };
    let logs = Logs::default();
    let server = ApiServer::new(Options { name: "one".to_owned(), logs: logs.clone(), ..Options::default() });
    let listening = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let client = server.client();
    let namespace = namespace(&client).await;
    let logged = create(&pods(&client, &namespace), &pod("logged")).await;
    let uid = logged.metadata.uid.unwrap();
    logs.append(&uid, "main", b"hello\n");
    logs.close(&uid, "main");
    let kubectl = Kubectl::new(program, &server.kubeconfig(&listening.url()), &namespace);
    let commands = move || {
        kubectl.check("version", &["Server Version: v1.33"]);
        kubectl.check("logs logged", &["hello"]);
        kubectl.check("logs -f logged --tail=1", &["hello"]);
        commands(&kubectl);
    };
    tokio::task::spawn_blocking(commands).await.unwrap();
    listening.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_kubectl_works_without_special_flags() {
    let Some([cluster]) = real::clusters().await else { return };
    let Some(program) = program().await else { return };
    let client = cluster.admin();
    let namespace = namespace(&client).await;
    create(&pods(&client, &namespace), &pod("logged")).await;
    let kubectl = Kubectl::new(program, &cluster.kubeconfig("one", cluster.admin_token()), &namespace);
    tokio::task::spawn_blocking(move || commands(&kubectl)).await.unwrap();
}

async fn program() -> Option<Program> {
    let found = tokio::task::spawn_blocking(programs::kubectl).await.unwrap();
    if found.is_none() {
        println!("skipped: no kubectl");
    }
    found
}

/// There is a pod `logged`.
fn commands(kubectl: &Kubectl) {
    reading(kubectl);
    writing(kubectl);
    elsewhere(kubectl);
    ending(kubectl);
}

fn reading(kubectl: &Kubectl) {
    kubectl.check("api-resources", &["workflows", "wf", "pods", "po"]);
    kubectl.check("get namespaces", &["default", "kube-system", "Active"]);
    kubectl.check(
        "create -f all.yaml",
        &["configmap/map created", "pod/pod created", "workflow.argoproj.io/hello created"],
    );
    kubectl.refuses("create -f all.yaml", "Error from server (AlreadyExists): error when creating");
    kubectl.check("get wf", &["NAME", "STATUS", "AGE", "MESSAGE", "hello", "Running", "all is well"]);
    kubectl.check("get po -o wide", &["READY", "RESTARTS", "NODE", "0/1", "Pending"]);
    kubectl.check("get cm,secret,sa,pods -A", &["configmap/map", "serviceaccount/default", "kube-system"]);
    kubectl.check("get cm -l app=web -o name", &["configmap/map"]);
    kubectl.check("get workflow hello -o jsonpath={.status.phase}", &["Running"]);
    kubectl.check("describe pod pod", &["Name:", "pod", "Image:", "busybox", "Service Account:  default"]);
    kubectl.check("describe workflow hello", &["Entrypoint:  main", "Phase:"]);
    kubectl.check("get cm map -w --request-timeout=1s", &["map"]);
    kubectl.check("auth can-i create pods", &["yes"]);
    kubectl.refuses("get pod none", "Error from server (NotFound): pods \"none\" not found");
}

fn writing(kubectl: &Kubectl) {
    kubectl.check("apply -f all.yaml", &["configmap/map configured"]);
    kubectl.check(
        "apply -f all.yaml",
        &["configmap/map unchanged", "pod/pod unchanged", "workflow.argoproj.io/hello unchanged"],
    );
    kubectl.check("diff -f all.yaml", &[]);
    fs::write(kubectl.folder.path().join("map.yaml"), MANIFESTS.split("---").next().unwrap().replace("value", "other"))
        .unwrap();
    kubectl.check("apply -f map.yaml", &["configmap/map configured"]);
    kubectl.check("get cm map -o jsonpath={.data.key}", &["other"]);
    kubectl.check("apply --server-side --force-conflicts -f map.yaml", &["configmap/map serverside-applied"]);
    kubectl.check("apply --server-side -f map.yaml", &["configmap/map serverside-applied"]);
    kubectl.check("label pod pod x=y", &["pod/pod labeled"]);
    kubectl.check("annotate wf hello a=b", &["workflow.argoproj.io/hello annotate"]);
    kubectl.check("patch wf hello --type merge -p {\"spec\":{\"entrypoint\":\"other\"}}", &["patched"]);
    kubectl.check(
        "create configmap made --from-literal=a=b --dry-run=server",
        &["configmap/made created (server dry run)"],
    );
    kubectl.check("wait wf hello --for=jsonpath={.status.phase}=Running --timeout=5s", &["condition met"]);
    kubectl.check("explain workflow", &["KIND:       Workflow"]);
    kubectl.check("events", &[]);
    let wrong = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": {"containerz": []}});
    fs::write(kubectl.folder.path().join("wrong.json"), wrong.to_string()).unwrap();
    kubectl.refuses("create -f wrong.json", "strict decoding error: unknown field \"spec.containerz\"");
    kubectl.check("replace -f map.yaml", &["configmap/map replaced"]);
}

/// In a namespace that it makes and takes away.
fn elsewhere(kubectl: &Kubectl) {
    let extra = &real::cluster::unique("extra");
    kubectl.check(&format!("create namespace {extra}"), &[&format!("namespace/{extra} created")]);
    let in_extra = |command: &str, expected: &str| kubectl.check(&format!("{command} -n {extra}"), &[expected]);
    in_extra("create configmap made --from-literal=a=b", "configmap/made created");
    in_extra("create secret generic hidden --from-literal=a=b", "secret/hidden created");
    in_extra("get secret hidden -o jsonpath={.data.a}", "Yg==");
    in_extra("create sa robot", "serviceaccount/robot created");
    in_extra("create role reader --verb=get --resource=pods", "role.rbac.authorization.k8s.io/reader created");
    in_extra("create token robot", "eyJ");
    kubectl.check(&format!("delete namespace {extra}"), &[&format!("namespace \"{extra}\" deleted")]);
}

fn ending(kubectl: &Kubectl) {
    kubectl.check("delete -f all.yaml", &["configmap \"map\" deleted", "pod \"pod\" deleted"]);
    kubectl.check("get all", &["pod/logged"]);
    kubectl.check("delete pods --all", &["pod \"logged\" deleted"]);
}
