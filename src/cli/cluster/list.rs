//! `landfall cluster list`: every cluster of the Secret, and how it is, asked as the controller asks it.

use std::time::{Duration, Instant};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    api::{contract::CLUSTERS_SECRET, ids::Namespace},
    cli::{
        Outcome,
        cluster::{
            grid,
            home::{self, Home},
            secret::{self, Entry},
            target::Target,
        },
        output::{self, Format},
    },
    clusters::token,
};

/// How long one cluster may take to be looked at. They are looked at all at once, so this is what the list takes at most.
const LOOK: Duration = Duration::from_secs(5);

/// Flags of `landfall cluster list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall cluster list
  landfall cluster list --context home -n argo -o json | jq '.clusters[] | select(.state != \"ready\")'

PODS are those of this home. A cluster that can't be used says why.")]
pub struct Arguments {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    home: home::Flags,
}

/// One cluster.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    /// `ready`, `unreachable`, `refused` or `other` if another cluster answers.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_milliseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_made: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_expires: Option<Timestamp>,
    /// Whether the controller renews it.
    renewed: bool,
    require_consent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespaces: Option<Vec<Namespace>>,
}

/// Lists them.
///
/// # Errors
/// If home can't be asked.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let home = Home::reach(&arguments.home).await?;
    let clusters = secret::Clusters::read(&home).await?;
    let looks =
        clusters.names().into_iter().filter_map(|name| Some(look(&home, name.to_owned(), clusters.entry(name)?)));
    let rows: Vec<Row> = futures::future::join_all(looks).await;
    match arguments.output {
        Format::Json => output::json(&json!({"home": home.name, "clusters": rows}))?,
        Format::Text if rows.is_empty() => {
            anstream::eprintln!(
                "secret {}/{CLUSTERS_SECRET} has no cluster; `landfall cluster add` adds one",
                home.namespace
            );
        }
        Format::Text => output::text_to_stdout(&text(&rows, Timestamp::now()))?,
    }
    Ok(Outcome::Done)
}

/// Looks at one cluster, for no longer than [`LOOK`].
async fn look(home: &Home, name: String, entry: Entry) -> Row {
    let mut row = Row { name, state: "refused", ..Row::default() };
    let value = entry.value.unwrap_or_default();
    let settings = match entry.settings {
        Ok(settings) => settings,
        Err(refusal) => {
            row.reason = Some(format!("annotation {}: {refusal}", secret::annotation(&row.name)));
            return row;
        }
    };
    let times = bearer(&value).as_deref().and_then(token::times);
    row.token_made = times.map(|(made, _)| made);
    row.token_expires = settings.token_expires.or(times.map(|(_, expires)| expires));
    row.renewed = settings.account.is_some();
    row.require_consent = settings.require_consent;
    row.namespaces = settings.namespaces.map(|namespaces| namespaces.into_iter().collect());
    let target = match Target::of_value(&value) {
        Ok(target) => target,
        Err(error) => {
            row.reason = Some(format!("{error:#}"));
            return row;
        }
    };
    row.state = "unreachable";
    let before = row.clone();
    let asked = ask(home, &target, settings.uid.as_deref(), &mut row);
    match tokio::time::timeout(LOOK, asked).await {
        Ok(Ok(())) => row,
        Ok(Err(reason)) => Row { reason: Some(reason), ..row },
        Err(_) => Row { reason: Some(format!("no answer within {} s", LOOK.as_secs())), ..before },
    }
}

async fn ask(home: &Home, target: &Target, known: Option<&str>, row: &mut Row) -> Result<(), String> {
    let asked = Instant::now();
    row.version = Some(target.version().await.map_err(|error| error.to_string())?);
    row.latency_milliseconds = u64::try_from(asked.elapsed().as_millis()).ok();
    let uid = target.identity().await.map_err(|error| format!("namespace kube-system: {error}"))?;
    if let Some(known) = known.filter(|known| *known != uid) {
        row.state = "other";
        return Err(format!(
            "another cluster answers: its kube-system has UID {uid}, not {known}; `landfall cluster confirm {}{}`",
            row.name,
            home.flags()
        ));
    }
    row.state = "ready";
    let pods = target.pods(&home.uid, row.namespaces.as_deref()).await;
    row.pods = Some(pods.map_err(|error| format!("pods can't be listed: {error}"))?.len());
    Ok(())
}

/// The bearer token of rest.Config JSON.
fn bearer(value: &[u8]) -> Option<String> {
    let config: Value = serde_json::from_slice(value).ok()?;
    let mut fields = config.as_object()?.iter();
    fields.find(|(key, _)| key.eq_ignore_ascii_case("BearerToken"))?.1.as_str().map(str::to_owned)
}

fn text(rows: &[Row], now: Timestamp) -> String {
    let heading = ["NAME", "STATE", "VERSION", "LATENCY", "PODS", "TOKEN", "CONSENT", "NAMESPACES"];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let lines = rows.iter().map(|row| {
        vec![
            row.name.clone(),
            row.state.to_owned(),
            or_dash(row.version.clone()),
            or_dash(row.latency_milliseconds.map(|milliseconds| format!("{milliseconds} ms"))),
            or_dash(row.pods.map(|pods| pods.to_string())),
            token_text(row, now),
            if row.require_consent { "required" } else { "not required" }.to_owned(),
            row.namespaces.as_ref().map_or_else(
                || "all".to_owned(),
                |names| names.iter().map(Namespace::as_str).collect::<Vec<_>>().join(","),
            ),
        ]
    });
    let mut text = grid::text(&heading, lines.collect());
    for row in rows {
        if let Some(reason) = &row.reason {
            text += &format!("{}: {reason}\n", row.name);
        }
    }
    text
}

fn token_text(row: &Row, now: Timestamp) -> String {
    let made = row.token_made.map(|made| format!("{} old", span(now.duration_since(made))));
    let ends = row.token_expires.map(|ends| match ends.duration_since(now) {
        left if left.is_positive() => format!("ends in {}", span(left)),
        _ => "has ended".to_owned(),
    });
    let renewed = row.renewed.then(|| "renewed".to_owned());
    let parts: Vec<String> = [made, ends, renewed].into_iter().flatten().collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// A span in the largest unit that it has one of.
fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Row, text};

    #[test]
    fn rows_are_shown_with_reasons_below() {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        let rows = [
            Row {
                name: "other".to_owned(),
                state: "ready",
                version: Some("v1.33.0".to_owned()),
                latency_milliseconds: Some(3),
                pods: Some(2),
                token_made: Some("2026-01-09T00:00:00Z".parse().unwrap()),
                token_expires: Some("2026-01-16T00:00:00Z".parse().unwrap()),
                renewed: true,
                require_consent: true,
                namespaces: Some(vec!["argo".parse().unwrap(), "team-a".parse().unwrap()]),
                ..Row::default()
            },
            Row {
                name: "down".to_owned(),
                state: "unreachable",
                reason: Some("connection refused".to_owned()),
                token_expires: Some("2026-01-09T00:00:00Z".parse().unwrap()),
                ..Row::default()
            },
        ];
        let shown = anstream::adapter::strip_str(&text(&rows, now)).to_string();
        assert_eq!(
            shown,
            "NAME   STATE        VERSION  LATENCY  PODS  TOKEN                         CONSENT       NAMESPACES\n\
             other  ready        v1.33.0  3 ms     2     24h old, ends in 6d, renewed  required      argo,team-a\n\
             down   unreachable  -        -        -     has ended                     not required  all\n\
             down: connection refused\n"
        );
    }
}
