//! What users write and we store: serde types, checked names, labels and exit codes. No behaviour beyond parsing.

pub mod contract;
pub mod ids;
