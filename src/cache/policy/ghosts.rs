//! Which hashes were evicted lately: fingerprints with the time of eviction, a few to a bucket, the oldest of which gives way. Approximate: one in ten thousand
//! may be mistaken for another, and of a bucket that is hit often the oldest are forgotten early.

use super::blocks::{Blocks, scatter};

const PER_BUCKET: usize = 8;
/// Fingerprint in the low half, tick of its eviction in the high one. 0 is no fingerprint.
type Bucket = [u32; PER_BUCKET];
/// A bucket for so many ghosts, so that few buckets are full.
const WANTED_PER_BUCKET: u64 = 6;
/// The time that a ghost lives is so many ticks, if it is as many evictions.
const TICKS: u64 = 256;

#[derive(Debug)]
pub(super) struct Ghosts {
    buckets: Blocks<Bucket>,
    /// Evictions since the last tick.
    evictions: u64,
    tick: u16,
    /// A ghost is forgotten after so many evictions.
    span: u64,
}

impl Ghosts {
    pub(super) fn new() -> Self {
        Ghosts {
            buckets: Blocks::new([0; PER_BUCKET]),
            evictions: 0,
            tick: 0,
            span: 1,
        }
    }

    /// Remembers an eviction for as long as `span` more follow.
    pub(super) fn add(&mut self, hash: u32, span: u64) {
        self.span = span.max(1);
        self.buckets
            .approach(usize::try_from(self.span / WANTED_PER_BUCKET + 1).unwrap_or(usize::MAX));
        self.evictions += 1;
        if self.evictions >= self.evictions_per_tick() {
            self.evictions = 0;
            self.tick = self.tick.wrapping_add(1);
        }
        let print = fingerprint(hash);
        let tick = self.tick;
        let age = |cell: u32| match cell {
            0 => u32::MAX,
            _ => age(cell, tick),
        };
        let bucket = self.buckets.at_mut(scatter(hash, 0));
        let same = bucket
            .iter()
            .position(|&cell| cell != 0 && cell & 0xFFFF == print);
        let at = same.or_else(|| (0..PER_BUCKET).max_by_key(|&at| age(bucket[at])));
        bucket[at.unwrap_or(0)] = u32::from(tick) << 16 | print;
    }

    /// Whether a hash was evicted lately; it is forgotten.
    pub(super) fn take(&mut self, hash: u32) -> bool {
        let print = fingerprint(hash);
        let oldest = self.span / self.evictions_per_tick();
        let tick = self.tick;
        let bucket = self.buckets.at_mut(scatter(hash, 0));
        for cell in bucket {
            if *cell != 0 && *cell & 0xFFFF == print {
                let is_recent = u64::from(age(*cell, tick)) <= oldest;
                *cell = 0;
                return is_recent;
            }
        }
        false
    }

    fn evictions_per_tick(&self) -> u64 {
        self.span.div_ceil(TICKS)
    }
}

fn age(cell: u32, tick: u16) -> u32 {
    u32::from(tick.wrapping_sub((cell >> 16) as u16))
}

/// 1 to 65,535.
fn fingerprint(hash: u32) -> u32 {
    (scatter(hash, 0x68E3_1DA4) >> 16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_known_for_its_time_and_taken_once() {
        for span in [10u32, 1_000, 100_000] {
            let mut ghosts = Ghosts::new();
            for hash in 0..span * 3 {
                ghosts.add(hash, u64::from(span));
            }
            let recent = (span * 2..span * 3).filter(|&hash| ghosts.take(hash)).count();
            let old = (0..span * 2 - span / 50 - 1)
                .filter(|&hash| ghosts.take(hash))
                .count();
            let again = (span * 2..span * 3).filter(|&hash| ghosts.take(hash)).count();
            assert!(recent * 100 >= span as usize * 85, "{recent} of {span}");
            assert!(old * 100 <= span as usize, "{old} are too old");
            assert!(again * 30 <= span as usize, "{again} were taken twice");
        }
    }
}
