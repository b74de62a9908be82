//! How long many calls took, and how that is shown.

use std::time::{Duration, Instant};

/// Each figure is of so many rounds: a shared machine disturbs some of them, and the quietest one is shown as well.
pub const ROUNDS: usize = 5;
/// How long a round takes.
pub const ROUND: Duration = Duration::from_millis(500);
/// Before anything is counted: caches, branch prediction, the processor's clock.
const WARM_UP: Duration = Duration::from_millis(200);

/// How long each of many calls took.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Calls `work` for so long, timing each call.
    pub fn of(time: Duration, mut work: impl FnMut()) -> Times {
        let mut times = Vec::new();
        let end = Instant::now() + time;
        loop {
            let start = Instant::now();
            if start >= end {
                return Times::from(times);
            }
            work();
            times.push(start.elapsed());
        }
    }

    /// All times of all rounds.
    pub fn together(rounds: &[Times]) -> Times {
        Times::from(rounds.iter().flat_map(|times| times.0.iter().copied()).collect::<Vec<_>>())
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many per cent of the calls kept to.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or_default()
    }

    /// How many took longer than `limit`.
    pub fn over(&self, limit: Duration) -> usize {
        self.0.len() - self.0.partition_point(|time| *time <= limit)
    }

    /// The slowest call.
    pub fn slowest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

/// The line above those of [`show`].
pub fn head(subject: &str) {
    println!("{subject:<34} {:>9} {:>10} {:>10} {:>10} {:>10}", "calls", "p50", "p99", "quiet p50", "quiet p99");
}

/// Rounds of `work`, each call of which makes `batch` decisions. Gives back the median of the quietest round.
pub fn show(name: &str, batch: u32, mut work: impl FnMut()) -> Duration {
    Times::of(WARM_UP, &mut work);
    let rounds = (0..ROUNDS).map(|_| Times::of(ROUND, &mut work)).collect::<Vec<_>>();
    let quiet = rounds.iter().min_by_key(|times| times.percentile(99)).expect("there are rounds");
    let quiet = [50, 99].map(|percent| quiet.percentile(percent) / batch);
    let all = Times::together(&rounds);
    let [p50, p99] = [50, 99].map(|percent| all.percentile(percent) / batch);
    println!("{name:<34} {:>9} {p50:>10.1?} {p99:>10.1?} {:>10.1?} {:>10.1?}", all.count(), quiet[0], quiet[1]);
    quiet[0]
}

impl From<Vec<Duration>> for Times {
    fn from(mut times: Vec<Duration>) -> Times {
        times.sort_unstable();
        Times(times)
    }
}
