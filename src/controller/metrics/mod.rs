//! Numbers about what the controller does, in the text form that Prometheus reads. Labels are outcomes, and the few names
//! that the operator gave to modules; never the name of a workflow, a namespace or a pod.
//!
//! What happens is counted when it happens; what is so is read when somebody asks. Serving them is not here (`health`).

pub mod policy;
pub mod workflows;

use std::sync::Arc;

use prometheus_client::{encoding, registry::Registry};

use crate::controller::{Controller, metrics::workflows::Standing};

/// What stands before the names of numbers that only we have.
const PREFIX: &str = "landfall";
/// What stands before the names of numbers that mean the same as Argo's.
const PREFIX_ARGO: &str = "argo_workflows";

/// All numbers of one controller.
pub struct Metrics {
    ours: Registry,
    as_argo: Registry,
}

impl Metrics {
    /// From now on, what policy decides is counted.
    pub fn new(controller: Arc<Controller>) -> Metrics {
        let mut ours = Registry::with_prefix(PREFIX);
        policy::register(&mut ours, &controller.policies);
        ours.register_collector(Box::new(workflows::Clusters(controller.clone())));
        let mut as_argo = Registry::with_prefix(PREFIX_ARGO);
        as_argo.register_collector(Box::new(Standing(controller)));
        Metrics { ours, as_argo }
    }

    /// All of them, as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let encode = |text: &mut String| {
            encoding::text::encode_registry(text, &self.as_argo)?;
            encoding::text::encode_registry(text, &self.ours)?;
            encoding::text::encode_eof(text)
        };
        encode(&mut text).expect("a String takes all that is written");
        text
    }
}
