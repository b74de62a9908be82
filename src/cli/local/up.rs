//! `landfall local up`: clusters that stay, with the controller, for kubectl and other clients.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use kube::ResourceExt;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::{
    api::ids::ClusterName,
    cli::{
        Outcome, hint,
        interrupt::Interrupt,
        listen::{self, Listen},
        local::{
            files::{self, Object},
            lines,
            names::{NAMESPACE, Names},
            world::{self, Given, World},
        },
        logging,
        output::{self, Format},
        records,
    },
    local::{
        apiserver::Listening,
        runtime::folder::{self, Folder},
    },
};

/// A kubeconfig holds the token of its server: who reads it can run programs here.
const SECRET_MODE: u32 = 0o600;

/// Flags of `landfall local up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall local up
  landfall local up manifests/examples/multi-cluster.yaml --policies ./policies
  landfall local up --cluster other --port 7001 --kubeconfigs ./kubeconfigs
  landfall local up --listen 127.0.0.1:9090 --decision-records decisions.jsonl

Each cluster listens on 127.0.0.1; its kubeconfig is written, and how kubectl reaches it is printed. \
Nothing is kept: after Ctrl-C, which ends it, all is gone.")]
pub struct Arguments {
    /// YAML or JSON files with objects to create at the start; `-` is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One more cluster, beside those that the files name
    #[arg(long, value_name = "NAME")]
    cluster: Vec<ClusterName>,
    /// A folder with policy modules, *.wasm; files that change in it are taken up
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// A file that each decision of policy is added to, as a line of JSON
    #[arg(long, value_name = "FILE")]
    decision_records: Option<PathBuf>,
    /// Where the controller's /healthz, /readyz and /metrics are served: an address, or off
    #[arg(long, value_name = "ADDRESS", default_value = "off")]
    listen: Listen,
    /// The port of the first cluster, whose followers get the next ones; free ones if not given
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Where the kubeconfigs are written, as CLUSTER.yaml, until the end; a temporary folder if not given
    #[arg(long, value_name = "DIR")]
    kubeconfigs: Option<PathBuf>,
    /// How the clusters are printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// How a cluster is reached.
#[derive(Serialize)]
struct Reach {
    name: ClusterName,
    url: String,
    kubeconfig: PathBuf,
}

/// Runs the clusters until the end is asked for.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    files::check_named_once(&arguments.files)?;
    let objects = files::read(&arguments.files)?;
    let names = Names::of(&objects, &arguments.cluster)?;
    let mut interrupt = Interrupt::listen()?;
    logging::start(logging::Format::Text, logging::QUIET)?;
    let given = Given {
        policy_folder: arguments.policies.clone(),
        records: records::to_file(arguments.decision_records.clone()),
        listener: listen::bind(&arguments.listen, ("/metrics and probes", "--listen")).await?,
    };
    let Some(mut world) = World::start(&names, &objects, given, &mut interrupt).await? else {
        return Ok(Outcome::Interrupted);
    };
    let served = serve(&mut world, &objects, &arguments, &mut interrupt).await;
    world.shutdown().await;
    served.map(|()| Outcome::Interrupted)
}

async fn serve(
    world: &mut World,
    objects: &[Object],
    arguments: &Arguments,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let listening = listen(world, arguments.port).await?;
    let mut kubeconfigs = Kubeconfigs::new(arguments.kubeconfigs.as_deref())?;
    let reached = kubeconfigs.write(world, &listening)?;
    let home = world.home().server.client();
    for object in objects.iter().filter(|object| object.is_workflow()) {
        let created = world::create(&home, object).await?;
        let namespace = created.namespace().unwrap_or_else(|| NAMESPACE.to_owned());
        say(&format!("local  │ workflow {namespace}/{} created", created.name_any()));
    }
    match arguments.output {
        Format::Text => output::text_to_stdout(&text(&reached))?,
        Format::Json => output::json(&serde_json::json!({ "clusters": reached }))?,
    }
    let ended = tell_policy(world, interrupt).await;
    for one in listening {
        one.shutdown().await;
    }
    ended
}

