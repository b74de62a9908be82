//! Who may come in through the listener: only who has read the kubeconfig. Else every program on the machine, and every
//! web page that makes its own name lead to 127.0.0.1, could run pods.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The user name that goes with the token in a URL.
const USER: &str = "landfall";

/// A server's secret. It has no `Debug`, so that it gets into no log by accident.
pub struct Token {
    text: String,
    bearer: [u8; 32],
    basic: [u8; 32],
}

impl Token {
    /// A new one: two random UUIDs, 244 random bits.
    pub fn random() -> Token {
        let text = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let basic = STANDARD.encode(format!("{USER}:{text}"));
        Token { bearer: hash(&text), basic: hash(&basic), text }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The URL with the token in it, as user and password. kubectl leaves out a user's token where a server has no TLS,
    /// but not what stands in the URL; that comes as basic authentication.
    pub fn in_url(&self, url: &str) -> String {
        match url.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{USER}:{}@{rest}", self.text),
            None => url.to_owned(),
        }
    }

    /// Whether a request bears it. Hashes are compared, so that the time it takes tells nothing about the token.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some((scheme, credentials)) = credentials(headers) else { return false };
        let expected = match scheme.as_str() {
            "bearer" => self.bearer,
            "basic" => self.basic,
            _ => return false,
        };
        hash(credentials) == expected
    }
}

/// The hash of the bearer token of a request, if it has one.
pub fn bearer(headers: &HeaderMap) -> Option<[u8; 32]> {
    credentials(headers).filter(|(scheme, _)| scheme == "bearer").map(|(_, token)| hash(token))
}

/// The one `Authorization` of a request: its scheme in lower case, and what follows.
fn credentials(headers: &HeaderMap) -> Option<(String, &str)> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else { return None };
    let (scheme, credentials) = given.to_str().ok()?.split_once(' ')?;
    Some((scheme.to_ascii_lowercase(), credentials.trim()))
}

/// What is kept of a token, and compared.
pub fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_token_lets_in() {
        let (token, other) = (Token::random(), Token::random());
        let basic =
            |user: &str, token: &Token| format!("Basic {}", STANDARD.encode(format!("{user}:{}", token.text())));
        let cases = [
            (vec![], false),
            (vec![String::new()], false),
            (vec![token.text().to_owned()], false),
            (vec!["Bearer ".to_owned()], false),
            (vec![format!("Bearer {}", other.text())], false),
            (vec![format!("Bearer {}x", token.text())], false),
            (vec![format!("Digest {}", token.text())], false),
            (vec![format!("Bearer {}", token.text())], true),
            (vec![format!("bearer {}", token.text())], true),
            (vec![basic(USER, &token)], true),
            (vec![basic("root", &token)], false),
            (vec![basic(USER, &other)], false),
            (vec![format!("Bearer {}", token.text()), "Bearer x".to_owned()], false),
        ];
        for (given, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in &given {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(token.is_in(&headers), expected, "{given:?}");
        }
    }

    #[test]
    fn urls_take_it_before_the_host() {
        let token = Token::random();
        assert_eq!(token.in_url("http://127.0.0.1:1"), format!("http://landfall:{}@127.0.0.1:1", token.text()));
    }
}
