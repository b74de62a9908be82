//! What a rule allows: a repository in full, with `*` for a part of one of its words, `**` for everything below, and a
//! digest where only that one content may run.

use std::fmt;

use landfall_policy_sdk::target::matches;
use serde::Deserialize;

use crate::reference::{Reference, is_registry};

const EVERYTHING: &str = "**";

/// A pattern of images.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ImagePattern {
    text: String,
    /// The registry and the parts of the path, without a `**` at the end; empty is every image.
    parts: Vec<String>,
    /// `**` stands at the end: one part more, or several.
    below: bool,
    digest: Option<String>,
}

impl ImagePattern {
    /// The image is one of those meant.
    pub fn matches(&self, image: &Reference) -> bool {
        self.fits(self.parts.first().map_or("", String::as_str), &image.registry, image)
    }

    /// The image is one of those meant, or it is got from where they are: hosts are the same in upper case, and with the
    /// port that they have anyway. Only for what is demanded: what is allowed is compared in full.
    pub fn may_mean(&self, image: &Reference) -> bool {
        let plain = |registry: &str| registry.strip_suffix(":443").unwrap_or(registry).to_ascii_lowercase();
        let pattern = self.parts.first().map_or_else(String::new, |registry| plain(registry));
        self.matches(image) || self.fits(&pattern, &plain(&image.registry), image)
    }

    fn fits(&self, pattern: &str, registry: &str, image: &Reference) -> bool {
        if self.digest.is_some() && self.digest != image.digest {
            return false;
        }
        if self.parts.is_empty() {
            return true;
        }
        let parts = std::iter::once(pattern).chain(self.parts[1..].iter().map(String::as_str));
        let mut rest = std::iter::once(registry).chain(image.repository.split('/'));
        // In the registry a `*` ends at a dot: `*.example.com` is one name below it, and `example.*` is no other domain.
        for (place, part) in parts.enumerate() {
            let fits = |c: char| place > 0 || !matches!(c, '.' | ':');
            if !rest.next().is_some_and(|name| matches(part, name, &fits)) {
                return false;
            }
        }
        rest.next().is_some() == self.below
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for ImagePattern {
    type Error = String;

    fn try_from(text: String) -> Result<ImagePattern, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text.as_str(), None),
        };
        let (name, below) = match name.strip_suffix("/**") {
            Some(name) => (name, true),
            None if name == EVERYTHING => ("", true),
            None => (name, false),
        };
        let parts: Vec<String> =
            if name.is_empty() { Vec::new() } else { name.split('/').map(str::to_owned).collect() };
        let pattern = ImagePattern { parts, below, digest, text };
        match pattern.mistake() {
            Some(mistake) => Err(format!("{:?}: {mistake}", pattern.text)),
            None => Ok(pattern),
        }
    }
}

