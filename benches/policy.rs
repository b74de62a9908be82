//! What a decision costs: the built-in module with 1,000 rules, a fresh instance each time, beside the same rules called
//! natively. The bar is a median of 15 µs.

use std::sync::Arc;

use divan::Bencher;
use landfall::{
    api::ids::Target,
    policy::{
        host::Host,
        module::{Module, Prepared},
        request::{Creates, Request, Workflow},
        roles::{Entry, Roles, Rule},
        store::BUILTIN,
    },
};

const RULES: usize = 1000;

fn main() {
    divan::main();
}

/// A hundred tenants with ten rules each.
fn settings() -> serde_json::Value {
    let rule = |tenant: usize, rule: usize| Rule {
        cluster_names: vec![format!("cluster-{}", rule % 20), "default".to_owned()],
        namespaces: vec![format!("team-{tenant}"), format!("team-{tenant}-{rule}")],
    };
    let entries = (0..RULES / 10)
        .map(|tenant| Entry {
            namespace: format!("team-{tenant}"),
            rules: (0..10).map(|number| rule(tenant, number)).collect(),
        })
        .collect();
    Roles::Entries(entries).to_settings()
}

fn request(namespace: &str) -> Request {
    Request {
        home: "default".parse().expect("a label"),
        workflow: Workflow {
            namespace: "team-42".parse().expect("a label"),
            name: "multi-cluster-x7k2p".to_owned(),
            uid: "5a1e8b0c-8a6f-4c11-9a57-0c1b0a4a6a10".to_owned(),
        },
        template: "other".to_owned(),
        target: Target {
            cluster: "cluster-7".parse().expect("a label"),
            namespace: namespace.parse().expect("a label"),
        },
        service_account: "workflow".to_owned(),
        creates: Creates::Pod,
        pod: None,
        attributes: Vec::new(),
    }
}

fn module(host: &Host) -> Module {
    let prepared = Prepared::new(host, Arc::from(BUILTIN)).expect("the built-in module compiles");
    prepared.configure(host, "builtin", &settings()).expect("the built-in module takes its settings")
}

#[divan::bench(args = [("allow", "team-42-7"), ("deny", "elsewhere")], sample_count = 2000, sample_size = 10)]
fn fresh_instance(bencher: Bencher, (_, namespace): (&str, &str)) {
    let host = Host::new().expect("the engine starts");
    let module = module(&host);
    let request = request(namespace);
    bencher.bench_local(|| module.ask(&host, &request));
}

#[divan::bench(threads = [2], sample_count = 2000, sample_size = 10)]
fn fresh_instance_on_two_threads(bencher: Bencher) {
    let host = Host::new().expect("the engine starts");
    let module = module(&host);
    let request = request("team-42-7");
    bencher.bench(|| module.ask(&host, &request));
}

#[divan::bench(args = [("allow", "team-42-7"), ("deny", "elsewhere")])]
fn native(bencher: Bencher, (_, namespace): (&str, &str)) {
    let rules = landfall_policy_builtin::configure(&settings().to_string()).expect("the settings are right");
    let request = request(namespace);
    bencher.bench_local(|| {
        landfall_policy_builtin::authorize(
            &rules,
            &landfall_policy_builtin::Request {
                home: request.home.as_str(),
                workflow_namespace: request.workflow.namespace.as_str(),
                cluster: request.target.cluster.as_str(),
                namespace: request.target.namespace.as_str(),
            },
        )
    });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn load(bencher: Bencher) {
    let host = Host::new().expect("the engine starts");
    bencher.bench_local(|| module(&host));
}
