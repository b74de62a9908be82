//! The built-in module loaded, and asked natively.

use std::sync::Arc;

use landfall::policy::{
    host::Host,
    module::{Module, Prepared},
    request::Request,
};
use landfall_policy_builtin as native;

/// Native calls that are timed together: one is too short for the clock.
pub const NATIVE_BATCH: u32 = 100;

/// The component `bytes`, that of the built-in module or another, ready to decide.
pub fn module(host: &Host, bytes: &[u8], settings: &serde_json::Value) -> Module {
    let prepared = Prepared::new(host, Arc::from(bytes)).expect("the module compiles");
    prepared.configure(host, "measured", settings).expect("the module takes its settings")
}

/// What a native call is asked for `request`.
pub fn question(request: &Request) -> native::Request<'_> {
    native::Request {
        home: request.home.as_str(),
        workflow_namespace: request.workflow.namespace.as_str(),
        cluster: request.target.cluster.as_str(),
        namespace: request.target.namespace.as_str(),
    }
}
