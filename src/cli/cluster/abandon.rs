//! `landfall cluster abandon`: lets go of workflows that can't be deleted because a cluster does not come back. Their pods
//! there are given up, and nothing else: pods that can be deleted still are.

use std::{fmt, str::FromStr};

use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    api::ids::{ClusterName, Namespace, Target as Place},
    cli::{
        Outcome, ask,
        cluster::{
            findings::counted,
            home::{self, Home},
            secret::Clusters,
            target::Target,
            workflows::{self, Found},
        },
        hint,
        output::{self, Format},
        style::{STRONG, styled},
    },
    clusters::call::CallError,
};

/// Flags of `landfall cluster abandon`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall cluster abandon other --workflow argo/multi-cluster-x7k2p
  landfall cluster abandon other third --all
  landfall cluster abandon other --all --yes -o json

A workflow that is deleted waits until its pods in other clusters are deleted. This gives up those in the named clusters: the \
workflows go, and pods that are still there stay behind. If the cluster comes back and is still configured, the controller \
deletes them as orphans; otherwise they are yours to delete.")]
pub struct Arguments {
    /// The clusters that don't come back
    #[arg(required = true)]
    name: Vec<ClusterName>,
    /// A workflow to let go, as NAMESPACE/NAME; once for each
    #[arg(long, value_name = "NAMESPACE/NAME", required_unless_present = "all", conflicts_with = "all")]
    workflow: Vec<WorkflowName>,
    /// Let go of every workflow that waits for one of the clusters
    #[arg(long)]
    all: bool,
    /// Do it though the cluster answers
    #[arg(long)]
    force: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// How to print what is done
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    home: home::Flags,
}

/// A workflow as the command line names it.
#[derive(Clone, Debug)]
struct WorkflowName {
    namespace: Namespace,
    name: String,
}

impl FromStr for WorkflowName {
    type Err = String;

    fn from_str(text: &str) -> Result<WorkflowName, String> {
        let (namespace, name) = text.split_once('/').ok_or("expected NAMESPACE/NAME")?;
        let namespace = namespace.parse().map_err(|error| format!("{error}"))?;
        if name.is_empty() {
            return Err("expected NAMESPACE/NAME".to_owned());
        }
        Ok(WorkflowName { namespace, name: name.to_owned() })
    }
}

impl fmt::Display for WorkflowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What becomes of a workflow.
struct Case {
    found: Found,
    /// Pods that may stay behind, in the clusters that are given up.
    behind: Vec<String>,
    /// Why it is not let go: pods elsewhere that can still be deleted, or can't be asked about.
    waits_for: Vec<String>,
}

/// How a cluster that is to be given up stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It isn't in the Secret any more, or what is there can't be used.
    Removed,
    /// It doesn't answer, for this reason.
    Down(String),
    /// It answers.
    Answers,
}

/// Lets go of the workflows.
///
/// # Errors
/// If there is none, a cluster answers after all, or home refuses.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let home = Home::reach(&arguments.home).await?;
    let stored = Clusters::read(&home).await?;
    let waiting = waiting(&arguments, &home).await?;
    let mut is_removed = true;
    for name in &arguments.name {
        let standing = standing(&stored, name).await;
        if standing == Standing::Answers && !arguments.force {
            return Err(hint::error(
                format!("cluster {name} answers, so the pods there can be deleted"),
                "the controller does that, and the message of the workflow says what keeps it; --force gives the pods up all the \
                 same",
            ));
        }
        if let Standing::Down(reason) = &standing {
            anstream::eprintln!("cluster {name} is still configured, and down: {reason}");
        }
        is_removed &= standing == Standing::Removed;
    }
    let cases = join_all(waiting.into_iter().map(|found| case(&arguments, &home, &stored, found))).await;
    anstream::eprint!("{}", shown(&cases));
    if cases.iter().any(Case::goes) && !ask::go_on(arguments.yes || is_removed, "Let go of them?")? {
        anstream::eprintln!("nothing was changed");
        return Ok(Outcome::Unsuccessful);
    }
    for case in cases.iter().filter(|case| case.goes()) {
        workflows::release(&home, &case.found).await?;
    }
    report(&arguments, &cases)?;
    Ok(if cases.iter().all(Case::goes) { Outcome::Done } else { Outcome::Unsuccessful })
}

impl Case {
    fn goes(&self) -> bool {
        self.waits_for.is_empty()
    }
}

