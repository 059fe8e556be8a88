//! From `hash()` of Python to the 64 scattered bits that the engine needs: integers are their own hashes there. Seeded by process, so that whoever chooses keys cannot choose what they collide with.

use std::hash::BuildHasher;
use std::sync::OnceLock;

static SEEDS: OnceLock<(u64, u64)> = OnceLock::new();

#[derive(Debug, Clone, Copy)]
pub(crate) struct Scatter {
    seed: u64,
    factor: u64,
}

impl Scatter {
    pub(crate) fn new() -> Self {
        let &(seed, factor) = SEEDS.get_or_init(|| {
            let random = std::hash::RandomState::new();
            // Odd, so that no bit of a hash is lost.
            (random.hash_one("seed"), random.hash_one("factor") | 1)
        });
        Scatter { seed, factor }
    }

    /// Both halves of the product of 128 bits, folded: each bit of the result depends on all of the hash.
    #[inline]
    pub(crate) fn of(self, hash: isize) -> u64 {
        let product = u128::from(hash.cast_unsigned() as u64 ^ self.seed) * u128::from(self.factor);
        #[expect(clippy::cast_possible_truncation, reason = "the halves")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        low ^ high
    }
}
