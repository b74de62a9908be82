//! The one integration binary: one module a boundary.

mod apiserver;
mod conformance;
mod manifests;
mod policy;
mod tidy;
