//! Which hashes were evicted lately: fingerprints with the time of eviction, two bytes each, a few to a bucket, the oldest of which gives way. Approximate: one
//! in a hundred may be mistaken for another, and of a bucket that is hit often the oldest are forgotten early.

use super::blocks::{Blocks, Salt, scatter};

const PER_BUCKET: usize = 16;
/// Fingerprint in the lower bits, tick of its eviction in the others. 0 is no fingerprint.
type Bucket = [u16; PER_BUCKET];
const PRINT_BITS: u32 = 11;
const PRINT: u16 = (1 << PRINT_BITS) - 1;
/// Ticks are counted up to here, and again from 0.
const TICK: u16 = u16::MAX >> PRINT_BITS;
/// A bucket for so many ghosts. Where more come together, the oldest are forgotten: one in sixteen.
const WANTED_PER_BUCKET: u64 = 15;
/// Buckets that one call gives up: a page of them.
const GIVEN_UP_AT_ONCE: usize = 2048;
/// The time that a ghost lives is so many ticks, if it is as many evictions: half of those that can be told apart. One that is older leaves its bucket with the
/// next eviction that comes there, long before it could be taken for a young one.
const TICKS: u64 = 16;

#[derive(Debug)]
pub(super) struct Ghosts {
    buckets: Blocks<Bucket>,
    salt: Salt,
    /// Evictions since the last tick.
    evictions: u64,
    tick: u16,
    /// A ghost is forgotten after so many evictions.
    span: u64,
}

impl Ghosts {
    pub(super) fn new(salt: Salt) -> Self {
        Ghosts {
            buckets: Blocks::new([0; PER_BUCKET]),
            salt,
            evictions: 0,
            tick: 0,
            span: 1,
        }
    }

    /// Remembers an eviction for as long as `span` more follow.
    pub(super) fn add(&mut self, hash: u32, span: u64) {
        self.span = span.max(1);
        self.buckets.approach(wanted(self.span));
        self.evictions += 1;
        if self.evictions >= self.evictions_per_tick() {
            self.evictions = 0;
            self.tick = (self.tick + 1) & TICK;
        }
        let hash = self.salt.of(hash);
        let print = fingerprint(hash);
        let (tick, oldest) = (self.tick, self.oldest());
        let bucket = self.buckets.at_mut(scatter(hash, 0));
        // The same again, or else one that is vacant, or else the oldest.
        let (mut place, mut most) = (0, 0);
        for (at, cell) in bucket.iter_mut().enumerate() {
            if *cell != 0 && age(*cell, tick) > oldest {
                *cell = 0;
            }
            let rank = match *cell {
                0 => TICK + 2,
                same if same & PRINT == print => TICK + 3,
                other => age(other, tick) + 1,
            };
            if rank > most {
                (place, most) = (at, rank);
            }
        }
        bucket[place] = tick << PRINT_BITS | print;
    }

    /// Whether a hash was evicted lately; it is forgotten.
    pub(super) fn take(&mut self, hash: u32) -> bool {
        let hash = self.salt.of(hash);
        let print = fingerprint(hash);
        let (tick, oldest) = (self.tick, self.oldest());
        let bucket = self.buckets.at_mut(scatter(hash, 0));
        for cell in bucket {
            if *cell & PRINT == print {
                let is_recent = age(*cell, tick) <= oldest;
                *cell = 0;
                return is_recent;
            }
        }
        false
    }

    /// Gives back what is far more than is needed to remember so many evictions, a slice of it; `true` if there is more.
    pub(super) fn tidy(&mut self, span: u64) -> bool {
        self.buckets.give_up(wanted(span), GIVEN_UP_AT_ONCE)
    }

    /// Bytes that they take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    fn evictions_per_tick(&self) -> u64 {
        self.span.div_ceil(TICKS)
    }

    /// The age of a ghost, in ticks, at which it is known for the last time.
    #[expect(clippy::cast_possible_truncation, reason = "at most TICKS")]
    fn oldest(&self) -> u16 {
        (self.span / self.evictions_per_tick()) as u16
    }
}

/// Buckets for so many ghosts.
fn wanted(span: u64) -> usize {
    usize::try_from(span / WANTED_PER_BUCKET + 1).unwrap_or(usize::MAX)
}

fn age(cell: u16, tick: u16) -> u16 {
    tick.wrapping_sub(cell >> PRINT_BITS) & TICK
}

/// 1 to `PRINT`.
fn fingerprint(hash: u32) -> u16 {
    ((scatter(hash, 0x68E3_1DA4) >> (u32::BITS - PRINT_BITS)) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_known_for_its_time_and_taken_once() {
        for span in [10u32, 1_000, 100_000] {
            let mut ghosts = Ghosts::new(Salt::FIXED);
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
