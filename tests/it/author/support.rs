//! Requests for the tests of this folder.

use landfall::{
    api::ids::Target,
    policy::{
        consent::Landing,
        request::{Creates, Request, Workflow},
    },
};

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
