//! What of a module's settings matters to which question, whatever language the module is written in: each element of the
//! settings is taken out in turn, and everything is asked again.
//!
//! An element is an item of a list or an entry of a map, at any depth. What is made of the result, and where in a file the
//! settings stand, is the caller's; only [`line`] is here, because it walks the same paths.

use std::{collections::VecDeque, fmt};

use serde_json::Value as Json;

use crate::policy::{
    decision::Denial,
    host::Host,
    module::{LoadError, Prepared},
    request::Request,
    session::Session,
    yaml::{Node, Value},
};

/// So many elements are looked at, the outer ones first: each costs a `configure`.
pub const ELEMENTS_MAX: usize = 5_000;
/// So many questions are asked in all. With the built-in module that is a second, with an interpreter half a minute.
pub const QUESTIONS_MAX: usize = 500_000;

/// The module in question.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Runs it.
    pub host: &'a Host,
    /// The module, compiled.
    pub prepared: &'a Prepared,
    /// Its name, which denials bear.
    pub name: &'a str,
}

/// The way to an element, such as `roles[0].rules[1]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// An item of a list, from 0.
    Item(usize),
    /// An entry of a map.
    Entry(String),
}

/// An element that was taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Which.
    pub path: Path,
    /// What came of it.
    pub effect: Effect,
}

/// What came of taking an element out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `configure` fails without it, for this reason. That says nothing about any question.
    Required(String),
    /// Every answer stayed as it was. What lies within the element was not looked at.
    Nothing,
    /// These answers changed; there is at least one.
    Changes(Vec<Change>),
}

/// The other answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of the question, from 0.
    pub question: usize,
    /// What it is answered without the element; `None` is an allow.
    pub answer: Option<Denial>,
    /// Only the reason's text is another: the verdict and the code stayed.
    pub only_reason: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removals {
    /// The answers to the questions with the whole settings, in order; `None` is an allow.
    pub answers: Vec<Option<Denial>>,
    /// The elements that were taken out, the outer ones first.
    pub removals: Vec<Removal>,
    /// So many elements were left out, because [`ELEMENTS_MAX`] or [`QUESTIONS_MAX`] was reached.
    pub left_out: usize,
}

/// Takes each element out of `settings` and asks all `questions` again. `progress` is called with the number of elements
/// that were looked at and of those that are known of: both grow.
///
/// Within an element whose removal changes nothing, nothing is looked for: all of it is without effect.
///
/// # Errors
///
/// The module can't be configured with the whole settings.
pub fn find(
    target: Target<'_>,
    settings: &Json,
    questions: &[&Request],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Removals, LoadError> {
    search(target, settings, questions, Within::WhatMatters, progress)
}

/// The same, and looks also within elements whose removal changes nothing: with no rules at all a module may say the same
/// as with all of them, and something else without one.
///
/// # Errors
///
/// The module can't be configured with the whole settings.
pub fn find_everywhere(
    target: Target<'_>,
    settings: &Json,
    questions: &[&Request],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Removals, LoadError> {
    search(target, settings, questions, Within::Everything, progress)
}

/// Where elements are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Within elements that matter.
    WhatMatters,
    /// Within all.
    Everything,
}

fn search(
    target: Target<'_>,
    settings: &Json,
    questions: &[&Request],
    within: Within,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Removals, LoadError> {
    let answers = answers(target, settings, questions)?;
    let mut found = Removals { answers, removals: Vec::new(), left_out: 0 };
    let mut waiting: VecDeque<Path> = children(&Path(Vec::new()), settings).into();
    let mut asked = 0_usize;
    while let Some(path) = waiting.pop_front() {
        asked = asked.saturating_add(questions.len());
        if found.removals.len() >= ELEMENTS_MAX || asked > QUESTIONS_MAX {
            waiting.push_front(path);
            break;
        }
        let effect = effect(target, &without(settings, &path), questions, &found.answers);
        if (within == Within::Everything || !matches!(effect, Effect::Nothing))
            && let Some(element) = get(settings, &path)
        {
            waiting.extend(children(&path, element));
        }
        found.removals.push(Removal { path, effect });
        progress(found.removals.len(), found.removals.len() + waiting.len());
    }
    found.left_out = waiting.iter().filter_map(|path| get(settings, path)).map(|element| 1 + count(element)).sum();
    Ok(found)
}

/// The answers to all `questions` with `settings`. One instance answers them all, in the same order each time, so that
/// what it keeps between decisions makes no difference. What goes wrong is a denial by the host, as in the controller.
fn answers(target: Target<'_>, settings: &Json, questions: &[&Request]) -> Result<Vec<Option<Denial>>, LoadError> {
    let Target { host, prepared, name } = target;
    let mut session = Session::start(host, prepared, settings)?;
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        answers.push(match session.ask(name, question) {
            Ok(answer) => answer,
            Err(failure) => Some(Denial::of_module(name, &failure.message, failure.code)),
        });
    }
    Ok(answers)
}

fn effect(target: Target<'_>, settings: &Json, questions: &[&Request], before: &[Option<Denial>]) -> Effect {
    let after = match answers(target, settings, questions) {
        Ok(after) => after,
        Err(LoadError::Settings(message)) => return Effect::Required(message),
        Err(error) => return Effect::Required(error.to_string()),
    };
    let mut changes = Vec::new();
    for (question, (before, answer)) in before.iter().zip(after).enumerate() {
        if *before != answer {
            let code = |answer: &Option<Denial>| answer.as_ref().map(|denial| denial.code.clone());
            let only_reason = code(before) == code(&answer);
            changes.push(Change { question, answer, only_reason });
        }
    }
    if changes.is_empty() { Effect::Nothing } else { Effect::Changes(changes) }
}

impl Removal {
    /// A verdict or a code depends on it, or `configure` does.
    pub fn matters(&self) -> bool {
        match &self.effect {
            Effect::Required(_) => true,
            Effect::Nothing => false,
            Effect::Changes(changes) => changes.iter().any(|change| !change.only_reason),
        }
    }
}

impl Path {
    /// The way that a message begins with, as it is displayed: of `rules[0].images: is empty` the two steps and the field.
    /// Of a text that begins otherwise, it is the first word alone.
    pub fn of_message(message: &str) -> Path {
        let mut steps = Vec::new();
        let mut rest = message;
        loop {
            if let Some(inner) = rest.strip_prefix('[') {
                let Some((step, after)) = bracket(inner) else { break };
                steps.push(step);
                rest = after;
                continue;
            }
            let name = if steps.is_empty() { Some(rest) } else { rest.strip_prefix('.') };
            let Some(name) = name else { break };
            let end = name.find(|c: char| !is_plain(c.encode_utf8(&mut [0; 4]))).unwrap_or(name.len());
            if end == 0 {
                break;
            }
            steps.push(Step::Entry(name[..end].to_owned()));
            rest = &name[end..];
        }
        Path(steps)
    }
}

/// What stands in brackets, a number or a quoted key, and what comes after them.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if !text.starts_with('"') {
        let (number, after) = text.split_once(']')?;
        return Some((Step::Item(number.parse().ok()?), after));
    }
    let mut quoted = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let key = quoted.next()?.ok()?;
    let after = text.get(quoted.byte_offset()..)?.strip_prefix(']')?;
    Some((Step::Entry(key), after))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Entry(name) if !is_plain(name) => write!(f, "[{name:?}]")?,
                Step::Entry(name) if place == 0 => f.write_str(name)?,
                Step::Entry(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// Whether a key can stand in a path as it is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// The line at which the element at `path` begins in the text that `root` was read from: that of its key, or of the item.
pub fn line(root: &Node, path: &Path) -> Option<u64> {
    let mut node = root;
    let mut line = root.line;
    for step in &path.0 {
        match (step, &node.value) {
            (Step::Item(index), Value::List(items)) => {
                node = items.get(*index)?;
                line = node.line;
            }
            (Step::Entry(name), Value::Map(entries)) => {
                let (key, value) = entries.iter().find(|(key, _)| key.name == *name)?;
                node = value;
                line = key.line;
            }
            (
                Step::Item(_) | Step::Entry(_),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_),
            ) => return None,
        }
    }
    Some(line)
}

