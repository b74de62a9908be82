//! The program as its users see it.

mod binary;
mod bad_input;
mod local_run;
mod local_up;
mod records;
mod tree;
