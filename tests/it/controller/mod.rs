//! The controller on two clusters of this process: whole workflows, policy, lost clusters, crashes.

mod clusters;
mod consent;
mod faults;
mod gate;
mod identity;
mod installed;
mod leftovers;
mod links;
mod logs;
mod namespaces;
mod nodes;
mod policy_status;
mod roles;
mod runs;
mod secrets;
mod upgrade;
mod world;
