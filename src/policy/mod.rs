//! May this pod land there? Roles, modules, their host and their reload.

mod bindings;
pub mod config;
pub mod decision;
pub mod host;
pub mod inspect;
pub mod limits;
pub mod module;
pub mod request;
pub mod roles;
mod snapshot;
mod yaml;
