//! Fetching from memory what operations will look at: several at once, so that they are not waited for one after the other. Changes nothing.

use super::super::batch::BATCH_SLICE;
use super::super::policy::Policy;
use super::Shard;

impl<P: Policy> Shard<P> {
    /// Fetches what is to be looked at for these keys from memory at the same time, instead of one after the other: the places where their searches
    /// begin, then what the slots found there lead to, then what those lead to. (Chen, Gibbons, Mowry 2001: "group prefetching".)
    pub(in crate::cache) fn prefetch(&self, hashes: impl Iterator<Item = u32> + Clone) {
        let mut slots = [None; BATCH_SLICE as usize];
        self.prefetch_cells(hashes.clone());
        self.prefetch_slots(hashes, &mut slots);
        self.prefetch_entries(&slots);
    }

    /// The first step.
    pub(in crate::cache) fn prefetch_cells(&self, hashes: impl Iterator<Item = u32>) {
        for hash in hashes {
            self.index.prefetch(hash);
            self.policy.prefetch_hash(hash);
        }
    }

    /// The second: the slots found there.
    pub(in crate::cache) fn prefetch_slots(
        &self,
        hashes: impl Iterator<Item = u32>,
        slots: &mut [Option<u32>],
    ) {
        for (hash, place) in hashes.zip(slots) {
            // Hardly ever another one with the same hash.
            *place = self.index.find(hash, |_| true);
            if let Some(slot) = *place {
                self.payload.prefetch_slot(slot);
                self.policy.prefetch(slot);
                self.expiry.prefetch(slot);
            }
        }
    }

    /// The third. A slot may have been vacated since it was found, if the lock was let go.
    pub(in crate::cache) fn prefetch_entries(&self, slots: &[Option<u32>]) {
        for &slot in slots.iter().flatten() {
            if self.payload.is_occupied(slot) {
                self.payload.prefetch_entry(slot);
                self.policy.prefetch_neighbours(slot);
            }
        }
    }
}
