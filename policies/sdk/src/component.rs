//! The WebAssembly side: the interface's types, generated, and the way from them to the types of this crate and back.

use std::sync::OnceLock;

wit_bindgen::generate!({
    path: "wit",
    world: "traced-module",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "landfall_policy_sdk::component",
});

pub use exports::landfall::policy::{policy, trace};

use crate::{Creates, Denial, Policy, Request, Target, Workflow};

/// What `configure` of the interface does for a module whose settings are kept in `kept`.
pub fn configure<P: Policy>(kept: &OnceLock<P>, settings: &str) -> Result<policy::Needs, String> {
    crate::last_words::keep();
    let configured = crate::configured(settings)?;
    kept.set(configured).map_err(|_| "configured twice".to_owned())?;
    Ok(if P::NEEDS_POD { policy::Needs::POD } else { policy::Needs::empty() })
}

/// What `authorize` of the interface does.
pub fn authorize<P: Policy>(kept: &OnceLock<P>, request: policy::Request) -> policy::Decision {
    let decision = match kept.get() {
        Some(policy) => policy.authorize(&own(request)),
        None => Err(Denial::new("not-configured", "the module was not configured")),
    };
    match decision {
        Ok(_) => policy::Decision::Allow,
        Err(Denial { code, reason }) => policy::Decision::Deny(policy::Denial { reason, code: code.into_owned() }),
    }
}

fn own(request: policy::Request) -> Request {
    let mut own = Request::default();
    own.home = request.home;
    own.workflow =
        Workflow { namespace: request.workflow.namespace, name: request.workflow.name, uid: request.workflow.uid };
    own.template = request.template;
    own.target = Target { cluster: request.target.cluster, namespace: request.target.namespace };
    own.service_account = request.service_account;
    own.creates = match request.creates {
        policy::Creates::Pod => Creates::Pod,
    };
    own.attributes = request.attributes;
    match request.pod {
        Some(pod) => own.with_pod_json(pod),
        None => own,
    }
}
