//! Notices what the workload is: acts by the rule that its shadows have found best lately.

use super::blocks::Salt;
use super::ghosts::Ghosts;
use super::lists::List;
use super::queues::Queues;
use super::recent::RecentMisses;
use super::s3_fifo::ghost_span;
use super::shadows::Shadows;
use super::sketch::Sketch;
use super::{Entries, Measure, Policy};

/// Fewer bytes of the sketch than W-TinyLFU by itself has, 2.7 for each entry, since there are ghosts as well. It costs a tenth of a point of the hit ratio.
const ENTRIES_PER_BLOCK: usize = 24;

#[derive(Debug)]
pub(in crate::cache) struct Adaptive {
    queues: Queues,
    sketch: Sketch,
    ghosts: Ghosts,
    recent: RecentMisses,
    shadows: Shadows,
    salt: Salt,
}

impl Adaptive {
    /// With its weight, if it is there.
    #[inline]
    fn request(&mut self, hash: u32, held: impl FnOnce() -> Option<u64>) {
        self.sketch.count(hash);
        if self.shadows.request(hash, held, &self.sketch) {
            self.queues.set_rule(self.shadows.best());
        }
    }
}

impl Adaptive {
    pub(super) fn new(salt: Salt) -> Self {
        let shadows = Shadows::new(salt);
        Adaptive {
            queues: Queues::new(shadows.best(), salt),
            sketch: Sketch::new(ENTRIES_PER_BLOCK, salt),
            ghosts: Ghosts::new(salt),
            recent: RecentMisses::new(),
            shadows,
            salt,
        }
    }
}

impl Policy for Adaptive {
    fn anew(&self) -> Self {
        Self::new(self.salt)
    }

    fn overhead(&self) -> u64 {
        // Sketch 2.7, ghosts 1.9, and shadows, of which there are not more for more entries.
        5
    }

    fn insert(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        self.sketch.fit(self.queues.lists.total(Measure::Items) + 1);
        let asked_for = self.recent.take(hash);
        if !asked_for {
            self.sketch.count(hash);
        }
        self.shadows
            .written(hash, || entries.weight(slot), asked_for, &self.sketch);
        let returns = self.ghosts.take(hash);
        self.queues.insert(slot, returns, entries);
    }

    fn access(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        self.request(hash, || Some(entries.weight(slot)));
        self.queues.access(slot, entries);
    }

    fn miss(&mut self, hash: u32) {
        self.recent.add(hash);
        self.request(hash, || None);
    }

    fn reweigh(&mut self, slot: u32, old: u64, new: u64) {
        self.queues.lists.reweigh(slot, old, new);
    }

    fn remove(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        self.shadows.removed(hash);
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
        let more_of_sketch = self.sketch.tidy(self.queues.lists.total(Measure::Items));
        let more_ghosts = self.ghosts.tidy(ghost_span(&self.queues.lists));
        more_of_sketch || more_ghosts
    }

    #[inline]
    fn prefetch_hash(&self, hash: u32) {
        self.sketch.prefetch(hash);
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
        let lists = &self.queues.lists;
        self.shadows
            .set_full(measure, lists.total(measure), lists.total(Measure::Items));
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
        self.shadows.validate();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each slot holds an entry with the slot's number for a hash.
    struct Plain;

    impl Entries for Plain {
        fn hash(&self, slot: u32) -> u32 {
            slot
        }

        fn weight(&self, _: u32) -> u64 {
            1
        }
    }

    #[test]
    fn what_was_kept_for_entries_that_have_expired_is_given_back_a_slice_at_a_time() {
        const ENTRIES: u32 = 100_000;
        let mut policy = Adaptive::new(Salt::FIXED);
        for slot in 0..2 * ENTRIES {
            policy.insert(slot, slot, &Plain);
            if slot >= ENTRIES {
                let victim = policy.victim(Measure::Items, &Plain).expect("there are entries");
                policy.evict(victim, victim, &Plain);
            }
        }
        let full = policy.sketch.bytes() + policy.ghosts.bytes();
        assert!(full > 4 * ENTRIES as usize, "{full} bytes");
        assert!(!policy.tidy(), "all of it is needed");
        for slot in policy.coldest_first() {
            policy.remove(slot, slot, &Plain);
        }
        let mut before = full;
        loop {
            let more = policy.tidy();
            let now = policy.sketch.bytes() + policy.ghosts.bytes();
            assert!(before - now <= 128 << 10, "{} bytes at once", before - now);
            before = now;
            if !more {
                break;
            }
        }
        assert!(before < 1 << 10, "{before} of {full} bytes are left");
        // And it goes on.
        policy.insert(1, 1, &Plain);
        policy.access(1, 1, &Plain);
        policy.validate(&Plain);
    }
}
