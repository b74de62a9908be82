//! `landfall policy diff`: what two versions of a policy decide differently.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use crate::{
    author::{
        asking::{Asker, line},
        diff::{Asked, Change, Comparison, Group, Hindrance, Kind, LeftOut, Side, Source},
        generate::{Corpus, Generator},
        laws::saved,
        records::Records,
        subject::Subject,
        suite::Suite,
    },
    cli::{
        Outcome, hint,
        output::{self, Format},
        policy::{
            asking,
            opened::{self, SignOfLife},
        },
        style::{BAD, FAINT, WARNING, styled},
    },
    policy::{decision::MODULE_BUILTIN, host::Host, module::Prepared, store::Chain},
};

/// Generated requests, where nothing is said: a second or two with modules in Rust.
const GENERATED: u64 = 2000;
/// Recorded requests that others are made from: enough to know the names.
const CORPUS_MAX: usize = 10_000;

/// Flags of `landfall policy diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy diff old.wasm policies/images\n  landfall policy diff builtin builtin --old-settings old.yaml --new-settings new.yaml\n  landfall policy diff --old-config old-config.yaml --new-config config.yaml\n  landfall policy diff builtin builtin --settings roles.yaml --records decisions.jsonl\n  landfall policy diff old.wasm policies/images --fail-on loosened -o json\n\nAsked are the recorded requests, the questions of the suite, and generated ones. Records hold neither pods nor settings: those\nthat a module can't be asked about without are counted and left out.\n\nExit status: 0 if nothing changed that --fail-on names, 1 if something did."
)]
pub struct Arguments {
    /// The old module: a component, a policy folder, or `builtin`
    #[arg(required_unless_present = "old_config", conflicts_with = "old_config")]
    old: Option<PathBuf>,
    /// The new module
    #[arg(required_unless_present = "new_config", conflicts_with = "new_config")]
    new: Option<PathBuf>,
    /// What both are configured with, as YAML or JSON; without it each question has settings of its own
    #[arg(long, value_name = "FILE", conflicts_with_all = ["old_settings", "new_settings"])]
    settings: Option<PathBuf>,
    /// What the old module is configured with
    #[arg(long, value_name = "FILE", requires = "new_settings")]
    old_settings: Option<PathBuf>,
    /// What the new module is configured with
    #[arg(long, value_name = "FILE", requires = "old_settings")]
    new_settings: Option<PathBuf>,
    /// In place of a module, all of the old set: the controller's ConfigMap
    #[arg(long, value_name = "FILE", requires = "new_config")]
    old_config: Option<PathBuf>,
    /// In place of a module, all of the new set: the controller's ConfigMap
    #[arg(long, value_name = "FILE", requires = "old_config")]
    new_config: Option<PathBuf>,
    /// The folder with the modules of the sets
    #[arg(long, value_name = "DIR", requires = "new_config")]
    policies: Option<PathBuf>,
    /// The folder with the modules of the old set, if it is another
    #[arg(long, value_name = "DIR", requires = "old_config")]
    old_policies: Option<PathBuf>,
    /// Decision records whose requests are asked again; can be given several times
    #[arg(long, value_name = "FILE")]
    records: Vec<PathBuf>,
    /// The suite whose questions are asked; that of the new module's folder if not given
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    /// How many requests are generated
    #[arg(long, value_name = "N", default_value_t = GENERATED)]
    generated: u64,
    /// What they are generated from; the same seed makes the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which changes make the exit status 1
    #[arg(long, value_enum, default_value_t)]
    fail_on: FailOn,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What `--fail-on` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Any change, of a reason's words too
    #[default]
    Any,
    /// A change of the verdict, in whichever direction, or no answer where there was one
    Verdict,
    /// Something is allowed that was denied
    Loosened,
    /// None
    Never,
}

/// The sets or modules, loaded, which the sides borrow from.
enum Loaded {
    Module { name: String, prepared: Prepared, settings: Option<Json> },
    Set(Chain),
}

