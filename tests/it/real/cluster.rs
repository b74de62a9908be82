//! One real cluster: etcd, kube-apiserver, kube-controller-manager. No scheduler and no kubelet.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Namespace, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::real::{
    access::{self, Access, User},
    audit,
    processes::{Group, Process},
    programs::Programs,
};

/// Longer than a start takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at something that has no watch.
const TURN: Duration = Duration::from_millis(50);
/// Below those that the system hands out, so that nobody else takes the port of a server that is down.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// What tests and the set-ups of users need. Those that look after nodes would take pods away, as there are none.
const CONTROLLERS: &[&str] = &[
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "persistentvolumeclaim-protection-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
];

/// A cluster. It ends when this is dropped.
pub struct RealCluster {
    access: Access,
    programs: Programs,
    port: u16,
    etcd_port: u16,
    apiserver_flags: Vec<String>,
    users_given: AtomicUsize,
    // In the order in which they end.
    manager: Mutex<Option<Process>>,
    apiserver: Mutex<Option<Process>>,
    etcd: Mutex<Option<Process>>,
    group: Group,
    /// What limits how many there are at once.
    pub(in crate::real) permit: Option<tokio::sync::SemaphorePermit<'static>>,
}

impl RealCluster {
    /// A new one, with more flags for its API server.
    pub(in crate::real) async fn start_new(programs: Programs, apiserver_flags: &[&str]) -> RealCluster {
        let group = Group::new();
        let port = free_port();
        let access = Access::new(group.folder(), port);
        fs::write(group.folder().join("audit.yaml"), audit::POLICY).unwrap();
        let cluster = RealCluster {
            access,
            programs,
            port,
            etcd_port: free_port(),
            apiserver_flags: apiserver_flags.iter().map(|&flag| flag.to_owned()).collect(),
            users_given: AtomicUsize::new(0),
            manager: Mutex::new(None),
            apiserver: Mutex::new(None),
            etcd: Mutex::new(None),
            group,
            permit: None,
        };
        cluster.run_etcd();
        cluster.start().await;
        cluster.run_manager();
        cluster.has_begun().await;
        cluster
    }

    /// The URL of the API server. It stays the same over restarts.
    pub fn url(&self) -> String {
        self.access.url()
    }

    /// Whom to trust, as PEM.
    pub fn ca_pem(&self) -> String {
        self.access.ca_pem()
    }

    /// A new client with all rights, which audit doesn't see. It belongs to the runtime that it is made in.
    pub fn admin(&self) -> Client {
        self.client_for_token(&self.access.admin_token)
    }

    /// The token of the administrator, which audit doesn't see.
    pub fn admin_token(&self) -> &str {
        &self.access.admin_token
    }

    /// A new client with the rights of a token. It belongs to the runtime that it is made in.
    pub fn client_for_token(&self, token: &str) -> Client {
        self.access.client(token)
    }

    /// A kubeconfig as YAML: one context, named like the cluster and the user in it.
    pub fn kubeconfig(&self, name: &str, token: &str) -> String {
        self.access.kubeconfig(name, token)
    }

    /// What the Secret `clusters` holds: client-go's rest.Config as JSON.
    pub fn rest_config(&self, token: &str) -> serde_json::Value {
        self.access.rest_config(token)
    }

    /// A user whom nobody else was given, without any right.
    pub fn new_user(&self) -> User {
        let index = self.users_given.fetch_add(1, Ordering::Relaxed);
        self.access.users.get(index).expect("as many users as tests need").clone()
    }

    /// A token of a service account, by TokenRequest. Its user is `system:serviceaccount:NAMESPACE:NAME`.
    pub async fn account_token(&self, namespace: &str, name: &str) -> String {
        access::account_token(self.admin(), namespace, name).await
    }

    /// Makes a namespace whose name nobody else has, and waits until pods can be created there.
    pub async fn namespace(&self, prefix: &str) -> String {
        let name = unique(prefix);
        self.make_namespace(&name).await;
        name
    }

