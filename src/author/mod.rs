//! Tools for those who write policy modules: building one, suites of cases, coverage, laws, benchmarks, comparison, replay.
//!
//! Everything here works on a laptop without a cluster, with the very host that the controller uses. Printing is `cli`'s;
//! how a module is loaded and asked is `policy`'s.

pub mod bench;
pub mod build;
pub mod chain;
pub mod check;
pub mod cover;
pub mod explain;
pub mod new;
pub mod origin;
pub mod asking;
pub mod diff;
pub mod generate;
pub mod laws;
pub mod pod;
pub mod question;
pub mod records;
pub mod removal;
pub mod replay;
pub mod smaller;
pub mod stale;
pub mod subject;
pub mod suite;
pub mod watch;
