//! Policy between deciding and applying: every pod that a plan wants is shown to it, as it will be created.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::{
    api::{
        contract::PREFIX_POLICY,
        ids::{ClusterName, Namespace, Target},
        workflow::Workflow,
    },
    controller::{
        Controller,
        landing::{self, Site},
    },
    engine::{
        observed::Denial,
        plan::{Action, CreatePod},
    },
    policy::{
        consent::{self, Landing},
        decision::{Decision, Verdict},
        request::{Creates, PodJson, Request, Workflow as Asker},
    },
};

/// The attribute that tells when a pass asks, in UTC and whole minutes: `2026-11-24T08:30:00Z`. A module has no clock; the
/// time stands in the record, so that the decision can be made again.
const ATTRIBUTE_TIME: &str = "request-time";

/// Decisions asked for at once by one pass. Policy bounds them over all passes by itself.
const ASKED_AT_ONCE: usize = 8;

/// Actions that policy allows. Only [`Desk::authorize`] makes them, and nothing else can be applied.
#[derive(Debug)]
pub struct Authorized {
    actions: Vec<Action>,
    generation: u64,
}

impl Authorized {
    /// The actions, in their order.
    pub fn into_actions(self) -> Vec<Action> {
        self.actions
    }

    /// The generation of policy that allowed them. Under another one they have to be allowed anew.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// What stands against creating pods of a plan.
#[derive(Debug, Default)]
pub struct Objections {
    /// By node ID: policy's no.
    pub denials: BTreeMap<String, Denial>,
    /// By node ID: why policy can't be asked now.
    pub holds: BTreeMap<String, String>,
    /// Where the pods of `holds` were to go.
    pub held: BTreeSet<Target>,
}

/// The questions of one pass. A pod that was allowed is not asked about again when the pass decides anew because another
/// one was denied.
pub struct Desk<'a> {
    controller: &'a Controller,
    workflow: &'a Workflow,
    now: Timestamp,
    allowed: Vec<CreatePod>,
    /// What clusters said in this pass of namespaces whose word would have been a denial.
    asked: BTreeMap<Target, Site>,
    /// The generation in force when the first question was asked: the oldest that any answer may come from.
    generation: u64,
}

impl<'a> Desk<'a> {
    /// Nothing was asked yet. `now` is the time of the pass.
    pub fn new(controller: &'a Controller, workflow: &'a Workflow, now: Timestamp) -> Desk<'a> {
        let generation = controller.policies.state().generation;
        Desk { controller, workflow, now, allowed: Vec::new(), asked: BTreeMap::new(), generation }
    }

    /// Asks policy for each pod to be created. What stands against any of them comes back; then nothing may be applied,
    /// because the engine has to decide again in view of it.
    ///
    /// # Errors
    /// If a pod can't be put into a question, which no plan of the engine leads to.
    pub async fn authorize(&mut self, actions: &[Action]) -> anyhow::Result<Result<Authorized, Objections>> {
        let known = mem::take(&mut self.allowed);
        let mut questions = Vec::new();
        let mut objections = Objections::default();
        for action in actions {
            match action {
                Action::CreatePod(create) if known.contains(create) => self.allowed.push(create.clone()),
                Action::CreatePod(create) => match self.question(create).await? {
                    Ok(question) => questions.push((create.clone(), question)),
                    Err(why) => {
                        objections.held.insert(create.target.clone());
                        objections.holds.insert(create.node_id.clone(), why);
                    }
                },
                // Deleting our own pod, by its UID, takes nothing from anybody.
                Action::DeletePod { .. } => {}
            }
        }
        let policies = &self.controller.policies;
        let answers: Vec<(CreatePod, Option<Denial>)> = stream::iter(questions)
            .map(|(create, request)| async move { (create, denial(policies.decide(&request).await)) })
            .buffered(ASKED_AT_ONCE)
            .collect()
            .await;
        for (create, denial) in answers {
            match denial {
                Some(denial) => drop(objections.denials.insert(create.node_id, denial)),
                None => self.allowed.push(create),
            }
        }
        if !objections.denials.is_empty() || !objections.holds.is_empty() {
            return Ok(Err(objections));
        }
        Ok(Ok(Authorized { actions: actions.to_vec(), generation: self.generation }))
    }

    /// What policy is asked about a pod, or why it can't be asked now.
    async fn question(&mut self, create: &CreatePod) -> anyhow::Result<Result<Request, String>> {
        let mut request = question(self.controller.home(), self.workflow, create, self.now)?;
        let site = landing::look(self.controller, &create.target);
        if let Err(why) = put(site, &mut request) {
            return Ok(Err(why));
        }
        if consent::refused(&request).is_none() {
            return Ok(Ok(request));
        }
        let site = match self.asked.get(&create.target) {
            Some(site) => site.clone(),
            None => landing::ask(self.controller, &create.target).await,
        };
        self.asked.insert(create.target.clone(), site.clone());
        Ok(put(site, &mut request).map(|()| request))
    }
}

