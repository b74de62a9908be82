//! How lines are printed: each with where it comes from, in a colour of its pod.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};
use anyhow::Context;

use crate::{
    api::ids::Target,
    cli::{
        local::lines,
        output::Format,
        style::{BAD, styled},
    },
    controller::logs::item::Line,
};

/// Colours that tell pods apart, in the order in which pods appear.
const COLOURS: [AnsiColor; 6] =
    [AnsiColor::Cyan, AnsiColor::Green, AnsiColor::Yellow, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::BrightRed];

/// Prints lines on stdout.
pub struct Screen {
    format: Format,
    shows_times: bool,
    colours: HashMap<(Target, String), Style>,
}

impl Screen {
    /// One that prints so, for people with the times of lines if they are to be shown.
    pub fn new(format: Format, shows_times: bool) -> Screen {
        Screen { format, shows_times, colours: HashMap::new() }
    }

    /// Prints a line; false if nobody reads any more, as `head` does when it has seen enough.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn line(&mut self, line: &Line) -> anyhow::Result<bool> {
        let text = match self.format {
            Format::Text => self.text(line),
            Format::Json => serde_json::to_string(line).context("writing JSON")?,
        };
        let mut stdout = anstream::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.context("writing to stdout").map(|()| true),
        }
    }

    /// As `landfall local run` shows it.
    fn text(&mut self, line: &Line) -> String {
        let target = Target { cluster: line.cluster.clone(), namespace: line.namespace.clone() };
        let name = if line.node.is_empty() { &line.pod } else { &line.node };
        let prefix = lines::log_prefix(&target, name, &line.container);
        let next = COLOURS[self.colours.len() % COLOURS.len()].on_default();
        let colour = *self.colours.entry((target, line.pod.clone())).or_insert(next);
        let prefix = styled(colour, prefix);
        match line.time.filter(|_| self.shows_times) {
            Some(time) => lines::log(&prefix, &format!("{time:.9} {}", line.text)),
            None => lines::log(&prefix, &line.text),
        }
    }
}

/// Says what is missing, on stderr.
pub fn problem(problem: &str) {
    let shown: String = problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Whoever closed stderr doesn't want to know.
    drop(writeln!(anstream::stderr(), "{}: {shown}", styled(BAD, "warning")));
}

#[cfg(test)]
mod tests {
    use super::Screen;
    use crate::{cli::output::Format, controller::logs::item::Line};

    #[test]
    fn each_pod_has_its_colour_and_nothing_printed_is_obeyed() {
        let mut screen = Screen::new(Format::Text, false);
        let mut check = |pod: &str, container: &str, text: &str, expected: &str| {
            let line = Line {
                node: format!("w.{pod}"),
                pod: pod.to_owned(),
                cluster: "other".parse().unwrap(),
                namespace: "argo".parse().unwrap(),
                container: container.to_owned(),
                text: text.to_owned(),
                time: None,
            };
            assert_eq!(screen.text(&line), expected);
        };
        check("a", "main", "one", "\u{1b}[36mother/argo w.a\u{1b}[0m │ one");
        check("b", "main", "two", "\u{1b}[32mother/argo w.b\u{1b}[0m │ two");
        check("a", "init", "\u{1b}[2J", "\u{1b}[36mother/argo w.a:init\u{1b}[0m │ \u{fffd}[2J");
    }
}
