//! One call to a cluster: bounded in time and rate, with an outcome that says whether the cluster answered at all.

use std::{error::Error, future::Future, time::Duration};

use kube::core::Status;

/// What became of a call that didn't succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server said no.
    #[error("{}", refusal(.0))]
    Refused(Box<Status>),
    /// There was no answer of an API server, so nothing is known: the call may have been carried out.
    #[error("{0}")]
    Unreachable(String),
}

impl CallError {
    /// The HTTP code of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            CallError::Refused(status) => Some(status.code),
            CallError::Unreachable(_) => None,
        }
    }
}

/// What kube puts into `reason` when the body was not a Kubernetes `Status`, which means that a proxy answered.
const REASON_NOT_KUBERNETES: &str = "Failed to parse error data";

/// Awaits the answer for at most `limit`.
pub async fn bounded<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome.map_err(classify),
        Err(_) => Err(CallError::Unreachable(format!("no answer within {} s", limit.as_secs_f32()))),
    }
}

/// Tells an API server's no from everything that isn't its answer.
pub fn classify(error: kube::Error) -> CallError {
    match error {
        kube::Error::Api(status) => match status.code {
            // A credential that ended and a network that broke are mended alike, outside of any workflow.
            401 | 502 | 503 | 504 => CallError::Unreachable(refusal(&status)),
            code if status.reason == REASON_NOT_KUBERNETES => {
                CallError::Unreachable(format!("HTTP {code} from something that is not a Kubernetes API server"))
            }
            _ => CallError::Refused(status),
        },
        kube::Error::SerdeError(_) => CallError::Unreachable("the answer can't be read".to_owned()),
        kube::Error::Auth(_) => CallError::Unreachable("the credential can't be used".to_owned()),
        other => CallError::Unreachable(innermost(&other)),
    }
}

fn refusal(status: &Status) -> String {
    let what = if status.message.is_empty() { &status.reason } else { &status.message };
    format!("{what} (HTTP {})", status.code)
}

/// The cause at the end of the chain, which is what people can act on: "connection refused" rather than "service error".
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
