//! Landfall runs Argo `Workflow`s whose steps may run in other Kubernetes clusters than the one it is installed in,
//! where every pod must first be allowed by WebAssembly policy modules.
//!
//! # A pass
//!
//! ```text
//! watch events ─> index ─> queue ─> gather ─> engine::reconcile(workflow, observed, now) ─> Plan{status, actions, wake_at}
//!                                                ^                                          │
//!                               denials come back as observations <── authorize (policy) <──┤
//!                                                                                           v
//!                                        write status (compare-and-swap) ─> apply actions ─> targets
//! ```
//!
//! # Invariants
//!
//! - [`engine`] is a pure function: it is told the time and everything it may know of the world, and returns values.
//! - A create carries the final pod; [`policy`] sees that pod; what applies it accepts only an authorized one.
//! - The status, with each pod's name and target in it, is written before the pods are created.
//! - "The pod is gone" is concluded from a live GET, never from a cache.
//! - A cluster that cannot be reached delays only the workflows that need it.
//!
//! The modules stand in reading order; each imports only modules above it (`tests/it/tidy.rs` has the table).

pub mod api;
pub mod expr;
pub mod pods;
pub mod engine;
pub mod policy;
pub mod author;
pub mod clusters;
pub mod local;
pub mod controller;
pub mod cli;
