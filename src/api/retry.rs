//! Whether and how a node is tried again.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::object::{choice, object};

object! {
    /// Whether and how a node is tried again.
    pub struct RetryStrategy {
        /// Most tries after the first; no limit if not given.
        pub limit: Option<IntOrString>,
        /// After which outcomes; see [`RetryStrategy::policy`].
        pub retry_policy: Option<RetryPolicy>,
        /// How long to wait before each try.
        pub backoff: Option<Backoff>,
        /// Whether tries keep off each other's hosts.
        pub affinity: Option<RetryAffinity>,
        /// An expression that must hold for another try.
        pub expression: Option<String>,
    }

    /// How long to wait before each try. Durations are `30s`, or a number of seconds.
    pub struct Backoff {
        /// The first wait.
        pub duration: Option<String>,
        /// What the wait is multiplied by each time.
        pub factor: Option<IntOrString>,
        /// After how long, from the first try, there is no other.
        pub max_duration: Option<String>,
        /// The longest wait.
        pub cap: Option<String>,
    }

    /// Whether tries keep off each other's hosts.
    pub struct RetryAffinity {
        /// They do.
        pub node_anti_affinity: Option<RetryNodeAntiAffinity>,
    }

    /// Tries keep off each other's hosts. JSON: `{}`.
    pub struct RetryNodeAntiAffinity {}
}

choice! {
    /// After which outcomes a node is tried again.
    pub enum RetryPolicy {
        /// After all but success.
        Always = "Always",
        /// After Failed.
        OnFailure = "OnFailure",
        /// After Error.
        OnError = "OnError",
        /// After errors that pass by themselves.
        OnTransientError = "OnTransientError",
    }
}

impl RetryStrategy {
    /// The policy that holds: with an expression the expression alone decides, otherwise only failures count.
    pub fn policy(&self) -> RetryPolicy {
        match (&self.retry_policy, &self.expression) {
            (Some(policy), _) => policy.clone(),
            (None, Some(_)) => RetryPolicy::Always,
            (None, None) => RetryPolicy::OnFailure,
        }
    }
}