/// Compares and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let host = Host::new()?;
    let subject = |path: &Option<PathBuf>| path.as_deref().map(opened::subject).transpose();
    let (old_subject, new_subject) = (subject(&arguments.old)?, subject(&arguments.new)?);
    let old_policies = arguments.old_policies.as_deref().or(arguments.policies.as_deref());
    let old_settings = arguments.old_settings.as_deref().or(arguments.settings.as_deref());
    let new_settings = arguments.new_settings.as_deref().or(arguments.settings.as_deref());
    let old_set = (arguments.old_config.as_ref(), old_policies);
    let new_set = (arguments.new_config.as_ref(), arguments.policies.as_deref());
    let (old, new) = match (
        load(&host, old_subject.as_ref(), old_settings, old_set),
        load(&host, new_subject.as_ref(), new_settings, new_set),
    ) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(old), Err(new)) => anyhow::bail!("neither of the two loads\n  old: {old:#}\n  new: {new:#}"),
        (Err(error), Ok(_)) => return Err(error.context("old")),
        (Ok(_), Err(error)) => return Err(error.context("new")),
    };
    let suite = match (&new_subject, &arguments.suite) {
        (Some(subject), named) => opened::suite(subject, named.as_deref())?,
        (None, Some(named)) => opened::suite(&Subject::builtin(), Some(named))?,
        (None, None) => None,
    };
    let (mut old, mut new) = (side(&host, &old), side(&host, &new));
    let mut comparison = Comparison::default();
    ask_all(arguments, suite.as_ref(), new_subject.as_ref(), &mut |asked| comparison.ask(&mut old, &mut new, asked))?;
    must_be_comparable(&comparison)?;
    comparison.shrink(&mut old, &mut new);
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(arguments, &comparison))?,
        Format::Json => output::json(&json_of(arguments, &comparison))?,
    }
    let loosened = comparison.count(Kind::Loosened) > 0;
    let fails = match arguments.fail_on {
        FailOn::Any => !comparison.groups.is_empty(),
        FailOn::Verdict => loosened || [Kind::Failed, Kind::Tightened].iter().any(|kind| comparison.count(*kind) > 0),
        FailOn::Loosened => loosened,
        FailOn::Never => false,
    };
    Ok(if fails { Outcome::Unsuccessful } else { Outcome::Done })
}

/// Nothing that was asked is no comparison; nor is it, if the records that were named told nothing for want of settings.
fn must_be_comparable(comparison: &Comparison) -> anyhow::Result<()> {
    let refused = |source: Source| comparison.left_out.get(&(source, Hindrance::Refused));
    let is_asked = |source: Source| comparison.asked_of.get(&source).is_some_and(|asked| *asked > 0);
    if let Some(LeftOut { said, .. }) = refused(Source::Record).filter(|_| !is_asked(Source::Record)) {
        return Err(hint::error(
            format!("both refuse to be without settings, and records hold none: {said}"),
            "name settings for both with --settings FILE, or for each with --old-settings and --new-settings",
        ));
    }
    if comparison.asked > 0 {
        return Ok(());
    }
    if let Some(LeftOut { said, .. }) = refused(Source::Case).or(refused(Source::Generated)) {
        return Err(hint::error(
            format!("both refuse all settings that were tried: {said}"),
            "name settings that they take with --settings FILE, or a suite that has some with --suite FILE",
        ));
    }
    if let Some(((_, hindrance), left_out)) = comparison.left_out.first_key_value() {
        return Err(hint::error(
            format!("nothing could be compared: {}", left_out_text(Source::Record, hindrance, left_out)),
            "let some requests be --generated, or name a --suite whose cases have pods",
        ));
    }
    Err(hint::error("nothing was asked", "name --records or a --suite, or let some be --generated"))
}

/// How many could not be asked, and why.
fn left_out_text(source: Source, hindrance: &Hindrance, LeftOut { count, said }: &LeftOut) -> String {
    let what = match source {
        Source::Case => "cases",
        Source::Record => "recorded requests",
        Source::Generated => "generated requests",
    };
    match hindrance {
        Hindrance::Refused => {
            format!("{count} {what} were not asked: both refuse their settings, such as: {}", opened::cut(said))
        }
        Hindrance::NoPod(module) => {
            format!("{count} {what} were not asked: {module} decides by the pod, and records hold none")
        }
    }
}

fn load(
    host: &Host,
    subject: Option<&Subject>,
    settings: Option<&Path>,
    (config, policies): (Option<&PathBuf>, Option<&Path>),
) -> anyhow::Result<Loaded> {
    let Some(subject) = subject else { return Ok(Loaded::Set(asking::chain_in_force(host, config, policies)?)) };
    let prepared = opened::prepared(host, subject)?;
    let settings = opened::settings(settings)?;
    if let Some((settings, origin)) = &settings
        && let Err(error) = Asker::new(host, &prepared, &subject.name).start(settings)
    {
        anyhow::bail!("{}", origin.refusal(&subject.shown(), &error));
    }
    let settings = settings.map(|(settings, _)| settings);
    Ok(Loaded::Module { name: subject.name.clone(), prepared, settings })
}

fn side<'a>(host: &'a Host, loaded: &'a Loaded) -> Side<'a> {
    match loaded {
        Loaded::Module { name, prepared, settings } => {
            Side::Module { asker: Asker::new(host, prepared, name), settings: settings.clone() }
        }
        Loaded::Set(chain) => Side::Set { host, chain },
    }
}

