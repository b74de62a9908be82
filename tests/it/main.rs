//! The one integration binary: one module a boundary.

mod conformance;
mod manifests;
mod tidy;
