//! Who makes a request: the administrator whose token stands in the kubeconfig, or a service account with a token that
//! this server issued. Such a token ends with its time or with its account, as on a real server.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::local::apiserver::{
    deletion::seconds,
    refusal::{Answer, Refusal},
    resources::Id,
    store::{Key, Object, Store},
    token::{self, Token},
};

/// Everybody in it may do everything, whatever roles say.
pub const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const ACCOUNTS: &str = "system:serviceaccounts";
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// What a token lives if its request doesn't say, as on a real server.
const LIFE_SECONDS_DEFAULT: i64 = 3600;
const LIFE_SECONDS_MIN: i64 = 600;
const LIFE_SECONDS_MAX: i64 = 1 << 32;

/// A user by name and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub name: String,
    pub groups: Vec<String>,
}

impl Caller {
    /// Whose token stands in the kubeconfig; also whoever calls within this process.
    pub fn administrator() -> Caller {
        Caller { name: "kubernetes-admin".to_owned(), groups: [MASTERS, AUTHENTICATED].map(str::to_owned).into() }
    }

    pub fn account(namespace: &str, name: &str) -> Caller {
        let groups = [ACCOUNTS.to_owned(), format!("{ACCOUNTS}:{namespace}"), AUTHENTICATED.to_owned()];
        Caller { name: format!("{ACCOUNT_PREFIX}{namespace}:{name}"), groups: groups.into() }
    }

    pub fn is_administrator(&self) -> bool {
        self.is_in(MASTERS)
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|it| it == group)
    }
}

/// The service accounts' tokens, by their hashes.
#[derive(Default)]
pub struct Issued(Mutex<HashMap<[u8; 32], Bearer>>);

struct Bearer {
    key: Key,
    uid: String,
    ends: Timestamp,
}

impl Issued {
    /// Answers a TokenRequest for an account.
    pub fn issue(&self, account: &Object, mut request: Value) -> Answer<Value> {
        if !request.is_object() {
            return Err(Refusal::bad_request("the object provided is unrecognized"));
        }
        request["kind"] = json!("TokenRequest");
        request["apiVersion"] = json!("authentication.k8s.io/v1");
        let life = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(LIFE_SECONDS_DEFAULT);
        let problem = match life {
            ..LIFE_SECONDS_MIN => Some("may not specify a duration less than 10 minutes"),
            LIFE_SECONDS_MIN..=LIFE_SECONDS_MAX => None,
            _ => Some("may not specify a duration larger than 2^32 seconds"),
        };
        if let Some(problem) = problem {
            let message = format!(
                "TokenRequest.authentication.k8s.io {:?} is invalid: spec.expirationSeconds: Invalid value: {life}: {problem}",
                account.key.name
            );
            return Err(Refusal::unprocessable(message));
        }
        let now = Timestamp::now();
        let ends = now.saturating_add(SignedDuration::from_secs(life)).unwrap_or(Timestamp::MAX);
        let text = jwt(account, now, ends);
        let bearer = Bearer { key: account.key.clone(), uid: account.uid.clone(), ends };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are of no use to anybody.
        all.retain(|_, bearer| now < bearer.ends);
        all.insert(token::hash(&text), bearer);
        request["spec"]["expirationSeconds"] = json!(life);
        request["status"] = json!({"token": text, "expirationTimestamp": seconds(ends)});
        Ok(request)
    }

    /// Whose token it is, if it is one that still counts.
    fn account(&self, store: &Store, hash: &[u8; 32]) -> Option<Caller> {
        let (key, uid) = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let bearer = all.get(hash).filter(|bearer| Timestamp::now() < bearer.ends)?;
            (bearer.key.clone(), bearer.uid.clone())
        };
        let account: Option<Arc<Object>> = store.lock().get(&Id::new("", "serviceaccounts"), &key);
        account.filter(|account| account.uid == uid).map(|_| Caller::account(&key.namespace, &key.name))
    }
}

/// A token as a real server writes it, so that a client can read whose it is and how long it lives. Where a real one is
/// signed, this ends in random bits: only its hash is looked up.
fn jwt(account: &Object, now: Timestamp, ends: Timestamp) -> String {
    let Key { namespace, name } = &account.key;
    let claims = json!({
        "iss": "https://kubernetes.default.svc", "aud": ["https://kubernetes.default.svc"],
        "sub": format!("{ACCOUNT_PREFIX}{namespace}:{name}"),
        "iat": now.as_second(), "nbf": now.as_second(), "exp": ends.as_second(), "jti": Uuid::new_v4().to_string(),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": account.uid}},
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let random = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
    format!("{}.{}.{}", part(json!({"typ": "JWT", "alg": "random"})), part(claims), URL_SAFE_NO_PAD.encode(random))
}

/// Who sends these headers; `None` if nobody that is known.
pub fn of(headers: &HeaderMap, administrator: &Token, issued: &Issued, store: &Store) -> Option<Caller> {
    if administrator.is_in(headers) {
        return Some(Caller::administrator());
    }
    issued.account(store, &token::bearer(headers)?)
}
