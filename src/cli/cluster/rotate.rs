//! `landfall cluster rotate`: a new token for the controller's account in a cluster.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    api::ids::ClusterName,
    cli::{
        Outcome, ask,
        cluster::{
            apply, findings,
            home::{self, Home},
            secret::{self, Change, Clusters},
            target::Target,
            token,
        },
        connection, hint,
        local::span,
        output::{self, Format},
    },
    clusters::{
        renewal,
        rest_config::Sensitive,
        settings::{Account, Settings},
    },
};

/// Flags of `landfall cluster rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall cluster rotate other
  landfall cluster rotate other my-context --revoke
  landfall cluster rotate other my-context --token-duration 24h

The controller renews tokens by itself; this is for a token that somebody else may have seen, or that has ended. A token \
that was replaced is good until it ends: only --revoke ends it now.")]
pub struct Arguments {
    /// The cluster
    name: ClusterName,
    /// The context of the kubeconfig that leads to it; without it the account asks for its own token
    #[arg(value_name = "CONTEXT")]
    target: Option<String>,
    /// End all tokens that there are, by making the account anew
    #[arg(long, requires = "target")]
    revoke: bool,
    /// How long the token is to live; the cluster may give it less
    #[arg(long, value_name = "SPAN", value_parser = span::parse, default_value = token::LIFE)]
    token_duration: Duration,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// How to print what is done
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    home: home::Flags,
}

/// Stores a new token.
///
/// # Errors
/// If the cluster gives none, or the credential is not such a token.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let name = &arguments.name;
    let home = Home::reach(&arguments.home).await?;
    let stored = Clusters::read(&home).await?;
    let entry = stored.known(&home, name)?;
    let settings = entry.settings(name)?;
    let value = entry.value.unwrap_or_default();
    let Some(account) = settings.account.clone() else {
        return Err(hint::error(
            format!("the credential of cluster {name} is not a token of an account that `cluster add` made"),
            format!("store another by adding it again: landfall cluster add {name} CONTEXT{}", home.flags()),
        ));
    };
    let target = match &arguments.target {
        None => Target::of_value(&value)?,
        Some(context) => {
            let kubeconfig = connection::read(arguments.home.connection.kubeconfig.as_deref())?;
            Target::of_context(kubeconfig, context).await?
        }
    };
    let through = arguments.target.as_deref().unwrap_or("the stored credential");
    target.check_identity(settings.uid.as_deref(), name, through).await?;
    if arguments.revoke {
        let question = format!(
            "Service account {} is made anew: all of its tokens end now, and the controller stands still in {name} for the \
             moment until the new one is stored. Do it?",
            findings::account(&account)
        );
        if !ask::go_on(arguments.yes, &question)? {
            anstream::eprintln!("nothing was changed");
            return Ok(Outcome::Unsuccessful);
        }
        apply::renew_account(&target, &account, home.owner()).await?;
    }
    let token = token::request(&target, &account, arguments.token_duration).await?;
    let Some(value) = renewal::with_token(&value, &token.text).and_then(|value| String::from_utf8(value).ok()) else {
        return Err(hint::error(
            format!("what is stored of cluster {name} has no token to replace"),
            format!("add it again: landfall cluster add {name} CONTEXT{}", home.flags()),
        ));
    };
    let value = Sensitive::from(value);
    let before = settings.token_expires;
    let settings = Settings { token_expires: Some(token.expires), ..settings };
    secret::write(&home, stored, name, &Change::Store(&value, &settings)).await?;
    report(&arguments, &account, before, token.expires)?;
    Ok(Outcome::Done)
}

fn report(
    arguments: &Arguments,
    account: &Account,
    before: Option<Timestamp>,
    expires: Timestamp,
) -> anyhow::Result<()> {
    let Arguments { name, revoke, .. } = arguments;
    if arguments.output == Format::Json {
        return output::json(&json!({
            "name": name, "account": account, "tokenExpires": expires, "before": before, "revoked": revoke,
        }));
    }
    let old = match (revoke, before) {
        (true, _) => "all earlier tokens have ended".to_owned(),
        (false, Some(end)) => format!("the earlier token is good until {end}; --revoke ends it now"),
        (false, None) => "earlier tokens are good until they end; --revoke ends them now".to_owned(),
    };
    output::text_to_stdout(&format!("cluster {name} has a new token, which ends at {expires}\n{old}\n"))
}
