//! Hash → slot. Knows hashes and slot numbers; keys are compared by whoever asks.
//!
//! Extendible hashing (Fagin, Nievergelt, Pippenger, Strong, 1979): the first bits of a hash choose a segment, a small table in itself. One that
//! is full grows, or is split in two, by itself. So growing never touches more than some hundred cells, where one large table stops
//! everything (half a second at 7 million entries) and is there twice meanwhile; and an entry takes 9 to 12 bytes, whatever came and went
//! before: removing leaves no tombstones.
//!
//! ```text
//! directory[first `depth` bits of the hash]  place of a segment, its shape: 8 bytes; neighbours may share one of about 350 entries
//! cells                                      see segment.rs; they lie in pages as entries do, so that those of sizes that hardly any segment
//!                                            has any more leave no pages behind
//! ```
//! Segments cover ranges of hashes, in order. That makes a hash a place from which a walk can go on, whatever is split or moved meanwhile.

mod segment;

use super::pages::{Pages, Place};
use super::prefetch::prefetch;
use segment::Shape;

/// A directory is not doubled beyond this. With 2³¹ slots it has 23 bits or so.
const MOST_DEPTH: u8 = 26;
/// Segments that one operation moves to other places at most.
const MOVES: u32 = 2;

#[derive(Debug)]
pub(super) struct Index {
    directory: Vec<Segment>,
    /// The directory has 2^depth entries.
    depth: u8,
    pages: Pages,
    /// Hashes and slots, sorted, that have no room in their segments: where more hashes are alike than one holds. Empty, unless somebody guessed the
    /// hasher's seed.
    crowd: Vec<(u32, u32)>,
    len: usize,
    /// What a segment held that is laid out anew; kept for its memory.
    sorted: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// Where its cells are.
    place: Place,
    shape: Shape,
}

impl Index {
    /// For so many bytes in all, about, and as one of so many.
    pub(super) fn new(max_bytes: u64, shards: usize) -> Self {
        let shape = Shape::new(0, 0);
        let nowhere = Segment {
            place: Place::default(),
            shape,
        };
        let mut index = Index {
            directory: vec![nowhere],
            depth: 0,
            pages: Pages::new(max_bytes, shards),
            crowd: Vec::new(),
            len: 0,
            sorted: Vec::new(),
        };
        index.lay_out(0, shape, &[]);
        index
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The slot with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = self.slots(hash).find(|&slot| is_it(slot));
        if found.is_some() || !self.is_crowded() {
            return found;
        }
        self.find_in_crowd(hash, is_it)
    }

    /// The slots with this hash, but for those that may be in the crowd.
    #[inline(always)]
    pub(super) fn slots(&self, hash: u32) -> impl Iterator<Item = u32> {
        let Segment { place, shape } = self.segment(hash);
        shape.slots(self.pages.bytes(place), hash)
    }

