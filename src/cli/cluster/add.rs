//! `landfall cluster add`: from a context of a kubeconfig to a cluster that steps may run in.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::ids::{ClusterName, Namespace},
    cli::{
        Outcome, ask,
        cluster::{
            apply::{self, Plan},
            findings::{self, Finding},
            home::{self, Home},
            next_steps::{self, Situation},
            places, secret,
            target::{self, Target},
            token,
        },
        connection, hint,
        local::span,
        output::{self, Format},
        style::{BAD, STRONG, styled},
    },
    clusters::{
        grants::{self, PODS_ACCOUNT, Places, Wanted},
        kubeconfig::{self, Credential, Server, Trust},
        rest_config::{self, Allowed, Sensitive},
        settings::{Account, Settings},
    },
};

/// Flags of `landfall cluster add`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall cluster add other my-context --target-namespace argo --dry-run
  landfall cluster add other my-context --target-namespace argo --target-namespace team-a
  landfall cluster add other my-context --all-namespaces --token-duration 24h --yes
  landfall cluster add other kind-other --server https://other-control-plane:6443

In the other cluster it makes namespace \"landfall\" with a service account for this controller, a role in each namespace \
that pods may run in, and there the service account, role and binding that pods need. The account's token goes into the \
Secret \"clusters\" at home; the controller renews it. It does the same again without harm, and takes away what an earlier \
call made and this one does not. Nothing is done before you have agreed.")]
pub struct Arguments {
    /// What rules and templates call the cluster
    name: ClusterName,
    /// The context of the kubeconfig that leads to it, with the right to make roles there
    #[arg(value_name = "CONTEXT")]
    target: String,
    /// A namespace of the cluster that pods may run in, once for each; those that namespaceRoles names if not given
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    target_namespace: Vec<Namespace>,
    /// Let pods run in every namespace of the cluster
    #[arg(long)]
    all_namespaces: bool,
    /// The service account that pods run as, made in each namespace where it is missing
    #[arg(long, value_name = "NAME", default_value = PODS_ACCOUNT)]
    service_account: String,
    /// Let pods run in a namespace of the cluster without its owner's consent
    #[arg(long)]
    no_consent: bool,
    /// The address that home reaches the cluster by, where it is not the kubeconfig's
    #[arg(long, value_name = "URL")]
    server: Option<http::Uri>,
    /// The authority to trust at that address, a PEM file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Take a cluster whose certificate is not checked; the controller takes it only with --allow-insecure-clusters
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// How long a token is to live; the cluster may give it less
    #[arg(long, value_name = "SPAN", value_parser = span::parse, default_value = token::LIFE)]
    token_duration: Duration,
    /// Make nothing in the cluster, and store the context's own credential
    #[arg(long)]
    as_is: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Print what would be made as YAML, without the token, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print what is done
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    home: home::Flags,
}

/// What is to be done, before anything of it is.
struct Prepared {
    home: Home,
    target: Target,
    server: Server,
    /// `None`: the token of an account that is made.
    own: Option<Credential>,
    places: Places,
    settings: Settings,
    plan: Plan,
    stored: secret::Clusters,
    is_known: bool,
    warnings: Vec<String>,
}

/// Adds the cluster.
///
/// # Errors
/// What kept it from being added. What was made in the cluster by then stays; the same call goes on from there.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let prepared = prepare(&arguments).await?;
    if let Some(reason) = prepared.plan.blocked() {
        return Err(hint::error(reason, "nothing was changed"));
    }
    if arguments.dry_run {
        return dry_run(&arguments, &prepared).map(|()| Outcome::Done);
    }
    if arguments.output == Format::Text {
        output::text_to_stdout(&shown(&arguments, &prepared))?;
    } else {
        anstream::eprint!("{}", shown(&arguments, &prepared));
    }
    if !ask::go_on(arguments.yes, "Do it?")? {
        anstream::eprintln!("nothing was changed");
        return Ok(Outcome::Unsuccessful);
    }
    carry_out(&arguments, prepared).await
}

