//! Requests and policies for the tests of this folder.

use std::{path::Path, sync::Arc, time::Duration};

use landfall::{
    api::ids::Target,
    controller::authorize,
    policy::{
        Options, Policies,
        audit::Record,
        config::Config,
        consent::Landing,
        decision::Decision,
        request::{Creates, Request, Workflow},
        state::State,
    },
};
use tokio::sync::broadcast::Receiver;

/// Longer than anything takes here, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The request of a workflow in `namespace` for a pod in `target`, written `cluster/namespace`.
pub fn request(namespace: &str, target: &str) -> Request {
    let (cluster, target) = target.split_once('/').expect("cluster/namespace");
    Request {
        home: "default".parse().unwrap(),
        workflow: Workflow {
            namespace: namespace.parse().unwrap(),
            name: "multi-cluster-x7k2p".to_owned(),
            uid: "5a1e8b0c-8a6f-4c11-9a57-0c1b0a4a6a10".to_owned(),
        },
        template: "other".to_owned(),
        target: Target { cluster: cluster.parse().unwrap(), namespace: target.parse().unwrap() },
        service_account: "workflow".to_owned(),
        creates: Creates::Pod,
        pod: None,
        attributes: Vec::new(),
        landing: Landing::Open,
    }
}

/// The configuration of these two texts.
pub fn config(namespace_roles: Option<&str>, policies: Option<&str>) -> Config {
    Config::parse(namespace_roles, policies).unwrap().0
}

/// The policy of the folder at `path`, which is looked at only when there is an event, or `configure` is called.
pub fn of_folder(path: &Path, policies: &str) -> Policies {
    let config = config(None, Some(policies));
    let rescan = Duration::from_secs(3600);
    Policies::start(Options { folder: Some(path.to_owned()), config, rescan, ..Options::default() }).unwrap()
}

/// The state, once it is as `expected` says.
pub fn wait(policies: &Policies, expected: impl FnMut(&State) -> bool) -> State {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut states = policies.subscribe_state();
    let waited = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, states.wait_for(expected)).await.ok()?.ok().map(|state| state.clone())
    });
    waited.unwrap_or_else(|| panic!("not within {PATIENCE:?}: {:?}", policies.state()))
}

/// The next record; it is told when the shadows were asked.
pub fn next(records: &mut Receiver<Arc<Record>>) -> Arc<Record> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let next = runtime.block_on(async { tokio::time::timeout(PATIENCE, records.recv()).await });
    next.unwrap_or_else(|_| panic!("no record within {PATIENCE:?}")).unwrap()
}

/// What a denial of `request` says: its module, code and generation; or that it is allowed.
pub fn ask(policies: &Policies, template: &str) -> String {
    let decision =
        policies.decide_blocking(&Request { template: template.to_owned(), ..request("argo", "default/argo") });
    let generation = decision.generation;
    format!("{} {} {generation}", decision.module, decision.code().unwrap_or("allow"))
}

/// What the node's message says of a decision, or `allow`.
pub fn told(decision: Decision) -> String {
    authorize::denial(decision).map_or_else(|| "allow".to_owned(), |denial| denial.to_string())
}

/// The built-in module with these roles.
pub fn builtin(namespace_roles: Option<&str>) -> Policies {
    Policies::start(Options { config: config(namespace_roles, None), ..Options::default() }).unwrap()
}
