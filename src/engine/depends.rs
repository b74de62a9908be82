//! What a task waits for: `depends` and `dependencies`, parsed, and answered from the states of the tasks named.
//!
//! The grammar is Argo's: names of tasks, optionally with `.Succeeded`, `.Failed`, `.Errored`, `.Skipped`, `.Omitted`,
//! `.Daemoned`, `.AnySucceeded` or `.AllFailed`, joined by `&&`, `||`, `!` and parentheses. A bare name means
//! `(name.Succeeded || name.Skipped || name.Daemoned)`.

use std::collections::BTreeSet;

use crate::api::{
    dag::DagTask,
    node::{NodePhase, NodeStatus},
};

/// Deepest nesting of parentheses and negations that is read, so that no input exhausts the stack.
const DEPTH_MAX: usize = 100;

/// A parsed condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A result of a task.
    Task(String, TaskResult),
    /// All of them.
    All(Vec<Condition>),
    /// Any of them.
    Any(Vec<Condition>),
    /// Not.
    Not(Box<Condition>),
}

/// What is asked of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskResult {
    /// A bare name, or a name in `dependencies`.
    Passed,
    /// As [`TaskResult::Passed`], or a failure that the depended-on task's `continueOn` allows.
    PassedOr {
        /// `continueOn.error`.
        error: bool,
        /// `continueOn.failed`.
        failed: bool,
    },
    /// Phase Succeeded.
    Succeeded,
    /// Phase Failed.
    Failed,
    /// Phase Error.
    Errored,
    /// Phase Skipped.
    Skipped,
    /// Phase Omitted.
    Omitted,
    /// A daemon that is up.
    Daemoned,
    /// Of an expanded task: one of its tasks Succeeded.
    AnySucceeded,
    /// Of an expanded task: all of its tasks Failed.
    AllFailed,
}

impl Condition {
    /// The condition of a task among its siblings; `None` if it waits for nothing.
    ///
    /// # Errors
    /// If `depends` can't be read; the text says where.
    pub fn of(task: &DagTask, siblings: &[DagTask]) -> Result<Option<Condition>, String> {
        if let Some(depends) = task.depends.as_deref().filter(|text| !text.trim().is_empty()) {
            return Condition::parse(depends).map(Some);
        }
        let conditions: Vec<Condition> = task
            .dependencies
            .iter()
            .map(|name| {
                let continue_on = siblings
                    .iter()
                    .find(|sibling| sibling.name == *name)
                    .and_then(|sibling| sibling.continue_on.clone())
                    .unwrap_or_default();
                let error = continue_on.error == Some(true);
                let failed = continue_on.failed == Some(true);
                Condition::Task(name.clone(), TaskResult::PassedOr { error, failed })
            })
            .collect();
        Ok((!conditions.is_empty()).then_some(Condition::All(conditions)))
    }

    /// Reads the text of a `depends`.
    ///
    /// # Errors
    /// If it isn't of the grammar; the text says what is wrong.
    pub fn parse(text: &str) -> Result<Condition, String> {
        let mut parser = Parser { rest: text.trim_start(), depth: 0 };
        let condition = parser.any()?;
        if parser.rest.is_empty() {
            Ok(condition)
        } else {
            Err(format!("invalid depends {text:?}: unexpected {:?}", parser.rest))
        }
    }

    /// The names of the tasks that it asks about.
    pub fn tasks(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.visit(&mut |name, _| {
            names.insert(name);
        });
        names
    }

    /// Calls `seen` with every task and what is asked of it.
    pub fn visit<'a>(&'a self, seen: &mut impl FnMut(&'a str, TaskResult)) {
        match self {
            Condition::Task(name, result) => seen(name, *result),
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| part.visit(seen)),
            Condition::Not(inner) => inner.visit(seen),
        }
    }

    /// Whether it holds, given the nodes of its tasks; a task without a node counts as nothing at all.
    pub fn holds<'n>(&self, node_of: &impl Fn(&str) -> Option<&'n NodeStatus>) -> bool {
        match self {
            Condition::Task(name, result) => node_of(name).is_some_and(|node| result.is_of(node)),
            Condition::All(parts) => parts.iter().all(|part| part.holds(node_of)),
            Condition::Any(parts) => parts.iter().any(|part| part.holds(node_of)),
            Condition::Not(inner) => !inner.holds(node_of),
        }
    }
}

