//! `landfall policy test --watch`: run again whenever a file of a policy folder changes.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{sync::Notify, time};

use crate::{
    author::{suite::files, watch::Watch},
    cli::{
        Outcome, hint,
        interrupt::Interrupt,
        policy::test::{Arguments, round, suites},
    },
    policy::host::Host,
};

/// A build writes a file in several goes: so long after the last event it is looked at.
const STILL: Duration = Duration::from_millis(100);

/// Runs the suites until an interrupt.
pub fn run(host: &Arc<Host>, arguments: &Arguments) -> anyhow::Result<Outcome> {
    crate::cli::threads()?.block_on(until_interrupt(host, arguments))
}

async fn until_interrupt(host: &Arc<Host>, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut interrupt = Interrupt::listen()?;
    let paths = suites::find(&arguments.paths)?;
    let hints = Arc::new(Notify::new());
    let notified = Arc::clone(&hints);
    let suites = paths.clone();
    let files_of = move || suites.iter().flat_map(|path| files::of(path)).collect();
    let mut watch = Watch::start(files_of, move || notified.notify_one()).context("watching the policy folders")?;
    loop {
        // What comes of a round is on the screen; a suite that is broken for a moment is no reason to end.
        if let Err(error) = tokio::task::block_in_place(|| round(host, arguments, &paths)) {
            anstream::eprint!("{}", hint::render(&error));
        }
        if arguments.build {
            // What was just built is no news.
            watch.take(|path| path.extension().is_some_and(|extension| extension == "wasm"));
        }
        eprintln!(
            "watching {}; Ctrl-C ends",
            if paths.len() == 1 { "1 suite".to_owned() } else { format!("{} suites", paths.len()) }
        );
        let changed = loop {
            tokio::select! {
                () = interrupt.received() => return Ok(Outcome::Done),
                () = hints.notified() => {}
            }
            while time::timeout(STILL, hints.notified()).await.is_ok() {}
            let changed = watch.changed();
            if !changed.is_empty() {
                break changed;
            }
        };
        let names: Vec<_> = changed.iter().map(|path| path.display().to_string()).collect();
        eprintln!("\nchanged: {}", names.join(", "));
    }
}
