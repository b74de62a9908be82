//! Tools for policy authors, on real modules.

mod cover;
mod removal;
mod suites;
mod support;