impl ImagePattern {
    /// Patterns that no image can match would deny what they look like allowing.
    fn mistake(&self) -> Option<String> {
        let text = self.text.as_str();
        if self.parts.is_empty() {
            return if text == EVERYTHING {
                None
            } else if self.digest.is_some() {
                Some("a digest needs a repository before it".to_owned())
            } else {
                Some("name a repository, or write ** for every image".to_owned())
            };
        }
        if self.parts.iter().any(|part| part.contains(EVERYTHING)) {
            return Some("** stands only at the end, after a `/`".to_owned());
        }
        let registry = self.parts.first().map_or("", String::as_str);
        if !is_registry(registry) {
            return Some(format!(
                "names are compared in full: begin with the registry, as docker.io/library/{text} or docker.io/{text}"
            ));
        }
        if registry.contains(|c: char| c.is_ascii_uppercase()) {
            return Some(format!(
                "write the registry in lower case, as {}",
                registry.to_ascii_lowercase().escape_debug()
            ));
        }
        if registry == "index.docker.io" {
            return Some("write docker.io, which it is another name of".to_owned());
        }
        if self.parts.len() == 1 && !self.below {
            return Some(format!("that is a registry; for all of its repositories, write {text}/**"));
        }
        if self.parts[1..].iter().any(|part| part.contains(':')) {
            return Some("a pattern has no tag: what a tag means can change".to_owned());
        }
        // An image that the pattern is made from must be one: this finds empty parts, upper case, wrong digests.
        let example = self.parts.iter().map(|part| part.replace('*', "x")).collect::<Vec<_>>().join("/");
        let example = if self.below { format!("{example}/x/x") } else { example };
        let digest = self.digest.as_ref().map_or_else(String::new, |digest| format!("@{digest}"));
        match Reference::parse(&format!("{example}{digest}")) {
            Ok(image) if image.registry == "docker.io" && image.name() != example => {
                Some(format!("in docker.io these are called docker.io/library/{}", self.parts[1..].join("/")))
            }
            Ok(image) if self.digest.is_some() && !image.digest_is_strong() => {
                Some("a digest is sha256, sha384 or sha512: others don't fix the content".to_owned())
            }
            Ok(_) => None,
            Err(why) => Some(why.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ImagePattern;
    use crate::reference::Reference;

    fn pattern(text: &str) -> Result<ImagePattern, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn patterns_match_repositories() {
        let check = |text: &str, image: &str, expected: bool| {
            let image = Reference::parse(image).unwrap();
            assert_eq!(pattern(text).unwrap().matches(&image), expected, "{text} {image}");
        };
        let digest = format!("sha256:{}", "a".repeat(64));
        check("**", "anything", true);
        check("docker.io/library/alpine", "alpine:3", true);
        check("docker.io/library/alpine", "alpine2", false);
        check("docker.io/library/*", "alpine", true);
        check("docker.io/library/*", "acme/alpine", false);
        check("ghcr.io/acme/*", "ghcr.io/acme/a/b", false);
        check("ghcr.io/acme/*/b", "ghcr.io/acme/a/b", true);
        check("ghcr.io/acme/**", "ghcr.io/acme/a/b", true);
        check("ghcr.io/acme/**", "ghcr.io/acme", false);
        check("ghcr.io/**", "ghcr.io/acme/a", true);
        check("ghcr.io/**", "ghcr.io.evil.com/acme/a", false);
        check("*.example.com/**", "eu.example.com/a", true);
        check("*.example.com/**", "a.b.example.com/a", false);
        check("registry.*/**", "registry.evil.com/a", false);
        check("host:5000/a-*", "host:5000/a-b", true);
        check("host:5000/a-*", "host:5001/a-b", false);
        check(&format!("docker.io/library/alpine@{digest}"), &format!("alpine:3@{digest}"), true);
        check(&format!("docker.io/library/alpine@{digest}"), "alpine:3", false);
    }

    #[test]
    fn what_no_image_can_match_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = pattern(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("", "name a repository");
        check("alpine", "begin with the registry, as docker.io/library/alpine");
        check("acme/tool", "begin with the registry");
        check("*/tool", "begin with the registry");
        check("ghcr.io", "write ghcr.io/**");
        check("docker.io/alpine", "docker.io/library/alpine");
        check("ghcr.io/**/a", "only at the end");
        check("ghcr.io/acme**", "only at the end");
        check("ghcr.io/a:1", "no tag");
        check("ghcr.io/A", "lower-case words");
        check("ghcr.io//a", "lower-case words");
        check("ghcr.io/a@sha256:00", "digest");
        check("index.docker.io/a/b", "write docker.io");
        check("GHCR.io/acme/*", "write the registry in lower case, as ghcr.io");
        check(&format!("ghcr.io/a@md5:{}", "0".repeat(32)), "others don't fix the content");
        check(&format!("**@sha256:{}", "0".repeat(64)), "a digest needs a repository before it");
        check("@sha256:00", "a digest needs a repository before it");
    }
}
