//! `landfall cluster check`: can the controller do in a cluster all that it needs? Asked as the controller asks, with what
//! mends each thing that is wrong.

use anyhow::Context as _;
use clap::Args;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::client::Body;
use serde_json::json;

use crate::{
    api::{
        contract::ANNOTATION_ACCEPT_FROM,
        ids::{ClusterName, Namespace},
    },
    cli::{
        Outcome,
        cluster::{
            findings::{self, Finding},
            home::{self, Home},
            next_steps,
            secret::{Clusters, annotation},
            target::{CALL, Target},
        },
        output::{self, Format},
    },
    clusters::{
        call::{self, CallError},
        grants::{self, Places},
        rest_config::{self, Allowed, Trust},
        settings::Settings,
    },
};

/// Clocks may differ by this much: tokens are renewed by the clock of home, and end by that of the cluster. A `Date` has
/// whole seconds, and takes time to arrive.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(30);
/// A token that nobody renews should live at least this long.
const TOKEN_LEFT_MIN: SignedDuration = SignedDuration::from_hours(24);

/// Flags of `landfall cluster check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall cluster check other
  landfall cluster check other -o json | jq '.findings[] | select(.ok | not)'

It connects as the controller does, but from here: an address that only home reaches fails.

Exit status: 0 if all is as it should be, 1 if something is not.")]
pub struct Arguments {
    /// The cluster
    name: ClusterName,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    home: home::Flags,
}

/// Checks it.
///
/// # Errors
/// If home can't be asked, or there is no such cluster.
pub async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let name = &arguments.name;
    let home = Home::reach(&arguments.home).await?;
    let entry = Clusters::read(&home).await?.known(&home, name)?;
    let checked = Checked { home: &home, name };
    let findings = match entry.settings {
        Ok(settings) => checked.examine(&entry.value.unwrap_or_default(), &settings).await,
        Err(refusal) => vec![Finding::bad(
            format!("annotation {} of the Secret", annotation(name.as_str())),
            refusal.to_string(),
            format!("mend it: {} edit secret clusters", home.kubectl()),
        )],
    };
    let is_good = findings::all_good(&findings);
    match arguments.output {
        Format::Json => output::json(&json!({"name": name, "ok": is_good, "findings": findings}))?,
        Format::Text => output::text_to_stdout(&format!("cluster {name}\n{}", findings::text(&findings)))?,
    }
    Ok(if is_good { Outcome::Done } else { Outcome::Unsuccessful })
}

/// What is looked at.
struct Checked<'a> {
    home: &'a Home,
    name: &'a ClusterName,
}

