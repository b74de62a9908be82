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

    /// Waits for this request's turn; false, at once, if it would not come within this time.
    pub async fn take(&self, patience: Duration) -> bool {
        let Some(bucket) = &self.bucket else { return true };
        let wait = {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(Instant::now(), patience)
        };
        match wait {
            Some(wait) if wait.is_zero() => true,
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant, patience: Duration) -> Option<Duration> {
        let earned = now.saturating_duration_since(self.counted).as_secs_f64() * self.per_second;
        self.left = (self.left + earned).min(self.burst);
        self.counted = now;
        let owed = (1.0 - self.left).max(0.0) / self.per_second;
        let wait = Duration::try_from_secs_f64(owed).unwrap_or(Duration::MAX);
        (wait <= patience).then(|| {
            self.left -= 1.0;
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Budget;
    use crate::clusters::rest_config::Rate;

    #[tokio::test(start_paused = true)]
    async fn spends_at_its_rate_and_lets_nobody_wait_in_vain() {
        let begun = Instant::now();
        let budget = Budget::new(Rate::Limited { per_second: 2.0, burst: 3 });
        let patience = Duration::from_secs(1);
        for at_milliseconds in [0, 0, 0, 500, 1000] {
            assert!(budget.take(patience).await);
            assert_eq!(begun.elapsed().as_millis(), at_milliseconds);
        }
        // Three wait at once: the third would have to wait for too long.
        let (first, second, third) = tokio::join!(budget.take(patience), budget.take(patience), budget.take(patience));
        assert_eq!((first, second, third), (true, true, false));
        assert_eq!(begun.elapsed().as_millis(), 2000);
        assert!(budget.take(patience).await, "what was refused took nothing");
        assert_eq!(begun.elapsed().as_millis(), 2500);

        let unlimited = Budget::new(Rate::Unlimited);
        assert!(unlimited.take(Duration::ZERO).await);
    }
}
