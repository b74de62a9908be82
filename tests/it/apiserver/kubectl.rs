//! The real kubectl against the embedded server, without special flags.

use std::{fs, path::PathBuf, process::Output};

use landfall::local::{
    apiserver::{ApiServer, Options},
    logs::Logs,
};
use serde_json::json;

use crate::{
    apiserver::{create, pod, pods},
    real::programs::{self, Program},
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
    folder: PathBuf,
}

impl Kubectl {
    fn run(&self, arguments: &str) -> Output {
        let config = self.folder.join("config");
        let mut command = self.program.command();
        command.arg("--kubeconfig").arg(config).arg("--cache-dir").arg(self.folder.join("cache"));
        command.args(arguments.split_whitespace()).current_dir(&self.folder).env("HOME", &self.folder);
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
async fn kubectl_works_without_special_flags() {
    let Some(kubectl) = tokio::task::spawn_blocking(programs::kubectl).await.unwrap() else {
        println!("skipped: no kubectl");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::default();
    let server = ApiServer::new(Options { name: "one".to_owned(), logs: logs.clone(), ..Options::default() });
    let listening = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    fs::write(folder.path().join("config"), server.kubeconfig(&listening.url())).unwrap();
    fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
    let logged = create(&pods(&server.client(), "default"), &pod("logged")).await;
    let uid = logged.metadata.uid.unwrap();
    logs.append(&uid, "main", b"hello\n");
    logs.close(&uid, "main");
    let kubectl = Kubectl { program: kubectl, folder: folder.path().to_owned() };
    tokio::task::spawn_blocking(move || commands(&kubectl)).await.unwrap();
    listening.shutdown().await;
}

fn commands(kubectl: &Kubectl) {
    reading(kubectl);
    writing(kubectl);
}

fn reading(kubectl: &Kubectl) {
    kubectl.check("version", &["Server Version: v1.33"]);
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
    kubectl.check("logs logged", &["hello"]);
    kubectl.check("logs -f logged --tail=1", &["hello"]);
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
    fs::write(kubectl.folder.join("map.yaml"), MANIFESTS.split("---").next().unwrap().replace("value", "other"))
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
    kubectl.check("create namespace extra", &["namespace/extra created"]);
    kubectl.check("create configmap made -n extra --from-literal=a=b", &["configmap/made created"]);
    kubectl.check("create secret generic hidden -n extra --from-literal=a=b", &["secret/hidden created"]);
    kubectl.check("get secret hidden -n extra -o jsonpath={.data.a}", &["Yg=="]);
    kubectl.check("create sa robot -n extra", &["serviceaccount/robot created"]);
    kubectl.check(
        "create role reader -n extra --verb=get --resource=pods",
        &["role.rbac.authorization.k8s.io/reader created"],
    );
    kubectl.check("create token robot -n extra", &["eyJ"]);
    kubectl.check("wait wf hello --for=jsonpath={.status.phase}=Running --timeout=5s", &["condition met"]);
    kubectl.check("explain workflow", &["KIND:       Workflow"]);
    kubectl.check("events", &[]);
    kubectl.check("delete namespace extra", &["namespace \"extra\" deleted"]);
    let wrong = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}, "spec": {"containerz": []}});
    fs::write(kubectl.folder.join("wrong.json"), wrong.to_string()).unwrap();
    kubectl.refuses("create -f wrong.json", "strict decoding error: unknown field \"spec.containerz\"");
    kubectl.check("replace -f map.yaml", &["configmap/map replaced"]);
    kubectl.check("delete -f all.yaml", &["configmap \"map\" deleted", "pod \"pod\" deleted"]);
    kubectl.check("get all", &["pod/logged"]);
    kubectl.check("delete pods --all", &["pod \"logged\" deleted"]);
}
