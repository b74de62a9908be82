//! The SHA-256 digest of a module, as the configuration writes it and records show it.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

/// May stand before a digest, as registries write it.
const PREFIX: &str = "sha256:";
/// Characters of a digest.
const LENGTH: usize = 64;

/// A SHA-256 digest. It displays as 64 characters of lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a SHA-256 digest: 64 hex digits, with or without {PREFIX:?} before them")]
pub struct InvalidDigest {
    text: String,
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Digest, InvalidDigest> {
        let hex = text.strip_prefix(PREFIX).unwrap_or(text);
        if hex.len() == LENGTH && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Digest(hex.to_ascii_lowercase()))
        } else {
            Err(InvalidDigest { text: text.to_owned() })
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn is_read_with_and_without_its_prefix() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        let check = |text: &str, expected: bool| {
            assert_eq!(text.parse::<Digest>().ok(), expected.then(|| Digest::of(b"")), "{text}");
        };
        check(empty, true);
        check(&format!("sha256:{empty}"), true);
        check(&empty.to_uppercase(), true);
        check(&format!("sha512:{empty}"), false);
        check(&empty[1..], false);
        check(&format!("{empty}0"), false);
        check(&empty.replace('e', "g"), false);
        check("", false);
    }
}
