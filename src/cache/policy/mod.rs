//! Which entry goes when room is needed. A policy sees slots, hashes and weights, and never a key, a value or the time.

mod adaptive;
mod any;
mod blocks;
mod ghosts;
mod kind;
mod lists;
mod lru;
mod queues;
mod recent;
mod s3_fifo;
mod shadows;
mod sketch;
#[cfg(test)]
mod tests;
mod tinylfu;

use adaptive::Adaptive;
pub(super) use any::AnyPolicy;
pub(super) use blocks::Salt;
pub use kind::PolicyKind;
use lru::Lru;
use s3_fifo::S3Fifo;
use tinylfu::TinyLfu;

/// What there is too much of, or what the sizes of lists are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Items,
    Bytes,
}

/// What a policy may ask about the entries in known slots. It keeps neither itself: who holds the entries has them.
pub(super) trait Entries {
    /// Looks at the key: a policy is told the hash where it is at hand.
    fn hash(&self, slot: u32) -> u32;
    /// As it was when the slot was inserted or, later, reweighed. 0 if nothing is limited by weight.
    fn weight(&self, slot: u32) -> u64;
}

/// The order of eviction over slots. Wherever a slot and a hash are given, the hash is that of the slot's entry. A slot is *known* from `insert` to `remove` or `evict`, and its entry can be asked about throughout, during these
/// calls as well.
pub(super) trait Policy: Send {
    /// An empty one of the same kind.
    fn anew(&self) -> Self;

    /// Bytes that it keeps for each entry beyond what exact LRU does, for `max_bytes`.
    fn overhead(&self) -> u64 {
        0
    }

    /// A slot that was not known holds a new entry.
    fn insert(&mut self, slot: u32, hash: u32, entries: &impl Entries);

    /// The entry of a known slot was read or overwritten.
    fn access(&mut self, slot: u32, hash: u32, entries: &impl Entries);

    /// An entry was asked for that is not there.
    fn miss(&mut self, _hash: u32) {}

    /// The entry of a known slot weighs something else now.
    fn reweigh(&mut self, _slot: u32, _old: u64, _new: u64) {}

    /// The entry of a known slot goes because it was removed or has expired.
    fn remove(&mut self, slot: u32, hash: u32, entries: &impl Entries);

    /// The entry of a known slot goes because it was the victim.
    fn evict(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        self.remove(slot, hash, entries);
    }

    /// The entry of a known slot is in another one now, which was not known; the first one is not known any more.
    fn relocate(&mut self, from: u32, to: u32);

    /// No slot at `end` or above is known; what is kept about them can go.
    fn truncate(&mut self, end: usize);

    /// Gives back what was kept for more entries than there are any more, a slice of it; `true` if there is more.
    fn tidy(&mut self) -> bool {
        false
    }

    /// Fetches what is looked at when an entry is asked for: what depends on its hash, whether it is there or not; then what is known of its slot; then, when
    /// that has come, what it leads to.
    fn prefetch_hash(&self, _hash: u32) {}
    fn prefetch(&self, _slot: u32) {}
    fn prefetch_neighbours(&self, _slot: u32) {}

    /// The slot to evict next, now that there is too much of `measure` or would be with what is about to come; it stays known until it is evicted. `None` only if no slot is known.
    fn victim(&mut self, measure: Measure, entries: &impl Entries) -> Option<u32>;

    /// The slots that will go next, in this order, if that can be told without effort: for who fetches them ahead.
    fn upcoming(&self) -> [Option<u32>; 3] {
        [None; 3]
    }

    /// Begins to walk over the known slots from those that would go first.
    fn begin_walk(&mut self);

    /// The next slot of the walk. One that is accessed while the walk is under way may come again. `None`: there are no more.
    fn next_in_walk(&mut self) -> Option<u32>;

    /// Whether each slot that was known throughout has come, once the walk has ended.
    fn walk_is_complete(&self) -> bool;

    /// All known slots, about in the order in which they would go; exactly so, if that can be told in advance. For the invariant walk.
    fn coldest_first(&self) -> Vec<u32>;

    /// Panics if the policy contradicts itself. For tests and fuzzers.
    fn validate(&self, _entries: &impl Entries) {}
}
