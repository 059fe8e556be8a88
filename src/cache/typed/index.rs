//! Hash → slot, for typed caches: extendible hashing (Fagin, Nievergelt, Pippenger, Strong, 1979), as in the index of bytes, with segments of one size. Knows hashes and
//! slot numbers; keys are compared by whoever asks.
//!
//! ```text
//! directory[first `depth` bits of the hash]  number of a segment
//! segment   512 cells of hash u32 | slot u32, or EMPTY; linear probing from its last bits; 4 KiB
//! ```
//! Twelve bytes for each entry and half as many instructions as segments of 21 sizes take, which is what counts where keys and values take more than that anyway. Growing splits one
//! segment, so that no operation waits for more than 448 cells to be moved; removing moves cells back, and leaves no tombstones.

use super::super::prefetch::prefetch;

const BITS: u32 = 9;
const CELLS: usize = 1 << BITS;
const MASK: usize = CELLS - 1;
/// Cells in use, at most: beyond seven eighths, probes get long.
const MOST: usize = CELLS / 8 * 7;
/// A directory is not doubled beyond this. With 2³¹ slots it has 23 bits or so.
const MOST_DEPTH: u32 = 26;
/// Not a cell: no slot has this number.
const EMPTY: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Index {
    /// Numbers of segments, 2^depth of them.
    directory: Vec<u32>,
    depth: u32,
    /// Boxed: none of them is to be moved when one is added.
    segments: Vec<Box<Segment>>,
    /// Hashes and slots, sorted, that have no room in their segments: where more hashes are alike than one holds. Empty, unless hashes are bad.
    crowd: Vec<(u32, u32)>,
    len: usize,
}

#[derive(Debug)]
struct Segment {
    cells: [u64; CELLS],
    len: usize,
    /// The hashes here have this many first bits in common.
    depth: u32,
}

impl Index {
    pub(super) fn new() -> Self {
        Index {
            directory: vec![0],
            depth: 0,
            segments: vec![Segment::new(0)],
            crowd: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The first slot with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.find_map(hash, |slot| is_it(slot).then_some(()))
            .map(|(slot, ())| slot)
    }

    /// The first slot with this hash of which `look` gives something, and what that is.
    #[inline(always)]
    pub(super) fn find_map<T>(&self, hash: u32, mut look: impl FnMut(u32) -> Option<T>) -> Option<(u32, T)> {
        let segment = self.segment(hash);
        let mut at = Segment::home(hash);
        loop {
            let cell = segment.cells[at & MASK];
            if cell == EMPTY {
                break;
            }
            if hash_of(cell) == hash
                && let Some(seen) = look(slot_of(cell))
            {
                return Some((slot_of(cell), seen));
            }
            at += 1;
        }
        if self.crowd.is_empty() {
            return None;
        }
        self.find_in_crowd(hash, look)
    }

    #[cold]
    fn find_in_crowd<T>(&self, hash: u32, mut look: impl FnMut(u32) -> Option<T>) -> Option<(u32, T)> {
        let mut alike = self.in_crowd(hash, hash);
        alike.find_map(|&(_, slot)| look(slot).map(|seen| (slot, seen)))
    }

    /// Fetches the place where a search for this hash begins.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        let segment = self.segment(hash);
        prefetch(&segment.cells[Segment::home(hash) & MASK]);
    }

