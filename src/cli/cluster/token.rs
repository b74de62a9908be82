//! Tokens for the controller's account in a target, as commands ask for them.

use std::time::Duration;

use crate::{
    cli::cluster::{
        findings,
        target::{CALL, Target, failed},
    },
    clusters::{
        call,
        settings::Account,
        token::{self, Token},
    },
};

/// How long a token is asked to live where nothing else is said: the controller renews it long before, and if it stands
/// still over some days off, it comes back to a token that is still good.
pub const LIFE: &str = "168h";

/// Asks for a token of an account. The server may give it a shorter life.
///
/// # Errors
/// If it is refused.
pub async fn request(target: &Target, account: &Account, life: Duration) -> anyhow::Result<Token> {
    let answer = call::bounded(CALL, token::request(target.0.clone(), account, life)).await;
    answer.map_err(|error| failed(&format!("a token of service account {}", findings::account(account)), error))
}
