//! Names of images as container runtimes read them: the grammar and the defaults of `distribution/reference`.

use std::fmt;

const REGISTRY_DEFAULT: &str = "docker.io";
/// Another name of the default, which runtimes take for it.
const REGISTRY_OLD: &str = "index.docker.io";
const REPOSITORY_OFFICIAL: &str = "library";
const TAG_DEFAULT: &str = "latest";

/// Registry and repository together, in bytes.
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
/// Fewer hexadecimal digits are no digest.
const DIGEST_HEX_MIN: usize = 32;

/// An image, with all defaults in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The host, with the port if one is named.
    pub registry: String,
    /// The path in it.
    pub repository: String,
    /// The tag; without tag and digest it is `latest`.
    pub tag: Option<String>,
    /// What fixes the content: `sha256:…`.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads the name of an image.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Reference, &'static str> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(checked_digest(digest)?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry.
        let path = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[path..].rfind(':') {
            Some(colon) => (&rest[..path + colon], Some(checked_tag(&rest[path + colon + 1..])?)),
            None => (rest, None),
        };
        if name.is_empty() {
            return Err("it is empty");
        }
        // Runtimes take such a one for the number of an image that the node has already.
        if name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err("it is the number of an image on a node");
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            Some(_) | None => (REGISTRY_DEFAULT, name),
        };
        let registry = if registry == REGISTRY_OLD { REGISTRY_DEFAULT } else { registry };
        let official = registry == REGISTRY_DEFAULT && !repository.contains('/');
        let repository = if official { format!("{REPOSITORY_OFFICIAL}/{repository}") } else { repository.to_owned() };
        check_registry(registry)?;
        if !repository.split('/').all(is_component) {
            return Err("its repository is not made of lower-case words, joined by `/`");
        }
        if registry.len() + 1 + repository.len() > NAME_BYTES_MAX {
            return Err("it is too long");
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(TAG_DEFAULT.to_owned()),
            (tag, _) => tag,
        };
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }

    /// Registry and repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// There is a digest of an algorithm that nobody can make a second content for.
    pub fn digest_is_strong(&self) -> bool {
        self.digest.as_deref().and_then(|digest| digest.split_once(':')).is_some_and(|(algorithm, hex)| {
            matches!((algorithm, hex.len()), ("sha256", 64) | ("sha384", 96) | ("sha512", 128))
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The first part of a name is a registry if it can't be a part of a path.
pub fn is_registry(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.chars().any(|c| c.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            if address.is_empty() || !address.chars().all(|c| c.is_ascii_hexdigit() || c == ':') {
                return Err("its registry is no address");
            }
            (
                "",
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':').ok_or("its registry is no address")?)
                },
            )
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if !registry.starts_with('[') && !host.split('.').all(is_label) {
        return Err("its registry is no host");
    }
    match port {
        Some(port) if port.is_empty() || !port.chars().all(|c| c.is_ascii_digit()) => {
            Err("its registry has no port after `:`")
        }
        Some(_) | None => Ok(()),
    }
}

/// Lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(part: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_joint = |joint: &str| matches!(joint, "." | "_" | "__") || joint.chars().all(|c| c == '-');
    part.starts_with(is_word) && part.ends_with(is_word) && part.split(is_word).all(is_joint)
}

fn checked_tag(tag: &str) -> Result<String, &'static str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !tag.starts_with(is_word)
        || tag.len() > TAG_BYTES_MAX
        || !tag.chars().all(|c| is_word(c) || c == '.' || c == '-')
    {
        return Err("its tag is not made of letters, digits, `_`, `.` and `-`");
    }
    Ok(tag.to_owned())
}

fn checked_digest(digest: &str) -> Result<String, &'static str> {
    let (algorithm, hex) = digest.split_once(':').ok_or("its digest has no algorithm")?;
    let is_algorithm = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    // Runtimes take upper-case digits in the name and refuse them later; here they would only be a second spelling.
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if !algorithm.split(['+', '.', '-', '_']).all(is_algorithm)
        || hex.len() < DIGEST_HEX_MIN
        || !hex.chars().all(is_hex)
    {
        return Err("its digest is not an algorithm and lower-case hexadecimal digits");
    }
    // The length is known of these: another is no digest at all.
    match (algorithm, hex.len()) {
        ("sha256", 64) | ("sha384", 96) | ("sha512", 128) => Ok(digest.to_owned()),
        ("sha256" | "sha384" | "sha512", _) => Err("its digest has the wrong length"),
        _ => Ok(digest.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn names_get_the_defaults_of_runtimes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Reference::parse(text).unwrap().to_string(), expected, "{text}");
        };
        let hex = "0".repeat(64);
        check("alpine", "docker.io/library/alpine:latest");
        check("alpine:3.20", "docker.io/library/alpine:3.20");
        check("acme/tool", "docker.io/acme/tool:latest");
        check("index.docker.io/alpine", "docker.io/library/alpine:latest");
        check("docker.io/alpine", "docker.io/library/alpine:latest");
        check("localhost/tool", "localhost/tool:latest");
        check("host:5000/a/b:v1", "host:5000/a/b:v1");
        check("ghcr.io/a", "ghcr.io/a:latest");
        check("[::1]:5000/a", "[::1]:5000/a:latest");
        check("Host/a", "Host/a:latest");
        check(&format!("alpine@sha256:{hex}"), &format!("docker.io/library/alpine@sha256:{hex}"));
        check(&format!("a.b/c:1@sha256:{hex}"), &format!("a.b/c:1@sha256:{hex}"));
        check("a__b/c--d.e", "docker.io/a__b/c--d.e:latest");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let hex = "0".repeat(64);
        let long = format!("{}/{}", "a".repeat(128), "b".repeat(128));
        for text in [
            "",
            ":",
            "@",
            "/",
            "a/",
            "/a",
            "a//b",
            " alpine",
            "alpine ",
            "alp ine",
            "Alpine",
            "a:",
            "a:-x",
            "a@",
            "a@sha256:",
            "a@sha256:00",
            "a___b",
            "a..b",
            "-a",
            "a-",
            "host:/a",
            "host:x/a",
            ".b/a",
            "a.b-/c",
            "[]/a",
            "[::1/a",
            "[::1]x/a",
            "alpine\n",
            "alpine:é",
            "http://ghcr.io/a",
            "a.b/c/../d",
            &hex,
            &long,
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
        assert!(Reference::parse(&format!("a@sha256:{}", "F".repeat(64))).is_err());
        assert!(Reference::parse(&format!("a@sha256:{hex}0")).is_err());
    }

    #[test]
    fn only_digests_that_fix_the_content_count() {
        let check = |digest: &str, expected: bool| {
            assert_eq!(Reference::parse(&format!("a@{digest}")).unwrap().digest_is_strong(), expected, "{digest}");
        };
        check(&format!("sha256:{}", "0".repeat(64)), true);
        check(&format!("sha512:{}", "0".repeat(128)), true);
        check(&format!("md5:{}", "0".repeat(32)), false);
    }
}
