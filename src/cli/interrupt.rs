//! Ctrl-C and its kin.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that mean: tidy up and end.
pub struct Interrupt {
    signals: [Signal; 3],
}

impl Interrupt {
    /// From now on these signals don't end the process by themselves.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn listen() -> anyhow::Result<Interrupt> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Interrupt {
            signals: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for one of them.
    pub async fn received(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
