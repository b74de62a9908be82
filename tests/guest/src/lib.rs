//! A policy module for tests. Without settings it denies everything with the code `deny-all`. What else it can be told:
//!
//! - settings that contain `"allow"`: it allows everything; `"pod"`: it asks for the pod;
//! - settings that contain `"trap"`, `"loop"`, `"memory"`, `"recurse"`, `"refuse"`: `configure` does that;
//! - settings that contain `"remember"`, `"empty-is-all"`, `"counts-tenants"`, `"tells-tenants"` or
//!   `"looks-for-privileged"`, `"throws"` or `"throws-on-garbage"`: it breaks a law that modules should keep;
//! - settings that contain `"tells-attributes"`: it denies with what it was told of the target's namespace;
//! - a request whose template is `trap`, `throw`, `loop`, `memory`, `recurse`, `long`, `bad-code`, `pod` or `count`: so does
//!   `authorize`.
//!
//! `landfall policy build tests/guest` makes `guest.wasm` of it.

#[cfg(target_arch = "wasm32")]
mod component;
