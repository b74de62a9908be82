//! The one integration binary: one module a boundary. `cfg(test)` tells clippy that all of it is tests.

#[cfg(test)]
mod apiserver;
#[cfg(test)]
mod author;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod controller;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod real;
#[cfg(test)]
mod real_clusters;
#[cfg(test)]
mod real_runs;
#[cfg(test)]
mod runtime;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
