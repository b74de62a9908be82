//! Chance, from a seed.

use proptest::{
    prelude::Rng,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// Numbers that make up a seed.
const SEED_WORDS: usize = 4;

/// Throws dice. The same seed gives the same throws.
pub struct Dice {
    pub(in crate::author::generate) runner: TestRunner,
}

impl Dice {
    /// Of this seed.
    pub fn new(seed: [u64; SEED_WORDS]) -> Dice {
        Dice { runner: TestRunner::new_with_rng(Config::default(), rng(seed)) }
    }

    /// Goes on as new dice of this seed would.
    pub fn reseed(&mut self, seed: [u64; SEED_WORDS]) {
        // Reading the configuration anew would look at the environment each time.
        let config = self.runner.config().clone();
        self.runner = TestRunner::new_with_rng(config, rng(seed));
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.runner.rng().next_u64().checked_rem(limit).unwrap_or(0)
    }

    /// A place in a list of so many.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Happens once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let place = self.index(all.len());
        all.get(place)
    }
}

fn rng(seed: [u64; SEED_WORDS]) -> TestRng {
    let bytes: Vec<u8> = seed.into_iter().flat_map(u64::to_le_bytes).collect();
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}
