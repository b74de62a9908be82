//! What `cluster add` makes in a target and `cluster remove --purge` takes away: looked at first, shown, then done.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use crate::{
    cli::{
        cluster::target::{CALL, Target, failed},
        style::{BAD, FAINT, GOOD, STRONG, styled},
    },
    clusters::{
        call::{self, CallError},
        grants::{self, Change, Grant, LABEL_MANAGED_BY, MANAGED_BY, Owner, Wanted},
        settings::Account,
    },
};

/// As whom we apply: fields that others set stay theirs.
const MANAGER: &str = "landfall";
/// The kinds of what a home has in a target, in the order in which they can go.
const KINDS: [&str; 5] = ["RoleBinding", "ClusterRoleBinding", "Role", "ClusterRole", "ServiceAccount"];

/// What would become of an object.
pub struct Step {
    /// The object as it should be.
    pub grant: Grant,
    /// What that changes; `None`: whoever runs the command may not see it.
    pub change: Option<Change>,
}

/// An object that is there and goes.
pub struct Leftover {
    kind: String,
    namespace: Option<String>,
    name: String,
    uid: String,
}

/// What would become of a target.
#[derive(Default)]
pub struct Plan {
    /// What it needs.
    pub steps: Vec<Step>,
    /// What is there from an earlier time and not needed any more.
    pub leftovers: Vec<Leftover>,
}

impl Leftover {
    fn of(object: &Value) -> Leftover {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Leftover {
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
            uid: text("/metadata/uid").unwrap_or_default(),
        }
    }

    fn shown(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// Compares what a target needs with what it has.
///
/// # Errors
/// If it can't be asked.
pub async fn plan(target: &Target, wanted: Wanted<'_>) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    for grant in grants::objects(wanted) {
        let api = api(target, grant.kind(), grant.namespace());
        let change = match call::bounded(CALL, api.get_opt(grant.name())).await {
            Ok(found) => {
                let found = found.map(serde_json::to_value).transpose().context("reading an object")?;
                Some(grants::change(&grant, found.as_ref(), wanted.owner))
            }
            Err(CallError::Refused(status)) if status.code == 403 => None,
            Err(error) => return Err(failed(&grant.to_string(), error)),
        };
        plan.steps.push(Step { grant, change });
    }
    let is_wanted = |left: &Leftover| {
        plan.steps.iter().any(|Step { grant, .. }| {
            (grant.kind(), grant.namespace(), grant.name()) == (&left.kind, left.namespace.as_deref(), &left.name)
        })
    };
    let own = ours(target).await?;
    let own = own.iter().filter(|object| grants::is_of(object, wanted.owner)).map(Leftover::of);
    plan.leftovers = own.filter(|left| !is_wanted(left)).collect();
    Ok(plan)
}

/// What there is in a target for a controller, and what that was the last to use.
///
/// # Errors
/// If it can't be asked.
pub async fn plan_purge(target: &Target, owner: Owner<'_>) -> anyhow::Result<Plan> {
    let all = ours(target).await?;
    let leftovers = grants::to_purge(&all, owner).into_iter().map(Leftover::of).collect();
    Ok(Plan { steps: Vec::new(), leftovers })
}

/// Every object that `cluster add` made, for whichever home. Kinds that whoever runs the command may not list are left out.
async fn ours(target: &Target) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for kind in KINDS {
        let params = ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
        match call::bounded(CALL, api(target, kind, None).list(&params)).await {
            Ok(listed) => {
                for object in listed.items {
                    let mut value = serde_json::to_value(object).context("reading an object")?;
                    // Items of a list don't repeat their kind.
                    value["kind"] = json!(kind);
                    found.push(value);
                }
            }
            Err(CallError::Refused(status)) if status.code == 403 => {}
            Err(error) => return Err(failed(&format!("listing objects of kind {kind}"), error)),
        }
    }
    Ok(found)
}

impl Plan {
    /// Why it can't be done, if it can't.
    pub fn blocked(&self) -> Option<String> {
        self.steps.iter().find_map(|step| match &step.change {
            Some(Change::Blocked(reason)) => Some(format!("{}: {reason}", step.grant)),
            Some(Change::Create | Change::Update(_) | Change::Unchanged) | None => None,
        })
    }

    /// Whether there is an object that whoever runs the command may not see.
    pub fn is_partly_unseen(&self) -> bool {
        self.steps.iter().any(|step| step.change.is_none())
    }