    /// Adds a slot that is not there.
    #[inline]
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        self.len += 1;
        while !self.segment_mut(hash).insert(hash, slot) {
            if !self.split(hash) {
                let at = self.crowd.partition_point(|&other| other < (hash, slot));
                return self.crowd.insert(at, (hash, slot));
            }
        }
    }

    /// Takes a slot out; `false` if it was not there.
    #[inline]
    pub(super) fn remove(&mut self, hash: u32, slot: u32) -> bool {
        if !self.segment_mut(hash).remove(hash, slot) {
            let Ok(at) = self.crowd.binary_search(&(hash, slot)) else {
                return false;
            };
            self.crowd.remove(at);
        }
        self.len -= 1;
        if self.len == 0 && self.depth > 0 {
            *self = Index::new();
        }
        true
    }

    /// What was in slot `from` is now in slot `to`.
    pub(super) fn relocate(&mut self, hash: u32, from: u32, to: u32) {
        let segment = self.segment_mut(hash);
        if let Some(at) = segment.position(hash, from) {
            segment.cells[at] = cell(hash, to);
        } else if let Ok(at) = self.crowd.binary_search(&(hash, from)) {
            self.crowd[at] = (hash, to);
            self.crowd.sort_unstable();
        }
    }

    /// Collects hashes and slots from the hash `from` on, to the end of the segment in which that lies, ordered by hash. Gives the hash at which the next
    /// segment begins, or `None` after the last.
    pub(super) fn walk(&self, from: u32, found: &mut Vec<(u32, u32)>) -> Option<u32> {
        let segment = self.segment(from);
        let width = 1u64 << (u32::BITS - segment.depth);
        let next = u32::try_from((u64::from(from) / width + 1) * width).ok();
        found.clear();
        found.extend(segment.iter().filter(|&(hash, _)| hash >= from));
        found.extend(self.in_crowd(from, next.map_or(u32::MAX, |next| next - 1)));
        found.sort_unstable();
        next
    }

    fn in_crowd(&self, from: u32, to: u32) -> impl Iterator<Item = &(u32, u32)> {
        let begin = self.crowd.partition_point(|&(hash, _)| hash < from);
        self.crowd[begin..]
            .iter()
            .take_while(move |&&(hash, _)| hash <= to)
    }

    #[inline(always)]
    fn number(&self, hash: u32) -> usize {
        self.directory[(u64::from(hash) << self.depth >> u32::BITS) as usize] as usize
    }

    #[inline(always)]
    fn segment(&self, hash: u32) -> &Segment {
        &self.segments[self.number(hash)]
    }

    #[inline(always)]
    fn segment_mut(&mut self, hash: u32) -> &mut Segment {
        let number = self.number(hash);
        &mut self.segments[number]
    }

    /// Splits the segment of this hash by the next bit; `false` if that would part nothing soon, and would double the directory again and again.
    #[cold]
    fn split(&mut self, hash: u32) -> bool {
        let number = self.number(hash);
        let old = &self.segments[number];
        let depth = old.depth + 1;
        let spread = old.iter().fold(0, |spread, (other, _)| spread | (other ^ hash));
        if depth > MOST_DEPTH || spread.leading_zeros() >= old.depth + 4 {
            return false;
        }
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&number| [number; 2]).collect();
            self.depth = depth;
        }
        let [mut low, mut high] = [(); 2].map(|()| Segment::new(depth));
        let bit = 1 << (u32::BITS - depth);
        for (hash, slot) in old.iter() {
            let half = if hash & bit == 0 { &mut low } else { &mut high };
            half.insert(hash, slot);
        }
        let added = u32::try_from(self.segments.len()).expect("fewer segments than slots");
        self.segments[number] = low;
        self.segments.push(high);
        // The entries of the directory that lead to the old one lie together: the upper half leads to the new one now.
        let share = 1 << (self.depth - depth);
        let first = ((hash | bit) >> (u32::BITS - depth)) as usize * share;
        self.directory[first..first + share].fill(added);
        true
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        assert_eq!(self.directory.len(), 1 << self.depth, "directory");
        assert!(self.crowd.is_sorted(), "crowd");
        let mut shares = vec![0; self.segments.len()];
        for &number in &self.directory {
            shares[number as usize] += 1;
        }
        let mut len = self.crowd.len();
        for (number, segment) in self.segments.iter().enumerate() {
            assert_eq!(
                shares[number],
                1 << (self.depth - segment.depth),
                "share of segment {number}"
            );
            assert_eq!(segment.iter().count(), segment.len, "cells of segment {number}");
            assert!(segment.len <= MOST, "segment {number} is too full");
            len += segment.len;
            for (hash, slot) in segment.iter() {
                assert_eq!(self.number(hash), number, "segment of hash {hash}");
                assert!(
                    segment.position(hash, slot).is_some(),
                    "slot {slot} is out of reach"
                );
            }
        }
        assert_eq!(len, self.len, "slots in segments");
    }
}

impl Segment {
    fn new(depth: u32) -> Box<Self> {
        Box::new(Segment {
            cells: [EMPTY; CELLS],
            len: 0,
            depth,
        })
    }

    /// Where a probe for a hash begins: its last bits, which the directory does not use. They are known before the segment has come from memory.
    #[inline(always)]
    const fn home(hash: u32) -> usize {
        hash as usize & MASK
    }

    /// Adds a slot; `false` if there is no room.
    #[inline]
    fn insert(&mut self, hash: u32, slot: u32) -> bool {
        if self.len == MOST {
            return false;
        }
        let mut at = Self::home(hash);
        while self.cells[at & MASK] != EMPTY {
            at += 1;
        }
        self.cells[at & MASK] = cell(hash, slot);
        self.len += 1;
        true
    }

    /// Takes a slot out; `false` if it was not there. What was put further on for its sake moves back (Knuth, vol. 3, algorithm 6.4 R).
    #[inline]
    fn remove(&mut self, hash: u32, slot: u32) -> bool {
        let Some(mut hole) = self.position(hash, slot) else {
            return false;
        };
        let mut at = hole;
        loop {
            at = (at + 1) & MASK;
            let cell = self.cells[at];
            if cell == EMPTY {
                break;
            }
            let steps = at.wrapping_sub(Self::home(hash_of(cell))) & MASK;
            if steps >= at.wrapping_sub(hole) & MASK {
                self.cells[hole & MASK] = cell;
                hole = at;
            }
        }
        self.cells[hole & MASK] = EMPTY;
        self.len -= 1;
        true
    }

