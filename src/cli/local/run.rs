//! `landfall local run`: one workflow from a file, in clusters that live as long as it does.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::anyhow;
use clap::Args;
use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{ids::ClusterName, status::WorkflowPhase, workflow::Workflow},
    cli::{
        Outcome, hint,
        interrupt::Interrupt,
        local::{
            display::Display,
            files::{self, Object},
            lines::{self, Said},
            logs,
            names::{NAMESPACE, Names},
            span, tree,
            world::{self, Given, World},
        },
        logging,
        output::{self, Format},
        records,
    },
    policy::{audit::Record, state::State},
};

/// Lines of logs that wait to be shown, so that they don't fill the memory. A pod that prints faster is not slowed down: what
/// its log can't keep until it is shown is left out, and a line says so.
const LINES_WAITING_MAX: usize = 1024;
/// How often the tree is redrawn if nothing happens: its durations are whole seconds.
const REDRAW: Duration = Duration::from_secs(1);

/// Flags of `landfall local run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall local run manifests/examples/multi-cluster.yaml
  landfall local run hello.yaml --with templates.yaml --timeout 5m
  landfall local run hello.yaml -o json | jq -r .status.phase
  landfall local run hello.yaml --policies ./policies --cluster other
  landfall local run hello.yaml --decision-records decisions.jsonl

The files hold one Workflow, and whatever it needs. A ConfigMap named workflow-controller-configmap \
configures the controller. Every cluster that a template, a rule or the Secret \"clusters\" names is \
started in this process; every namespace and service account that the files name exists in all of \
them. What names no namespace goes to \"argo\".

Exit status: 0 if the workflow Succeeded, 130 after Ctrl-C, 1 otherwise.")]
pub struct Arguments {
    /// YAML or JSON files with the Workflow, its configuration and other objects; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file whose objects are created first; Workflows in it are left out
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// A folder with policy modules, *.wasm; files that change in it are taken up
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A file that each decision of policy is added to, as a line of JSON
    #[arg(long, value_name = "FILE")]
    decision_records: Option<PathBuf>,
    /// One more cluster, beside those that the files name
    #[arg(long, value_name = "NAME")]
    cluster: Vec<ClusterName>,
    /// Give up after this time: 90s, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    timeout: Option<Duration>,
    /// What stdout is for: the run as it goes, or the finished Workflow
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// How the watching ended.
enum End {
    Completed,
    TimedOut(Duration),
    Interrupted,
}

/// Runs the workflow and shows it.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    files::check_named_once(arguments.files.iter().chain(&arguments.with))?;
    let mut objects = files::read(&arguments.files)?;
    let workflow = files::take_workflow(&mut objects, &arguments.files)?;
    objects.extend(files::read(&arguments.with)?.into_iter().filter(|object| !object.is_workflow()));
    let mut named = objects.clone();
    named.push(workflow.clone());
    let names = Names::of(&named, &arguments.cluster)?;

    let started = Instant::now();
    let mut interrupt = Interrupt::listen()?;
    logging::start(logging::Format::Text, logging::QUIET)?;
    let display = Display::new(arguments.output == Format::Json);
    let given = Given {
        policy_folder: arguments.policies,
        records: records::to_file(arguments.decision_records),
        ..Given::default()
    };
    let Some(mut world) = World::start(&names, &objects, given, &mut interrupt).await? else {
        return Ok(Outcome::Interrupted);
    };
    if objects.iter().any(Object::is_cluster_list) {
        display.line("local  │ the clusters of the Secret are not reached: local ones stand in for them");
    }
    let watched = watch_run(&mut world, &workflow, &display, arguments.timeout, &mut interrupt).await;
    world.shutdown().await;
    let (last, end) = watched?;
    conclude(&last, &end, &names.settings.home, &display, started.elapsed());
    if arguments.output == Format::Json && !matches!(end, End::Interrupted) {
        output::json(&last)?;
    }
    Ok(match end {
        End::Interrupted => Outcome::Interrupted,
        End::Completed if last.status.phase == WorkflowPhase::Succeeded => Outcome::Done,
        End::Completed | End::TimedOut(_) => Outcome::Unsuccessful,
    })
}

