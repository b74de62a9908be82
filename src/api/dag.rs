//! Dags: tasks that depend on each other.

use crate::api::{
    any_string::Item,
    arguments::Arguments,
    hooks::LifecycleHooks,
    object::object,
    steps::{ContinueOn, Sequence},
    template::{Template, TemplateRef},
};

object! {
    /// A graph of tasks.
    pub struct DagTemplate {
        /// Names of the tasks that are wanted, separated by spaces; those that nothing depends on if not given.
        pub target: Option<String>,
        /// The tasks.
        pub tasks: Vec<DagTask>,
        /// Whether the first failure stops new tasks; true if not given.
        pub fail_fast: Option<bool>,
    }

    /// One call of a template.
    pub struct DagTask {
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
        /// Tasks that must succeed first; not together with `depends`.
        pub dependencies: Vec<String>,
        /// One call for each of these.
        pub with_items: Vec<Item>,
        /// One call for each item of this JSON list.
        pub with_param: Option<String>,
        /// One call for each number.
        pub with_sequence: Option<Sequence>,
        /// The condition under which it is called.
        pub when: Option<String>,
        /// After which outcomes to go on; not together with `depends`.
        pub continue_on: Option<ContinueOn>,
        /// The template called at its end; `hooks.exit` is the newer way.
        pub on_exit: Option<String>,
        /// Which outcomes of other tasks it needs, as an expression: `A && (B.Failed || C)`.
        pub depends: Option<String>,
        /// Templates called when it gets into some state.
        pub hooks: LifecycleHooks,
    }
}
