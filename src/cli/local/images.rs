//! What images run, from `images:` of the controller's configuration, kept up to date for the runtimes.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use tokio::sync::watch;

use crate::{
    api::{contract::CONFIG_MAP, manifest},
    local::runtime::images::ImageCommand,
};

/// Argo's key for what images run.
const KEY_IMAGES: &str = "images";

/// By image.
pub type Images = BTreeMap<String, ImageCommand>;

/// Reads the key of the configuration.
///
/// # Errors
/// If it isn't a mapping from images to `entrypoint` and `cmd`.
pub fn read(map: &ConfigMap) -> anyhow::Result<Images> {
    let Some(text) = map.data.as_ref().and_then(|data| data.get(KEY_IMAGES)) else { return Ok(Images::new()) };
    let documents = manifest::parse(text).with_context(|| format!("{KEY_IMAGES} of ConfigMap {CONFIG_MAP}"))?;
    let Some(document) = documents.into_iter().next() else { return Ok(Images::new()) };
    serde_json::from_value(document.value).map_err(|error| anyhow!("{KEY_IMAGES} of ConfigMap {CONFIG_MAP}: {error}"))
}

/// Keeps `images` as the configuration says. What can't be read changes nothing.
pub async fn keep(client: Client, namespace: String, images: watch::Sender<Images>) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let mut maps = std::pin::pin!(watch_object(api, CONFIG_MAP).default_backoff());
    while let Some(map) = maps.next().await {
        let Ok(map) = map else { continue };
        match read(&map.unwrap_or_default()) {
            Ok(new) => drop(images.send_replace(new)),
            Err(error) => tracing::warn!("{error:#}; the last good ones stay"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::ConfigMap;

    #[test]
    fn images_are_read() {
        let check = |text: &str, expected: &str| {
            let data = Some(BTreeMap::from([("images".to_owned(), text.to_owned())]));
            let found = match super::read(&ConfigMap { data, ..ConfigMap::default() }) {
                Ok(images) => serde_json::to_string(&images).unwrap(),
                Err(error) => format!("{error:#}"),
            };
            assert_eq!(found, expected);
        };
        check("", "{}");
        check("a:1: {entrypoint: [x]}", r#"{"a:1":{"entrypoint":["x"]}}"#);
        check("a: {cmd: [b, c]}", r#"{"a":{"cmd":["b","c"]}}"#);
        check(
            "a: x",
            "images of ConfigMap workflow-controller-configmap: invalid type: string \"x\", expected struct ImageCommand",
        );
    }
}