impl TaskResult {
    fn is_of(self, node: &NodeStatus) -> bool {
        let daemoned = node.daemoned == Some(true) && node.phase != NodePhase::Pending;
        let passed = matches!(node.phase, NodePhase::Succeeded | NodePhase::Skipped) || daemoned;
        match self {
            TaskResult::Passed => passed,
            TaskResult::PassedOr { error, failed } => {
                passed || (error && node.phase == NodePhase::Error) || (failed && node.phase == NodePhase::Failed)
            }
            TaskResult::Succeeded => node.phase == NodePhase::Succeeded,
            TaskResult::Failed => node.phase == NodePhase::Failed,
            TaskResult::Errored => node.phase == NodePhase::Error,
            TaskResult::Skipped => node.phase == NodePhase::Skipped,
            TaskResult::Omitted => node.phase == NodePhase::Omitted,
            TaskResult::Daemoned => daemoned,
            // Loops are refused before a workflow runs, so no task is expanded yet.
            TaskResult::AnySucceeded | TaskResult::AllFailed => false,
        }
    }

    fn named(name: &str) -> Option<TaskResult> {
        Some(match name {
            "Succeeded" => TaskResult::Succeeded,
            "Failed" => TaskResult::Failed,
            "Errored" => TaskResult::Errored,
            "Skipped" => TaskResult::Skipped,
            "Omitted" => TaskResult::Omitted,
            "Daemoned" => TaskResult::Daemoned,
            "AnySucceeded" => TaskResult::AnySucceeded,
            "AllFailed" => TaskResult::AllFailed,
            _ => return None,
        })
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.one()?];
        while self.take("&&") {
            parts.push(self.one()?);
        }
        Ok(joined(parts, Condition::All))
    }

    fn one(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return Err(format!("invalid depends: nested more than {DEPTH_MAX} deep"));
        }
        let condition = if self.take("!") {
            Condition::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err("invalid depends: missing \")\"".to_owned());
            }
            inner
        } else {
            self.task()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn task(&mut self) -> Result<Condition, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            let found = self.rest.chars().next().map_or("the end".to_owned(), |c| format!("{c:?}"));
            return Err(format!("invalid depends: expected the name of a task, found {found}"));
        }
        self.rest = rest.trim_start();
        let Some((name, result)) = word.split_once('.') else {
            return Ok(Condition::Task(word.to_owned(), TaskResult::Passed));
        };
        match TaskResult::named(result) {
            Some(result) => Ok(Condition::Task(name.to_owned(), result)),
            None => Err(format!("invalid depends: task result '{result}' for task '{name}' is invalid")),
        }
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }
}

/// A single part stands for itself.
fn joined(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluates with task `ok` Succeeded, `bad` Failed, `err` Error, `skip` Skipped, `omit` Omitted.
    fn check(text: &str, expected: bool) {
        let nodes: Vec<(&str, NodeStatus)> = [
            ("ok", NodePhase::Succeeded),
            ("bad", NodePhase::Failed),
            ("err", NodePhase::Error),
            ("skip", NodePhase::Skipped),
            ("omit-it", NodePhase::Omitted),
        ]
        .map(|(name, phase)| (name, NodeStatus { phase, ..NodeStatus::default() }))
        .into();
        let condition = Condition::parse(text).expect(text);
        let holds = condition.holds(&|name| nodes.iter().find(|(it, _)| *it == name).map(|(_, node)| node));
        assert_eq!(holds, expected, "of {text:?}");
    }

    #[test]
    fn conditions_hold_as_in_argo() {
        check("ok", true);
        check("skip", true);
        check("bad", false);
        check("omit-it", false);
        check("omit-it.Omitted", true);
        check("ok && skip", true);
        check("ok && bad || err.Errored", true);
        check("ok && (bad || err.Failed)", false);
        check("!bad.Succeeded&&bad.Failed", true);
        check("!(ok || bad)", false);
        check("nobody", false);
    }

    #[test]
    fn what_is_not_a_condition_is_refused() {
        for text in ["", "a &&", "(a", "a)", "a b", "a.Nonsense", "a & b", &"(".repeat(1000), &"!".repeat(1000)] {
            assert!(Condition::parse(text).is_err(), "{text:?}");
        }
    }
}
