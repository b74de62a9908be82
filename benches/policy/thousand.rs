//! A thousand rules, and what is asked of them.

use landfall::{
    api::ids::Target,
    policy::{
        consent::Landing,
        request::{Creates, Request, Workflow},
        roles::{Entry, Roles, Rule},
    },
};

/// Rules in all.
pub const RULES: usize = 1000;
/// Rules of one tenant.
const RULES_OF_TENANT: usize = 10;
/// The namespace of the workflow that asks.
pub const TENANT: &str = "team-42";
/// The cluster that it asks for.
pub const CLUSTER: &str = "cluster-7";
/// A namespace there that a rule allows.
pub const ALLOWED: &str = "team-42-7";
/// A namespace there that no rule allows.
pub const DENIED: &str = "elsewhere";

/// The built-in module's settings: a hundred tenants with ten rules each. Another `variant` differs in one name.
pub fn settings(variant: usize) -> serde_json::Value {
    let rule = |tenant: usize, rule: usize| Rule {
        cluster_names: vec![format!("cluster-{}", rule % 20), "default".to_owned()],
        namespaces: vec![
            format!("team-{tenant}"),
            if (tenant, rule) == (0, 0) { format!("variant-{variant}") } else { format!("team-{tenant}-{rule}") },
        ],
    };
    let tenants = 0..RULES / RULES_OF_TENANT;
    let entries = tenants.map(|tenant| Entry {
        namespace: format!("team-{tenant}"),
        rules: (0..RULES_OF_TENANT).map(|number| rule(tenant, number)).collect(),
    });
    Roles::Entries(entries.collect()).to_settings()
}

/// A pod of the tenant in `namespace` of the cluster.
pub fn request(namespace: &str) -> Request {
    Request {
        home: "default".parse().expect("a label"),
        workflow: Workflow {
            namespace: TENANT.parse().expect("a label"),
            name: "multi-cluster-x7k2p".to_owned(),
            uid: "5a1e8b0c-8a6f-4c11-9a57-0c1b0a4a6a10".to_owned(),
        },
        template: "other".to_owned(),
        target: Target { cluster: CLUSTER.parse().expect("a label"), namespace: namespace.parse().expect("a label") },
        service_account: "workflow".to_owned(),
        creates: Creates::Pod,
        pod: None,
        attributes: Vec::new(),
        landing: Landing::Open,
    }
}
