//! `landfall cluster remove`: forget a cluster, if nothing of ours is left there.

use clap::Args;
use serde_json::json;

use crate::{
    api::ids::ClusterName,
    cli::{
        Outcome, ask,
        cluster::{
            apply::{self, Plan},
            findings::counted,
            home::{self, Home},
            secret::{self, Change, Clusters, Entry},
            target::Target,
            workflows,
        },
        connection, hint,
        output::{self, Format},
    },
    clusters::settings::Settings,
};

/// Pods or workflows that are named before the rest is only counted.
const SHOWN_MAX: usize = 10;

/// Flags of `landfall cluster remove`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall cluster remove other
  landfall cluster remove other --purge my-context
  landfall cluster remove other --force --yes

It refuses while pods of this home are there, or workflows name the cluster: nothing could delete those pods afterwards.")]
pub struct Arguments {
    /// The cluster
    name: ClusterName,
    /// Also take away what `cluster add` made there, through this context of the kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    purge: Option<String>,
    /// Forget it though pods may be left there
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

/// Forgets it.
///
/// # Errors
/// If something of ours is left there, or a cluster can't be asked.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let name = &arguments.name;
    let home = Home::reach(&arguments.home).await?;
    let stored = Clusters::read(&home).await?;
    let entry = match (stored.entry(name.as_str()), &arguments.purge) {
        (Some(entry), _) => entry,
        // Only the rest of an earlier call is left to do.
        (None, Some(_)) => Entry { value: None, settings: Ok(Settings::default()) },
        (None, None) => stored.known(&home, name)?,
    };
    let is_known = stored.entry(name.as_str()).is_some();
    let (target, plan) = purge(&arguments, &home, &entry).await?;
    if is_known && !arguments.force {
        refuse_leftovers(&arguments, &home, &entry, target.as_ref()).await?;
    }
    if let Some(context) = &arguments.purge {
        anstream::eprint!("in cluster {name} (context {context}):\n{}", plan.text());
    }
    anstream::eprintln!("at home, in namespace {}:\n  delete    key {name} of Secret clusters", home.namespace);
    if !ask::go_on(arguments.yes, "Do it?")? {
        anstream::eprintln!("nothing was changed");
        return Ok(Outcome::Unsuccessful);
    }
    secret::write(&home, stored, name, &Change::Remove).await?;
    if let Some(target) = &target {
        plan.carry_out(target).await?;
    }
    report(&arguments, &plan)?;
    Ok(Outcome::Done)
}

/// What is to be taken away there, if that was asked for.
async fn purge(arguments: &Arguments, home: &Home, entry: &Entry) -> anyhow::Result<(Option<Target>, Plan)> {
    let Some(context) = &arguments.purge else { return Ok((None, Plan::default())) };
    let kubeconfig = connection::read(arguments.home.connection.kubeconfig.as_deref())?;
    let target = Target::of_context(kubeconfig, context).await?;
    let known = entry.settings.as_ref().ok().and_then(|settings| settings.uid.clone());
    target.check_identity(known.as_deref(), &arguments.name, context).await?;
    let plan = apply::plan_purge(&target, home.owner()).await?;
    Ok((Some(target), plan))
}

/// What nothing could delete once the cluster is forgotten.
async fn refuse_leftovers(
    arguments: &Arguments,
    home: &Home,
    entry: &Entry,
    purged: Option<&Target>,
) -> anyhow::Result<()> {
    let name = &arguments.name;
    let naming = workflows::naming(home, std::slice::from_ref(name)).await?;
    if !naming.is_empty() {
        let shown = shown(&naming.iter().map(workflows::Found::shown).collect::<Vec<_>>());
        return Err(hint::error(
            format!("{} had pods in cluster {name}: {shown}", counted(naming.len(), "workflow")),
            format!(
                "delete them first, which deletes their pods; --force forgets the cluster all the same, and then `landfall \
                 cluster abandon {name}{}` lets go of those that wait",
                home.flags()
            ),
        ));
    }
    let opened = entry.value.as_deref().map(Target::of_value).transpose();
    let target = match (purged, opened) {
        (Some(target), _) => target.clone(),
        (None, Ok(Some(target))) => target,
        // The controller can't have made anything with a connection that it refuses.
        (None, Ok(None) | Err(_)) => return Ok(()),
    };
    let namespaces = entry.settings.as_ref().ok().and_then(|settings| settings.namespaces.clone());
    let namespaces: Option<Vec<_>> = namespaces.map(|namespaces| namespaces.into_iter().collect());
    let pods = target.pods(&home.uid, namespaces.as_deref()).await.map_err(|error| {
        hint::error(
            format!("whether pods are left in cluster {name} can't be seen: {error}"),
            "--force forgets it all the same; pods that are left there are then yours to delete",
        )
    })?;
    if pods.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = pods.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    Err(hint::error(
        format!("{} of this home in cluster {name}: {}", counted(names.len(), "pod"), shown(&names)),
        "wait until they are gone, or delete their workflows; --force forgets the cluster all the same",
    ))
}

fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(SHOWN_MAX);
    let first = names.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

fn report(arguments: &Arguments, plan: &Plan) -> anyhow::Result<()> {
    let Arguments { name, purge, .. } = arguments;
    if arguments.output == Format::Json {
        return output::json(&json!({"name": name, "removed": true, "objects": plan.json()}));
    }
    let mut text = format!("cluster {name} is removed\n");
    match purge {
        Some(context) => {
            text += &format!(
                "namespace landfall stays, as others may use it; if nobody does: kubectl --context {context} delete namespace \
                 landfall\n"
            );
        }
        None => {
            text += "what `cluster add` made there stays, its account with it: `landfall cluster remove` with --purge CONTEXT \
                     takes it away\n";
        }
    }
    output::text_to_stdout(&text)
}
