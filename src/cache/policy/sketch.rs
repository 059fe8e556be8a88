//! How often a hash was seen lately, about: a count-min sketch of four-bit counters whose counts are halved as time goes by (Einziger, Friedman, Manes,
//! 2017). The four counters of a hash lie in one cache line, as in Caffeine.

use super::blocks::{Blocks, Salt, scatter};
use crate::cache::prefetch::prefetch;

/// 128 counters.
type Block = [u64; 8];
/// Every count is halved once in this many requests for each entry.
const SAMPLE: usize = 10;

/// Blocks that one call gives up: a page of them.
const GIVEN_UP_AT_ONCE: usize = 1024;

#[derive(Debug)]
pub(super) struct Sketch {
    blocks: Blocks<Block>,
    salt: Salt,
    /// One block for so many entries: with 16, four bytes for each.
    entries_per_block: usize,
    /// Requests counted since a block was halved.
    since_halving: usize,
    /// The block to halve next.
    next: usize,
}

impl Sketch {
    pub(super) fn new(entries_per_block: usize, salt: Salt) -> Self {
        Sketch {
            blocks: Blocks::new([0; 8]),
            salt,
            entries_per_block,
            since_halving: 0,
            next: 0,
        }
    }

    /// Grows or shrinks towards what so many entries need.
    pub(super) fn fit(&mut self, entries: u64) {
        self.blocks.approach(self.wanted(entries));
    }

    /// Gives back what is far more than so many entries need, a slice of it; `true` if there is more.
    pub(super) fn tidy(&mut self, entries: u64) -> bool {
        self.blocks.give_up(self.wanted(entries), GIVEN_UP_AT_ONCE)
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<Block>()
    }

    /// Blocks for so many entries.
    fn wanted(&self, entries: u64) -> usize {
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        entries.div_ceil(self.entries_per_block).max(4)
    }

    pub(super) fn count(&mut self, hash: u32) {
        let hash = self.salt.of(hash);
        let places = places(hash);
        let block = self.blocks.at_mut(scatter(hash, 0));
        // Only the smallest are raised (conservative update: Estan, Varghese, 2002).
        let least = least(block, places);
        if least < 15 {
            for (word, shift) in places {
                if block[word] >> shift & 15 == least {
                    block[word] += 1 << shift;
                }
            }
        }
        self.since_halving += 1;
        if self.since_halving >= SAMPLE * self.entries_per_block {
            self.since_halving = 0;
            self.next = if self.next + 1 < self.blocks.len() {
                self.next + 1
            } else {
                0
            };
            for word in self.blocks.nth_mut(self.next) {
                *word = *word >> 1 & 0x7777_7777_7777_7777;
            }
        }
    }

    /// Fetches what is counted in for a hash.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        prefetch(self.blocks.at(scatter(self.salt.of(hash), 0)));
    }

    /// At most 15.
    pub(super) fn estimate(&self, hash: u32) -> u64 {
        let hash = self.salt.of(hash);
        least(self.blocks.at(scatter(hash, 0)), places(hash))
    }

    /// How often, in sixteenths, and as if all counts had just been halved: those that were halved long ago have grown since, up to twice as large, and
    /// are not to win by that against those that were halved just now.
    pub(super) fn rate(&self, hash: u32) -> u64 {
        let blocks = self.blocks.len() as u64;
        let block = u64::from(self.blocks.index(scatter(self.salt.of(hash), 0)));
        let age = (self.next as u64 + blocks - block) % blocks;
        self.estimate(hash) * 16 * blocks / (blocks + age)
    }
}

fn least(block: &Block, places: [(usize, u32); 4]) -> u64 {
    let counts = places.map(|(word, shift)| block[word] >> shift & 15);
    counts.into_iter().min().unwrap_or(0)
}

/// Word and first bit of the four counters, each in another quarter of the block.
fn places(hash: u32) -> [(usize, u32); 4] {
    let bits = scatter(hash, 0x9E37_79B9);
    [0, 1, 2, 3].map(|row| {
        let five = bits >> (row * 8) & 31;
        ((row * 2 + (five >> 4)) as usize, (five & 15) * 4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_often_is_told_from_what_was_not_while_it_grows() {
        let mut sketch = Sketch::new(16, Salt::FIXED);
        (0..500).for_each(|_| sketch.fit(8_000));
        for n in 0..4_000 {
            let times = if n % 10 == 0 { 4 } else { 1 };
            (0..times).for_each(|_| sketch.count(n));
        }
        (0..500).for_each(|_| sketch.fit(13_000));
        let often = (0..4_000)
            .filter(|n| n % 10 == 0 && sketch.estimate(*n) >= 4)
            .count();
        let rarely = (0..4_000)
            .filter(|n| n % 10 != 0 && sketch.estimate(*n) >= 4)
            .count();
        assert!(often > 360, "{often} of 400 are known to be frequent");
        assert!(rarely < 36, "{rarely} of 3600 are taken for frequent");
    }

    #[test]
    fn who_knows_hashes_cannot_tell_which_of_them_share_counters() {
        let salts = [Salt::FIXED, Salt::new(0x0123_4567_89AB_CDEF)];
        let [mut one, mut other] = salts.map(|salt| Sketch::new(16, salt));
        for sketch in [&mut one, &mut other] {
            (0..500).for_each(|_| sketch.fit(8_000));
        }
        // Those that share a block with the first, in one cache.
        let block = |sketch: &Sketch, hash| sketch.blocks.index(scatter(sketch.salt.of(hash), 0));
        let chosen: Vec<u32> = (1..100_000)
            .filter(|&hash| block(&one, hash) == block(&one, 0))
            .collect();
        assert!(
            chosen.len() > 50,
            "{} of 100,000 share one of 500 blocks",
            chosen.len()
        );
        let still = chosen
            .iter()
            .filter(|&&hash| block(&other, hash) == block(&other, 0));
        let still = still.count();
        assert!(
            still * 10 < chosen.len(),
            "{still} of {} in another cache",
            chosen.len()
        );
    }

    #[test]
    fn what_is_not_seen_any_more_is_forgotten() {
        let mut sketch = Sketch::new(16, Salt::FIXED);
        (0..50).for_each(|_| sketch.fit(1_000));
        (0..15).for_each(|_| sketch.count(7));
        assert_eq!(sketch.estimate(7), 15);
        for n in 0..60_000 {
            sketch.count(1_000 + n % 1_000);
        }
        assert!(sketch.estimate(7) < 15, "still {}", sketch.estimate(7));
    }
}