    /// One line an object.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Step { grant, change } in &self.steps {
            let (style, word, more) = match change {
                Some(Change::Create) => (GOOD, "create", String::new()),
                Some(Change::Update(fields)) => (STRONG, "update", format!(": {}", fields.join(", "))),
                Some(Change::Unchanged) => (FAINT, "unchanged", String::new()),
                Some(Change::Blocked(reason)) => (BAD, "blocked", format!(": {reason}")),
                None => (BAD, "unseen", ": you may not read it; it is left as it is".to_owned()),
            };
            writeln!(text, "  {} {grant}{more}", styled(style, format!("{word:9}"))).expect("a String takes all");
        }
        for left in &self.leftovers {
            writeln!(text, "  {} {}", styled(BAD, format!("{:9}", "delete")), left.shown())
                .expect("a String takes all");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Vec<Value> {
        let object = |kind: &str, namespace: Option<&str>, name: &str, change: &str, fields: &[String]| json!({"kind": kind, "namespace": namespace, "name": name, "change": change, "fields": fields});
        let steps = self.steps.iter().map(|Step { grant, change }| {
            let (word, fields): (&str, &[String]) = match change {
                Some(Change::Create) => ("create", &[]),
                Some(Change::Update(fields)) => ("update", fields),
                Some(Change::Unchanged) => ("unchanged", &[]),
                Some(Change::Blocked(_)) => ("blocked", &[]),
                None => ("unseen", &[]),
            };
            object(grant.kind(), grant.namespace(), grant.name(), word, fields)
        });
        let leftovers =
            self.leftovers.iter().map(|left| object(&left.kind, left.namespace.as_deref(), &left.name, "delete", &[]));
        steps.chain(leftovers).collect()
    }

    /// Does it. What is there from earlier goes last, so that nothing is missing in between.
    ///
    /// # Errors
    /// What the target refused; what was done before stays.
    pub async fn carry_out(&self, target: &Target) -> anyhow::Result<()> {
        let params = PatchParams::apply(MANAGER).force();
        for Step { grant, change } in &self.steps {
            match change {
                Some(Change::Create | Change::Update(_)) => {
                    let api = api(target, grant.kind(), grant.namespace());
                    let patch = Patch::Apply(&grant.value);
                    call::bounded(CALL, api.patch(grant.name(), &params, &patch))
                        .await
                        .map_err(|error| failed(&grant.to_string(), error))?;
                }
                Some(Change::Unchanged | Change::Blocked(_)) | None => {}
            }
        }
        for left in &self.leftovers {
            delete(target, left).await?;
        }
        Ok(())
    }
}

async fn delete(target: &Target, left: &Leftover) -> anyhow::Result<()> {
    let preconditions = Preconditions { uid: Some(left.uid.clone()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let api = api(target, &left.kind, left.namespace.as_deref());
    match call::bounded(CALL, api.delete(&left.name, &params)).await {
        Ok(_) => Ok(()),
        Err(CallError::Refused(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failed(&left.shown(), error)),
    }
}

/// Makes a controller's account in a target anew. All tokens of the one before end with it.
///
/// # Errors
/// If it isn't that controller's, or the target refuses.
pub async fn renew_account(target: &Target, account: &Account, owner: Owner<'_>) -> anyhow::Result<()> {
    let grant = grants::account_object(account, owner);
    let api = api(target, grant.kind(), grant.namespace());
    let found = call::bounded(CALL, api.get_opt(grant.name())).await;
    if let Some(found) = found.map_err(|error| failed(&grant.to_string(), error))? {
        let mut value = serde_json::to_value(found).context("reading an object")?;
        value["kind"] = json!(grant.kind());
        if !grants::is_of(&value, owner) {
            bail!("{grant} was not made for this controller, so it is not deleted");
        }
        delete(target, &Leftover::of(&value)).await?;
    }
    let step = Step { grant, change: Some(Change::Create) };
    Plan { steps: vec![step], leftovers: Vec::new() }.carry_out(target).await
}

fn api(target: &Target, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, api_version) = match kind {
        "Namespace" | "ServiceAccount" => ("", "v1"),
        _ => ("rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1"),
    };
    let resource = ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_ascii_lowercase()),
    };
    match namespace {
        Some(namespace) => Api::namespaced_with(target.0.clone(), namespace, &resource),
        None => Api::all_with(target.0.clone(), &resource),
    }
}