impl Checked<'_> {
    /// One thing after the other; what can't be asked ends it.
    async fn examine(&self, value: &[u8], settings: &Settings) -> Vec<Finding> {
        let mut findings = Vec::new();
        let again = self.add_again(settings);
        match rest_config::parse(value, &Allowed { credentials_folder: None, insecure: true }) {
            Ok(config) => {
                let note = match config.trust {
                    Trust::Anybody => "; its certificate is not checked, which takes --allow-insecure-clusters",
                    Trust::System | Trust::Authority(_) => "",
                };
                findings.push(Finding::good("connection in the Secret", format!("{}{note}", config.host)));
            }
            Err(refusal) => {
                findings.push(Finding::bad("connection in the Secret", refusal.to_string(), again));
                return findings;
            }
        }
        let target = match Target::of_value(value) {
            Ok(target) => target,
            Err(error) => {
                findings.push(Finding::bad("connection in the Secret", format!("{error:#}"), again));
                return findings;
            }
        };
        if let Err(error) = self.ask(&target, settings, &mut findings).await {
            let fix = self.fix(&error, settings);
            findings.push(Finding::bad("connection", error.to_string(), fix));
        }
        findings
    }

    async fn ask(&self, target: &Target, settings: &Settings, findings: &mut Vec<Finding>) -> Result<(), CallError> {
        let (date, now) = date(target).await?;
        findings.push(Finding::good("reachable", target.version().await?));
        findings.push(skew(date, now));
        findings.push(self.identity(target.identity().await, settings));
        findings.extend(token(settings, now, || self.rotate()));
        let places = places(settings);
        let rights = grants::rights(&places, settings.account.as_ref());
        findings.extend(findings::of_rights(target, &rights, &self.add_again(settings)).await?);
        if let Places::These(namespaces) = &places {
            for namespace in namespaces {
                match target.namespace(namespace).await {
                    Ok(found) => findings.push(self.namespace(namespace, found, settings)),
                    // That the right is missing was said above.
                    Err(CallError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn identity(&self, found: Result<String, CallError>, settings: &Settings) -> Finding {
        let what = "identity";
        match (found, &settings.uid) {
            (Ok(uid), Some(known)) if uid == *known => Finding::good(what, format!("kube-system has UID {uid}")),
            (Ok(uid), None) => Finding::good(what, format!("kube-system has UID {uid}; none is remembered yet")),
            (Ok(uid), Some(known)) => Finding::bad(
                what,
                format!("another cluster answers: its kube-system has UID {uid}, and {known} is remembered"),
                format!("if that is meant: landfall cluster confirm {}{}", self.name, self.home.flags()),
            ),
            (Err(error), _) => Finding::bad(what, error.to_string(), self.add_again(settings)),
        }
    }

    fn namespace(
        &self,
        namespace: &Namespace,
        found: Option<k8s_openapi::api::core::v1::Namespace>,
        settings: &Settings,
    ) -> Finding {
        let what = format!("namespace {namespace}");
        let Some(found) = found else {
            return Finding::bad(
                what,
                "there is none",
                format!("kubectl --context CONTEXT create namespace {namespace}"),
            );
        };
        if !settings.require_consent {
            return Finding::good(what, "takes pods without its owner's consent");
        }
        let annotations = found.metadata.annotations.unwrap_or_default();
        match next_steps::consent_line((self.home, self.name, "CONTEXT"), None, (namespace, &annotations)) {
            Some(line) => Finding::bad(what, "its owner does not consent to all pods that the rules allow", line),
            None => {
                let given = annotations.get(ANNOTATION_ACCEPT_FROM).map(String::as_str).unwrap_or_default();
                Finding::good(what, format!("takes pods from {given}"))
            }
        }
    }

    fn fix(&self, error: &CallError, settings: &Settings) -> String {
        let text = error.to_string();
        if text.contains("(HTTP 401)") {
            return match settings.account {
                Some(_) => self.rotate(),
                None => self.add_again(settings),
            };
        }
        if ["certificate", "UnknownIssuer", "NotValidForName"].iter().any(|word| text.contains(word)) {
            return format!("name the authority of the server's certificate with --ca: {}", self.add_again(settings));
        }
        format!(
            "is the address right, and does it lead there from here? Another one is given with --server: {}",
            self.add_again(settings)
        )
    }

    /// The line that makes all of it again as it was.
    fn add_again(&self, settings: &Settings) -> String {
        let mut line = format!("landfall cluster add {} CONTEXT", self.name);
        match &settings.namespaces {
            None => line += " --all-namespaces",
            Some(namespaces) => namespaces.iter().for_each(|name| line += &format!(" -t {name}")),
        }
        for (flag, is_given) in [(" --no-consent", !settings.require_consent), (" --as-is", settings.account.is_none())]
        {
            line += if is_given { flag } else { "" };
        }
        line + &self.home.flags()
    }

    fn rotate(&self) -> String {
        format!("landfall cluster rotate {} CONTEXT{}", self.name, self.home.flags())
    }
}

fn places(settings: &Settings) -> Places {
    match &settings.namespaces {
        None => Places::All,
        Some(namespaces) => Places::These(namespaces.clone()),
    }
}

/// The server's clock as its answers tell it, and ours in the middle of the call.
async fn date(target: &Target) -> Result<(Option<Timestamp>, Timestamp), CallError> {
    let request = http::Request::get("/version").body(Body::empty());
    let request = request.map_err(|error| CallError::Unreachable(error.to_string()))?;
    let before = Timestamp::now();
    let response = call::bounded(CALL, target.0.send(request)).await?;
    let took = Timestamp::now().duration_since(before);
    let middle = before.saturating_add(took / 2).unwrap_or(before);
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| rfc2822::parse(date).context("a date").ok());
    Ok((date.map(|date| date.timestamp()), middle))
}

fn skew(date: Option<Timestamp>, now: Timestamp) -> Finding {
    let what = "clock";
    let Some(date) = date else { return Finding::good(what, "the server does not tell its time") };
    let skew = date.duration_since(now);
    let seconds = skew.as_secs();
    if skew.abs() <= SKEW_MAX {
        return Finding::good(what, "agrees with the one here");
    }
    let found = if skew.is_positive() { format!("is {seconds} s ahead") } else { format!("is {} s behind", -seconds) };
    Finding::bad(what, found, "set the clocks of both by a time server (NTP)")
}

fn token(settings: &Settings, now: Timestamp, rotate: impl Fn() -> String) -> Option<Finding> {
    let ends = settings.token_expires?;
    let left = ends.duration_since(now);
    let what = "token";
    Some(match settings.account {
        _ if !left.is_positive() => Finding::bad(what, format!("ended at {ends}"), rotate()),
        Some(_) => Finding::good(what, format!("ends at {ends}, and is renewed before")),
        None if left < TOKEN_LEFT_MIN => Finding::bad(what, format!("ends at {ends}, and nobody renews it"), rotate()),
        None => Finding::good(what, format!("ends at {ends}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let now: Timestamp = "2026-01-10T00:00:00.5Z".parse().unwrap();
        let check = |date: Option<&str>, ok: bool, found: &str| {
            let finding = skew(date.map(|date| date.parse().unwrap()), now);
            assert_eq!((finding.ok, finding.found.as_str()), (ok, found), "{date:?}");
        };
        check(None, true, "the server does not tell its time");
        check(Some("2026-01-10T00:00:30Z"), true, "agrees with the one here");
        check(Some("2026-01-10T00:05:00Z"), false, "is 299 s ahead");
        check(Some("2026-01-09T23:55:00Z"), false, "is 300 s behind");
    }

    #[test]
    fn tokens_end_and_are_renewed() {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        let account = || Some(grants::account_of(&"default".parse().unwrap()));
        let check = |ends: Option<&str>, is_renewed: bool, expected: Option<bool>| {
            let settings = Settings {
                token_expires: ends.map(|ends| ends.parse().unwrap()),
                account: account().filter(|_| is_renewed),
                ..Settings::default()
            };
            assert_eq!(token(&settings, now, String::new).map(|finding| finding.ok), expected, "{ends:?}");
        };
        check(None, true, None);
        check(Some("2026-01-09T00:00:00Z"), true, Some(false));
        check(Some("2026-01-10T01:00:00Z"), true, Some(true));
        check(Some("2026-01-10T01:00:00Z"), false, Some(false));
        check(Some("2026-02-10T00:00:00Z"), false, Some(true));
    }
}
