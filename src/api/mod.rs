//! What users write and we store: serde types, checked names, labels and exit codes. No behaviour beyond parsing.
//!
//! Types are named as Argo's, spelled as Rust spells them; the JSON names are Argo's (v4.1.2) exactly. What Argo does
//! not have is said to be ours where it stands.

mod object;

pub mod contract;
pub mod ids;
pub mod any_string;
pub mod workflow;
pub mod workflow_policy;
pub mod template;
pub mod container;
pub mod leaf;
pub mod steps;
pub mod dag;
pub mod arguments;
pub mod artifact;
pub mod artifact_location;
pub mod artifact_repository;
pub mod retry;
pub mod hooks;
pub mod sync;
pub mod metrics;
pub mod memoize;
pub mod status;
pub mod node;
pub mod workflow_template;
pub mod cron_workflow;
pub mod event_binding;
pub mod task_result;

pub mod manifest;
pub mod schema;
pub mod strict;
pub mod crd;

#[cfg(test)]
mod tests;
