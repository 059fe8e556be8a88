//! Hash → slot. Knows hashes and slot numbers; keys are compared by whoever asks.
//!
//! Extendible hashing (Fagin, Nievergelt, Pippenger, Strong, 1979): the first bits of a hash choose a segment, and a segment is a small table
//! with linear probing. One that is full is split in two, by itself. So growing never touches more than some hundred cells, where one large
//! table stops everything (half a second at 7 million entries) and is there twice meanwhile; and an entry takes 11 to 22 bytes, whatever came
//! and went before: removing leaves no tombstones. Nearly all segments have one size, so that a split fills the gaps that others left.
//!
//! ```text
//! directory[first `depth` bits of the hash]  number of a segment, u32; neighbours may share one
//! segment                                    cells, a part filled so far, the length of the hash prefix its entries share
//! cell                                       hash u32 | slot u32, or EMPTY                          8 bytes
//! ```
//! Segments cover ranges of hashes, in order. That makes a hash a place from which a walk can go on, whatever is split or moved meanwhile.

/// A segment of so many cells is split when it is full. 3584 bytes are a size class of allocators that wastes next to nothing; 4096 are not.
const MOST_CELLS: usize = 448;
const LEAST_CELLS: usize = 8;
/// A directory is not doubled beyond this. With 2³¹ slots it has 22 bits or so; hashes that are all alike must not make it explode.
const MOST_DEPTH: u32 = 26;
/// Not a cell: no slot has this number.
const EMPTY: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Index {
    directory: Vec<u32>,
    /// The directory has 2^depth entries.
    depth: u32,
    segments: Vec<Segment>,
    len: usize,
}

#[derive(Debug)]
struct Segment {
    /// None, or at least one more than there are slots.
    cells: Box<[u64]>,
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
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The slot with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u32, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = &self.segments[self.number(hash)];
        segment.find(hash, is_it).map(|at| slot_of(segment.cells[at]))
    }

    /// Where a search for this hash begins: whoever looks at several of these before searching has the processor fetch them at the same time.
    pub(super) fn fetch(&self, hash: u32) -> u64 {
        let cells = &self.segments[self.number(hash)].cells;
        match cells.len() {
            0 => EMPTY,
            len => cells[place(hash, len)],
        }
    }

    /// Adds a slot that is not there.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        loop {
            let number = self.number(hash);
            let segment = &mut self.segments[number];
            if segment.has_room() {
                segment.add(cell(hash, slot));
                self.len += 1;
                return;
            }
            if segment.cells.len() < MOST_CELLS || segment.depth == MOST_DEPTH {
                segment.resize(segment.cells.len() * 2);
            } else {
                self.split(hash);
            }
        }
    }

    /// Takes a slot out; `false` if it was not there.
    pub(super) fn remove(&mut self, hash: u32, slot: u32) -> bool {
        let number = self.number(hash);
        let segment = &mut self.segments[number];
        let Some(at) = segment.find(hash, |other| other == slot) else {
            return false;
        };
        segment.remove(at);
        self.len -= 1;
        true
    }

    /// What was in slot `from` is now in slot `to`.
    pub(super) fn relocate(&mut self, hash: u32, from: u32, to: u32) {
        let number = self.number(hash);
        let segment = &mut self.segments[number];
        if let Some(at) = segment.find(hash, |other| other == from) {
            segment.cells[at] = cell(hash, to);
        }
    }

    /// Collects hashes and slots from the hash `from` on, to the end of the segment in which that lies, ordered by hash. Gives the hash at which
    /// the next segment begins, or `None` after the last.
    pub(super) fn walk(&self, from: u32, found: &mut Vec<(u32, u32)>) -> Option<u32> {
        let segment = &self.segments[self.number(from)];
        let cells = segment.cells.iter().filter(|&&cell| cell != EMPTY);
        found.clear();
        found.extend(
            cells
                .map(|&cell| (hash_of(cell), slot_of(cell)))
                .filter(|&(hash, _)| hash >= from),
        );
        found.sort_unstable();
        let width = 1u64 << (u32::BITS - segment.depth);
        u32::try_from((u64::from(from) / width + 1) * width).ok()
    }

    fn number(&self, hash: u32) -> usize {
        self.directory[prefix(hash, self.depth)] as usize
    }

    /// Splits the segment of this hash by the first bit in which its hashes differ.
    fn split(&mut self, hash: u32) {
        let number = self.number(hash);
        let new_number = u32::try_from(self.segments.len()).expect("fewer segments than slots");
        let old = &mut self.segments[number];
        let depth = old.depth + 1;
        let cells = std::mem::take(&mut old.cells);
        let (mut low, mut high) = (Segment::new(depth), Segment::new(depth));
        low.resize(cells.len());
        high.resize(cells.len());
        for &cell in cells.iter().filter(|&&cell| cell != EMPTY) {
            let half = if is_high(cell, depth) { &mut high } else { &mut low };
            half.add(cell);
        }
        *old = low;
        self.segments.push(high);
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&number| [number; 2]).collect();
            self.depth = depth;
        }
        let share = 1 << (self.depth - depth);
        let first = (prefix(hash, depth) | 1) * share;
        self.directory[first..first + share].fill(new_number);
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        assert_eq!(self.directory.len(), 1 << self.depth, "directory");
        assert_eq!(
            self.segments.iter().map(|segment| segment.len).sum::<usize>(),
            self.len,
            "slots in segments"
        );
        for (number, segment) in self.segments.iter().enumerate() {
            let cells = || segment.cells.iter().filter(|&&cell| cell != EMPTY);
            assert_eq!(cells().count(), segment.len, "cells of segment {number}");
            assert!(
                segment.len < segment.cells.len().max(1),
                "segment {number} has no empty cell"
            );
            for &cell in cells() {
                assert_eq!(
                    self.number(hash_of(cell)),
                    number,
                    "segment of hash {}",
                    hash_of(cell)
                );
                let at = segment.find(hash_of(cell), |slot| slot == slot_of(cell));
                assert!(at.is_some(), "slot {} is out of reach", slot_of(cell));
            }
        }
        let mut at = 0;
        while at < self.directory.len() {
            let number = self.directory[at];
            let share = 1 << (self.depth - self.segments[number as usize].depth);
            assert_eq!(at % share, 0, "segment {number} is not where its prefix is");
            assert!(
                self.directory[at..at + share]
                    .iter()
                    .all(|&other| other == number),
                "segment {number}"
            );
            at += share;
        }
    }
}

