//! A table of equal blocks, found by a hash, that grows and shrinks by one block at a time: linear hashing (Litwin, 1980). A block that is split is copied:
//! for what is approximate and forgets, that is good enough, and no operation ever has more to do than copy some bytes.

use crate::cache::paged::Paged;

/// What a cache scatters hashes with before anything is chosen by them here, so that who has learnt hashes still cannot tell which of them share a place.
#[derive(Debug, Clone, Copy)]
pub(in crate::cache) struct Salt {
    seed: u32,
    factor: u32,
}

impl Salt {
    /// The same in every run.
    #[cfg(test)]
    pub(super) const FIXED: Salt = Salt::new(0x9E37_79B9_7F4A_7C15);

    /// Of a random number.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(in crate::cache) const fn new(random: u64) -> Self {
        Salt {
            seed: (random >> 32) as u32,
            // Odd, so that no two hashes become one.
            factor: random as u32 | 1,
        }
    }

    #[inline]
    pub(super) const fn of(self, hash: u32) -> u32 {
        scatter(hash, self.seed).wrapping_mul(self.factor)
    }

    /// A number that nobody knows outside.
    pub(super) const fn secret(self) -> u32 {
        scatter(self.factor, self.seed)
    }
}

#[derive(Debug)]
pub(super) struct Blocks<B> {
    blocks: Paged<B>,
}

impl<B: Copy> Blocks<B> {
    pub(super) fn new(first: B) -> Self {
        let mut blocks = Paged::new();
        blocks.push(first);
        Blocks { blocks }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.end()
    }

    /// Goes a few blocks towards so many.
    pub(super) fn approach(&mut self, wanted: usize) {
        for _ in 0..2 {
            if self.len() < wanted {
                // Half of what the block at `parent` is asked for is asked of the new one from now on.
                let parent = self.len() - (1 << self.len().ilog2());
                self.blocks.push(self.blocks[slot(parent)]);
            } else if self.len() > 1 && self.len() > wanted + wanted / 4 {
                self.blocks.pop();
            }
        }
    }

    /// Takes away what is twice as much as so many need and more, at most `most` blocks; `true` if there is more to take away.
    pub(super) fn give_up(&mut self, wanted: usize, most: usize) -> bool {
        let wanted = wanted.max(1);
        if self.len() <= wanted * 2 {
            return false;
        }
        for _ in 0..most.min(self.len() - wanted) {
            self.blocks.pop();
        }
        self.len() > wanted * 2
    }

    pub(super) fn at_mut(&mut self, hash: u32) -> &mut B {
        let index = self.index(hash);
        &mut self.blocks[index]
    }

    pub(super) fn at(&self, hash: u32) -> &B {
        &self.blocks[self.index(hash)]
    }

    pub(super) fn nth_mut(&mut self, n: usize) -> &mut B {
        &mut self.blocks[slot(n)]
    }

    pub(super) fn index(&self, hash: u32) -> u32 {
        let len = slot(self.len());
        let level = len.ilog2();
        let low = hash & (u32::MAX >> (31 - level));
        if low < len { low } else { hash & ((1 << level) - 1) }
    }
}

fn slot(n: usize) -> u32 {
    u32::try_from(n).expect("fewer blocks than slots")
}

/// Scatters a hash over 32 bits anew (the finalizer of MurmurHash3, Appleby 2011): the index and the choice of a shard use some of its bits.
pub(super) const fn scatter(hash: u32, seed: u32) -> u32 {
    let mut h = hash ^ seed;
    h = (h ^ h >> 16).wrapping_mul(0x85EB_CA6B);
    h = (h ^ h >> 13).wrapping_mul(0xC2B2_AE35);
    h ^ h >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_while_blocks_are_added() {
        let mut blocks = Blocks::new(0u32);
        for hash in 0..2_000 {
            blocks.approach(hash as usize / 4 + 1);
            // Whoever shares the block reads the same.
            *blocks.at_mut(scatter(hash, 0)) = hash;
            assert_eq!(*blocks.at(scatter(hash, 0)), hash);
        }
        assert_eq!(blocks.len(), 500);
        let marked: Vec<u32> = (0..40).collect();
        for &hash in &marked {
            *blocks.at_mut(hash) = 1_000_000;
        }
        (0..200).for_each(|_| blocks.approach(900));
        assert_eq!(blocks.len(), 900);
        assert!(marked.iter().all(|&hash| *blocks.at(hash) == 1_000_000));
        (0..2_000).for_each(|_| blocks.approach(1));
        assert_eq!(blocks.len(), 1);
    }

    #[test]
    fn blocks_that_are_not_needed_are_given_up_some_at_a_time() {
        let mut blocks = Blocks::new(0u32);
        (0..500).for_each(|_| blocks.approach(1_000));
        assert!(!blocks.give_up(500, 300), "not much more than is needed");
        assert_eq!(blocks.len(), 1_000);
        assert!(blocks.give_up(100, 300));
        assert_eq!(blocks.len(), 700);
        while blocks.give_up(100, 300) {}
        assert_eq!(blocks.len(), 100);
        while blocks.give_up(0, 300) {}
        assert_eq!(blocks.len(), 1);
    }
}
