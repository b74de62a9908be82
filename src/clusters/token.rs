//! Tokens of service accounts: asked for by TokenRequest, and what can be read of one without showing it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams, core::Status};
use serde_json::Value;

use crate::clusters::{rest_config::Sensitive, settings::Account};

/// A token, and when it ends.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub text: Sensitive,
    /// Its end, by the clock of the cluster.
    pub expires: Timestamp,
}

/// Asks for a token of an account. The server may give it a shorter life.
pub async fn request(client: kube::Client, account: &Account, life: Duration) -> kube::Result<Token> {
    let seconds = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
    let spec = TokenRequestSpec { expiration_seconds: Some(seconds), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let api: Api<ServiceAccount> = Api::namespaced(client, account.namespace.as_str());
    let answer = api.create_token_request(&account.name, &PostParams::default(), &request).await?;
    let missing = || {
        let message = "the answer to a token request has no token";
        kube::Error::Api(Box::new(Status::failure(message, "InternalError").with_code(500)))
    };
    let status = answer.status.ok_or_else(missing)?;
    Ok(Token { text: Sensitive::from(status.token), expires: status.expiration_timestamp.0 })
}

/// When a token was made and when it ends, as it says itself; `None` where it doesn't.
pub fn times(token: &str) -> Option<(Timestamp, Timestamp)> {
    let claims = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let time = |claim: &str| claims.get(claim)?.as_i64().and_then(|second| Timestamp::from_second(second).ok());
    Some((time("iat")?, time("exp")?))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    #[test]
    fn times_are_read_where_they_stand() {
        let check = |token: String, expected: Option<(i64, i64)>| {
            let found = super::times(&token).map(|(made, ends)| (made.as_second(), ends.as_second()));
            assert_eq!(found, expected, "{token}");
        };
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        check(jwt(r#"{"iat": 10, "exp": 20}"#), Some((10, 20)));
        check(jwt(r#"{"exp": 20}"#), None);
        check(jwt("[]"), None);
        check("abcdef.0123456789abcdef".to_owned(), None);
        check(String::new(), None);
    }
}