async fn prepare(arguments: &Arguments) -> anyhow::Result<Prepared> {
    let kubeconfig = connection::read(arguments.home.connection.kubeconfig.as_deref())?;
    let value = serde_json::to_value(&kubeconfig).context("reading the kubeconfig")?;
    let read = |path: &std::path::Path| fs::read(path).map_err(|error| error.to_string());
    let context = kubeconfig::Context::find(&value, &arguments.target, &read).map_err(refused)?;
    let (server, mut warnings) = server(arguments, &context)?;
    let own = arguments.as_is.then(|| context.credential().map_err(refused)).transpose()?;
    check_accepted(arguments, &server, own.as_ref())?;
    let target = Target::of_context(kubeconfig, &arguments.target).await?;
    let home = Home::reach(&arguments.home).await?;
    if arguments.name == home.name {
        return Err(hint::error(
            format!("{} is the name of the home cluster", arguments.name),
            "take another name; the key `cluster` of the controller's config map says what home is called",
        ));
    }
    let uid = target.identity().await.map_err(|error| target::failed("namespace kube-system of the cluster", error))?;
    let stored = secret::Clusters::read(&home).await?;
    let is_known = check_identity(arguments, &home, &stored, &uid)?;
    let places = places::of(
        &arguments.target_namespace,
        arguments.all_namespaces,
        &home.settings.policy.roles,
        &arguments.name,
    )?;
    let plan = match (&own, &places) {
        (Some(_), _) => Plan::default(),
        (None, places) => {
            check_namespaces(arguments, &target, places).await?;
            let wanted = Wanted { owner: home.owner(), places, pods_account: &arguments.service_account };
            apply::plan(&target, wanted).await?
        }
    };
    if plan.is_partly_unseen() {
        warnings.push(
            "you may not read all that the cluster needs, so it is not looked at: let its owner apply what --dry-run prints".to_owned(),
        );
    }
    let settings = Settings {
        uid: Some(uid),
        require_consent: !arguments.no_consent,
        namespaces: match &places {
            Places::All => None,
            Places::These(namespaces) => Some(namespaces.clone()),
        },
        account: own.is_none().then(|| grants::account_of(&home.name)),
        token_expires: None,
    };
    Ok(Prepared { home, target, server, own, places, settings, plan, stored, is_known, warnings })
}

/// How home reaches the cluster, with what is probably not meant.
fn server(arguments: &Arguments, context: &kubeconfig::Context<'_>) -> anyhow::Result<(Server, Vec<String>)> {
    let mut server = context.server().map_err(refused)?;
    let mut warnings = Vec::new();
    if let Some(url) = &arguments.server {
        server.url = url.clone();
    }
    if let Some(file) = &arguments.ca {
        server.trust = Trust::Authority(fs::read(file).with_context(|| format!("reading {}", file.display()))?);
    }
    if arguments.insecure {
        server.trust = Trust::Anybody;
    }
    if server.trust == Trust::Anybody {
        if !arguments.insecure {
            return Err(hint::error(
                format!("context {:?} does not check whose certificate the cluster has", arguments.target),
                "name the authority to trust with --ca, or say --insecure, which lets anybody on the way read the token",
            ));
        }
        warnings.push(
            "the cluster's certificate is not checked, so anybody on the way can read the token; the controller takes it only \
             with --allow-insecure-clusters"
                .to_owned(),
        );
    }
    if kubeconfig::is_loopback(&server.url) {
        warnings.push(format!(
            "{} leads every machine and every pod to itself: if the controller does not run on this machine, give the address \
             that it reaches with --server, and its authority with --ca",
            server.url
        ));
    }
    Ok((server, warnings))
}

/// What is stored must be what the controller takes.
fn check_accepted(arguments: &Arguments, server: &Server, own: Option<&Credential>) -> anyhow::Result<()> {
    let value = kubeconfig::rest_config(server, own.unwrap_or(&placeholder()));
    let allowed = Allowed { credentials_folder: None, insecure: arguments.insecure };
    let parsed = rest_config::parse(value.reveal().as_bytes(), &allowed);
    parsed.map(drop).context("the controller would refuse this connection")
}