/// Asks the recorded requests, the suite's, and generated ones.
fn ask_all(
    arguments: &Arguments,
    suite: Option<&Suite>,
    subject: Option<&Subject>,
    ask: &mut dyn FnMut(Asked),
) -> anyhow::Result<()> {
    let mut sign = SignOfLife::start();
    let mut count = 0_u64;
    let mut ask = |asked| {
        ask(asked);
        count += 1;
        sign.show(|| format!("{count} requests"));
    };
    let nothing = Arc::new(json!({}));
    for question in suite.map(|suite| suite.questions.as_slice()).unwrap_or_default() {
        let from = format!("case {:?}", question.name);
        let settings = Arc::clone(&question.settings);
        ask(Asked { settings, request: question.request.clone(), from, source: Source::Case });
    }
    let mut corpus = match suite {
        Some(suite) => Corpus::of_questions(&suite.questions),
        None => Corpus::of_settings(None, subject.is_some_and(|subject| subject.name == MODULE_BUILTIN)),
    };
    for file in [&arguments.settings, &arguments.old_settings, &arguments.new_settings].into_iter().flatten() {
        // Names in them are names to ask about.
        corpus.settings.extend(opened::settings(Some(file))?.map(|(settings, _)| Arc::new(settings)));
    }
    for file in &arguments.records {
        let opened = File::open(file).with_context(|| file.display().to_string())?;
        let mut records = Records::new(BufReader::new(opened));
        while let Some((line, record)) = records.next_line().with_context(|| file.display().to_string())? {
            let from = format!("{}:{line}", file.display());
            let record = record.map_err(|message| anyhow::anyhow!("{from}: {message}"))?;
            if corpus.requests.len() < CORPUS_MAX {
                corpus.requests.push(record.request.clone());
            }
            ask(Asked { settings: Arc::clone(&nothing), request: record.request, from, source: Source::Record });
        }
    }
    let mut generator = Generator::new(corpus, arguments.seed);
    for number in 0..arguments.generated {
        generator.dice.reseed([arguments.seed, number, 0, 0]);
        let (settings, request) = (Arc::new(generator.settings()), generator.request());
        let from = format!("generated request {number}");
        ask(Asked { settings, request, from, source: Source::Generated });
    }
    Ok(())
}

fn text(arguments: &Arguments, comparison: &Comparison) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let groups = comparison.groups.iter().filter(|(change, _)| change.kind == kind);
        for (Change { old, new, .. }, Group { count, example }) in groups {
            let style = match kind {
                Kind::Loosened | Kind::Failed => BAD,
                Kind::Tightened | Kind::Answered | Kind::Code | Kind::Reason => WARNING,
            };
            text += &format!("{}: {old} -> {new}: {count} requests, such as\n", styled(style, kind));
            let mut row = |name: &str, value: &str| {
                text += &format!("  {} {}\n", styled(FAINT, format!("{name:8}")), opened::cut(value))
            };
            row("request", &saved::written(&example.asked.request).to_string());
            if arguments.old_config.is_none() && arguments.settings.is_none() && arguments.old_settings.is_none() {
                row("settings", &example.asked.settings.to_string());
            }
            row("old", &line(&example.old));
            row("new", &line(&example.new));
            row("from", &example.asked.from);
            text.push('\n');
        }
    }
    for ((source, hindrance), left_out) in &comparison.left_out {
        text += &format!("{}: {}\n", styled(WARNING, "note"), left_out_text(*source, hindrance, left_out));
    }
    let counts = Kind::ALL.map(|kind| format!("{} {}", comparison.count(kind), kind.name()));
    text += &format!("{} requests asked: {}; seed {}\n", comparison.asked, counts.join(", "), arguments.seed);
    text
}

fn json_of(arguments: &Arguments, comparison: &Comparison) -> Json {
    let group = |(change, group): (&Change, &Group)| {
        json!({
            "kind": change.kind.name(),
            "old": change.old,
            "new": change.new,
            "count": group.count,
            "example": {
                "request": saved::written(&group.example.asked.request),
                "settings": *group.example.asked.settings,
                "old": group.example.old,
                "new": group.example.new,
                "from": group.example.asked.from,
            },
        })
    };
    let left_out = |((source, hindrance), left_out): (&(Source, Hindrance), &LeftOut)| {
        json!({
            "source": source.name(),
            "why": match hindrance {
                Hindrance::Refused => "settingsRefused",
                Hindrance::NoPod(_) => "noPod",
            },
            "count": left_out.count,
            "message": left_out_text(*source, hindrance, left_out),
        })
    };
    json!({
        "asked": comparison.asked,
        "notAsked": comparison.left_out.iter().map(left_out).collect::<Vec<_>>(),
        "seed": arguments.seed,
        "loosened": comparison.count(Kind::Loosened),
        "failed": comparison.count(Kind::Failed),
        "tightened": comparison.count(Kind::Tightened),
        "answered": comparison.count(Kind::Answered),
        "code": comparison.count(Kind::Code),
        "reason": comparison.count(Kind::Reason),
        "changes": comparison.groups.iter().map(group).collect::<Vec<_>>(),
    })
}
