//! The flags of the controller that say where logs are served for `landfall logs`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    api::{contract::LOGS_SERVICE, ids::Namespace},
    cli::listen::{self, Listen},
    controller::logs::{Listener, tls::Identity},
};

/// Where, and as whom.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Serving {
    /// Where logs are served over HTTPS to who may read them at home, for `landfall logs`: an address, or off
    #[arg(long, value_name = "ADDRESS", default_value = "off")]
    logs_listen: Listen,
    /// The certificate for that, with its chain, as PEM; without it one is made at each start
    #[arg(long, value_name = "FILE", requires = "logs_key")]
    logs_certificate: Option<PathBuf>,
    /// The key of that certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "logs_certificate")]
    logs_key: Option<PathBuf>,
}

impl Serving {
    /// Listens, if that is wanted. `namespace` is the controller's.
    ///
    /// # Errors
    /// If the address is taken, or the certificate can't be used.
    pub async fn bind(&self, namespace: &Namespace) -> anyhow::Result<Option<Listener>> {
        let Some(listener) = listen::bind(&self.logs_listen, ("logs", "--logs-listen")).await? else { return Ok(None) };
        let identity = match (&self.logs_certificate, &self.logs_key) {
            (Some(certificate), Some(key)) => Identity::read(certificate, key)?,
            _ => {
                let inside = format!("{LOGS_SERVICE}.{namespace}.svc");
                Identity::self_signed(vec![LOGS_SERVICE.to_owned(), inside, "localhost".to_owned()])?
            }
        };
        Ok(Some(Listener { listener, identity }))
    }
}