/// Stands for the token while there is none.
fn placeholder() -> Credential {
    Credential::Token(Sensitive::from("to-be-asked-for".to_owned()))
}

/// Whether the name is taken by this very cluster already.
fn check_identity(arguments: &Arguments, home: &Home, stored: &secret::Clusters, uid: &str) -> anyhow::Result<bool> {
    let name = &arguments.name;
    if uid == home.uid {
        return Err(hint::error(
            format!("context {:?} leads to the home cluster itself", arguments.target),
            format!("its name is {}; steps that name no cluster run there", home.name),
        ));
    }
    let Some(entry) = stored.entry(name.as_str()) else { return Ok(false) };
    let known = entry.settings(name)?.uid;
    match known {
        Some(known) if known != uid => Err(hint::error(
            format!(
                "{name} is another cluster: its kube-system has UID {known}, and that of context {:?} has {uid}",
                arguments.target
            ),
            format!("take another name, or forget the other one first: landfall cluster remove {name}{}", home.flags()),
        )),
        Some(_) | None => Ok(entry.value.is_some()),
    }
}

/// Namespaces are their owners' to make.
async fn check_namespaces(arguments: &Arguments, target: &Target, places: &Places) -> anyhow::Result<()> {
    let Places::These(namespaces) = places else { return Ok(()) };
    let mut missing = Vec::new();
    for namespace in namespaces {
        let found = target.namespace(namespace).await;
        if found.map_err(|error| target::failed(&format!("namespace {namespace}"), error))?.is_none() {
            missing.push(namespace.as_str());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        missing.iter().map(|name| format!("kubectl --context {} create namespace {name}", arguments.target)).collect();
    Err(hint::error(
        format!("the cluster has no namespace {}", missing.join(", ")),
        format!("make it first:\n  {}", lines.join("\n  ")),
    ))
}

fn shown(arguments: &Arguments, prepared: &Prepared) -> String {
    let mut text = String::new();
    let Prepared { home, server, plan, is_known, warnings, .. } = prepared;
    if prepared.own.is_none() {
        let heading = format!("in cluster {} (context {}):", arguments.name, arguments.target);
        text += &format!("{}\n{}", styled(STRONG, heading), plan.text());
    }
    text += &format!("{}\n", styled(STRONG, format!("at home, in namespace {}:", home.namespace)));
    let word = if *is_known { "update" } else { "create" };
    let what = match (&prepared.own, arguments.token_duration) {
        (Some(_), _) => format!("the own credential of context {}", arguments.target),
        (None, life) => format!("a token of {}", span::show(life)),
    };
    let consent = if arguments.no_consent { "no consent required" } else { "consent required" };
    text += &format!(
        "  {word:9} key {} of Secret clusters: {}, {what}; {}, {consent}\n",
        arguments.name,
        server.url,
        next_steps::places_text(&prepared.places)
    );
    for warning in warnings {
        text += &format!("{} {warning}\n", styled(BAD, "warning:"));
    }
    text
}

/// Everything as YAML; nothing in it is secret.
fn dry_run(arguments: &Arguments, prepared: &Prepared) -> anyhow::Result<()> {
    let Prepared { home, server, own, settings, plan, warnings, .. } = prepared;
    let value = kubeconfig::rest_config(server, own.as_ref().unwrap_or(&placeholder()));
    let mut objects: Vec<Value> = plan.steps.iter().map(|step| step.grant.value.clone()).collect();
    objects.push(secret::shown(home, &arguments.name, &value, settings));
    for warning in warnings {
        anstream::eprintln!("{} {warning}", styled(BAD, "warning:"));
    }
    match arguments.output {
        Format::Json => output::json(&json!({"apiVersion": "v1", "kind": "List", "items": objects})),
        Format::Text => {
            let mut documents = Vec::new();
            for object in &objects {
                documents.push(serde_saphyr::to_string(object).context("writing YAML")?);
            }
            let (secret, targets) = documents.split_last().context("there is a Secret")?;
            let mut text = String::new();
            if !targets.is_empty() {
                text += &format!(
                    "# in cluster {}, context {}\n{}",
                    arguments.name,
                    arguments.target,
                    targets.join("---\n")
                );
                text += "---\n";
            }
            text += &format!("# at home\n{secret}");
            output::text_to_stdout(&text)
        }
    }
}

async fn carry_out(arguments: &Arguments, prepared: Prepared) -> anyhow::Result<Outcome> {
    let Prepared { home, target, server, own, places, mut settings, plan, stored, is_known, warnings } = prepared;
    plan.carry_out(&target).await?;
    let credential = match (own, &settings.account) {
        (Some(own), _) => own,
        (None, Some(account)) => {
            let token = token::request(&target, account, arguments.token_duration).await?;
            settings.token_expires = Some(token.expires);
            Credential::Token(token.text)
        }
        (None, None) => anyhow::bail!("there is neither a credential nor an account"),
    };
    let before = stored.entry(arguments.name.as_str()).and_then(|entry| entry.value).unwrap_or_default();
    let value = kubeconfig::with_limits_of(&before, &kubeconfig::rest_config(&server, &credential));
    let findings = verify(arguments, &settings, &places, value.reveal().as_bytes()).await;
    secret::write(&home, stored, &arguments.name, &secret::Change::Store(&value, &settings)).await?;
    let situation = Situation {
        home: &home,
        cluster: &arguments.name,
        context: &arguments.target,
        places: &places,
        account: &arguments.service_account,
        makes_accounts: settings.account.is_some(),
        require_consent: settings.require_consent,
    };
    let steps = next_steps::find(&situation, &target).await;
    let is_good = findings::all_good(&findings);
    match arguments.output {
        Format::Text => {
            let word = if is_known { "updated" } else { "added" };
            let mut text = format!("cluster {} is {word}\n", styled(STRONG, &arguments.name));
            if !is_good {
                text += &findings::text(&findings);
            }
            output::text_to_stdout(&(text + &next_steps::text(&steps)))?;
        }
        Format::Json => output::json(&json!({
            "name": arguments.name, "context": arguments.target, "server": server.url.to_string(),
            "change": if is_known { "update" } else { "create" }, "settings": settings, "objects": plan.json(),
            "warnings": warnings, "findings": findings, "next": steps,
        }))?,
    }
    Ok(if is_good { Outcome::Done } else { Outcome::Unsuccessful })
}

/// Tries what the controller will do, with what it will use. Rights that were just given take a moment to hold, so a right
/// that is missing is asked for again.
async fn verify(arguments: &Arguments, settings: &Settings, places: &Places, value: &[u8]) -> Vec<Finding> {
    const TRIES: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(500);
    let target = match Target::of_value(value) {
        Ok(target) => target,
        Err(error) => {
            return vec![Finding::bad("connection", format!("{error:#}"), "mend it and add the cluster again")];
        }
    };
    let account: Option<&Account> = settings.account.as_ref();
    let rights = grants::rights(places, account);
    let fix = match account {
        Some(account) => format!("look for what denies it to service account {}", findings::account(account)),
        None => format!("give it to the user of context {}, or leave out --as-is", arguments.target),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match findings::of_rights(&target, &rights, &fix).await {
            Ok(found) if findings::all_good(&found) || tries == TRIES || account.is_none() => return found,
            Ok(_) => tokio::time::sleep(PAUSE).await,
            // An address that only home reaches is no mistake.
            Err(_) if arguments.server.is_some() => {
                let found = "not reachable from here; `landfall cluster check` can be run where the controller runs";
                return vec![Finding::good("connection", found)];
            }
            Err(error) => {
                let fix = "give the address that home reaches with --server, and its authority with --ca";
                return vec![Finding::bad("connection", error.to_string(), fix)];
            }
        }
    }
}

fn refused(refusal: kubeconfig::Refusal) -> anyhow::Error {
    let hint = refusal.way_out.clone();
    hint::error(refusal, hint)
}
