//! A budget of requests a second: each cluster has its own, so that a busy one takes nothing from the others.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::clusters::rest_config::Rate;

/// Requests a second where the config doesn't say: enough for a thousand pods a minute with room to spare, and below what
/// an API server's own fairness starts to hold back.
const PER_SECOND: f64 = 500.0;
/// Requests that may go at once where the config doesn't say.
const BURST: u32 = 1000;

/// Spends requests in order of arrival.
#[derive(Debug)]
pub struct Budget {
    /// `None`: no limit.
    bucket: Option<Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    per_second: f64,
    burst: f64,
    /// Below zero while requests wait.
    left: f64,
    counted: Instant,
}

impl Budget {
    /// A full one.
    pub fn new(rate: Rate) -> Budget {
        let (per_second, burst) = match rate {
            Rate::Unlimited => return Budget { bucket: None },
            Rate::Default => (PER_SECOND, BURST),
            Rate::Limited { per_second, burst } => (per_second, burst),
        };
        let burst = f64::from(burst.max(1));
        Budget { bucket: Some(Mutex::new(Bucket { per_second, burst, left: burst, counted: Instant::now() })) }
    }

    /// Waits for this request's turn.
    pub async fn take(&self) {
        let wait = self.bucket.as_ref().map(|bucket| {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(Instant::now())
        });
        match wait {
            Some(wait) if !wait.is_zero() => tokio::time::sleep(wait).await,
            Some(_) | None => {}
        }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.counted).as_secs_f64() * self.per_second;
        self.left = (self.left + earned).min(self.burst) - 1.0;
        self.counted = now;
        let owed = (-self.left).max(0.0) / self.per_second;
        Duration::try_from_secs_f64(owed).unwrap_or(Duration::MAX)
    }
}
