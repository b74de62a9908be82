//! A line of a file, shown as compilers show it: what is wrong above it, why and what to do below.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Columns that a snippet takes at most. It is fixed, so that the same mistake reads the same everywhere.
const WIDTH: usize = 140;

/// A line of a file and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// What is wrong.
    pub title: String,
    /// The file, as it was named.
    pub file: String,
    /// Its text.
    pub text: &'a str,
    /// The line, from 1; without one the file alone is named.
    pub line: Option<u64>,
    /// The bytes in that line that it is about; without them it is all of it.
    pub span: Option<Range<usize>>,
    /// What stands under the line.
    pub label: String,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

/// The text, with colour.
pub fn render(shown: &Shown<'_>) -> String {
    let mut group = Group::with_title(Level::ERROR.primary_title(&shown.title));
    let line = shown.line.and_then(|line| usize::try_from(line).ok()).and_then(|line| span(shown.text, line));
    let line = shown.span.clone().or(line);
    if let Some(span) = line {
        let annotation = AnnotationKind::Primary.span(span).label(&shown.label);
        group = group.element(Snippet::source(shown.text).path(&shown.file).annotation(annotation));
    } else {
        group = group.element(annotate_snippets::Origin::path(&shown.file));
        if !shown.label.is_empty() {
            group = group.element(Level::NOTE.message(&shown.label));
        }
    }
    for note in &shown.notes {
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(help) = &shown.help {
        group = group.element(Level::HELP.with_name(Some("hint")).message(help));
    }
    let mut text = Renderer::styled().term_width(WIDTH).render(&[group]);
    text.push('\n');
    text
}

/// What stands in a line, without the space around it.
fn span(text: &str, line: usize) -> Option<Range<usize>> {
    let mut start = 0;
    for (number, found) in text.split_inclusive('\n').enumerate() {
        if number + 1 == line {
            let indent = found.len() - found.trim_start().len();
            return Some(start + indent..start + found.trim_end().len().max(indent));
        }
        start += found.len();
    }
    None
}
