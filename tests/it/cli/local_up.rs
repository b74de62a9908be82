//! `landfall local up`, with kubectl as its client where the machine has it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::await_condition,
};
use landfall::{
    api::workflow::Workflow,
    policy::{audit::Record, store::BUILTIN},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cli::binary::{argosay, file, landfall, text},
    support::modules,
};

/// How long a line may take to come on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const EXAMPLE: &str = "manifests/examples/multi-cluster.yaml";

/// A running `local up`; dropping it kills it.
struct Up {
    child: Child,
    lines: Receiver<String>,
    reach: Value,
}

impl Up {
    /// Starts it and reads how its clusters are reached.
    fn start(arguments: &[&str]) -> Up {
        Up::logging("warn", arguments)
    }

    /// The same, with more or less in the log.
    fn logging(level: &str, arguments: &[&str]) -> Up {
        let arguments = [&["local", "up", "-o", "json"], arguments].concat();
        let mut child = landfall(&arguments)
            .env("LANDFALL_LOG", level)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            text += &line;
            if line == "}" {
                break;
            }
        }
        let lines = lines_of(child.stderr.take().unwrap());
        Up { reach: serde_json::from_str(&text).unwrap(), child, lines }
    }

    /// Waits until it says something with this text; gives back that line.
    #[track_caller]
    fn says(&mut self, text: &str) -> String {
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => others.push(line),
                Err(error) => panic!("{error}: it does not say {text:?}, but: {others:#?}"),
            }
        }
    }

    fn cluster(&self, name: &str) -> &Value {
        let clusters = self.reach["clusters"].as_array().unwrap();
        clusters.iter().find(|cluster| cluster["name"] == name).unwrap()
    }

    fn kubectl(&self, cluster: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("kubectl");
        command.args(["--kubeconfig", self.cluster(cluster)["kubeconfig"].as_str().unwrap()]).args(arguments);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
    }

    #[track_caller]
    fn kubectl_says(&self, cluster: &str, arguments: &[&str], expected: &str) {
        let output = self.kubectl(cluster, arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "kubectl {arguments:?} in {cluster}: {said}");
    }

    /// Creates a workflow of one pod.
    fn run(&self, name: &str) {
        let (_folder, path) = file("one.yaml", &argosay(name, "[echo]"));
        self.kubectl_says("default", &["-n", "argo", "create", "-f", text(&path)], "created");
    }

    /// Sends what Ctrl-C sends; gives back the exit status.
    fn interrupt(&mut self) -> Option<i32> {
        let signalled = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
        self.child.wait().unwrap().code()
    }
}

/// Lines as they come; a thread reads them, so that a test can stop to wait.
fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    receiver
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn has_kubectl() -> bool {
    let found = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    if !found {
        println!("skipped: this machine has no kubectl");
    }
    found
}

#[test]
fn kubeconfigs_are_removed_at_the_end() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("new");
    let mut up = Up::start(&["--kubeconfigs", text(&folder)]);
    assert!(folder.join("default.yaml").is_file());
    assert_eq!(up.interrupt(), Some(130));
    assert!(!folder.exists());
}

