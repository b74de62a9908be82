//! What the targets have in common: the modules of which there is a component and a crate that says the same natively.
//!
//! What is asked stands in `question` and `pod`. What each target does with it stands in `targets/`, and how to run them
//! in README.md.

pub mod pod;
pub mod question;

use landfall::policy::{
    decision::{Denial, MODULE_BUILTIN},
    request::{PodJson, Request},
    store::BUILTIN,
};
use landfall_policy_builtin as builtin;
use landfall_policy_images::Images;
use landfall_policy_pod_security::PodSecurity;
use landfall_policy_sdk::{self as sdk, Policy};

/// A module with two lives: as a component and natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// The one that is in every chain.
    Builtin,
    /// Of policies/images.
    Images,
    /// Of policies/pod-security.
    PodSecurity,
}

/// The native one, configured.
pub enum Native {
    /// The one that is in every chain.
    Builtin(builtin::Rules),
    /// Of policies/images.
    Images(Images),
    /// Of policies/pod-security.
    PodSecurity(PodSecurity),
}

impl Twin {
    /// All there are.
    pub const ALL: [Twin; 3] = [Twin::Builtin, Twin::Images, Twin::PodSecurity];

    /// The name of the module in a chain.
    pub fn name(self) -> &'static str {
        match self {
            Twin::Builtin => MODULE_BUILTIN,
            Twin::Images => "images",
            Twin::PodSecurity => "pod-security",
        }
    }

    /// The component as it is committed.
    pub fn component(self) -> &'static [u8] {
        match self {
            Twin::Builtin => BUILTIN,
            Twin::Images => include_bytes!("../../policies/images/images.wasm"),
            Twin::PodSecurity => include_bytes!("../../policies/pod-security/pod-security.wasm"),
        }
    }

    /// The native one with the settings of this JSON document.
    ///
    /// # Errors
    ///
    /// What the component says, too.
    pub fn configure(self, settings: &str) -> Result<Native, String> {
        Ok(match self {
            Twin::Builtin => Native::Builtin(builtin::configure(settings)?),
            Twin::Images => Native::Images(sdk::configured(settings)?),
            Twin::PodSecurity => Native::PodSecurity(sdk::configured(settings)?),
        })
    }
}

impl Native {
    /// What it says to `request`, as the host has it of the component. `None` is no objection.
    pub fn ask(&self, twin: Twin, request: &Request) -> Option<Denial> {
        let (code, reason) = match self {
            Native::Builtin(rules) => builtin_denial(rules, request)?,
            Native::Images(images) => sdk_denial(images, request)?,
            Native::PodSecurity(levels) => sdk_denial(levels, request)?,
        };
        Some(Denial::of_module(twin.name(), &reason, &code))
    }
}

fn builtin_denial(rules: &builtin::Rules, request: &Request) -> Option<(String, String)> {
    let question = builtin::Request {
        home: request.home.as_str(),
        workflow_namespace: request.workflow.namespace.as_str(),
        cluster: request.target.cluster.as_str(),
        namespace: request.target.namespace.as_str(),
    };
    match builtin::authorize(rules, &question) {
        builtin::Decision::Allow => None,
        builtin::Decision::Deny { reason, code } => Some((code.to_owned(), reason)),
    }
}

fn sdk_denial<P: Policy>(policy: &P, request: &Request) -> Option<(String, String)> {
    let mut question = sdk::Request::default();
    question.home = request.home.to_string();
    question.workflow = sdk::Workflow {
        namespace: request.workflow.namespace.to_string(),
        name: request.workflow.name.clone(),
        uid: request.workflow.uid.clone(),
    };
    question.template.clone_from(&request.template);
    question.target =
        sdk::Target { cluster: request.target.cluster.to_string(), namespace: request.target.namespace.to_string() };
    question.service_account.clone_from(&request.service_account);
    question.attributes.clone_from(&request.attributes);
    // A module that asks for no pod is given none.
    if let Some(pod) = request.pod.as_ref().map(PodJson::as_str).filter(|_| P::NEEDS_POD) {
        question = question.with_pod_json(pod.to_owned());
    }
    match policy.authorize(&question) {
        Ok(_) => None,
        Err(sdk::Denial { code, reason }) => Some((code.into_owned(), reason)),
    }
}
