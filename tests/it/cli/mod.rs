//! The program as its users see it.

pub mod binary;
mod bad_input;
mod cluster;
mod local_run;
mod local_up;
mod measured;
mod policy;
mod policy_chain;
mod policy_check;
mod policy_examples;
mod policy_readme;
mod policy_settings;
mod policy_watch;
mod records;
mod tree;
