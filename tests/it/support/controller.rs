//! The controller of one namespace, in this process, as the program starts it.

use jiff::Timestamp;
use kube::Client;
use landfall::{
    api::ids::Namespace,
    clusters::{Clusters, rest_config::Allowed},
    controller,
    policy::{self, Policies},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// It runs until it is stopped.
pub struct Running {
    cancelled: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Starts it with what the ConfigMap of its namespace says.
    pub async fn start(home: Client, namespace: &str) -> Running {
        let namespace: Namespace = namespace.parse().unwrap();
        let settings = controller::config::load(home.clone(), &namespace).await.unwrap();
        let options = policy::Options {
            config: settings.policy.clone(),
            managed: Some(namespace.clone()),
            ..policy::Options::default()
        };
        let options = controller::Options {
            clusters: Clusters::new(settings.home.clone(), home, Allowed::default(), Timestamp::now),
            policies: Policies::start(options).unwrap(),
            namespace: namespace.clone(),
            managed: Some(namespace),
            settings,
            listener: None,
            logs: None,
        };
        let cancelled = CancellationToken::new();
        Running { cancelled: cancelled.clone(), task: tokio::spawn(controller::run(options, cancelled)) }
    }

    /// Ends it, which it must do without an error.
    pub async fn stop(self) {
        self.cancelled.cancel();
        self.task.await.unwrap().unwrap();
    }
}
