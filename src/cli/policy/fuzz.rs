//! `landfall policy fuzz`: does a module keep the laws that every module should?

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, builder::PossibleValuesParser, value_parser};
use serde_json::{Value as Json, json};

use crate::{
    author::{
        asking::Asker,
        generate::{Corpus, Generator},
        laws::{
            Law, Twist,
            run::{self, Broken, Findings, Plan},
            saved,
        },
        origin::Origin,
        subject::Subject,
        suite::Suite,
    },
    cli::{
        Outcome, hint,
        output::{self, Format},
        policy::opened::{self, SignOfLife},
        style::{BAD, FAINT, GOOD, HINT, WARNING, styled},
        words,
    },
    policy::{decision::MODULE_BUILTIN, host::Host},
};

/// Where what was found is kept, beside the module's sources.
const FOLDER: &str = "fuzz-failures";
/// Runs, where nothing is said: some seconds with a module in Rust.
const RUNS: u64 = 1000;
/// Seeds that are made up are short, because people copy them.
const SEED_LIMIT: u64 = 1_000_000;

/// Flags of `landfall policy fuzz`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy fuzz policies/images\n  landfall policy fuzz builtin --seconds 10\n  landfall policy fuzz policies/images --settings images.yaml --law garbage --seed 7\n\nSettings and requests are made from those of the suite: the more it has, the more is tried.\nWhat breaks a law is shrunk to the smallest case and saved as a suite that `landfall policy test` runs.\n\nA law for which no trial could be made is not tried: that is told, and fails if the law is named with --law.\n\nExit status: 0 if every law that was tried holds, 1 if one is broken, or was asked for and not tried."
)]
pub struct Arguments {
    /// The component, a policy folder, or `builtin`
    module: PathBuf,
    /// The suite that settings and requests are made from; the folder's if not given
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    /// Settings to start from, as YAML or JSON, in place of the suite's
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Try this law only; can be given several times
    #[arg(long, value_name = "LAW", value_parser = laws())]
    law: Vec<String>,
    /// Leave this law out; can be given several times
    #[arg(long, value_name = "LAW", value_parser = laws())]
    without: Vec<String>,
    /// What all chance comes from; the same seed makes the same run
    #[arg(long)]
    seed: Option<u64>,
    /// How many runs: each puts one request with one set of settings to every law [default: 1000, or no end with --seconds]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// Stop after this time
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Make this run only, to have what it found again
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["runs", "seconds"])]
    run: Option<u64>,
    /// The folder that broken laws are saved in [default: fuzz-failures in the policy folder, else here]
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A broken law, and what was done about it.
struct Reported<'a> {
    broken: &'a Broken,
    command: String,
    file: PathBuf,
}

/// Tries the laws and prints what was found.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let subject = opened::subject(&arguments.module)?;
    let settings = opened::settings(arguments.settings.as_deref())?;
    let suite = opened::suite(&subject, arguments.suite.as_deref())?;
    let plan = plan(arguments, suite.as_ref())?;
    let folder = folder(arguments, &subject);
    opened::makeable(&folder)?;
    let origins = origins(settings.as_ref(), suite.as_ref());
    let corpus = corpus(&subject, suite.as_ref(), settings.map(|(settings, _)| settings));
    let host = Host::new()?;
    let prepared = opened::prepared(&host, &subject)?;
    let mut asker = Asker::new(&host, &prepared, &subject.name);
    must_take_one(&asker, &subject, &corpus, &origins)?;
    let mut generator = Generator::new(corpus, plan.seed);
    let mut sign = SignOfLife::start();
    let findings = run::run(&mut asker, &mut generator, &plan, &mut |at| {
        sign.show(|| format!("{} runs, {} decisions", at.runs, at.decisions));
    });
    drop(sign);
    let reported = report(arguments, (&subject, &folder), &plan, &findings)?;
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&subject, &plan, &findings, &reported))?,
        Format::Json => output::json(&json_of(&subject, &plan, &findings, &reported))?,
    }
    let is_missed = |(law, trials): &(Law, u64)| *trials == 0 && arguments.law.iter().any(|name| name == law.name());
    let tried_none = findings.trials.iter().all(|(_, trials)| *trials == 0);
    let good = findings.broken.is_empty() && !tried_none && !findings.trials.iter().any(is_missed);
    Ok(if good { Outcome::Done } else { Outcome::Unsuccessful })
}

/// Where what is found is saved.
fn folder(arguments: &Arguments, subject: &Subject) -> PathBuf {
    match (&arguments.save, &subject.folder) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => folder.join(FOLDER),
        (None, None) => PathBuf::from(FOLDER),
    }
}

