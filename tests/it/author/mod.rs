//! Tools for policy authors, on real modules.

mod bench;
mod cover;
mod policies;
mod removal;
mod suites;
mod support;