/// Creates the workflow and shows what becomes of it; gives back how it was in the end.
async fn watch_run(
    world: &mut World,
    object: &Object,
    display: &Display,
    timeout: Option<Duration>,
    interrupt: &mut Interrupt,
) -> anyhow::Result<(Workflow, End)> {
    let mut policy = Policy { records: world.policies.subscribe_records(), state: world.policies.subscribe_state() };
    let (sender, mut log_lines) = mpsc::channel(LINES_WAITING_MAX);
    let logs_ended = CancellationToken::new();
    let mut followers = JoinSet::new();
    for cluster in &world.clusters {
        let source = logs::Source {
            cluster: cluster.name.clone(),
            client: cluster.server.client(),
            logs: cluster.logs.clone(),
            lines: sender.clone(),
        };
        followers.spawn(logs::follow(source, logs_ended.clone()));
    }
    drop(sender);
    introduce(world, &policy.state.borrow_and_update(), display);
    must_be_in_force(&policy.state.borrow())?;

    let home = world.home().server.client();
    let home_name = world.home().name.clone();
    let created = world::create(&home, object).await?;
    let namespace = created.namespace().unwrap_or_else(|| NAMESPACE.to_owned());
    display.line(&format!("local  │ workflow {namespace}/{} created", created.name_any()));
    let mut last = Workflow { metadata: created.metadata.clone(), ..Workflow::default() };
    let api: Api<Workflow> = Api::namespaced(home, &namespace);
    let mut workflows = std::pin::pin!(watch_object(api, &created.name_any()).default_backoff());
    let mut said = Said::new();
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut redraw = tokio::time::interval(REDRAW);
    let end = loop {
        tokio::select! {
            Some(workflow) = workflows.next() => match workflow {
                Ok(Some(workflow)) => {
                    lines::changes(&workflow, &home_name, &mut said).iter().for_each(|line| display.change(line));
                    display.draw(&workflow, &home_name);
                    last = workflow;
                    if last.status.phase.is_completed() {
                        break End::Completed;
                    }
                }
                Ok(None) if said.is_empty() => {}
                Ok(None) => return Err(anyhow!("workflow {namespace}/{} was deleted", created.name_any())),
                Err(error) => tracing::warn!(%error, "watching the workflow"),
            },
            Some(line) = log_lines.recv() => display.line(&line),
            line = policy.line() => display.line(&line),
            _ = redraw.tick() => display.draw(&last, &home_name),
            () = until(deadline) => break End::TimedOut(timeout.unwrap_or_default()),
            () = interrupt.received() => break End::Interrupted,
            error = world.controller_ended() => return Err(error),
        }
    };
    logs_ended.cancel();
    while let Some(line) = log_lines.recv().await {
        display.line(&line);
    }
    while followers.join_next().await.is_some() {}
    while let Some(line) = policy.line_waiting() {
        display.line(&line);
    }
    Ok((last, end))
}

/// What policy says while a workflow runs.
struct Policy {
    records: broadcast::Receiver<Arc<Record>>,
    state: watch::Receiver<State>,
}

impl Policy {
    /// The next line.
    async fn line(&mut self) -> String {
        loop {
            tokio::select! {
                biased;
                record = self.records.recv() => match record {
                    Ok(record) => return lines::decision(&record),
                    Err(broadcast::error::RecvError::Lagged(count)) => {
                        return lines::too_fast(count);
                    }
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                },
                changed = self.state.changed() => match changed {
                    Ok(()) => return lines::policy_state(&self.state.borrow_and_update()),
                    Err(_) => std::future::pending().await,
                },
            }
        }
    }

    /// A decision that was made but not shown yet.
    fn line_waiting(&mut self) -> Option<String> {
        self.records.try_recv().ok().map(|record| lines::decision(&record))
    }
}

/// A run whose pods would wait for a policy for ever is better not begun.
fn must_be_in_force(policy: &State) -> anyhow::Result<()> {
    if policy.is_ready() {
        return Ok(());
    }
    let refusal = policy.refusal.as_ref();
    let reason = refusal.map_or("nothing was loaded", |refusal| refusal.reason.as_str());
    let hint = refusal.and_then(|refusal| refusal.hint.as_deref());
    Err(hint::error(
        format!("no policy is in force: {reason}"),
        hint.unwrap_or("mend what --policies and the ConfigMap name; `landfall policy check FILE` looks at one module"),
    ))
}

fn introduce(world: &World, policy: &State, display: &Display) {
    let clusters: Vec<_> = world.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    display.line(&format!("local  │ clusters in this process: {}", clusters.join(", ")));
    display.line(&lines::policy_state(policy));
}

fn conclude(last: &Workflow, end: &End, home: &ClusterName, display: &Display, took: Duration) {
    let name = tree::workflow_name(last);
    let phase = tree::workflow_phase(last.status.phase);
    let took = format!("{}.{}s", took.as_secs(), took.subsec_millis() / 100);
    display.finish(last, home);
    match end {
        End::Completed => display.line(&format!("workflow {name} {phase} after {took}")),
        End::TimedOut(timeout) => {
            display.line(&format!("workflow {name} is still {phase} after the timeout of {}", span::show(*timeout)));
        }
        End::Interrupted => display.line(&format!("interrupted after {took}: workflow {name} was {phase}")),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
