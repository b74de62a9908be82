//! Which of the settings that a suite uses decide anything in it: of all others, no case would notice if they were wrong.

use std::{cmp::Ordering, path::PathBuf, sync::Arc};

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    author::{
        cover::Share,
        question::{Expected, Question},
        removal::{self, Change, Effect, Path, Removals, Step, Target},
        suite::Suite,
    },
    policy::{
        module::LoadError,
        request::Request,
        yaml::{self, Node, Value},
    },
};

/// What was found out about the settings of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// The elements of settings that some answer depends on, and all that could be taken out.
    pub elements: Share,
    /// So many can't be taken out: `configure` fails without them. They don't count.
    pub required: usize,
    /// So many were not looked at: there are too many.
    pub left_out: usize,
    /// Those that no answer depends on.
    pub unused: Vec<Unused>,
}

/// An element of the settings that no case depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unused {
    /// Its path in the settings.
    pub path: String,
    /// The suite's file.
    pub file: PathBuf,
    /// Its line there, where known.
    pub line: Option<u64>,
    /// The question, where only one has these settings.
    pub question: Option<String>,
    /// Only the text of a reason depends on it, no verdict and no code.
    pub only_reason: bool,
}

/// Takes each element out of each of the settings in `suite`, and asks the questions again. `progress` is called with the
/// number of elements that were looked at and of those that are known of.
///
/// # Errors
///
/// The module can't be configured with one of the settings.
pub fn rules(target: Target<'_>, suite: &Suite, progress: &mut dyn FnMut(usize, usize)) -> Result<Rules, LoadError> {
    let root = yaml::parse(&suite.text).ok();
    let groups = groups(&suite.questions);
    let mut rules = Rules { elements: Share::default(), required: 0, left_out: 0, unused: Vec::new() };
    let mut before = 0;
    for group in &groups {
        let mut looked = 0;
        let found = removal::find(target, &group.settings, &group.requests, &mut |done, known| {
            looked = done;
            progress(before + done, before + known);
        })?;
        before += looked;
        let question = (group.requests.len() == 1).then(|| group.first.name.clone());
        rules.take(suite, &found, group, (root.as_ref(), question));
    }
    rules.unused.sort_by(|a, b| match (a.line, b.line) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    });
    Ok(rules)
}

/// Questions that share their settings.
struct Group<'a> {
    settings: Arc<Json>,
    first: &'a Question,
    requests: Vec<&'a Request>,
    expected: Vec<&'a Expected>,
}

fn groups(questions: &[Question]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for question in questions {
        // Most suites have one or two settings: looking through them is cheap.
        match groups.iter_mut().find(|group| group.settings == question.settings) {
            Some(group) => {
                group.requests.push(&question.request);
                group.expected.push(&question.expected);
            }
            None => groups.push(Group {
                settings: Arc::clone(&question.settings),
                first: question,
                requests: vec![&question.request],
                expected: vec![&question.expected],
            }),
        }
    }
    groups
}

impl Rules {
    fn take(
        &mut self,
        suite: &Suite,
        found: &Removals,
        group: &Group<'_>,
        (root, question): (Option<&Node>, Option<String>),
    ) {
        self.left_out += found.left_out;
        for removal in &found.removals {
            let (only_reason, noticed) = match &removal.effect {
                Effect::Required(_) => {
                    self.required += 1;
                    continue;
                }
                Effect::Nothing => (false, false),
                Effect::Changes(changes) => (
                    changes.iter().all(|change| change.only_reason),
                    changes.iter().any(|change| group.notices_reason(change)),
                ),
            };
            let hit = noticed || removal.matters();
            self.elements.add(Share { hit: usize::from(hit), total: 1 });
            if !hit {
                self.unused.push(Unused {
                    path: removal.path.to_string(),
                    file: suite.file.clone(),
                    line: root.and_then(|root| line_of(root, group.first.line, &removal.path)),
                    question: question.clone(),
                    only_reason,
                });
            }
        }
    }
}

impl Group<'_> {
    /// Whether a case expects a reason that is not given any more.
    fn notices_reason(&self, change: &Change) -> bool {
        match (self.expected.get(change.question), &change.answer) {
            (Some(Expected::Deny { reason: Some(reason), .. }), Some(denial)) => !denial.reason.contains(reason),
            (Some(Expected::Deny { .. } | Expected::Allow) | None, Some(_) | None) => false,
        }
    }
}

/// The line of the element at `path` of the settings of the question in line `question` of the suite `root`.
fn line_of(root: &Node, question: u64, path: &Path) -> Option<u64> {
    let own = ["cases", "matrices"].iter().filter_map(|key| field(root, key)).flat_map(items);
    let own = own.filter(|item| item.line <= question).max_by_key(|item| item.line);
    let holders = own.into_iter().chain([root]);
    let (node, of_roles) = holders.filter_map(settings_of).next()?;
    if !of_roles {
        return removal::line(node, path);
    }
    // Roles are settings under another name, and may be wrapped in one more map, or be a text of their own.
    let Some((Step::Entry(_), rest)) = path.0.split_first() else { return None };
    let mut steps = rest.to_vec();
    if matches!(node.value, Value::Map(_)) {
        steps.insert(0, Step::Entry("namespaces".to_owned()));
    }
    removal::line(node, &Path(steps)).or(Some(node.line))
}

/// The settings that stand in `holder` itself; and whether they stand there as roles.
fn settings_of(holder: &Node) -> Option<(&Node, bool)> {
    let settings = field(holder, "settings").map(|node| (node, false));
    settings.or_else(|| field(holder, "namespaceRoles").map(|node| (node, true)))
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Map(fields) => fields.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => &[],
    }
}
