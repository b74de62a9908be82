//! Tools for policy authors, on real modules.

mod removal;
mod support;