impl Segment {
    fn new(depth: u32) -> Self {
        Segment {
            cells: Box::new([]),
            len: 0,
            depth,
        }
    }

    fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut at = place(hash, self.cells.len());
        loop {
            let cell = self.cells[at];
            if cell == EMPTY {
                return None;
            }
            if hash_of(cell) == hash && is_it(slot_of(cell)) {
                return Some(at);
            }
            at = following(at, self.cells.len());
        }
    }

    /// Beyond three quarters full, probing gets long.
    fn has_room(&self) -> bool {
        (self.len + 1) * 4 <= self.cells.len() * 3
    }

    /// There must be room.
    fn add(&mut self, cell: u64) {
        let mut at = place(hash_of(cell), self.cells.len());
        while self.cells[at] != EMPTY {
            at = following(at, self.cells.len());
        }
        self.cells[at] = cell;
        self.len += 1;
    }

    /// Empties a cell, and moves those behind it up that would not be found past the gap.
    fn remove(&mut self, mut gap: usize) {
        let n = self.cells.len();
        let mut at = following(gap, n);
        while self.cells[at] != EMPTY {
            let wanted = place(hash_of(self.cells[at]), n);
            // A probe that begins at `wanted` comes by the gap on its way here, unless it begins behind it.
            if distance(wanted, at, n) >= distance(gap, at, n) {
                self.cells[gap] = self.cells[at];
                gap = at;
            }
            at = following(at, n);
        }
        self.cells[gap] = EMPTY;
        self.len -= 1;
        if n > LEAST_CELLS && self.len * 8 < n {
            self.resize(self.len * 2);
        }
    }

    /// Takes so many cells, or as many as there are at least in a segment, or at most in one that can be split.
    fn resize(&mut self, cells: usize) {
        let most = MOST_CELLS.max(self.len * 2);
        let cells = vec![EMPTY; cells.clamp(LEAST_CELLS, most)].into_boxed_slice();
        let old = std::mem::replace(&mut self.cells, cells);
        self.len = 0;
        for &cell in old.iter().filter(|&&cell| cell != EMPTY) {
            self.add(cell);
        }
    }
}

fn cell(hash: u32, slot: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(slot)
}

fn hash_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn slot_of(cell: u64) -> u32 {
    cell as u32
}

/// The first `depth` bits.
fn prefix(hash: u32, depth: u32) -> usize {
    (u64::from(hash) << depth >> u32::BITS) as usize
}

/// Whether the last of the first `depth` bits of a cell's hash is 1.
fn is_high(cell: u64, depth: u32) -> bool {
    prefix(hash_of(cell), depth) & 1 == 1
}

/// Where in `n` cells the probe for a hash begins. Multiplied first, so that it depends on the bits that hashes of one segment do not share.
/// (By the odd integer nearest to 2^32 / golden ratio: Knuth, TAOCP vol. 3, 6.4.)
fn place(hash: u32, n: usize) -> usize {
    ((u64::from(hash.wrapping_mul(0x9E37_79B1)) * n as u64) >> u32::BITS) as usize
}

fn following(at: usize, n: usize) -> usize {
    if at + 1 == n { 0 } else { at + 1 }
}

/// Steps from one cell to another, around the end.
fn distance(from: usize, to: usize, n: usize) -> usize {
    if to >= from { to - from } else { to + n - from }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Few hashes, so that they collide; and some that differ only in their last bits, so that no split parts them.
    fn hash() -> impl Strategy<Value = u32> {
        prop_oneof![
            0u32..4,
            any::<u32>(),
            (0u32..1 << 12).prop_map(|n| n << 20),
            Just(u32::MAX)
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
    fn segments_split_and_shrink_and_are_never_emptier_than_needed() {
        let mut index = Index::new();
        let mut fewest = usize::MAX;
        for slot in 0..200_000 {
            index.insert(scattered(slot), slot);
            if slot > 5_000 {
                let cells: usize = index.segments.iter().map(|segment| segment.cells.len()).sum();
                fewest = fewest.min(index.len() * 100 / cells);
            }
        }
        assert!(fewest >= 35, "only {fewest} % of the cells were in use");
        index.validate();
        for slot in 0..199_000 {
            assert!(index.remove(scattered(slot), slot));
        }
        index.validate();
        let cells: usize = index.segments.iter().map(|segment| segment.cells.len()).sum();
        assert!(cells < 10_000, "{cells} cells for 1000 slots");
        assert!((199_000..200_000).all(|slot| index.find(scattered(slot), |found| found == slot).is_some()));
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
        let mut index = Index::new();
        for slot in 0..5_000 {
            index.insert(7, slot);
        }
        index.validate();
        assert!(
            (0..5_000)
                .step_by(97)
                .all(|slot| index.find(7, |found| found == slot) == Some(slot))
        );
        assert!(index.directory.len() <= 1 << MOST_DEPTH);
        for slot in 0..5_000 {
            assert!(index.remove(7, slot));
        }
        assert_eq!(index.len(), 0);
    }
}
