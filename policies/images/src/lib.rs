//! Which images may pods run, and where? Each rule allows some images for some targets; what no rule allows is denied.
//!
//! Names of images are read as container runtimes read them, in `reference.rs`; what rules allow is in `pattern.rs`.
//! Whether an image exists, and what its tag means today, is not looked at: a module has no network.

mod pattern;
mod reference;

use landfall_policy_sdk::{Allow, Decision, Policy, Request, deny, pod::Pod, target::Targets, trace};
use serde::Deserialize;

use crate::{pattern::ImagePattern, reference::Reference};

/// The settings: what is allowed, added up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Images {
    /// Any one that allows an image is enough; a digest is needed where any one asks for it.
    pub rules: Vec<Rule>,
}

/// Some images for some targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Where it counts.
    pub targets: Targets,
    /// What it allows there.
    pub images: Vec<ImagePattern>,
    /// Only images that are named by digest, so that what runs can't change.
    #[serde(default)]
    pub require_digest: bool,
}

impl Policy for Images {
    const NEEDS_POD: bool = true;

    fn check(self) -> Result<Images, String> {
        for (place, rule) in self.rules.iter().enumerate() {
            // Such a rule allows nothing, which can't be what was meant.
            if rule.targets.is_empty() {
                return Err(format!("rules[{place}].targets: is empty; for every target, write \"*/*\""));
            }
            if rule.images.is_empty() {
                return Err(format!("rules[{place}].images: is empty; for every image, write \"**\""));
            }
        }
        Ok(self)
    }

    fn authorize(&self, request: &Request) -> Decision {
        let rules: Vec<&Rule> = self.rules.iter().filter(|rule| rule.targets.contain(request)).collect();
        let target = format!("{}/{}", request.target.cluster, request.target.namespace);
        trace!("{} of {} rules are for target {target}", rules.len(), self.rules.len());
        if rules.is_empty() {
            return deny!("no-rule", "no rule says which images may run in {target}");
        }
        for (what, image) in images(request.pod()?) {
            let reference = match Reference::parse(image) {
                Ok(reference) => reference,
                Err(why) => return deny!("malformed-image", "{what}: {image:?} is not the name of an image: {why}"),
            };
            trace!("{what}: {image:?} is {reference}");
            allow(&rules, &what, &reference, &target)?;
        }
        Ok(Allow)
    }
}