/// Where the settings stand that there is to start from.
fn origins(settings: Option<&(Json, Origin)>, suite: Option<&Suite>) -> Vec<(Json, Origin)> {
    if let Some(known) = settings {
        return vec![known.clone()];
    }
    let questions = suite.into_iter().flat_map(|suite| suite.questions.iter().map(move |question| (suite, question)));
    let mut origins: Vec<(Json, Origin)> = Vec::new();
    for (suite, question) in questions {
        if !origins.iter().any(|(settings, _)| *settings == *question.settings) {
            origins.push((Json::clone(&question.settings), suite.origin(question.line)));
        }
    }
    origins
}

fn laws() -> PossibleValuesParser {
    PossibleValuesParser::new(Law::ALL.map(Law::name))
}

fn plan(arguments: &Arguments, suite: Option<&Suite>) -> anyhow::Result<Plan> {
    let off = suite.map(|suite| suite.laws_off.as_slice()).unwrap_or_default();
    let is_named = |law: &Law| arguments.law.iter().any(|name| name == law.name());
    let is_wanted = |law: &Law| {
        let left_out = arguments.without.iter().any(|name| name == law.name());
        !left_out && if arguments.law.is_empty() { !off.contains(law) } else { is_named(law) }
    };
    let laws: Vec<Law> = Law::ALL.into_iter().filter(is_wanted).collect();
    if laws.is_empty() {
        return Err(hint::error("no law is left to try", "leave out `--without`, or name one with `--law`"));
    }
    let made_up = || uuid::Uuid::new_v4().as_u64_pair().0 % SEED_LIMIT;
    let unbounded = if arguments.seconds.is_some() { u64::MAX } else { RUNS };
    Ok(Plan {
        laws,
        seed: arguments.seed.unwrap_or_else(made_up),
        first: arguments.run.unwrap_or(0),
        runs: if arguments.run.is_some() { 1 } else { arguments.runs.unwrap_or(unbounded) },
        time: arguments.seconds.map(Duration::from_secs),
    })
}

fn corpus(subject: &Subject, suite: Option<&Suite>, settings: Option<Json>) -> Corpus {
    let builtin = subject.name == MODULE_BUILTIN;
    let Some(suite) = suite else { return Corpus::of_settings(settings, builtin) };
    let mut corpus = Corpus::of_questions(&suite.questions);
    if let Some(settings) = settings {
        corpus.settings = vec![settings.into()];
    }
    corpus
}

/// Where the module takes nothing that there is to start from, nothing would be tried.
fn must_take_one(
    asker: &Asker<'_>,
    subject: &Subject,
    corpus: &Corpus,
    origins: &[(Json, Origin)],
) -> anyhow::Result<()> {
    let mut refused = None;
    for settings in &corpus.settings {
        match asker.start(settings) {
            Ok(_) => return Ok(()),
            Err(error) => refused = Some((settings, error)),
        }
    }
    match refused {
        None => Ok(()),
        Some((settings, error)) => Err(hint::error(
            origins
                .iter()
                .find(|(known, _)| known == settings.as_ref())
                .map_or(&Origin::None, |(_, origin)| origin)
                .refusal(&subject.shown(), &error),
            "name settings that it takes with --settings FILE, or a suite that has some with --suite FILE",
        )),
    }
}

fn report<'a>(
    arguments: &Arguments,
    (subject, folder): (&Subject, &Path),
    plan: &Plan,
    findings: &'a Findings,
) -> anyhow::Result<Vec<Reported<'a>>> {
    let mut reported = Vec::new();
    for broken in &findings.broken {
        let command = again(arguments, plan, broken);
        let file = saved::save(folder, subject, plan.seed, broken, &command)
            .map_err(|error| anyhow::anyhow!("saving to {}: {error}", folder.display()))?;
        reported.push(Reported { broken, command, file });
    }
    Ok(reported)
}

/// The command that finds it again.
fn again(arguments: &Arguments, plan: &Plan, broken: &Broken) -> String {
    let mut command = format!("landfall policy fuzz {}", words::quoted(&arguments.module));
    let mut flag = |name: &str, file: &Option<PathBuf>| {
        if let Some(file) = file {
            command += &format!(" --{name} {}", words::quoted(file));
        }
    };
    flag("suite", &arguments.suite);
    flag("settings", &arguments.settings);
    format!("{command} --law {} --seed {} --run {}", broken.law.name(), plan.seed, broken.run)
}

