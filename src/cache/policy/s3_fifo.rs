//! S3-FIFO: Yang, Zhang, Qiu, Yue, Vinayak, "FIFO queues are all you need for cache eviction", SOSP 2023. A small queue of a tenth, a main queue, and
//! ghosts of what was evicted from the small one, as many as the main queue holds.

use super::blocks::Salt;
use super::ghosts::Ghosts;
use super::lists::{List, Lists};
use super::queues::{Queues, Rule};
use super::sketch::Sketch;
use super::{Entries, Measure, Policy};

/// The small queue, in thousandths of what is held.
pub(super) const SMALL: u32 = 100;

#[derive(Debug)]
pub(in crate::cache) struct S3Fifo {
    queues: Queues,
    ghosts: Ghosts,
    salt: Salt,
    /// Not used by this rule, and empty.
    sketch: Sketch,
}

/// As many ghosts as the main queue has entries.
pub(super) fn ghost_span(lists: &Lists) -> u64 {
    lists.total(Measure::Items) * u64::from(1000 - SMALL) / 1000
}

impl S3Fifo {
    pub(super) fn new(salt: Salt) -> Self {
        S3Fifo {
            queues: Queues::new(Rule::Queue { window: SMALL }, salt),
            ghosts: Ghosts::new(salt),
            salt,
            sketch: Sketch::new(16, salt),
        }
    }
}

impl Policy for S3Fifo {
    fn anew(&self) -> Self {
        Self::new(self.salt)
    }

    fn overhead(&self) -> u64 {
        // The ghosts: two bytes each, nine for ten entries, in buckets that are almost full.
        2
    }

    fn insert(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        let returns = self.ghosts.take(hash);
        self.queues.insert(slot, returns, entries);
    }

    fn access(&mut self, slot: u32, _: u32, entries: &impl Entries) {
        self.queues.access(slot, entries);
    }

    fn reweigh(&mut self, slot: u32, old: u64, new: u64) {
        self.queues.lists.reweigh(slot, old, new);
    }

    fn remove(&mut self, slot: u32, _: u32, entries: &impl Entries) {
        self.queues.remove(slot, entries);
    }

    fn evict(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        if self.queues.lists.list_of(slot) == Some(List::Window) {
            self.ghosts.add(hash, ghost_span(&self.queues.lists));
        }
        self.queues.remove(slot, entries);
    }

    fn relocate(&mut self, from: u32, to: u32) {
        self.queues.lists.relocate(from, to);
    }

    fn truncate(&mut self, end: usize) {
        self.queues.lists.truncate(end);
    }

    fn tidy(&mut self) -> bool {
        self.ghosts.tidy(ghost_span(&self.queues.lists))
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        self.queues.lists.prefetch(slot);
    }

    #[inline]
    fn prefetch_neighbours(&self, slot: u32) {
        self.queues.prefetch_neighbours(slot);
    }

    fn victim(&mut self, measure: Measure, entries: &impl Entries) -> Option<u32> {
        self.queues.victim(measure, entries, &self.sketch)
    }

    fn begin_walk(&mut self) {
        self.queues.lists.begin_walk();
    }

    fn next_in_walk(&mut self) -> Option<u32> {
        self.queues.lists.next_in_walk()
    }

    fn walk_is_complete(&self) -> bool {
        self.queues.lists.walk_is_complete()
    }

    fn coldest_first(&self) -> Vec<u32> {
        self.queues.lists.in_order()
    }

    fn validate(&self, entries: &impl Entries) {
        self.queues.validate(entries);
    }
}
