//! The made-up request that each module is tried on when it is loaded.

use crate::{
    api::ids::{DEFAULT_SERVICE_ACCOUNT, Target},
    policy::{
        consent::Landing,
        request::{Creates, PodJson, Request, Workflow},
    },
};

/// The answer to it does not matter, that there is one does.
pub fn request() -> Request {
    let name = "landfall-trial";
    let label = || name.parse().expect("a DNS label");
    Request {
        home: label(),
        workflow: Workflow {
            namespace: name.parse().expect("a DNS label"),
            name: name.to_owned(),
            uid: "00000000-0000-0000-0000-000000000000".to_owned(),
        },
        template: name.to_owned(),
        target: Target { cluster: label(), namespace: name.parse().expect("a DNS label") },
        service_account: DEFAULT_SERVICE_ACCOUNT.to_owned(),
        creates: Creates::Pod,
        pod: Some(PodJson::from(
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"landfall-trial"},"spec":{"containers":[]}}"#
                .to_owned(),
        )),
        attributes: Vec::new(),
        landing: Landing::Open,
    }
}
