//! Another cluster, as a command reaches it: through a context of the kubeconfig, with the rights of whoever runs the
//! command, or as the controller does, with what the Secret holds.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::{Namespace, Pod},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};

use crate::{
    api::{
        contract::{LABEL_HOME_UID, LABEL_WORKFLOW_UID},
        ids::{self, ClusterName},
    },
    cli::{connection, hint},
    clusters::{
        call::{self, CallError},
        connect,
        grants::Right,
        identity,
        rest_config::{self, Allowed},
    },
};

/// How long one call may take: somebody waits for it.
pub const CALL: Duration = Duration::from_secs(10);
/// Pods a page of a list.
const PAGE: u32 = 500;

/// A connection.
#[derive(Clone)]
pub struct Target(pub kube::Client);

impl Target {
    /// Through a context, with the rights of whoever runs the command.
    ///
    /// # Errors
    /// If the context can't be used.
    pub async fn of_context(kubeconfig: kube::config::Kubeconfig, context: &str) -> anyhow::Result<Target> {
        let config = connection::config_of(kubeconfig, Some(context)).await?;
        connection::client(config).map(Target).with_context(|| format!("context {context:?}"))
    }

    /// As the controller reaches it. A certificate that isn't checked is taken here; whether the controller takes it is a
    /// matter of its flags.
    ///
    /// # Errors
    /// Why the value is refused.
    pub fn of_value(value: &[u8]) -> anyhow::Result<Target> {
        let allowed = Allowed { credentials_folder: None, insecure: true };
        Ok(Target(connect::client(&rest_config::parse(value, &allowed)?)?))
    }

    /// The UID that says which cluster it is.
    pub async fn identity(&self) -> Result<String, CallError> {
        call::bounded(CALL, identity::read(self.0.clone())).await
    }

    /// Whether it is the cluster that is remembered.
    ///
    /// # Errors
    /// If it isn't, or can't be asked.
    pub async fn check_identity(&self, known: Option<&str>, name: &ClusterName, through: &str) -> anyhow::Result<()> {
        let uid = self
            .identity()
            .await
            .map_err(|error| failed(&format!("namespace kube-system of cluster {name}"), error))?;
        match known {
            Some(known) if known != uid => Err(hint::error(
                format!("{through} leads to another cluster than {name}: its kube-system has UID {uid}, not {known}"),
                format!("`landfall cluster confirm {name}` accepts another cluster behind a name"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The version that it gives.
    pub async fn version(&self) -> Result<String, CallError> {
        call::bounded(CALL, self.0.apiserver_version()).await.map(|info| info.git_version)
    }

    /// A namespace, if it is there.
    pub async fn namespace(&self, name: &ids::Namespace) -> Result<Option<Namespace>, CallError> {
        call::bounded(CALL, Api::<Namespace>::all(self.0.clone()).get_opt(name.as_str())).await
    }

    /// The namespace and name of every pod of a home; only in some namespaces, if those are given.
    pub async fn pods(
        &self,
        home_uid: &str,
        namespaces: Option<&[ids::Namespace]>,
    ) -> Result<Vec<(String, String)>, CallError> {
        let ours = format!("{LABEL_HOME_UID}={home_uid}");
        let Some(namespaces) = namespaces else { return list(Api::all(self.0.clone()), &ours).await };
        let mut found = Vec::new();
        for namespace in namespaces {
            found.extend(list(Api::namespaced(self.0.clone(), namespace.as_str()), &ours).await?);
        }
        Ok(found)
    }

    /// How many pods of a workflow there are in a namespace.
    pub async fn pods_of(
        &self,
        home_uid: &str,
        workflow_uid: &str,
        namespace: &ids::Namespace,
    ) -> Result<usize, CallError> {
        let its = format!("{LABEL_WORKFLOW_UID}={workflow_uid},{LABEL_HOME_UID}={home_uid}");
        let api = Api::namespaced(self.0.clone(), namespace.as_str());
        list(api, &its).await.map(|pods| pods.len())
    }

    /// Whether whoever connects may do something; with what the server says to it.
    pub async fn may(&self, right: &Right) -> Result<(bool, String), CallError> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes = ResourceAttributes {
            verb: given(&right.verb),
            group: given(&right.group),
            resource: given(&right.resource),
            subresource: given(&right.subresource),
            namespace: right.namespace.clone(),
            name: right.name.clone(),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.0.clone());
        let status = call::bounded(CALL, api.create(&PostParams::default(), &review)).await?.status.unwrap_or_default();
        Ok((status.allowed, status.reason.unwrap_or_default()))
    }
}

/// The namespace and name of every pod with these labels.
async fn list(api: Api<Pod>, labels: &str) -> Result<Vec<(String, String)>, CallError> {
    let mut found = Vec::new();
    let mut params = ListParams::default().labels(labels).limit(PAGE);
    loop {
        let page = call::bounded(CALL, api.list_metadata(&params)).await?;
        found.extend(
            page.items
                .into_iter()
                .map(|pod| (pod.metadata.namespace.unwrap_or_default(), pod.metadata.name.unwrap_or_default())),
        );
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(found);
        }
    }
}

/// An error of a call to a target, with what can be done.
pub fn failed(what: &str, error: CallError) -> anyhow::Error {
    let hint = match &error {
        CallError::Refused(status) if status.code == 403 => {
            "the context's user lacks a right there: take another context, or let whoever has it apply what --dry-run prints"
        }
        CallError::Refused(_) => "read what the API server says",
        CallError::Unreachable(_) => {
            "try `kubectl --context CONTEXT get --raw /version`, which must work from here as well"
        }
    };
    hint::error(format!("{what}: {error}"), hint)
}