#[test]
fn a_port_in_use_is_told_and_nothing_is_written() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("new");
    let output = landfall(&["local", "up", "--port", &port, "--kubeconfigs", text(&folder)])
        .env("TMPDIR", parent.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with(&format!("error: listening on 127.0.0.1:{port}: ")), "{said}");
    assert!(said.contains("\nhint: pick another --port"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn kubectl_reaches_every_cluster() {
    if !has_kubectl() {
        return;
    }
    let folder = TempDir::new().unwrap();
    // One that stays from an earlier run, and that others can read.
    fs::write(folder.path().join("other.yaml"), "").unwrap();
    let mut up = Up::start(&[EXAMPLE, "--kubeconfigs", folder.path().to_str().unwrap()]);
    let kubeconfig = Path::new(up.cluster("other")["kubeconfig"].as_str().unwrap()).to_owned();
    assert!(kubeconfig.starts_with(folder.path()));
    assert_eq!(fs::metadata(kubeconfig).unwrap().permissions().mode() & 0o777, 0o600);
    let finished =
        ["-n", "argo", "wait", "workflow", "--all", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"];
    up.kubectl_says("default", &finished, "condition met");
    up.kubectl_says("other", &["-n", "argo", "get", "pods"], "Completed");
    up.kubectl_says("other", &["-n", "argo", "logs", "-l", "workflows.argoproj.io/workflow"], "hello argo");
    up.kubectl_says("default", &["-n", "argo", "delete", "workflows", "--all", "--timeout=30s"], "deleted");
    up.kubectl_says("other", &["-n", "argo", "get", "pods"], "No resources found");
    assert_eq!(up.interrupt(), Some(130));
}

#[test]
fn a_module_takes_force_while_it_runs() {
    if !has_kubectl() {
        return;
    }
    let policies = TempDir::new().unwrap();
    let gate = policies.path().join("gate.wasm");
    fs::write(&gate, BUILTIN).unwrap();
    let mut up = Up::start(&["--cluster", "other", "--policies", policies.path().to_str().unwrap()]);
    up.says("generation 1 in force: builtin, gate");
    up.run("before");
    up.says("allow default/argo to template main: module builtin+gate, generation 1");
    fs::write(&gate, modules::DENY_ALL).unwrap();
    up.says("generation 2 in force: builtin, gate");
    up.run("after");
    up.says("deny default/argo to template main: module gate, generation 2, deny-all");
    fs::write(&gate, "not a component").unwrap();
    assert!(up.says("refused: ").contains("generation 2 in force"));
    assert_eq!(up.interrupt(), Some(130));
}

#[test]
fn a_refused_set_is_logged_and_told_over_http() {
    let policies = TempDir::new().unwrap();
    let site = policies.path().join("site.wasm");
    fs::write(&site, modules::DENY_ALL).unwrap();
    let mut up = Up::logging("info", &["--policies", text(policies.path()), "--listen", "127.0.0.1:0"]);
    let line = up.says("serving /healthz, /readyz and /metrics address=");
    let address = line.rsplit('=').next().unwrap().to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    fs::write(&site, modules::core_module()).unwrap();
    let line = up.says("new policy refused");
    for part in [" WARN ", "generation=1", "module=\"site\"", "site.wasm\"", "a core module", " hint=\""] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    let ready = get("/readyz");
    assert!(ready.contains("policy refused: policy module \"site\"") && ready.contains("\nhint: "), "{ready}");
    assert!(get("/metrics").contains("\nlandfall_policy_refused{reason=\"ModuleRefused\"} 1\n"));
    assert!(get("/nothing").starts_with("HTTP/1.1 404 "));
    fs::remove_file(&site).unwrap();
    up.says("new policy refused");
    fs::write(&site, BUILTIN).unwrap();
    up.says("policy is in force generation=2");
    assert_eq!(up.interrupt(), Some(130));
}

#[test]
fn a_controller_from_outside_records_to_stdout_until_it_ends() {
    let mut up = Up::start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(client(Path::new(up.cluster("default")["kubeconfig"].as_str().unwrap())));
    // It works on what bears its ID, and the one of `local up` doesn't.
    runtime.block_on(async {
        let namespace = json!({"metadata": {"name": "second"}});
        create(&Api::<Namespace>::all(client.clone()), namespace).await;
        let configuration =
            json!({"metadata": {"name": "workflow-controller-configmap"}, "data": {"instanceID": "second"}});
        create(&Api::<ConfigMap>::namespaced(client.clone(), "second"), configuration).await;
    });
    let records = |name: &str, arguments: &[&str]| {
        let stdout = recorded(&up, arguments, || runtime.block_on(succeeds(&client, name)));
        let records: Vec<Record> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(records.iter().all(|record| record.request.workflow.name == name), "{stdout}");
        records.len()
    };
    // Without a word they go to stdout.
    assert_eq!(records("recorded", &[]), 1);
    assert_eq!(records("recorded-too", &["--decision-records", "stdout"]), 1);
    assert_eq!(records("not-recorded", &["--decision-records", "off"]), 0);
    assert_eq!(up.interrupt(), Some(130));
}

/// What another controller of the same cluster writes to stdout from its start to its end, in which it sees `work` done.
fn recorded(up: &Up, arguments: &[&str], work: impl FnOnce()) -> String {
    let kubeconfig = up.cluster("default")["kubeconfig"].as_str().unwrap();
    let outside = ["controller", "--kubeconfig", kubeconfig, "--namespace", "second", "--listen", "127.0.0.1:0"];
    let mut second =
        landfall(&[&outside, arguments].concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = lines_of(second.stderr.take().unwrap());
    while !log.recv_timeout(PATIENCE).unwrap().contains("controller is running") {}
    work();
    let signalled = Command::new("kill").args(["-INT", &second.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// A workflow of one pod, for the second controller, which it brings to its end.
async fn succeeds(client: &Client, name: &str) {
    let api: Api<Workflow> = Api::namespaced(client.clone(), "argo");
    let mut workflow: Value = serde_saphyr::from_str(&argosay(name, "[echo]")).unwrap();
    workflow["metadata"]["labels"] = json!({"workflows.argoproj.io/controller-instanceid": "second"});
    create(&api, workflow).await;
    let succeeded = |found: Option<&Workflow>| found.is_some_and(|found| found.status.phase.to_string() == "Succeeded");
    tokio::time::timeout(PATIENCE, await_condition(api, name, succeeded)).await.unwrap().unwrap();
}