    #[inline]
    fn position(&self, hash: u32, slot: u32) -> Option<usize> {
        let wanted = cell(hash, slot);
        let mut at = Self::home(hash);
        loop {
            match self.cells[at & MASK] {
                found if found == wanted => return Some(at & MASK),
                EMPTY => return None,
                _ => at += 1,
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let cells = self.cells.iter().filter(|&&cell| cell != EMPTY);
        cells.map(|&cell| (hash_of(cell), slot_of(cell)))
    }
}

const fn cell(hash: u32, slot: u32) -> u64 {
    (hash as u64) << 32 | slot as u64
}

#[inline(always)]
const fn hash_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn slot_of(cell: u64) -> u32 {
    cell as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Few hashes, so that they collide; some that differ only in their last bits, so that no split parts them; some whose probes go over the end.
    fn hash() -> impl Strategy<Value = u32> {
        prop_oneof![
            0u32..4,
            any::<u32>(),
            (0u32..1 << 12).prop_map(|n| n << 20),
            u32::MAX - 3..=u32::MAX
        ]
    }

    fn all(index: &Index) -> Vec<(u32, u32)> {
        let (mut from, mut found, mut slots) = (Some(0), Vec::new(), Vec::new());
        while let Some(hash) = from {
            from = index.walk(hash, &mut slots);
            found.append(&mut slots);
        }
        found
    }

    proptest! {
        #[test]
        fn it_finds_exactly_what_was_added_and_not_removed(
            steps in prop::collection::vec((0u8..5, hash(), 0u32..60), 0..400)
        ) {
            let mut index = Index::new();
            let mut model = BTreeSet::new();
            for (step, hash, slot) in steps {
                match step {
                    0..3 => if model.insert((hash, slot)) { index.insert(hash, slot) },
                    3 => prop_assert_eq!(index.remove(hash, slot), model.remove(&(hash, slot))),
                    _ => if !model.contains(&(hash, slot + 100)) && model.remove(&(hash, slot)) {
                        index.relocate(hash, slot, slot + 100);
                        model.insert((hash, slot + 100));
                    },
                }
                prop_assert_eq!(index.len(), model.len());
                prop_assert_eq!(index.find(hash, |found| found == slot).is_some(), model.contains(&(hash, slot)));
            }
            index.validate();
            prop_assert_eq!(all(&index), model.into_iter().collect::<Vec<_>>());
        }
    }

    /// Hashes as a hasher would give them: all different, in no order.
    fn scattered(n: u32) -> u32 {
        n.wrapping_mul(0x85EB_CA6B) ^ n.wrapping_mul(0xC2B2_AE35) >> 15
    }

    #[test]
    fn segments_split_as_they_fill_and_are_never_emptier_than_needed() {
        let mut index = Index::new();
        let mut fewest = usize::MAX;
        for slot in 0..200_000 {
            index.insert(scattered(slot), slot);
            if slot > 5_000 {
                fewest = fewest.min(index.len() * 100 / (index.segments.len() * CELLS));
            }
        }
        assert!(fewest >= 40, "only {fewest} % of the cells were in use");
        index.validate();
        for slot in 0..200_000 {
            assert_eq!(index.find(scattered(slot), |found| found == slot), Some(slot));
            assert!(index.remove(scattered(slot), slot));
        }
        index.validate();
        assert_eq!(index.segments.len(), 1);
    }

    #[test]
    fn a_walk_in_pieces_meets_what_is_there_throughout_once() {
        let mut index = Index::new();
        for slot in 0..3_000 {
            index.insert(scattered(slot), slot);
        }
        let (mut from, mut found, mut slots, mut next) = (Some(0), Vec::new(), Vec::new(), 3_000);
        while let Some(hash) = from {
            from = index.walk(hash, &mut slots);
            found.extend(slots.iter().map(|&(_, slot)| slot).filter(|&slot| slot < 3_000));
            // The segments that the walk has not come to are split meanwhile.
            for slot in next..next + 2_000 {
                index.insert(scattered(slot), slot);
            }
            next += 2_000;
        }
        found.sort_unstable();
        assert_eq!(found, (0..3_000).collect::<Vec<_>>());
    }

    #[test]
    fn equal_hashes_are_all_kept() {
        for hash in [0, 7, u32::MAX] {
            let mut index = Index::new();
            for slot in 0..3_000 {
                index.insert(hash, slot);
            }
            index.validate();
            let found = |slot| index.find(hash, |other| other == slot);
            assert!((0..3_000).step_by(97).all(|slot| found(slot) == Some(slot)));
            assert!(
                index.directory.len() <= 2,
                "splitting parts nothing that is alike"
            );
            assert!((0..3_000).all(|slot| index.remove(hash, slot)));
            assert_eq!(index.len(), 0);
        }
    }
}