/// Whether the namespace of a pod that was allowed still takes it, as far as the watches show.
pub fn still_takes(controller: &Controller, workflow: &Workflow, create: &CreatePod) -> bool {
    let Ok(mut request) = bare_question(controller.home(), workflow, create) else { return false };
    put(landing::look(controller, &create.target), &mut request).is_ok() && consent::refused(&request).is_none()
}

/// Puts what is known of the namespace into a request, in place of what was there.
fn put(site: Site, request: &mut Request) -> Result<(), String> {
    match site {
        Site::Untold(why) => Err(why),
        Site::Told { landing, attributes } => {
            request.attributes.retain(|(name, _)| !consent::is_of_target(name));
            request.attributes.extend(attributes);
            request.landing = landing;
            Ok(())
        }
    }
}

/// What policy is asked about a pod that `workflow` is to have, at the time `now`.
///
/// # Errors
/// If the pod can't be put into a question, which no plan of the engine leads to.
pub fn question(
    home: &ClusterName,
    workflow: &Workflow,
    create: &CreatePod,
    now: Timestamp,
) -> anyhow::Result<Request> {
    Ok(Request {
        // Always given: whether a module wants it may change between the question and the answer.
        pod: Some(PodJson::from(serde_json::to_string(&create.pod)?)),
        attributes: attributes(workflow, now),
        ..bare_question(home, workflow, create)?
    })
}

/// The same with what only the host looks at.
fn bare_question(home: &ClusterName, workflow: &Workflow, create: &CreatePod) -> anyhow::Result<Request> {
    let metadata = &workflow.metadata;
    Ok(Request {
        home: home.clone(),
        workflow: Asker {
            namespace: Namespace::try_from(metadata.namespace.clone().unwrap_or_default())?,
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
        },
        template: create.template.clone(),
        target: create.target.clone(),
        service_account: create.service_account().to_owned(),
        creates: Creates::Pod,
        pod: None,
        attributes: Vec::new(),
        landing: Landing::Open,
    })
}

fn attributes(workflow: &Workflow, now: Timestamp) -> Vec<(String, String)> {
    const MINUTE_SECONDS: i64 = 60;
    let seconds = now.as_second();
    let minute = Timestamp::from_second(seconds - seconds.rem_euclid(MINUTE_SECONDS)).unwrap_or(now);
    let labels = workflow.metadata.labels.iter().flatten().filter(|(name, _)| name.starts_with(PREFIX_POLICY));
    let labels = labels.map(|(name, value)| (name.clone(), value.clone()));
    std::iter::once((ATTRIBUTE_TIME.to_owned(), minute.to_string())).chain(labels).collect()
}

/// What the engine is told of a decision: nothing, if it is to allow.
pub fn denial(decision: Decision) -> Option<Denial> {
    let Decision { verdict, module, generation, may_quote_pod } = decision;
    match verdict {
        Verdict::Allow => None,
        Verdict::Deny { reason, code } => Some(Denial { module, generation, code, reason, may_quote_pod }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::workflow::Workflow;

    #[test]
    fn attributes_are_the_minute_and_the_labels_for_policy() {
        let workflow: Workflow = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"labels": {"policy.landfall.dev/ticket": "OPS-7", "team": "a"}},
            "spec": {},
        }))
        .unwrap();
        let check = |now: &str, minute: &str| {
            let expected = [("request-time", minute), ("policy.landfall.dev/ticket", "OPS-7")];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(super::attributes(&workflow, now.parse().unwrap()), expected);
        };
        check("2026-11-24T08:30:59.999Z", "2026-11-24T08:30:00Z");
        check("1969-12-31T23:59:30Z", "1969-12-31T23:59:00Z");
    }
}
