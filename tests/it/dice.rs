//! Chance that a seed repeats.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::time::{SystemTime, UNIX_EPOCH};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// The seed in an environment variable, else a new one. Printed, so that a failure can be repeated.
pub(crate) fn seed(variable: &str) -> u64 {
    let given = std::env::var(variable).ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(now.as_millis()).unwrap()
    });
    println!("{variable}={seed}");
    seed
}

/// Dice that fall the same for the same seed.
pub(crate) struct Dice(TestRng);

impl Dice {
    pub(crate) fn new(seed: u64, whose: u32) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..12].copy_from_slice(&whose.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    pub(crate) fn below(&mut self, sides: u32) -> u32 {
        self.0.next_u32() % sides
    }

    /// A place in something so long.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u32::try_from(length).unwrap())).unwrap()
    }

    pub(crate) fn one_in(&mut self, sides: u32) -> bool {
        self.below(sides) == 0
    }

    /// Puts things into an order of chance.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let other = self.below(u32::try_from(last + 1).unwrap());
            things.swap(last, usize::try_from(other).unwrap());
        }
    }
}