fn allow(rules: &[&Rule], what: &str, image: &Reference, target: &str) -> Decision {
    if !rules.iter().any(|rule| rule.images.iter().any(|pattern| pattern.matches(image))) {
        let patterns: Vec<String> =
            rules.iter().flat_map(|rule| &rule.images).take(5).map(ToString::to_string).collect();
        let more = rules.iter().map(|rule| rule.images.len()).sum::<usize>().saturating_sub(patterns.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let patterns = patterns.join(", ");
        return deny!("image-not-allowed", "{what}: no rule for {target} allows {image}; allowed: {patterns}{more}");
    }
    // A wider rule beside it doesn't take the demand back, nor does another spelling of the registry.
    let demands = |rule: &&Rule| rule.require_digest && rule.images.iter().any(|pattern| pattern.may_mean(image));
    if image.digest_is_strong() || !rules.iter().any(demands) {
        return Ok(Allow);
    }
    let name = image.name();
    deny!("digest-required", "{what}: {image} may run in {target} only by digest, as {name}@sha256:…")
}

/// Everything of a pod that makes a node pull an image, with what it is called in messages.
fn images(pod: &Pod) -> impl Iterator<Item = (String, &str)> {
    let containers = pod
        .containers()
        .map(|container| (format!("container {:?}", container.name), container.image.as_deref().unwrap_or_default()));
    let volumes = pod.spec.volumes.iter().filter_map(|volume| {
        let source = volume.source("image")?;
        let image = source.get("reference").and_then(|reference| reference.as_str());
        Some((format!("volume {:?}", volume.name), image.unwrap_or_default()))
    });
    containers.chain(volumes)
}

landfall_policy_sdk::export!(Images);

#[cfg(test)]
mod tests {
    use landfall_policy_sdk::{Policy, Request, configured};
    use serde_json::json;

    use super::Images;

    const SETTINGS: &str = r#"{"rules": [
        {"targets": ["@home/*"], "images": ["**"]},
        {"targets": ["other/*"], "images": ["ghcr.io/acme/**", "docker.io/library/alpine"]},
        {"targets": ["other/prod"], "images": ["quay.io/acme/*"], "requireDigest": true}
    ]}"#;

    #[test]
    fn images_are_allowed_by_rules() {
        let images: Images = configured(SETTINGS).unwrap();
        let check = |target: &str, image: &str, expected: &str| {
            let pod = json!({"spec": {"containers": [{"name": "main", "image": image}]}});
            let decision = images.authorize(&Request::new("argo", target).with_pod(&pod));
            let decision = decision.map_or_else(|denial| denial.code.into_owned(), |_| "allow".to_owned());
            assert_eq!(decision, expected, "{image} in {target}");
        };
        let digest = format!("@sha256:{}", "0".repeat(64));
        check("default/argo", "whatever:1", "allow");
        check("default/argo", "", "malformed-image");
        check("other/argo", "alpine", "allow");
        check("other/argo", "ghcr.io/acme/a/b:1", "allow");
        check("other/argo", "ghcr.io/acme", "image-not-allowed");
        check("other/argo", "ghcr.io/acme2/a", "image-not-allowed");
        check("other/argo", "quay.io/acme/a", "image-not-allowed");
        check("other/prod", "quay.io/acme/a:1", "digest-required");
        check("other/prod", &format!("quay.io/acme/a:1{digest}"), "allow");
        check("third/argo", "alpine", "no-rule");
    }

    #[test]
    fn a_wider_rule_does_not_take_the_digest_back() {
        let settings = r#"{"rules": [
            {"targets": ["*/*"], "images": ["**"]},
            {"targets": ["*/prod"], "images": ["ghcr.io/**"], "requireDigest": true}
        ]}"#;
        let images: Images = configured(settings).unwrap();
        let check = |target: &str, image: &str, expected: &str| {
            let pod = json!({"spec": {"containers": [{"name": "main", "image": image}]}});
            let decision = images.authorize(&Request::new("argo", target).with_pod(&pod));
            let decision = decision.map_or_else(|denial| denial.code.into_owned(), |_| "allow".to_owned());
            assert_eq!(decision, expected, "{image} in {target}");
        };
        check("other/prod", "ghcr.io/acme/a:1", "digest-required");
        check("other/prod", "GHCR.IO/acme/a:1", "digest-required");
        check("other/prod", "ghcr.io:443/acme/a:1", "digest-required");
        check("other/prod", &format!("ghcr.io/acme/a@sha256:{}", "0".repeat(64)), "allow");
        check("other/prod", &format!("ghcr.io/acme/a@md5:{}", "0".repeat(32)), "digest-required");
        check("other/prod", "alpine", "allow");
        check("other/argo", "ghcr.io/acme/a:1", "allow");
    }

    #[test]
    fn every_image_of_a_pod_counts() {
        let images: Images = configured(SETTINGS).unwrap();
        let check = |spec: serde_json::Value, place: &str| {
            let request = Request::new("argo", "other/argo").with_pod(&json!({"spec": spec}));
            let denial = images.authorize(&request).unwrap_err();
            assert_eq!(denial.code, "image-not-allowed");
            assert!(denial.reason.starts_with(place), "{}", denial.reason);
        };
        let of = |name: &str| json!([{"name": name, "image": "evil"}]);
        check(
            json!({"initContainers": of("init")}),
            "container \"init\": no rule for other/argo allows docker.io/library/evil",
        );
        check(json!({"ephemeralContainers": of("debug")}), "container \"debug\"");
        check(json!({"volumes": [{"name": "data", "image": {"reference": "evil"}}]}), "volume \"data\"");
    }

    #[test]
    fn settings_that_allow_less_than_they_look_are_refused() {
        let check = |settings: &str, expected: &str| {
            let error = configured::<Images>(settings).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("{}", "missing field `rules`");
        check(r#"{"rules": [{"targets": [], "images": ["**"]}]}"#, "rules[0].targets: is empty");
        check(r#"{"rules": [{"targets": ["*/*"], "images": []}]}"#, "rules[0].images: is empty");
        check(r#"{"rules": [{"targets": ["*/*"], "images": ["alpine"]}]}"#, "rules[0].images[0]: ");
        check(r#"{"rules": [{"targets": ["*"], "images": ["**"]}]}"#, "rules[0].targets[0]: ");
        check(r#"{"rules": [{"targets": ["*/*"], "images": ["**"], "digest": true}]}"#, "unknown field `digest`");
    }
}
