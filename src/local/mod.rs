//! Clusters in this process, for a laptop and for tests: a small Kubernetes API and a process runtime.

pub mod apiserver;
pub mod logs;
pub mod node;
pub mod reading;
pub mod runtime;
