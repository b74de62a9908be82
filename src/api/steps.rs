//! Steps: groups of calls, the groups in order, the calls of a group in parallel. And what calls of steps and dags share.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{
    any_string::Item,
    arguments::Arguments,
    hooks::LifecycleHooks,
    object::object,
    template::{Template, TemplateRef},
};

/// The steps of one group. JSON: a bare list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ParallelSteps(pub Vec<WorkflowStep>);

object! {
    /// One call of a template.
    pub struct WorkflowStep {
        /// Its name.
        pub name: String,
        /// The template of this workflow that is called.
        pub template: Option<String>,
        /// The template that is called, written here.
        pub inline: Option<Box<Template>>,
        /// What the template is given.
        pub arguments: Arguments,
        /// The template of another resource that is called.
        pub template_ref: Option<TemplateRef>,
        /// One call for each of these.
        pub with_items: Vec<Item>,
        /// One call for each item of this JSON list.
        pub with_param: Option<String>,
        /// One call for each number.
        pub with_sequence: Option<Sequence>,
        /// The condition under which it is called.
        pub when: Option<String>,
        /// After which outcomes to go on.
        pub continue_on: Option<ContinueOn>,
        /// The template called at its end; `hooks.exit` is the newer way.
        pub on_exit: Option<String>,
        /// Templates called when it gets into some state.
        pub hooks: LifecycleHooks,
    }

    /// A run of numbers.
    pub struct Sequence {
        /// How many; not together with `end`.
        pub count: Option<IntOrString>,
        /// The first; 0 if not given.
        pub start: Option<IntOrString>,
        /// The last; not together with `count`.
        pub end: Option<IntOrString>,
        /// How each is written, as of `printf`.
        pub format: Option<String>,
    }

    /// After which outcomes to go on as after success.
    pub struct ContinueOn {
        /// After Error.
        pub error: Option<bool>,
        /// After Failed.
        pub failed: Option<bool>,
    }
}