fn text(subject: &Subject, plan: &Plan, findings: &Findings, reported: &[Reported<'_>]) -> String {
    let mut text = String::new();
    for reported in reported {
        text += &broken_text(reported);
    }
    for (law, trials) in &findings.trials {
        let broken = findings.broken.iter().any(|broken| broken.law == *law);
        text += &match (broken, trials) {
            (true, _) => format!("{:13} {}  {trials} trials\n", law.name(), styled(BAD, "BROKEN")),
            (false, 0) => {
                format!("{:13} {}: {}\n", law.name(), styled(WARNING, "not tried"), not_tried(*law, findings))
            }
            (false, _) => format!("{:13} {}   {trials} trials\n", law.name(), styled(GOOD, "holds")),
        };
    }
    let (taken, refused) = (findings.settings_taken, findings.settings_refused);
    text += &format!(
        "{}: {} runs, {} decisions, {taken} settings taken and {refused} refused, in {:.1} s; seed {}\n",
        subject.name,
        findings.runs,
        findings.decisions,
        findings.took.as_secs_f64(),
        plan.seed
    );
    text
}

/// Why there was no trial of a law.
fn not_tried(law: Law, findings: &Findings) -> String {
    if findings.runs == 0 {
        "there was no time for a run".to_owned()
    } else if findings.settings_taken == 0 {
        "the module took none of the settings that were generated".to_owned()
    } else {
        format!("it takes {}, and there were none in {} runs", law.takes(), findings.runs)
    }
}

fn broken_text(Reported { broken, command, file }: &Reported<'_>) -> String {
    let Broken { law, run, trial, breach, shrinking } = broken;
    let mut rows: Vec<(String, String)> = vec![
        ("law".to_owned(), law.why().to_owned()),
        ("settings".to_owned(), opened::cut(&trial.settings.to_string())),
        ("request".to_owned(), opened::cut(&saved::written(&trial.request).to_string())),
    ];
    if let Twist::After(before) = &trial.twist {
        rows.push(("asked before".to_owned(), opened::cut(&saved::written(before).to_string())));
    }
    rows.extend(breach.said.iter().map(|said| (said.when.clone(), opened::cut(&said.what))));
    rows.push(("found".to_owned(), format!("in run {run}, made smaller in {shrinking} trials")));
    rows.push(("saved".to_owned(), file.display().to_string()));
    rows.push(("again".to_owned(), command.clone()));
    let error = styled(BAD, "error");
    let mut text = format!("{error}: law `{}` is broken: {}\n", law.name(), opened::cut(&breach.sentence));
    for (name, value) in rows {
        text += &format!("  {}: {value}\n", styled(FAINT, name));
    }
    let hint = styled(HINT, "hint");
    text +=
        &format!("  {hint}: this fails until the module keeps the law: landfall policy test {}\n", words::quoted(file));
    if let Some(unless) = law.unless() {
        let name = law.name();
        text +=
            &format!("  {hint}: {unless}: say so in cases.yaml with `laws: {{{name}: false}}`, or --without {name}\n");
    }
    text.push('\n');
    text
}

fn json_of(subject: &Subject, plan: &Plan, findings: &Findings, reported: &[Reported<'_>]) -> Json {
    let broken = |Reported { broken, command, file }: &Reported<'_>| {
        let said = |said: &crate::author::laws::Said| json!({ "when": said.when, "what": said.what });
        json!({
            "law": broken.law.name(),
            "why": broken.law.why(),
            "sentence": broken.breach.sentence,
            "run": broken.run,
            "settings": broken.trial.settings,
            "request": saved::written(&broken.trial.request),
            "twist": twist(&broken.trial.twist),
            "said": broken.breach.said.iter().map(said).collect::<Vec<_>>(),
            "file": file,
            "again": command,
        })
    };
    let law = |(law, trials): &(Law, u64)| {
        // What was not tried neither holds nor is broken.
        let holds = (*trials > 0).then(|| findings.broken.iter().all(|broken| broken.law != *law));
        let why = (*trials == 0).then(|| not_tried(*law, findings));
        json!({ "law": law.name(), "trials": trials, "holds": holds, "notTried": why })
    };
    json!({
        "module": subject.name,
        "seed": plan.seed,
        "ok": findings.broken.is_empty(),
        "runs": findings.runs,
        "decisions": findings.decisions,
        "settingsTaken": findings.settings_taken,
        "settingsRefused": findings.settings_refused,
        "laws": findings.trials.iter().map(law).collect::<Vec<_>>(),
        "broken": reported.iter().map(broken).collect::<Vec<_>>(),
        "nanoseconds": u64::try_from(findings.took.as_nanos()).unwrap_or(u64::MAX),
    })
}

fn twist(twist: &Twist) -> Json {
    match twist {
        Twist::None => Json::Null,
        Twist::After(request) => json!({ "after": saved::written(request) }),
        Twist::Without(path) => json!({ "without": path.to_string() }),
        Twist::Beside(path, names) => json!({ "beside": path.to_string(), "strangersFor": names }),
        Twist::Pod(pod) => json!({ "pod": pod.as_ref().map(|pod| pod.as_str()) }),
        Twist::Unknown(name) => json!({ "unknown": name }),
        Twist::Instead(settings) => json!({ "settings": settings }),
    }
}
