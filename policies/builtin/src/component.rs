//! The WebAssembly side: the exports, and the one global that `configure` fills.

use std::sync::OnceLock;

use crate::{Decision, Request, Rules};

wit_bindgen::generate!({ path: "../../wit", world: "module" });

use exports::landfall::policy::policy;

/// Set by `configure`, and part of the snapshot that every decision starts from.
static RULES: OnceLock<Rules> = OnceLock::new();

struct Builtin;

export!(Builtin);

impl policy::Guest for Builtin {
    fn configure(settings: String) -> Result<policy::Needs, String> {
        let rules = crate::configure(&settings)?;
        RULES.set(rules).map_err(|_| "configured twice".to_owned())?;
        Ok(policy::Needs::empty())
    }

    fn authorize(request: policy::Request) -> policy::Decision {
        let Some(rules) = RULES.get() else {
            return deny("the module was not configured".to_owned(), "not-configured");
        };
        let request = Request {
            home: &request.home,
            workflow_namespace: &request.workflow.namespace,
            cluster: &request.target.cluster,
            namespace: &request.target.namespace,
        };
        match crate::authorize(rules, &request) {
            Decision::Allow => policy::Decision::Allow,
            Decision::Deny { reason, code } => deny(reason, code),
        }
    }
}

fn deny(reason: String, code: &str) -> policy::Decision {
    policy::Decision::Deny(policy::Denial { reason, code: code.to_owned() })
}
