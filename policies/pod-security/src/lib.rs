//! Kubernetes' Pod Security Standards, per target: a pod is held to a level before it is sent to another cluster, whether
//! or not that cluster checks it again.
//!
//! Here are the settings and the answer; what each level forbids is in `controls.rs`.

mod controls;

use landfall_policy_sdk::{Allow, Decision, Denial, Policy, Request, target::Targets, trace};
use serde::Deserialize;

use crate::controls::{CONTROLS, Check, Control, Subject};

/// The settings. Without any, `baseline` counts everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PodSecurity {
    /// Of those that match a target, the strictest counts.
    pub levels: Vec<LevelRule>,
    /// The level of targets that none of them matches.
    pub otherwise: Level,
    /// What is left out for some.
    pub exemptions: Vec<Exemption>,
}

/// A level for some targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LevelRule {
    /// Where it counts.
    pub targets: Targets,
    /// What counts there.
    pub level: Level,
    /// Beyond the standard: pods get no token of their service account.
    #[serde(default)]
    pub no_service_account_token: bool,
}

/// Controls that don't count for some.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Exemption {
    /// Where.
    pub targets: Targets,
    /// For workflows of these namespaces; without it, of all.
    #[serde(default)]
    pub workflow_namespaces: Option<Vec<String>>,
    /// These don't count at all.
    #[serde(default)]
    pub controls: Vec<Control>,
    /// These may be added although the level has them not.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// The levels of the standard, from the widest to the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is forbidden.
    Privileged,
    /// What is known to give more rights than a container has.
    #[default]
    Baseline,
    /// All that is known to harden pods.
    Restricted,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

impl Policy for PodSecurity {
    const NEEDS_POD: bool = true;

    fn check(self) -> Result<PodSecurity, String> {
        for (place, rule) in self.levels.iter().enumerate() {
            if rule.targets.is_empty() {
                return Err(format!("levels[{place}].targets: is empty; for every target, write \"*/*\""));
            }
        }
        for (place, exemption) in self.exemptions.iter().enumerate() {
            if let Some(mistake) = exemption.mistake() {
                return Err(format!("exemptions[{place}]{mistake}"));
            }
        }
        Ok(self)
    }

    fn authorize(&self, request: &Request) -> Decision {
        let target = format!("{}/{}", request.target.cluster, request.target.namespace);
        let rules: Vec<&LevelRule> = self.levels.iter().filter(|rule| rule.targets.contain(request)).collect();
        let level = rules.iter().map(|rule| rule.level).max().unwrap_or(self.otherwise);
        let no_token = rules.iter().any(|rule| rule.no_service_account_token);
        trace!("{target} is of level {}, by {} of {} rules", level.name(), rules.len(), self.levels.len());
        let exemptions: Vec<&Exemption> =
            self.exemptions.iter().filter(|exemption| exemption.covers(request)).collect();
        // Even where nothing is forbidden: what can't be read is denied.
        let pod = request.pod()?;
        let capabilities: Vec<&str> = exemptions.iter().flat_map(|it| &it.capabilities).map(String::as_str).collect();
        let subject = Subject { pod, capabilities: &capabilities };
        let mut violations = Vec::new();
        for Check { control, from, violation } in CONTROLS {
            let counts = if *control == Control::ServiceAccountToken { no_token } else { level >= *from };
            if !counts {
                continue;
            }
            let Some(violation) = violation(&subject) else { continue };
            if exemptions.iter().any(|exemption| exemption.controls.contains(control)) {
                trace!("exempt from {}: {violation}", control.code());
                continue;
            }
            violations.push((control.code(), violation));
        }
        let Some((code, _)) = violations.first() else { return Ok(Allow) };
        let list: Vec<&str> = violations.iter().map(|(_, violation)| violation.as_str()).collect();
        Err(Denial::new(*code, format!("pods in {target} are of level {}: {}", level.name(), list.join("; "))))
    }
}

impl Exemption {
    /// What keeps it from ever counting, with the field that does.
    fn mistake(&self) -> Option<String> {
        if self.targets.is_empty() {
            return Some(".targets: is empty; for every target, write \"*/*\"".to_owned());
        }
        if self.workflow_namespaces.as_ref().is_some_and(Vec::is_empty) {
            return Some(".workflowNamespaces: is empty; for all, leave it out".to_owned());
        }
        if self.controls.is_empty() && self.capabilities.is_empty() {
            return Some(": names neither controls nor capabilities".to_owned());
        }
        let mut namespaces = self.workflow_namespaces.iter().flatten().enumerate();
        if let Some((place, name)) = namespaces.find(|(_, name)| !is_label(name)) {
            return Some(format!(
                ".workflowNamespaces[{place}]: {name:?} is not the name of a namespace; here are no patterns"
            ));
        }
        let (place, name) = self.capabilities.iter().enumerate().find(|(_, name)| !is_capability(name))?;
        Some(format!(
            ".capabilities[{place}]: {name:?} is not the name of a capability as pods have it, such as NET_ADMIN"
        ))
    }

    fn covers(&self, request: &Request) -> bool {
        let namespace = &request.workflow.namespace;
        self.targets.contain(request)
            && self.workflow_namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(namespace))
    }
}

/// What a namespace can be called.
fn is_label(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(is_word)
        && name.ends_with(is_word)
        && name.chars().all(|c| is_word(c) || c == '-')
}

/// Upper case, and without the `CAP_` that the kernel puts before it.
fn is_capability(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.starts_with("CAP_") && name.chars().all(is_word)
}

landfall_policy_sdk::export!(PodSecurity);

#[cfg(test)]
mod tests;
