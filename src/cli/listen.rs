//! Flags that say where something is served.

use std::{net::SocketAddr, str::FromStr};

use tokio::net::TcpListener;

use crate::cli::hint;

/// An address, or that there is none.
#[derive(Clone, Debug)]
pub enum Listen {
    /// Nothing is served.
    Off,
    /// It is served here.
    At(SocketAddr),
}

/// Neither an address nor `off`.
#[derive(Debug, thiserror::Error)]
#[error("expected an address and a port, as 0.0.0.0:9090 or [::1]:9090, or off")]
pub struct NotAnAddress;

impl FromStr for Listen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Listen, NotAnAddress> {
        match text {
            "off" => Ok(Listen::Off),
            address => address.parse().map(Listen::At).map_err(|_| NotAnAddress),
        }
    }
}

/// Listens, if that is wanted. `what` is served there, as `flag` says.
///
/// # Errors
/// If the address is taken, or not this machine's.
pub async fn bind(listen: &Listen, (what, flag): (&str, &str)) -> anyhow::Result<Option<TcpListener>> {
    let address = match listen {
        Listen::Off => return Ok(None),
        Listen::At(address) => address,
    };
    let listener = TcpListener::bind(address).await.map_err(|error| {
        hint::error(
            format!("listening on {address} for {what}: {error}"),
            format!("pick another address with {flag}, or `{flag} off`"),
        )
    })?;
    Ok(Some(listener))
}
