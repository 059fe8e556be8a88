//! Which entry goes when room is needed. A policy sees slots and never a key, a value or the time.

mod lru;

pub(super) use lru::Lru;

/// The order of eviction over slots. A slot is *known* from `insert` to `remove`.
pub(super) trait Policy: Send {
    fn new() -> Self;

    /// A slot that was not known holds a new entry.
    fn insert(&mut self, slot: u32);

    /// The entry of a known slot was read or overwritten.
    fn access(&mut self, slot: u32);

    /// The entry of a known slot is gone.
    fn remove(&mut self, slot: u32);

    /// The entry of a known slot is in another one now, which was not known; the first one is not known any more.
    fn relocate(&mut self, from: u32, to: u32);

    /// No slot at `end` or above is known; what is kept about them can go.
    fn truncate(&mut self, end: usize);

    /// Fetches what is looked at when a slot is accessed: first what is known of the slot, then, when that has come, what it leads to.
    fn prefetch(&self, _slot: u32) {}
    fn prefetch_neighbours(&self, _slot: u32) {}

    /// The slot to evict next; it stays known until it is removed. `None` only if no slot is known.
    fn victim(&mut self) -> Option<u32>;

    /// Begins to walk over the known slots from those that would go first.
    fn begin_walk(&mut self);

    /// The next slot of the walk. One that is accessed while the walk is under way may come again. `None`: each slot that was known throughout has
    /// come.
    fn next_in_walk(&mut self) -> Option<u32>;

    /// All known slots, in the order in which they would go. For the invariant walk.
    fn coldest_first(&self) -> Vec<u32>;
}
