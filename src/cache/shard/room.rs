//! Room for what comes: expiry, eviction, and holding together what is left.

use super::super::policy::{Measure, Policy};
use super::{Shard, index_hash, known};

/// Groups of deadlines at which one eviction may look for an expired entry to take first.
const EXPIRY_STEPS_PER_EVICTION: u32 = 64;

/// Slots that one operation gives up at most, and entries that it moves to other places. More than a slice of expired entries leaves vacant, so
/// that this keeps pace.
const SLOTS_PER_COMPACTION: u32 = 512;
const MOVES_PER_COMPACTION: u32 = 64;

impl<P: Policy> Shard<P> {
    /// Removes expired entries, up to `count` of them and a few more; `true` if there may be more.
    pub(in crate::cache) fn reclaim(&mut self, count: u32, now: u64) -> bool {
        let mut budget = count;
        let mut left = count as usize;
        let mut expired = std::mem::take(&mut self.expired);
        let more = loop {
            self.expiry.expired_together(now, &mut budget, &mut expired);
            if expired.is_empty() {
                break budget == 0;
            }
            self.discard_together(&expired);
            self.stats.expirations += expired.len() as u64;
            left = left.saturating_sub(expired.len());
            if left == 0 {
                break true;
            }
        };
        self.expired = expired;
        self.compact();
        more
    }

    /// Evicts until `items` more entries of `bytes` in all fit: expired ones first, then those that the policy names.
    pub(super) fn make_room(&mut self, items: u64, bytes: u64, now: u64) {
        loop {
            let too_many = self.payload.len() as u64 + items > self.limits.items;
            let too_heavy = self.stats.bytes.saturating_add(bytes) > self.limits.bytes;
            if !too_many && !too_heavy {
                return;
            }
            let mut budget = EXPIRY_STEPS_PER_EVICTION;
            if let Some(slot) = self.expiry.expired(now, &mut budget) {
                self.stats.expirations += 1;
                self.discard(slot);
                continue;
            }
            let measure = if too_many { Measure::Items } else { Measure::Bytes };
            let entries = known(&self.payload, &self.hasher);
            let Some(slot) = self.policy.victim(measure, &entries) else {
                return;
            };
            match measure {
                Measure::Items => self.stats.evictions_by_items += 1,
                Measure::Bytes => self.stats.evictions_by_bytes += 1,
            }
            self.policy.evict(slot, &entries);
            self.vacate(slot, self.hash_of(self.payload.key(slot)));
        }
    }

    /// Takes an occupied slot out of all four parts, for another reason than that the policy named it. The caller counts why.
    pub(super) fn discard(&mut self, slot: u32) {
        let hash = self.hash_of(self.payload.key(slot));
        self.discard_hashed(slot, hash);
    }

    fn discard_hashed(&mut self, slot: u32, hash: u32) {
        self.policy.remove(slot, &known(&self.payload, &self.hasher));
        self.vacate(slot, hash);
    }

    /// Takes a slot that the policy does not know any more out of the other three parts.
    fn vacate(&mut self, slot: u32, hash: u32) {
        self.stats.bytes -= self.weight(slot);
        self.index.remove(hash, slot);
        self.expiry.remove(slot);
        let large = self.payload.remove(slot);
        self.bury(large);
    }

    /// Discards several, what is to be looked at for them fetched at the same time.
    fn discard_together(&mut self, slots: &[u32]) {
        for &slot in slots {
            self.payload.prefetch_entry(slot);
            self.policy.prefetch_neighbours(slot);
        }
        let mut hashes = [0; 16];
        for slots in slots.chunks(hashes.len()) {
            for (hash, &slot) in hashes.iter_mut().zip(slots) {
                *hash = self.hash_of(self.payload.key(slot));
                self.index.prefetch(*hash);
            }
            for (&hash, &slot) in hashes.iter().zip(slots) {
                self.discard_hashed(slot, hash);
            }
        }
    }

    /// Gives slots up if many are vacant, and pages if much of them is, so that memory taken for many small entries comes back when few large ones
    /// follow. Entries move; whoever calls this must not use slots that it knew before.
    pub(super) fn compact(&mut self) {
        if self.payload.is_sparse() {
            self.give_slots_up();
        }
        for _ in 0..MOVES_PER_COMPACTION {
            if !self.payload.has_entries_to_move() {
                return;
            }
            let Some((key, place)) = self.payload.straggler() else {
                return;
            };
            let hash = index_hash(self.hasher.hash_one(key));
            let payload = &self.payload;
            match self.index.find(hash, |slot| payload.is_in(slot, place)) {
                Some(slot) => self.payload.move_out(slot),
                None => debug_assert!(false, "an entry that the index does not know"),
            }
        }
    }

    fn give_slots_up(&mut self) {
        for _ in 0..SLOTS_PER_COMPACTION {
            if !self.payload.is_sparse() {
                break;
            }
            if let Some((from, to)) = self.payload.give_up_last() {
                let hash = self.hash_of(self.payload.key(to));
                self.index.relocate(hash, from, to);
                self.policy.relocate(from, to);
                if let Some(sweep) = &mut self.sweep {
                    sweep.relocate(from, to);
                }
                self.expiry.relocate(from, to);
            }
        }
        self.policy.truncate(self.payload.end());
        self.expiry.truncate(self.payload.end());
    }
}
