//! `landfall policy build`: from a policy folder to its component.

use std::{
    path::PathBuf,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use clap::Args;

use crate::{
    author::{
        build::{self, Built, Options, Stage, TriedWith},
        suite,
    },
    cli::{
        hint,
        output::{self, Format},
        policy::opened,
        words,
    },
};

/// A stage that takes longer is named, so that nobody thinks that nothing happens.
const PATIENCE: Duration = Duration::from_secs(2);

/// Flags of `landfall policy build`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy build only-signed-images\n  landfall policy build only-signed-images --install\n  landfall policy build only-signed-images --out only-signed-images.new.wasm -o json\n\nExit status: 0 if there is a component that the controller would take, 1 if not."
)]
pub struct Arguments {
    /// The policy folder: one with a Cargo.toml, a package.json or a policy.py
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// Where the component goes; without it into the folder, as FOLDER.wasm
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Install what the build needs and isn't there: a target with rustup, packages with npm or pip into the folder
    #[arg(long)]
    install: bool,
    /// How to print what was built
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Builds and prints what was built.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(file) = &arguments.out {
        opened::writable(file)?;
    }
    let options = Options { out: arguments.out.clone(), install: arguments.install };
    let (sender, receiver) = mpsc::channel();
    let teller = thread::spawn(move || tell(&receiver));
    let built = build::build(&arguments.folder, &options, |stage| {
        // Whoever tells of it may be gone; the work goes on.
        sender.send(stage).ok();
    });
    drop(sender);
    drop(teller.join());
    let built = built.map_err(|error| match error.hint() {
        Some(advice) => hint::error(&error, advice),
        None => anyhow::Error::new(error),
    })?;
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&built, arguments)),
        Format::Json => output::json(&built),
    }
}

/// Names each stage that lasts, until there are no more.
fn tell(stages: &mpsc::Receiver<Stage>) {
    let mut current = None;
    loop {
        let next = match current {
            None => stages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => stages.recv_timeout(PATIENCE),
        };
        match (next, current) {
            (Ok(stage), _) => current = Some(stage),
            (Err(RecvTimeoutError::Timeout), Some(stage)) => {
                eprintln!("{}", line(stage));
                current = None;
            }
            (Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected), _) => return,
        }
    }
}

fn line(stage: Stage) -> String {
    match stage {
        Stage::Installing(language) => format!("installing what {language} needs …"),
        Stage::Building(language) => format!("building from {language} …"),
        Stage::Checking => "loading the component as the controller would …".to_owned(),
    }
}

fn text(built: &Built, arguments: &Arguments) -> String {
    let mut text = format!(
        "module      {}\nfrom        {}\nfile        {}\nsize        {} bytes\ndigest      sha256:{}\n",
        built.name,
        built.language,
        built.file.display(),
        built.size,
        built.digest,
    );
    if let Some(reason) = &built.refuses_empty_settings {
        text += &format!("settings    needed: {reason}\n");
    }
    match &built.tried_with {
        Some(TriedWith { case, refused: None }) => {
            text += &format!("tried       with those of the case {case:?}\n");
        }
        Some(TriedWith { case, refused: Some(reason) }) => {
            text += &format!("tried       with those of the case {case:?}, and it refuses them: {reason}\n");
        }
        None if built.refuses_empty_settings.is_some() => {
            text += "tried       with none: there is no case in cases.yaml whose settings could be taken\n";
        }
        None => {}
    }
    // A suite asks the component in its folder, and one that went elsewhere is not there.
    let next = match (&arguments.out, &built.refuses_empty_settings) {
        (Some(_), Some(_)) => None,
        (Some(file), None) => Some(format!("check {}", words::quoted(file))),
        (None, _) if arguments.folder.join(suite::FILE).exists() => {
            Some(format!("test {}", words::quoted(&arguments.folder)))
        }
        (None, _) => None,
    };
    if let Some(next) = next {
        text += &format!("\nnext: landfall policy {next}\n");
    }
    text
}
