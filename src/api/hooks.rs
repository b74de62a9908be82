//! Templates that are called when a workflow, step or task gets into some state.

use std::collections::BTreeMap;

use crate::api::{arguments::Arguments, object::object, template::TemplateRef};

/// The hook that is called at the end and needs no expression.
pub const EXIT_HOOK: &str = "exit";

/// Hooks by name.
pub type LifecycleHooks = BTreeMap<String, LifecycleHook>;

object! {
    /// One hook.
    pub struct LifecycleHook {
        /// The template of this workflow that is called.
        pub template: Option<String>,
        /// What the template is given.
        pub arguments: Arguments,
        /// The template of another resource that is called.
        pub template_ref: Option<TemplateRef>,
        /// The state at which it is called, as an expression.
        pub expression: Option<String>,
    }
}
