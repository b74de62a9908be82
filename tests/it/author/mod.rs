//! Tools for policy authors, on real modules.

mod bench;
mod build;
mod cover;
mod failures;
mod new;
mod compare;
mod laws;
mod policies;
mod removal;
mod suites;
mod support;