    /// Whether there is anything in the crowd.
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        !self.crowd.is_empty()
    }

    /// The slot in the crowd with this hash for which `is_it` holds.
    #[cold]
    pub(super) fn find_in_crowd(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut alike = self.in_crowd(hash, hash).map(|&(_, slot)| slot);
        alike.find(|&slot| is_it(slot))
    }

    /// Fetches the place where a search for this hash begins.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        let Segment { place, shape } = self.segment(hash);
        // About every second search goes on into the next line.
        let bytes = &self.pages.bytes(place)[shape.first_byte(hash)..];
        prefetch(&bytes[0]);
        if let Some(next) = bytes.get(64) {
            prefetch(next);
        }
    }

    /// Adds a slot that is not there.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        self.len += 1;
        loop {
            let Segment { place, shape } = self.segment(hash);
            if shape.insert(self.pages.bytes_mut(place), hash, slot) {
                return self.hold_together();
            }
            if !shape.is_largest() {
                self.rebuild(hash, shape.grown());
            } else if self.is_worth_splitting(hash) {
                self.split(hash);
            } else {
                let at = self.crowd.partition_point(|&other| other < (hash, slot));
                return self.crowd.insert(at, (hash, slot));
            }
        }
    }

    /// Takes a slot out; `false` if it was not there.
    pub(super) fn remove(&mut self, hash: u32, slot: u32) -> bool {
        let Segment { place, shape } = self.segment(hash);
        let bytes = self.pages.bytes_mut(place);
        if shape.remove(bytes, hash, slot) {
            let len = segment::len(bytes);
            if shape.is_sparse(len) {
                self.rebuild(hash, Shape::new(len + len / 8, shape.depth));
            }
            self.hold_together();
        } else if let Ok(at) = self.crowd.binary_search(&(hash, slot)) {
            self.crowd.remove(at);
        } else {
            return false;
        }
        self.len -= 1;
        true
    }

    /// What was in slot `from` is now in slot `to`.
    pub(super) fn relocate(&mut self, hash: u32, from: u32, to: u32) {
        let Segment { place, shape } = self.segment(hash);
        if !shape.relocate(self.pages.bytes_mut(place), hash, from, to)
            && let Ok(at) = self.crowd.binary_search(&(hash, from))
        {
            self.crowd[at] = (hash, to);
            self.crowd.sort_unstable();
        }
    }

    /// Collects hashes and slots from the hash `from` on, to the end of the segment in which that lies, ordered by hash. Gives the hash at which
    /// the next segment begins, or `None` after the last.
    pub(super) fn walk(&self, from: u32, found: &mut Vec<(u32, u32)>) -> Option<u32> {
        let Segment { place, shape } = self.segment(from);
        let width = 1u64 << (u32::BITS - u32::from(shape.depth));
        let next = u32::try_from((u64::from(from) / width + 1) * width).ok();
        let cells = segment::iter(self.pages.bytes(place));
        found.clear();
        found.extend(cells.filter(|&(hash, _)| hash >= from));
        if !self.crowd.is_empty() {
            found.extend(self.in_crowd(from, next.map_or(u32::MAX, |next| next - 1)));
            found.sort_unstable();
        }
        next
    }

    #[inline]
    fn segment(&self, hash: u32) -> Segment {
        self.directory[prefix(hash, self.depth)]
    }

    fn in_crowd(&self, from: u32, to: u32) -> impl Iterator<Item = &(u32, u32)> {
        let begin = self.crowd.partition_point(|&(hash, _)| hash < from);
        self.crowd[begin..]
            .iter()
            .take_while(move |&&(hash, _)| hash <= to)
    }

    /// Whether splitting a segment would part its hashes soon. Where many are alike, it would double the directory again and again for nothing.
    fn is_worth_splitting(&self, hash: u32) -> bool {
        let Segment { place, shape } = self.segment(hash);
        let mut hashes = segment::iter(self.pages.bytes(place)).map(|(hash, _)| hash);
        let first = hashes.next().unwrap_or(0);
        let last = hashes.last().unwrap_or(first);
        shape.depth < MOST_DEPTH && (first ^ last).leading_zeros() < u32::from(shape.depth) + 4
    }

    /// Gives the segment of this hash another size.
    fn rebuild(&mut self, hash: u32, shape: Shape) {
        let first_hash = self.take_out(hash);
        let sorted = std::mem::take(&mut self.sorted);
        self.lay_out(first_hash, shape, &sorted);
        self.sorted = sorted;
    }

    /// Gives the place of this hash's segment up, and collects what it held in `sorted`. Gives the smallest hash that has its place there.
    fn take_out(&mut self, hash: u32) -> u32 {
        let Segment { place, .. } = self.segment(hash);
        let bytes = self.pages.bytes(place);
        self.sorted.clear();
        self.sorted.reserve(segment::len(bytes));
        self.sorted.extend(segment::iter(bytes));
        let first_hash = segment::first_hash(bytes);
        self.pages.give_back(place);
        first_hash
    }

    /// Makes a segment of this shape or a larger one, and its cells, for the hashes from this one on.
    fn lay_out(&mut self, first_hash: u32, shape: Shape, sorted: &[(u32, u32)]) {
        let place = self.pages.take(shape.size());
        let place = place.expect("there are more pages than all segments take");
        let bytes = self.pages.bytes_mut(place);
        shape.clear(bytes, first_hash);
        let done = shape.fill(bytes, sorted);
        if done < sorted.len() && !shape.is_largest() {
            self.pages.give_back(place);
            return self.lay_out(first_hash, shape.grown(), sorted);
        }
        self.enter(first_hash, Segment { place, shape });
        self.crowd.extend(&sorted[done..]);
        self.crowd.sort_unstable();
    }

    /// Notes where the segment is that begins with this hash.
    fn enter(&mut self, first_hash: u32, segment: Segment) {
        let share = 1 << (self.depth - segment.shape.depth);
        let first = prefix(first_hash, self.depth);
        self.directory[first..first + share].fill(segment);
    }

    /// Splits the segment of this hash by the next bit.
    fn split(&mut self, hash: u32) {
        let depth = self.segment(hash).shape.depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment; 2]).collect();
            self.depth = depth;
        }
        let low_hash = self.take_out(hash);
        let high_hash = low_hash | 1 << (u32::BITS - u32::from(depth));
        let sorted = std::mem::take(&mut self.sorted);
        let (low, high) = sorted.split_at(sorted.partition_point(|&(hash, _)| hash < high_hash));
        self.lay_out(low_hash, Shape::new(low.len(), depth), low);
        self.lay_out(high_hash, Shape::new(high.len(), depth), high);
        self.sorted = sorted;
    }

    /// Moves segments out of pages that are nearly vacant.
    fn hold_together(&mut self) {
        for _ in 0..MOVES {
            let Some(from) = self.pages.straggler() else {
                return;
            };
            let Some(to) = self.pages.copy(from) else {
                return self.pages.give_up_evacuation();
            };
            let first_hash = segment::first_hash(self.pages.bytes(to));
            let Segment { shape, .. } = self.segment(first_hash);
            self.enter(first_hash, Segment { place: to, shape });
            self.pages.give_back(from);
        }
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        assert_eq!(self.directory.len(), 1 << self.depth, "directory");
        let mut len = self.crowd.len();
        assert!(self.crowd.is_sorted(), "crowd");
        let (mut at, mut segments) = (0, 0);
        while at < self.directory.len() {
            let Segment { place, shape } = self.directory[at];
            let bytes = self.pages.bytes(place);
            shape.validate(bytes);
            let first_hash = segment::first_hash(bytes);
            assert_eq!(
                prefix(first_hash, self.depth),
                at,
                "the segment of hash {first_hash}"
            );
            len += segment::len(bytes);
            for (hash, slot) in segment::iter(bytes) {
                assert_eq!(self.segment(hash).place, place, "segment of hash {hash}");
                let is_found = shape.slots(bytes, hash).any(|other| other == slot);
                assert!(is_found, "slot {slot} is out of reach");
            }
            let share = 1 << (self.depth - shape.depth);
            assert_eq!(at % share, 0, "segment {segments} is not where its prefix is");
            let shared = &self.directory[at..at + share];
            assert!(
                shared.iter().all(|other| *other == shared[0]),
                "segment {segments}"
            );
            at += share;
            segments += 1;
        }
        assert_eq!(len, self.len, "slots in segments");
        assert_eq!(self.pages.validate(), segments, "places of segments");
    }
}

