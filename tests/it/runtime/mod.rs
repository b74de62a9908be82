//! Pods as processes: each test creates pods in an embedded cluster and looks at what becomes of them.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::{Api, Client, ResourceExt, api::PostParams, runtime::wait::await_condition};
use landfall::local::{
    apiserver::{self, ApiServer},
    logs::{Logs, Piece},
    runtime::{Options, Runtime, images::ImageCommand},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

mod containers;
mod endings;
mod volumes;

/// Longer than any pod here takes on a busy machine: a test that hangs says where.
const PATIENCE: Duration = Duration::from_secs(60);

/// An embedded cluster whose pods run.
struct Cluster {
    client: Client,
    logs: Logs,
    images: watch::Sender<BTreeMap<String, ImageCommand>>,
    runtime: Runtime,
    folder: PathBuf,
    _parent: TempDir,
}

impl Cluster {
    fn start() -> Cluster {
        let logs = Logs::default();
        let options =
            apiserver::Options { name: "test".to_owned(), logs: logs.clone(), ..apiserver::Options::default() };
        let client = ApiServer::new(options).client();
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("runtime");
        let images = watch::Sender::new(BTreeMap::new());
        let mut options = Options::new(PathBuf::from(env!("CARGO_BIN_EXE_landfall")));
        options.folder = folder.clone();
        options.images = images.subscribe();
        let runtime = Runtime::start(client.clone(), logs.clone(), options).unwrap();
        Cluster { client, logs, images, runtime, folder, _parent: parent }
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    async fn create(&self, name: &str, spec: Value) -> Pod {
        let pod = json!({"metadata": {"name": name, "labels": {"l": "v"}}, "spec": with_images(spec)});
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
    }

    async fn put<K>(&self, object: Value)
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        Api::<K>::default_namespaced(self.client.clone()).create(&PostParams::default(), &object).await.unwrap();
    }

    /// Waits until the pod is as wanted.
    async fn when(&self, name: &str, wanted: impl Fn(&Pod) -> bool + Send) -> Pod {
        let reached = await_condition(self.pods(), name, |pod: Option<&Pod>| pod.is_some_and(&wanted));
        match timeout(PATIENCE, reached).await {
            Ok(pod) => pod.unwrap().unwrap(),
            Err(_) => panic!("{name} stays as {:#?}", self.pods().get(name).await.unwrap().status),
        }
    }

    async fn gone(&self, name: &str) {
        let gone = await_condition(self.pods(), name, |pod: Option<&Pod>| pod.is_none());
        timeout(PATIENCE, gone).await.expect("the pod goes").unwrap();
    }

    async fn ended(&self, name: &str) -> Pod {
        self.when(name, |pod| matches!(phase(pod), "Succeeded" | "Failed")).await
    }

    async fn log(&self, name: &str, container: &str) -> String {
        let pod = self.pods().get(name).await.unwrap();
        let printed = self.logs.read(&pod.uid().unwrap(), container);
        printed.map(|printed| String::from_utf8_lossy(&printed.bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until a container has printed that.
    async fn printed(&self, pod: &Pod, container: &str, text: &str) {
        use futures::StreamExt;
        let mut output = std::pin::pin!(self.logs.follow(&pod.uid().unwrap(), container));
        let mut all = String::new();
        let found = async {
            while !all.contains(text) {
                match output.next().await.expect("more output") {
                    Piece::Printed(printed) => all.push_str(&String::from_utf8_lossy(&printed.bytes)),
                    Piece::Gap(bytes) => panic!("{bytes} bytes are missing after {all}"),
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the container prints it");
    }

    /// Creates a pod, waits for its end, compares what became of it and what each container printed.
    async fn check(&self, name: &str, spec: Value, expected: &str) {
        self.create(name, spec).await;
        let pod = self.ended(name).await;
        let mut told = described(&pod);
        for container in &pod.spec.as_ref().unwrap().containers {
            for line in self.log(name, &container.name).await.lines() {
                told.push_str(&format!("\n{}> {line}", container.name));
            }
        }
        assert_eq!(told, expected, "{name}");
    }
}

/// A container without an image gets one: it doesn't matter to a container that has a command.
fn with_images(mut spec: Value) -> Value {
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let container = container.as_object_mut().unwrap();
            container.entry("image").or_insert(json!("busybox"));
        }
    }
    if spec.get("restartPolicy").is_none() {
        spec["restartPolicy"] = json!("Never");
    }
    spec
}

/// A pod with one container `main` that runs a shell script.
fn shell(script: &str) -> Value {
    json!({"containers": [{"name": "main", "command": ["sh", "-c", script]}]})
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Phase, reason and message, then a line for each container.
fn described(pod: &Pod) -> String {
    let status = pod.status.as_ref().unwrap();
    let mut told = phase(pod).to_owned();
    for text in [&status.reason, &status.message].into_iter().flatten() {
        told.push_str(&format!(": {text}"));
    }
    let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    for container in all {
        let state = container.state.as_ref().unwrap();
        told.push_str(&format!("\n{}: {}", container.name, state_of(state)));
        if container.restart_count != 0 {
            told.push_str(&format!(", restarts {}", container.restart_count));
        }
    }
    told
}

fn state_of(state: &ContainerState) -> String {
    let message = |text: &Option<String>| text.as_ref().map(|text| format!(" {text:?}")).unwrap_or_default();
    match (&state.waiting, &state.running, &state.terminated) {
        (Some(waiting), _, _) => waiting.reason.clone().unwrap() + &message(&waiting.message),
        (_, Some(_), _) => "running".to_owned(),
        (_, _, Some(ended)) => {
            format!("{} {}{}", ended.reason.as_ref().unwrap(), ended.exit_code, message(&ended.message))
        }
        (None, None, None) => "nothing".to_owned(),
    }
}