/// The workflows that are meant, all of which are being deleted.
async fn waiting(arguments: &Arguments, home: &Home) -> anyhow::Result<Vec<Found>> {
    let clusters: Vec<&str> = arguments.name.iter().map(ClusterName::as_str).collect();
    let clusters = clusters.join(", ");
    let mut all = Vec::new();
    if arguments.all {
        let naming = workflows::naming(home, &arguments.name).await?;
        all.extend(naming.into_iter().filter(|found| found.waits));
    }
    for name in &arguments.workflow {
        let found = workflows::get(home, &name.namespace, &name.name).await?;
        let Some(found) = found else {
            return Err(hint::error(format!("there is no workflow {name} at home"), "it is gone already, or misspelt"));
        };
        if !found.waits {
            return Err(hint::error(
                format!("workflow {name} is not being deleted, or had no pods elsewhere"),
                format!("delete it first: {} -n {} delete workflow {}", home.kubectl(), name.namespace, name.name),
            ));
        }
        if !arguments.name.iter().any(|cluster| found.names(cluster)) {
            return Err(hint::error(
                format!("workflow {name} had no pods in {clusters}"),
                "its message says what its deletion waits for",
            ));
        }
        all.push(found);
    }
    if all.is_empty() {
        return Err(hint::error(
            format!("no workflow waits for {clusters} to be deleted"),
            "only workflows that are being deleted wait; `kubectl delete workflow` begins it",
        ));
    }
    Ok(all)
}

async fn standing(stored: &Clusters, name: &ClusterName) -> Standing {
    let Some(value) = stored.entry(name.as_str()).and_then(|entry| entry.value) else { return Standing::Removed };
    let Ok(target) = Target::of_value(&value) else { return Standing::Removed };
    match target.identity().await {
        Ok(_) | Err(CallError::Refused(_)) => Standing::Answers,
        Err(CallError::Unreachable(reason)) => Standing::Down(reason),
    }
}

/// Looks at the places that are not given up: what is left there keeps the workflow.
async fn case(arguments: &Arguments, home: &Home, stored: &Clusters, found: Found) -> Case {
    let mut behind = Vec::new();
    let mut waits_for = Vec::new();
    for (place, names) in &found.pods {
        if arguments.name.contains(&place.cluster) {
            match names.is_empty() {
                true => behind.push(format!("any in {place}")),
                false => behind.extend(names.iter().map(|name| format!("{place}/{name}"))),
            }
        } else {
            waits_for.extend(left(home, stored, &found, place).await);
        }
    }
    Case { found, behind, waits_for }
}

/// Why a workflow still has business in a place; `None` if it has none.
async fn left(home: &Home, stored: &Clusters, found: &Found, place: &Place) -> Option<String> {
    let target = if place.cluster == home.name {
        Target(home.client.clone())
    } else {
        let value = stored.entry(place.cluster.as_str()).and_then(|entry| entry.value);
        match value.map(|value| Target::of_value(&value)) {
            Some(Ok(target)) => target,
            Some(Err(_)) | None => return Some(format!("{place}: the cluster is not configured")),
        }
    };
    match target.pods_of(&home.uid, &found.uid, &place.namespace).await {
        Ok(0) => None,
        Ok(count) => Some(format!("{place}: {} still to be deleted", counted(count, "pod"))),
        Err(error) => Some(format!("{place}: {error}")),
    }
}

fn shown(cases: &[Case]) -> String {
    let mut text = String::new();
    for Case { found, behind, waits_for } in cases {
        text += &format!("workflow {}\n", styled(STRONG, found.shown()));
        for pod in behind {
            text += &format!("  may stay behind: {pod}\n");
        }
        for reason in waits_for {
            text += &format!("  goes on waiting: {reason}; name that cluster too to give it up\n");
        }
    }
    text
}

fn report(arguments: &Arguments, cases: &[Case]) -> anyhow::Result<()> {
    let (gone, kept): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.goes());
    if arguments.output == Format::Json {
        let of = |case: &&Case| -> Value {
            json!({"workflow": case.found.shown(), "uid": case.found.uid, "behind": case.behind, "waitsFor": case.waits_for})
        };
        return output::json(&json!({
            "abandoned": gone.iter().map(of).collect::<Vec<_>>(), "kept": kept.iter().map(of).collect::<Vec<_>>(),
        }));
    }
    let mut text = format!("let go: {}", counted(gone.len(), "workflow"));
    if !kept.is_empty() {
        text += &format!("; waiting on: {}", kept.len());
    }
    output::text_to_stdout(&(text + "\n"))
}
