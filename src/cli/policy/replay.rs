//! `landfall policy replay`: are recorded decisions the same when they are made again?

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use serde_json::{Value as Json, json};

use crate::{
    author::{
        asking::line as answer_line,
        origin::Origin,
        replay::{self, Difference, Findings, Missing, SHOWN_MAX},
    },
    cli::{
        Outcome,
        output::{self, Format},
        policy::{
            asking,
            opened::{self, SignOfLife},
        },
        style::{BAD, WARNING, styled},
    },
    policy::{
        decision::Mode,
        host::Host,
        store::{Chain, Member},
    },
};

/// Hexadecimal digits of a digest that tell it from others.
const DIGEST_SHOWN: usize = 12;

/// Flags of `landfall policy replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall policy replay decisions.jsonl --config config.yaml\n  landfall policy replay decisions.jsonl --config config.yaml --policies modules -o json\n  grep setDigest controller.log | landfall policy replay - --config config.yaml\n\nA module that is not here with the digest and the settings of the record is named, not asked. A record holds no pod: what a module said that was given one can't be had again.\n\nExit status: 0 if all that could be compared is the same, 1 if something is not, a line can't be read, or nothing could be compared."
)]
pub struct Arguments {
    /// Files with decision records, one a line; `-` is standard input
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// A module: a component, a policy folder, or `builtin`
    #[arg(long, conflicts_with_all = ["policies", "config"])]
    module: Option<PathBuf>,
    /// What the module is configured with, as YAML or JSON; `{}` without it
    #[arg(long, value_name = "FILE", requires = "module")]
    settings: Option<PathBuf>,
    /// The folder with policy modules
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// The controller's ConfigMap
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Replays and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let host = Host::new()?;
    let chain = match &arguments.module {
        Some(module) => module_alone(&host, module, arguments.settings.as_deref())?,
        None => asking::chain_in_force(&host, arguments.config.as_ref(), arguments.policies.as_deref())?,
    };
    let mut findings = Findings::default();
    let mut sign = SignOfLife::start();
    for file in &arguments.records {
        let name = file.display().to_string();
        let from: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(file).with_context(|| name.clone())?))
        };
        let mut progress = |at: &Findings| sign.show(|| format!("{} records, {} different", at.records, at.different));
        replay::replay((&host, &chain), &name, from, &mut findings, &mut progress).with_context(|| name.clone())?;
    }
    drop(sign);
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&chain, &findings))?,
        Format::Json => output::json(&json_of(&chain, &findings))?,
    }
    let is_good = findings.is_good() && findings.compared > 0;
    Ok(if is_good { Outcome::Done } else { Outcome::Unsuccessful })
}

fn module_alone(host: &Host, path: &Path, settings: Option<&Path>) -> anyhow::Result<Chain> {
    let subject = opened::subject(path)?;
    let (settings, origin) = opened::settings(settings)?.unwrap_or_else(|| (json!({}), Origin::None));
    let prepared = opened::prepared(host, &subject)?;
    let module = prepared
        .configure(host, &subject.name, &settings)
        .map_err(|error| anyhow::anyhow!("{}", origin.refusal(&subject.shown(), &error)))?;
    Ok(Chain::new(0, vec![Member { module: Arc::new(module), mode: Mode::Enforce }]))
}

fn text(chain: &Chain, findings: &Findings) -> String {
    let mut text = String::new();
    let mut line = |said: String| text += &format!("{said}\n");
    let (error, note) = (styled(BAD, "error"), styled(WARNING, "note"));
    for Difference { place, id, module, recorded, now, record } in &findings.differences {
        line(format!("{error}: {place}: record {id}: {module} decides differently: {}", record.request));
        line(format!("  recorded: {}", opened::cut(&answer_line(recorded))));
        line(format!("  now:      {}", opened::cut(&answer_line(now))));
    }
    if findings.different > SHOWN_MAX as u64 {
        line(format!("… {} differences in all", findings.different));
    }
    for malformed in &findings.malformed_lines {
        line(format!("{error}: {}: not a decision record: {}", malformed.place, malformed.message));
    }
    for (digest, count) in &findings.other_sets {
        let digest = if digest.is_empty() { "none" } else { short(digest) };
        line(format!(
            "{note}: {count} records were decided by another set: {digest}; this one is {}",
            short(&chain.digest)
        ));
    }
    for (missing, count) in &findings.missing {
        line(format!("{note}: {}", said_of(missing, *count)));
    }
    for (module, count) in &findings.with_pod {
        line(format!(
            "{note}: {module} was given the pod {count} times: no record holds it, so these can't be had again"
        ));
    }
    if findings.by_host > 0 {
        line(format!("{note}: {} records were decided before any module was asked", findings.by_host));
    }
    let Findings { records, compared, different, malformed, .. } = findings;
    line(format!("{records} records, {compared} answers compared: {different} different, {malformed} lines malformed"));
    if *compared == 0 {
        line(format!("{error}: nothing could be compared"));
    }
    text
}

fn said_of(missing: &Missing, count: u64) -> String {
    let Missing { module, digest, settings_digest, only_settings } = missing;
    let what = if *only_settings {
        format!("{module} decided with other settings ({}), and is here with others", short(settings_digest))
    } else {
        format!("{module} ({}) is not here", short(digest))
    };
    format!(
        "{count} answers can't be compared: {what}; take the ConfigMap and the modules of that time, from git or a backup: \
         --config FILE --policies DIR"
    )
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_SHOWN).unwrap_or(digest)
}

fn json_of(chain: &Chain, findings: &Findings) -> Json {
    let difference = |difference: &Difference| {
        json!({
            "place": difference.place,
            "id": difference.id,
            "module": difference.module,
            "request": difference.record.request,
            "recorded": difference.recorded,
            "now": difference.now,
            "onlyWords": difference.is_only_words(),
        })
    };
    let missing = |(missing, count): (&Missing, &u64)| {
        json!({
            "module": missing.module,
            "digest": missing.digest,
            "settingsDigest": missing.settings_digest,
            "onlySettings": missing.only_settings,
            "count": count,
        })
    };
    json!({
        "ok": findings.is_good() && findings.compared > 0,
        "setDigest": chain.digest,
        "records": findings.records,
        "compared": findings.compared,
        "different": findings.different,
        "differences": findings.differences.iter().map(difference).collect::<Vec<_>>(),
        "byHost": findings.by_host,
        "withPod": findings.with_pod,
        "missing": findings.missing.iter().map(missing).collect::<Vec<_>>(),
        "otherSets": findings.other_sets,
        "malformed": findings.malformed,
        "malformedLines": findings.malformed_lines.iter().map(|line| json!({ "place": line.place, "message": line.message })).collect::<Vec<_>>(),
    })
}
