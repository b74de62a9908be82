//! Which cluster it is that answers: names and addresses can come to mean another one, the UID of its namespace
//! `kube-system` can't.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, core::Status};

/// Every cluster has it, and nobody makes it anew.
pub const NAMESPACE: &str = "kube-system";

/// Asks for the UID. It takes the right to get this one namespace.
pub async fn read(client: kube::Client) -> kube::Result<String> {
    let namespace = Api::<Namespace>::all(client).get(NAMESPACE).await?;
    let missing = || {
        let message = format!("namespace {NAMESPACE:?} has no uid");
        kube::Error::Api(Box::new(Status::failure(&message, "NotFound").with_code(404)))
    };
    namespace.metadata.uid.filter(|uid| !uid.is_empty()).ok_or_else(missing)
}