    /// Makes a namespace of just this name, and waits until pods can be created there.
    pub async fn make_namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.admin());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        self.account_is_there(name).await;
    }

    /// Installs the CRDs of `manifests/crds` and waits until they are served. The clusters of a run have them.
    pub async fn install_crds(&self) {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.admin());
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("manifests/crds");
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let definition: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            // Beside them lies what lists them for kustomize.
            if definition["kind"] != "CustomResourceDefinition" {
                continue;
            }
            let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
            let parameters = PatchParams::apply("tests").force();
            definitions.patch(&name, &parameters, &Patch::Apply(definition)).await.unwrap();
            names.push(name);
        }
        for name in names {
            until(&name, async || is_established(definitions.get(&name).await.unwrap())).await;
        }
    }

    /// What a user asked for so far, in the order of the answers.
    pub fn audit(&self, user: &str) -> Vec<audit::Entry> {
        audit::read(&self.group.folder().join("audit.log"), user)
    }

    /// Kills the API server, as a crash would. Connections break, and new ones are refused.
    pub fn stop(&self) {
        drop(self.apiserver.lock().unwrap().take().expect("it runs"));
    }

    /// Starts the API server where it was, with the data that it had, and waits until it is ready.
    pub async fn start(&self) {
        let process = self.group.spawn("kube-apiserver", self.apiserver_command());
        assert!(self.apiserver.lock().unwrap().replace(process).is_none(), "it is stopped");
        self.is_ready().await;
    }

    /// Stops the API server in its tracks: connections stay, and nothing is answered.
    pub fn freeze(&self) {
        self.apiserver.lock().unwrap().as_ref().expect("it runs").freeze();
    }

    /// Lets a frozen API server go on.
    pub fn thaw(&self) {
        self.apiserver.lock().unwrap().as_ref().expect("it runs").thaw();
    }

    /// Restarts the API server and forgets all history, so that every `resourceVersion` and `continue` token from before
    /// is answered 410. (A server that goes on remembers the latest changes itself, whatever etcd has forgotten.)
    pub async fn compact(&self) {
        self.stop();
        let range = self.etcd("/v3/kv/range", json!({"key": "AA=="})).await;
        let revision = range["header"]["revision"].as_str().unwrap().to_owned();
        self.etcd("/v3/kv/compaction", json!({"revision": revision, "physical": true})).await;
        self.start().await;
    }

    /// Puts another, empty cluster behind the same address, with the same certificate and tokens.
    pub async fn replace(&self) {
        drop(self.manager.lock().unwrap().take());
        drop(self.apiserver.lock().unwrap().take());
        drop(self.etcd.lock().unwrap().take());
        fs::remove_dir_all(self.group.folder().join("etcd")).unwrap();
        self.run_etcd();
        self.start().await;
        self.run_manager();
        self.has_begun().await;
    }

    fn run_etcd(&self) {
        let mut command = self.programs.etcd.command();
        let url = format!("http://127.0.0.1:{}", self.etcd_port);
        command.args(["--data-dir=etcd", "--listen-peer-urls=http://127.0.0.1:0", "--unsafe-no-fsync"]);
        command.arg(format!("--listen-client-urls={url}")).arg(format!("--advertise-client-urls={url}"));
        command.args(["--log-level=error", "--max-request-bytes=10485760"]);
        *self.etcd.lock().unwrap() = Some(self.group.spawn("etcd", command));
    }

    fn apiserver_command(&self) -> Command {
        let mut command = self.programs.apiserver.command();
        command.arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port));
        command.arg(format!("--secure-port={}", self.port));
        command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
        command.args(["--cert-dir=certificates", "--service-cluster-ip-range=10.0.0.0/24"]);
        // It makes this key with its certificate, before it reads it.
        let key = "certificates/apiserver.key";
        command.arg(format!("--service-account-signing-key-file={key}"));
        command.arg(format!("--service-account-key-file={key}"));
        command.args(["--service-account-issuer=https://kubernetes.default.svc", "--token-auth-file=tokens.csv"]);
        command.args(["--authorization-mode=RBAC", "--audit-policy-file=audit.yaml", "--audit-log-path=audit.log"]);
        // Ready means that no watch is refused by 429 because the server hasn't read what there is.
        command.arg("--feature-gates=WatchCacheInitializationPostStartHook=true");
        command.args(&self.apiserver_flags);
        command
    }

    fn run_manager(&self) {
        let kubeconfig = self.kubeconfig("manager", &self.access.manager_token);
        fs::write(self.group.folder().join("manager.yaml"), kubeconfig).unwrap();
        let mut command = self.programs.manager.command();
        command.args(["--kubeconfig=manager.yaml", "--leader-elect=false", "--secure-port=0"]);
        command.args(["--root-ca-file=certificates/apiserver.crt", "--kube-api-qps=1000", "--kube-api-burst=2000"]);
        command.arg(format!("--controllers={}", CONTROLLERS.join(",")));
        *self.manager.lock().unwrap() = Some(self.group.spawn("kube-controller-manager", command));
    }

    async fn is_ready(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.answers().await {
            self.nothing_ended();
            if until < Instant::now() {
                let words = self.apiserver.lock().unwrap().as_ref().map(Process::last_words);
                panic!("the API server isn't ready: {}", words.unwrap_or_default());
            }
            sleep(TURN).await;
        }
    }

    /// Whether the API server is ready.
    async fn answers(&self) -> bool {
        // Its certificate is there when it has made one.
        if !self.access.ca_file().is_file() {
            return false;
        }
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        self.admin().request_text(request).await.is_ok()
    }

    fn nothing_ended(&self) {
        for process in [&self.etcd, &self.apiserver, &self.manager] {
            let ended = process.lock().unwrap().as_mut().and_then(Process::ended);
            assert!(ended.is_none(), "it ended: {}", ended.unwrap());
        }
    }

    /// The namespaces that every cluster has come one by one, and after the server is ready.
    async fn has_begun(&self) {
        for namespace in ["kube-system", "default"] {
            self.account_is_there(namespace).await;
        }
    }

    async fn account_is_there(&self, namespace: &str) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), namespace);
        let what = format!("service account of {namespace}");
        until(&what, async || {
            self.nothing_ended();
            accounts.get_opt("default").await.unwrap().is_some()
        })
        .await;
    }

    /// Asks etcd through its JSON gateway.
    async fn etcd(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.etcd_port)).await.unwrap();
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    }
}

/// A name that nobody else has.
pub fn unique(prefix: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &id[..8])
}

fn is_established(definition: CustomResourceDefinition) -> bool {
    let conditions = definition.status.and_then(|status| status.conditions).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < until, "it never came true: {what}");
        sleep(TURN).await;
    }
}

fn free_port() -> u16 {
    let mut candidates = std::iter::repeat_with(|| fastrand::u16(PORTS));
    candidates.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("it goes on")
}
