//! What is watched at home, and what each change does: workflows, the Secret with the clusters, the ConfigMap; and policy,
//! which watches by itself. What is watched in every cluster is in `watch_sets.rs`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, api::DynamicObject};

use crate::{
    api::{
        contract::{CLUSTERS_SECRET, CONFIG_MAP},
        ids::Namespace,
    },
    controller::{
        Controller,
        config::Reader,
        status,
        watch::{Change, Source, follow},
        workflows::{self, Kind, Uid},
    },
};

/// Label by which several controllers share the workflows of one cluster, as Argo's.
const LABEL_INSTANCE_ID: &str = "workflows.argoproj.io/controller-instanceid";

/// Follows policy: the first set that comes into force wakes every workflow, because those that wait for it are not noted.
pub async fn policy(controller: Arc<Controller>) {
    let mut states = controller.policies.subscribe_state();
    let mut was_ready = states.borrow_and_update().is_ready();
    while states.changed().await.is_ok() {
        let is_ready = states.borrow_and_update().is_ready();
        if is_ready && !was_ready {
            controller.workflows.uids().iter().for_each(|uid| controller.queue.wake(uid));
        }
        was_ready = is_ready;
    }
}

/// Follows the workflows at home: all that bear the instance ID, or none where there is none.
pub async fn workflows(controller: Arc<Controller>, managed: Option<Namespace>, instance_id: Option<String>) {
    let home = controller.clusters.home().clone();
    let labels = match instance_id {
        Some(id) => format!("{LABEL_INSTANCE_ID}={id}"),
        None => format!("!{LABEL_INSTANCE_ID}"),
    };
    let source = Source {
        api: Box::new(move |client| status::api(client, managed.as_ref().map(Namespace::as_str))),
        labels: Some(labels),
        fields: None,
        strip: |object: &mut DynamicObject| object.metadata.managed_fields = None,
    };
    let tell = move |change| match change {
        Change::Listed(objects) => {
            let (mut live, mut ended) = (Vec::new(), Vec::new());
            for object in objects {
                match workflows::sort(object) {
                    Kind::Live(stored) => live.push(stored),
                    Kind::Ended(one) => ended.push(one),
                    Kind::Nameless => {}
                }
            }
            let (news, gone) = controller.workflows.replace(live);
            news.iter().for_each(|uid| controller.queue.wake(uid));
            gone.iter().for_each(|uid| controller.forget(uid));
            controller.workflows.replace_ended(&ended);
            ended.iter().for_each(|one| controller.end(one));
            controller.watched.has_workflows();
            controller.pods.sweep(|uid| controller.workflows.get(uid).is_some());
        }
        Change::Applied(object) => match workflows::sort(object) {
            Kind::Live(stored) => {
                let uid = stored.uid.clone();
                if controller.workflows.put(stored) {
                    controller.queue.wake(&uid);
                }
            }
            Kind::Ended(ended) => controller.end(&ended),
            Kind::Nameless => {}
        },
        Change::Deleted(object) => {
            if let Some(uid) = object.metadata.uid.as_deref() {
                gone(&controller, &uid.into());
            }
        }
        Change::Refused(_) => {}
    };
    follow(home, source, tell).await;
}

fn gone(controller: &Controller, uid: &Uid) {
    controller.workflows.remove(uid);
    controller.forget(uid);
}

/// Follows the Secret with the clusters.
pub async fn clusters(controller: Arc<Controller>, namespace: Namespace) {
    let home = controller.clusters.home().clone();
    let place = namespace.clone();
    let source = Source {
        api: Box::new(move |client| Api::<Secret>::namespaced(client, place.as_str())),
        labels: None,
        fields: Some(format!("metadata.name={CLUSTERS_SECRET}")),
        strip: |secret: &mut Secret| secret.metadata.managed_fields = None,
    };
    let tell = move |change| match change {
        Change::Listed(mut secrets) => {
            controller.clusters.update(&secrets.pop().unwrap_or_default());
            controller.watched.has_clusters();
        }
        Change::Applied(secret) => controller.clusters.update(&secret),
        Change::Deleted(_) => controller.clusters.update(&Secret::default()),
        Change::Refused(reason) => {
            let until_then = if controller.watched.knows_clusters() {
                "the clusters stay as they are"
            } else {
                "no workflow is worked on"
            };
            tracing::warn!(
                secret = %format_args!("{namespace}/{CLUSTERS_SECRET}"), reason,
                "the controller needs the right to list and watch this secret; until then {until_then}"
            );
        }
    };
    follow(home, source, tell).await;
}

/// Follows the ConfigMap.
pub async fn configuration(controller: Arc<Controller>, namespace: Namespace) {
    let home = controller.clusters.home().clone();
    let place = namespace.clone();
    let source = Source {
        api: Box::new(move |client| Api::<ConfigMap>::namespaced(client, place.as_str())),
        labels: None,
        fields: Some(format!("metadata.name={CONFIG_MAP}")),
        strip: |config_map: &mut ConfigMap| config_map.metadata.managed_fields = None,
    };
    let mut reader = Reader::default();
    let tell = move |change| match change {
        Change::Listed(mut found) => reader.take(&controller, &namespace, found.pop()),
        Change::Applied(config_map) => reader.take(&controller, &namespace, Some(config_map)),
        Change::Deleted(_) => reader.take(&controller, &namespace, None),
        Change::Refused(_) => {}
    };
    follow(home, source, tell).await;
}
