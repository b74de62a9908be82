//! `landfall cluster confirm`: another cluster stands behind a name, and that is meant.

use clap::Args;
use serde_json::json;

use crate::{
    api::ids::ClusterName,
    cli::{
        Outcome, ask,
        cluster::{
            home::{self, Home},
            secret::{self, Change, Clusters},
            target::Target,
        },
        hint,
        output::{self, Format},
        style::{STRONG, styled},
    },
    clusters::settings::Settings,
};

/// Flags of `landfall cluster confirm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall cluster confirm other
  landfall cluster confirm other --yes -o json

The controller remembers each cluster by the UID of its namespace kube-system. If another one answers, as after the cluster \
was made anew, it makes and deletes nothing there until this command was run. Pods of the old cluster count as gone then.")]
pub struct Arguments {
    /// The cluster
    name: ClusterName,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// How to print what is done
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    home: home::Flags,
}

/// Takes over who answers now.
///
/// # Errors
/// If nobody answers, or home can't be asked.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let name = &arguments.name;
    let home = Home::reach(&arguments.home).await?;
    let stored = Clusters::read(&home).await?;
    let entry = stored.known(&home, name)?;
    let settings = entry.settings(name)?;
    let target = Target::of_value(&entry.value.unwrap_or_default())?;
    let now = target.identity().await.map_err(|error| {
        hint::error(
            format!("cluster {name} can't be asked who it is: {error}"),
            format!("`landfall cluster check {name}{}` says what to mend", home.flags()),
        )
    })?;
    let before = settings.uid.clone();
    if before.as_ref() == Some(&now) {
        report(&arguments, before.as_deref(), &now, false)?;
        return Ok(Outcome::Done);
    }
    if now == home.uid {
        return Err(hint::error(
            format!("the home cluster itself answers for {name}"),
            format!(
                "its address is wrong: add the cluster again with landfall cluster add {name} CONTEXT{}",
                home.flags()
            ),
        ));
    }
    anstream::eprintln!(
        "cluster {}: UID of kube-system\n  remembered  {}\n  answers now {now}",
        styled(STRONG, name),
        before.as_deref().unwrap_or("none")
    );
    if !ask::go_on(arguments.yes, "Take it for this cluster from now on?")? {
        anstream::eprintln!("nothing was changed");
        return Ok(Outcome::Unsuccessful);
    }
    let settings = Settings { uid: Some(now.clone()), ..settings };
    secret::write(&home, stored, name, &Change::Know(&settings)).await?;
    report(&arguments, before.as_deref(), &now, true)?;
    Ok(Outcome::Done)
}

fn report(arguments: &Arguments, before: Option<&str>, now: &str, changed: bool) -> anyhow::Result<()> {
    let name = &arguments.name;
    match (arguments.output, changed) {
        (Format::Json, _) => output::json(&json!({"name": name, "before": before, "uid": now, "changed": changed})),
        (Format::Text, true) => {
            output::text_to_stdout(&format!("cluster {name} is the one with UID {now} from now on\n"))
        }
        (Format::Text, false) => {
            output::text_to_stdout(&format!("cluster {name} is the one that is remembered, with UID {now}\n"))
        }
    }
}
