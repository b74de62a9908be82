//! Policy: what the rules mean, what modules may do, and how a new set comes into force.

mod builtin;
mod chain;
mod config;
mod effort;
mod folders;
mod hostile;
mod limits;
mod memory;
mod modules;
mod records;
mod refusals;
mod reload;
mod roles;
mod shadow;
mod support;
