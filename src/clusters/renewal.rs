//! When a token is renewed, and what then stands in the Secret. Pure; asking for it is in `keeper.rs`.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clusters::{
    rest_config::{Credential, RestConfig, Sensitive},
    settings::{Account, Settings},
    token,
};

/// A token is renewed when this part of its life is over, in percent: so there is a fifth of it for outages and for clocks
/// that differ.
const LIFE_USED: i32 = 80;
/// Up to so many percent earlier, another for each token: clusters that were added together don't renew together.
const LIFE_SPREAD: i32 = 5;
/// How long a token is to live of which it can't be told how long the last one did.
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// The shortest life that Kubernetes gives.
const LIFE_MIN: SignedDuration = SignedDuration::from_mins(10);

/// A renewal to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// As whom.
    pub account: Account,
    /// When.
    pub at: Timestamp,
    /// How long the new one is to live.
    pub life: SignedDuration,
}

/// The renewal of a cluster's token; `None`: it isn't renewed. `seen` is when the token came to be known: of one that
/// doesn't say when it was made, its life is taken to begin then.
pub fn plan(config: &RestConfig, settings: &Settings, seen: Timestamp) -> Option<Renewal> {
    let account = settings.account.clone()?;
    let Credential::Token(token) = &config.credential else { return None };
    let says = token::times(token.reveal());
    let Some(expires) = settings.token_expires.or(says.map(|(_, expires)| expires)) else {
        // When it ends is not known, so it is replaced by one of which it is.
        return Some(Renewal { account, at: seen, life: LIFE });
    };
    let made = says.map_or(seen, |(made, _)| made).min(expires);
    let life = expires.duration_since(made);
    let early = i32::from(Sha256::digest(token.reveal())[0]) % (LIFE_SPREAD + 1);
    let at = made.saturating_add(life / 100 * (LIFE_USED - early)).unwrap_or(expires);
    let whole = if says.is_some() { life } else { life.max(LIFE) };
    Some(Renewal { account, at, life: whole.max(LIFE_MIN) })
}

/// The value of a cluster in the Secret with another token; `None`: it is not an object that has one.
pub fn with_token(value: &[u8], token: &Sensitive) -> Option<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(value).ok()?;
    let fields = config.as_object_mut()?;
    let (_, held) = fields.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case("BearerToken"))?;
    *held = Value::String(token.reveal().to_owned());
    serde_json::to_vec(&config).ok()
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jiff::Timestamp;
    use serde_json::json;

    use super::{plan, with_token};
    use crate::clusters::{
        rest_config::{self, Allowed, Sensitive},
        settings,
    };

    fn check(credential: serde_json::Value, settings: &str, expected: Option<(i64, i64)>) {
        let mut config = json!({"Host": "https://there"});
        json_patch::merge(&mut config, &credential);
        let config = rest_config::parse(config.to_string().as_bytes(), &Allowed::default()).expect("a config");
        let settings = settings::parse(settings).expect("settings");
        let renewal = plan(&config, &settings, Timestamp::from_second(1000).expect("a time"));
        assert_eq!(renewal.map(|it| (it.at.as_second(), it.life.as_secs())), expected, "{settings:?}");
    }

    #[test]
    fn tokens_are_renewed_when_most_of_their_life_is_over() {
        let account = r#""account": {"namespace": "landfall", "name": "landfall-default"}"#;
        let jwt = |made: i64, ends: i64| {
            let claims = URL_SAFE_NO_PAD.encode(json!({"iat": made, "exp": ends}).to_string());
            json!({"BearerToken": format!("e30.{claims}.sig")})
        };
        let none = json!({"BearerToken": "opaque"});
        check(none.clone(), "{}", None);
        check(json!({"Username": "u", "Password": "p"}), &format!("{{{account}}}"), None);
        check(none.clone(), &format!("{{{account}}}"), Some((1000, 86_400)));
        // 10,000 s of life; how much earlier than at 8,000 depends on the token alone.
        check(jwt(0, 10_000), &format!("{{{account}}}"), Some((7_600, 10_000)));
        check(
            jwt(0, 10_000),
            &format!("{{{account}, \"tokenExpires\": \"1970-01-01T02:46:40Z\"}}"),
            Some((7_600, 10_000)),
        );
        check(
            none.clone(),
            &format!("{{{account}, \"tokenExpires\": \"1970-01-01T03:03:20Z\"}}"),
            Some((8_900, 86_400)),
        );
        check(none, &format!("{{{account}, \"tokenExpires\": \"1970-01-01T00:00:10Z\"}}"), Some((10, 86_400)));
        check(jwt(0, 60), &format!("{{{account}}}"), Some((46, 600)));
    }

    #[test]
    fn only_the_token_changes() {
        let token = Sensitive::from("new".to_owned());
        let check = |value: &str, expected: Option<&str>| {
            let found = with_token(value.as_bytes(), &token).map(|bytes| String::from_utf8(bytes).expect("text"));
            assert_eq!(found.as_deref(), expected, "{value}");
        };
        check(
            r#"{"Host":"https://a","bearertoken":"old","QPS":7}"#,
            Some(r#"{"Host":"https://a","QPS":7,"bearertoken":"new"}"#),
        );
        check(r#"{"Host":"https://a"}"#, None);
        check("[]", None);
        check("{", None);
    }
}