/// The first `depth` bits.
#[inline]
fn prefix(hash: u32, depth: u8) -> usize {
    (u64::from(hash) << depth >> u32::BITS) as usize
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
            let mut index = Index::new(u64::MAX, 1);
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
            let mut found = all(&index);
            prop_assert!(found.is_sorted_by_key(|&(hash, _)| hash));
            found.sort_unstable();
            prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        }
    }

    /// Hashes as a hasher would give them: all different, in no order.
    fn scattered(n: u32) -> u32 {
        n.wrapping_mul(0x85EB_CA6B) ^ n.wrapping_mul(0xC2B2_AE35) >> 15
    }

    fn cells(index: &Index) -> usize {
        let mut segments = index.directory.clone();
        segments.dedup();
        segments.iter().map(|segment| segment.shape.size() / 8).sum()
    }

    #[test]
    fn segments_split_and_shrink_and_are_never_emptier_than_needed() {
        let mut index = Index::new(u64::MAX, 1);
        let mut fewest = usize::MAX;
        for slot in 0..200_000 {
            index.insert(scattered(slot), slot);
            if slot > 5_000 {
                fewest = fewest.min(index.len() * 100 / cells(&index));
            }
        }
        assert!(fewest >= 70, "only {fewest} % of the cells were in use");
        index.validate();
        for slot in 0..199_000 {
            assert!(index.remove(scattered(slot), slot));
        }
        index.validate();
        let cells = cells(&index);
        assert!(cells < 10_000, "{cells} cells for 1000 slots");
        assert!((199_000..200_000).all(|slot| index.find(scattered(slot), |found| found == slot).is_some()));
    }

    #[test]
    fn a_walk_in_pieces_meets_what_is_there_throughout_once() {
        let mut index = Index::new(u64::MAX, 1);
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
            let mut index = Index::new(u64::MAX, 1);
            for slot in 0..5_000 {
                index.insert(hash, slot);
            }
            index.validate();
            assert!(
                (0..5_000)
                    .step_by(97)
                    .all(|slot| index.find(hash, |found| found == slot) == Some(slot))
            );
            assert!(
                index.directory.len() <= 2,
                "splitting parts nothing that is alike"
            );
            for slot in 0..5_000 {
                assert!(index.remove(hash, slot));
            }
            assert_eq!(index.len(), 0);
        }
    }
}