/// The element at `path`, if there is one.
pub fn get<'a>(settings: &'a Json, path: &Path) -> Option<&'a Json> {
    path.0.iter().try_fold(settings, |element, step| match step {
        Step::Item(index) => element.get(index),
        Step::Entry(name) => element.get(name),
    })
}

/// The same, to change it.
pub fn get_mut<'a>(settings: &'a mut Json, path: &Path) -> Option<&'a mut Json> {
    path.0.iter().try_fold(settings, |element, step| match step {
        Step::Item(index) => element.get_mut(index),
        Step::Entry(name) => element.get_mut(name),
    })
}

/// The list or map that the element at `path` is in, to change it.
pub fn parent_mut<'a>(settings: &'a mut Json, path: &Path) -> Option<&'a mut Json> {
    let (_, way) = path.0.split_last()?;
    get_mut(settings, &Path(way.to_vec()))
}

/// The paths of all elements, at any depth, the outer ones first.
pub fn elements(settings: &Json) -> Vec<Path> {
    let mut paths = children(&Path(Vec::new()), settings);
    let mut next = 0;
    while let Some(path) = paths.get(next) {
        let inner = get(settings, path).map(|element| children(path, element)).unwrap_or_default();
        paths.extend(inner);
        next += 1;
    }
    paths
}

/// `settings` without the element at `path`.
pub fn without(settings: &Json, path: &Path) -> Json {
    let mut settings = settings.clone();
    let Some(last) = path.0.last() else { return settings };
    match (parent_mut(&mut settings, path), last) {
        (Some(Json::Array(items)), Step::Item(index)) if *index < items.len() => drop(items.remove(*index)),
        (Some(Json::Object(entries)), Step::Entry(name)) => drop(entries.remove(name)),
        // A path that leads nowhere takes nothing out.
        (Some(_) | None, Step::Item(_) | Step::Entry(_)) => {}
    }
    settings
}

/// The paths of what lies directly within `element`, which is at `path`.
fn children(path: &Path, element: &Json) -> Vec<Path> {
    let child = |step| {
        let mut steps = path.0.clone();
        steps.push(step);
        Path(steps)
    };
    match element {
        Json::Array(items) => (0..items.len()).map(|index| child(Step::Item(index))).collect(),
        Json::Object(entries) => entries.keys().map(|name| child(Step::Entry(name.clone()))).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
    }
}

/// How many elements lie within `element`, at any depth.
fn count(element: &Json) -> usize {
    match element {
        Json::Array(items) => items.iter().map(|item| 1 + count(item)).sum(),
        Json::Object(entries) => entries.values().map(|value| 1 + count(value)).sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
    }
}
