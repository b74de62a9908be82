//! How long many calls took, and how that is shown.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// Each figure is of so many rounds: a shared machine disturbs some of them, and the quietest one is shown as well.
pub const ROUNDS: usize = 5;
/// How long a round takes.
pub const ROUND: Duration = Duration::from_millis(500);
/// Before anything is counted: caches, branch prediction, the processor's clock.
const WARM_UP: Duration = Duration::from_millis(200);

/// How long each of many calls took.
#[derive(Default)]
pub struct Times(Vec<Duration>);

/// How long one decision took.
pub struct Figure {
    calls: usize,
    /// The median of all rounds.
    pub p50: Duration,
    /// The time that 99 of 100 kept to, in all rounds.
    pub p99: Duration,
    /// The median of the quietest round.
    pub quiet_p50: Duration,
    quiet_p99: Duration,
}

/// The most that decisions may take.
pub struct Bar {
    /// In the median.
    pub p50: Duration,
    /// For 99 of 100.
    pub p99: Duration,
}

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

/// Rounds of `work`, each call of which makes `batch` decisions.
pub fn measure(batch: u32, mut work: impl FnMut()) -> Figure {
    Times::of(WARM_UP, &mut work);
    let rounds = (0..ROUNDS).map(|_| Times::of(ROUND, &mut work)).collect::<Vec<_>>();
    let quiet = rounds.iter().min_by_key(|times| times.percentile(99)).expect("there are rounds");
    let all = Times::together(&rounds);
    Figure {
        calls: all.count(),
        p50: all.percentile(50) / batch,
        p99: all.percentile(99) / batch,
        quiet_p50: quiet.percentile(50) / batch,
        quiet_p99: quiet.percentile(99) / batch,
    }
}

/// The line above those of [`Figure::show`].
pub fn head(subject: &str) {
    println!("{subject:<34} {:>9} {:>10} {:>10} {:>10} {:>10}", "calls", "p50", "p99", "quiet p50", "quiet p99");
}

impl Figure {
    /// One line.
    pub fn line(&self, name: &str) -> String {
        let Figure { calls, p50, p99, quiet_p50, quiet_p99 } = self;
        format!("{name:<34} {calls:>9} {p50:>10.1?} {p99:>10.1?} {quiet_p50:>10.1?} {quiet_p99:>10.1?}")
    }
}

impl Bar {
    /// Whether `figure` is within it: all rounds, not only the quietest.
    pub fn is_held(&self, figure: &Figure) -> bool {
        figure.p50 <= self.p50 && figure.p99 <= self.p99
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:?}, p99 {:?}", self.p50, self.p99)
    }
}

impl From<Vec<Duration>> for Times {
    fn from(mut times: Vec<Duration>) -> Times {
        times.sort_unstable();
        Times(times)
    }
}