/// All clusters listen before anything is written, since a port may be taken.
async fn listen(world: &World, port: Option<u16>) -> anyhow::Result<Vec<Listening>> {
    let mut listening = Vec::new();
    for (at, cluster) in (0..).zip(&world.clusters) {
        let port = match port {
            Some(first) => first.checked_add(at).context("no port is left above the one given by --port")?,
            None => 0,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        listening.push(cluster.server.listen(address).await.map_err(|error| {
            hint::error(
                format!("listening on {address}: {error}"),
                "pick another --port, or leave it out to get free ones; each cluster needs one",
            )
        })?);
    }
    Ok(listening)
}

/// The files that say how the clusters are reached; dropping it removes them.
struct Kubeconfigs {
    place: PathBuf,
    files: Vec<PathBuf>,
    /// Whether the place was made for them.
    made: bool,
    _temporary: Option<Folder>,
}

impl Kubeconfigs {
    fn new(asked: Option<&Path>) -> anyhow::Result<Kubeconfigs> {
        let Some(asked) = asked else {
            let folder = folder::take(folder::temporary()).context("making a folder for the kubeconfigs")?;
            let place = folder.path.clone();
            return Ok(Kubeconfigs { place, files: Vec::new(), made: false, _temporary: Some(folder) });
        };
        let made = !asked.exists();
        fs::create_dir_all(asked).with_context(|| format!("making {}", asked.display()))?;
        Ok(Kubeconfigs { place: asked.to_owned(), files: Vec::new(), made, _temporary: None })
    }

    fn write(&mut self, world: &World, listening: &[Listening]) -> anyhow::Result<Vec<Reach>> {
        let mut reached = Vec::new();
        for (cluster, one) in world.clusters.iter().zip(listening) {
            let kubeconfig = self.place.join(format!("{}.yaml", cluster.name));
            write_secret(&kubeconfig, &cluster.server.kubeconfig(&one.url()))
                .with_context(|| format!("writing {}", kubeconfig.display()))?;
            self.files.push(kubeconfig.clone());
            reached.push(Reach { name: cluster.name.clone(), url: one.url(), kubeconfig });
        }
        Ok(reached)
    }
}

impl Drop for Kubeconfigs {
    fn drop(&mut self) {
        // Whoever removed one before us wanted the same; a folder in which something else lies by now stays.
        for file in &self.files {
            drop(fs::remove_file(file));
        }
        if self.made {
            drop(fs::remove_dir(&self.place));
        }
    }
}

/// Writes a file that only its owner can read, also where there was one that others could.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(SECRET_MODE).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(SECRET_MODE))?;
    file.write_all(text.as_bytes())
}

fn text(reached: &[Reach]) -> String {
    let mut text = String::new();
    for Reach { name, url, kubeconfig } in reached {
        writeln!(text, "cluster {name} at {url}\n  kubectl --kubeconfig {} get pods -A", kubeconfig.display())
            .expect("a String takes all that is written");
    }
    let home = &reached[0];
    write!(
        text,
        "the controller watches workflows in cluster {}:\n  kubectl --kubeconfig {} -n {NAMESPACE} create -f WORKFLOW.yaml\nCtrl-C ends it all\n",
        home.name,
        home.kubeconfig.display()
    )
    .expect("a String takes all that is written");
    text
}

/// Tells what policy decides and what comes into force, until the end.
async fn tell_policy(world: &mut World, interrupt: &mut Interrupt) -> anyhow::Result<()> {
    let mut records = world.policies.subscribe_records();
    let mut state = world.policies.subscribe_state();
    say(&lines::policy_state(&state.borrow_and_update()));
    loop {
        tokio::select! {
            record = records.recv() => match record {
                Ok(record) => say(&lines::decision(&record)),
                Err(RecvError::Lagged(count)) => say(&lines::too_fast(count)),
                Err(RecvError::Closed) => return Ok(()),
            },
            Ok(()) = state.changed() => say(&lines::policy_state(&state.borrow_and_update())),
            () = interrupt.received() => return Ok(()),
            error = world.controller_ended() => return Err(error),
        }
    }
}

/// Stderr, as stdout holds how the clusters are reached. Whoever closed it doesn't want to know.
fn say(line: &str) {
    drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{line}\n")));
}
