//! The types of `wit/policy.wit`, generated, and requests and decisions as those types.

use crate::policy::{
    decision::{CODE_MODULE_ERROR, Denial},
    limits::Failure,
    request::{Creates, PodJson, Request},
};

wasmtime::component::bindgen!({
    path: "wit",
    world: "module",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub use exports::landfall::policy::policy as wit;

/// The interface that a module exports.
pub const INTERFACE: &str = "landfall:policy/policy@1.0.0";

/// Calls `ask` with `request` as a module sees it; with the pod only if the module needs it.
pub fn with_request<R>(request: &Request, needs: wit::Needs, ask: impl FnOnce(wit::Request<'_>) -> R) -> R {
    let attributes: Vec<(&str, &str)> =
        request.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let pod = if needs.contains(wit::Needs::POD) { request.pod.as_ref().map(PodJson::as_str) } else { None };
    ask(wit::Request {
        home: request.home.as_str(),
        workflow: wit::Workflow {
            namespace: request.workflow.namespace.as_str(),
            name: &request.workflow.name,
            uid: &request.workflow.uid,
        },
        template: &request.template,
        target: wit::Target { cluster: request.target.cluster.as_str(), namespace: request.target.namespace.as_str() },
        service_account: &request.service_account,
        creates: match request.creates {
            Creates::Pod => wit::Creates::Pod,
        },
        pod,
        attributes: &attributes,
    })
}

/// The denial in `decision`, if it is one.
///
/// # Errors
///
/// The module says that it failed.
pub fn denial(module: &str, decision: wit::Decision) -> Result<Option<Denial>, Failure> {
    match decision {
        wit::Decision::Allow => Ok(None),
        wit::Decision::Deny(denial) => match Denial::of_module(module, &denial.reason, &denial.code) {
            Denial { code, reason, .. } if code == CODE_MODULE_ERROR => {
                Err(Failure { code: CODE_MODULE_ERROR, message: reason })
            }
            denial => Ok(Some(denial)),
        },
    }
}
