//! Room for what comes: expiry, eviction, and holding together what is left.

use super::super::cause::RemovalCause;
use super::super::entry::Condition;
use super::super::keys::hash_of;
use super::super::payload::Draft;
use super::super::policy::{Entries, Measure, Policy};
use super::{Deadline, Hashed, Shard, index_hash, known};

/// Groups of deadlines at which one eviction may look for an expired entry to take first: it takes so many only once for what many removals have left.
const EXPIRY_STEPS_PER_EVICTION: u32 = 1024;

/// While entries expire by the thousand, what they leave vacant is no matter as long as it makes no more than `max_bytes` and this part of it together with what is
/// held; without such a limit, than both made when it began and this part of that.
const MORE_IN_STORM: u64 = 20;
const MORE_UNLIMITED: u64 = 4;
/// And as long as no more than so many bytes are vacant in any case.
const LEAST_LOOSE: u64 = 1 << 20;

/// Expired entries that are fetched from memory at the same time.
const FETCHED_TOGETHER: usize = 64;

/// Slots that one operation gives up, and entries that it moves to other places: so many, or as many as it has vacated, so that this keeps pace whatever
/// was removed. (A page that is evacuated is not full: less than one move for each that was removed is enough.)
const COMPACTED_PER_OPERATION: u32 = 8;

/// Room that is kept for an entry.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cache) struct Reserved {
    pub(in crate::cache) bytes: u64,
    /// 1, unless the entry takes the place of another. Not kept: what it would push out goes at once.
    items: u64,
}

impl<P: Policy> Shard<P> {
    /// Removes expired entries, up to `count` of them and a few more, and holds together what is left; `true` if there may be more of either to do.
    pub(in crate::cache) fn reclaim(&mut self, count: u32, now: u64) -> bool {
        let mut budget = count;
        let mut expired = std::mem::take(&mut self.expired);
        expired.clear();
        self.expiry
            .take_expired(now, count as usize, &mut budget, &mut expired);
        self.discard_expired(&expired);
        self.stats.expirations += expired.len() as u64;
        let more = budget == 0 || expired.len() >= count as usize;
        self.expired = expired;
        // Those that would be moved now are likely to expire soon themselves.
        if !self.is_expiring {
            self.is_expiring = true;
            self.footprint_before = self.footprint();
        }
        self.vacated = 0;
        more
    }

    /// Gives up what expired entries have left vacant, a slice of it; `true` if there is more. To be called some time after `reclaim`.
    pub(in crate::cache) fn tidy(&mut self, count: u32) -> bool {
        self.is_expiring = false;
        let more_to_move = self.compact_by(count);
        let more_unused = self.expiry.give_up_unused();
        let more_of_policy = self.policy.tidy();
        more_to_move || more_unused || more_of_policy
    }

    /// Keeps room for a draft that may need the place of many others, to be given up by `end_reserving`. Until then, `make_reserved_room`
    /// makes it. None, if there is room, or it cannot or must not be stored.
    pub(in crate::cache) fn begin_reserving(
        &mut self,
        hash: u32,
        draft: &Draft<'_>,
        deadline: Deadline,
        condition: Condition,
        now: u64,
    ) -> Reserved {
        let found = self.live(Hashed { key: draft.key, hash }, now);
        let deadline = self.deadline_of(deadline, found);
        let weight = self.payload.weight_of(draft) + self.expiry.charge_for(deadline);
        let is_refused = match condition {
            Condition::Always => false,
            Condition::IfAbsent => found.is_some(),
            Condition::IfPresent => found.is_none(),
        };
        let more = weight - found.map_or(0, |slot| self.weight(slot)).min(weight);
        let wanted = self.stats.bytes + self.reserved + more;
        if is_refused || deadline <= now || weight > self.limits.bytes || wanted <= self.limits.bytes {
            return Reserved::default();
        }
        if let Some(slot) = found {
            // Or it might go for its own sake.
            let entries = known(&self.payload, &self.hasher, self.limits);
            self.policy.access(slot, hash, &entries);
        }
        self.reserved += more;
        Reserved {
            bytes: more,
            items: u64::from(found.is_none()),
        }
    }

    /// Evicts for what is reserved, `most` entries at most; `true` if that is not enough.
    pub(in crate::cache) fn make_reserved_room(&mut self, reserved: Reserved, most: u32, now: u64) -> bool {
        let more = self.make_room_by(most, reserved.items, 0, now);
        self.compact();
        more
    }

    /// Nothing of it is kept free any longer.
    pub(in crate::cache) fn end_reserving(&mut self, reserved: Reserved) {
        self.reserved -= reserved.bytes;
    }

    /// Evicts until `items` more entries of `bytes` in all fit: expired ones first, then those that the policy names.
    pub(super) fn make_room(&mut self, items: u64, bytes: u64, now: u64) {
        self.make_room_by(u32::MAX, items, bytes, now);
    }

    /// The same, `most` entries at most; `true` if that is not enough.
    fn make_room_by(&mut self, most: u32, items: u64, bytes: u64, now: u64) -> bool {
        let mut left = most;
        loop {
            let too_many = self.payload.len() as u64 + items > self.limits.items;
            let wanted = (self.stats.bytes + self.reserved).saturating_add(bytes);
            let too_heavy = wanted > self.limits.bytes;
            if !too_many && !too_heavy {
                return false;
            }
            if left == 0 {
                return true;
            }
            left -= 1;
            let mut budget = EXPIRY_STEPS_PER_EVICTION;
            if let Some(slot) = self.expiry.expired(now, &mut budget) {
                self.depart(slot, RemovalCause::Expired, now);
                self.stats.expirations += 1;
                self.discard(slot);
                continue;
            }
            let measure = if too_many { Measure::Items } else { Measure::Bytes };
            let entries = known(&self.payload, &self.hasher, self.limits);
            let Some(slot) = self.policy.victim(measure, &entries) else {
                return false;
            };
            let cause = match measure {
                Measure::Items => {
                    self.stats.evictions_by_items += 1;
                    RemovalCause::MaxItems
                }
                Measure::Bytes => {
                    self.stats.evictions_by_bytes += 1;
                    RemovalCause::MaxWeight
                }
            };
            self.depart(slot, cause, now);
            let entries = known(&self.payload, &self.hasher, self.limits);
            let hash = entries.hash(slot);
            self.policy.evict(slot, hash, &entries);
            self.vacate(slot, hash);
            self.prefetch_victims();
        }
    }

    /// Fetches what the next evictions will look at, one step for each of three victims: by the time that one goes, its entry has told its hash, and
    /// that where it is in the index, without anybody having waited.
    fn prefetch_victims(&self) {
        let [next, second, third] = self.policy.upcoming();
        if let Some(slot) = third {
            self.payload.prefetch_slot(slot);
            self.policy.prefetch(slot);
        }
        if let Some(slot) = second {
            self.payload.prefetch_entry(slot);
        }
        if let Some(slot) = next {
            self.index.prefetch(self.hash_of(self.payload.key(slot)));
        }
    }

    /// Takes an occupied slot out of all four parts, for another reason than that the policy named it. The caller counts why.
    pub(super) fn discard(&mut self, slot: u32) {
        let hash = self.hash_of(self.payload.key(slot));
        self.discard_hashed(slot, hash);
    }

    pub(super) fn discard_hashed(&mut self, slot: u32, hash: u32) {
        self.policy
            .remove(slot, hash, &known(&self.payload, &self.hasher, self.limits));
        self.vacate(slot, hash);
    }

    /// Takes a slot that the policy does not know any more out of the other three parts.
    fn vacate(&mut self, slot: u32, hash: u32) {
        self.stats.bytes -= self.expiry.charge(slot);
        self.expiry.remove(slot);
        self.empty(slot, hash);
    }

    /// Takes a slot that neither the policy nor expiry know any more out of the others.
    fn empty(&mut self, slot: u32, hash: u32) {
        self.stats.bytes -= self.payload.weight(slot);
        self.index.remove(hash, slot);
        let large = self.payload.remove(slot);
        self.bury(large);
        self.vacated = self.vacated.saturating_add(1);
    }

    /// Discards slots whose deadlines are taken out already, what is to be looked at for them fetched at the same time.
    fn discard_expired(&mut self, slots: &[u32]) {
        let mut hashes = [0; FETCHED_TOGETHER];
        for slots in slots.chunks(FETCHED_TOGETHER) {
            for &slot in slots {
                self.payload.prefetch_slot(slot);
                self.policy.prefetch(slot);
            }
            for &slot in slots {
                self.payload.prefetch_entry(slot);
                self.policy.prefetch_neighbours(slot);
            }
            for (hash, &slot) in hashes.iter_mut().zip(slots) {
                *hash = self.hash_of(self.payload.key(slot));
                self.index.prefetch(*hash);
            }
            for (&hash, &slot) in hashes.iter().zip(slots) {
                self.depart(slot, RemovalCause::Expired, 0);
                let entries = known(&self.payload, &self.hasher, self.limits);
                self.policy.remove(slot, hash, &entries);
                self.stats.bytes -= self.expiry.forget_taken(slot);
                self.empty(slot, hash);
            }
        }
    }

    /// Gives slots up if many are vacant, and pages if much of them is, so that memory taken for many small entries comes back when few large ones
    /// follow. Entries move; whoever calls this must not use slots that it knew before.
    pub(super) fn compact(&mut self) {
        if !self.is_expiring || self.is_loose() {
            let vacated = std::mem::take(&mut self.vacated);
            self.compact_by(vacated.max(COMPACTED_PER_OPERATION));
        }
    }

    /// Whether so much lies vacant that it cannot wait until the storm is over: it would be held beyond `max_bytes`, for as long as new lengths keep coming.
    pub(in crate::cache) fn is_loose(&self) -> bool {
        let tolerated = match self.limits.bytes {
            u64::MAX => self.footprint_before + self.footprint_before / MORE_UNLIMITED,
            limit => limit + limit / MORE_IN_STORM,
        };
        self.footprint() > tolerated && self.payload.vacant() as u64 > LEAST_LOOSE
    }

    /// Bytes that are charged, and those of pages in which nothing lies.
    fn footprint(&self) -> u64 {
        self.stats.bytes + self.payload.vacant() as u64
    }

    /// `true` if that is not enough.
    fn compact_by(&mut self, count: u32) -> bool {
        if self.payload.is_sparse() {
            self.give_slots_up(count);
        }
        for _ in 0..count {
            let Some((key, place)) = self.payload.straggler() else {
                break;
            };
            let hash = index_hash(hash_of(&self.hasher, key));
            let payload = &self.payload;
            match self.index.find(hash, |slot| payload.is_in(slot, place)) {
                Some(slot) => self.payload.move_out(slot),
                None => {
                    debug_assert!(false, "an entry that the index does not know");
                    return false;
                }
            }
        }
        self.payload.is_sparse() || self.payload.has_entries_to_move()
    }

    fn give_slots_up(&mut self, count: u32) {
        for _ in 0..count {
            if !self.payload.is_sparse() {
                break;
            }
            if let Some((from, to)) = self.payload.give_up_last() {
                let hash = self.hash_of(self.payload.key(to));
                self.index.relocate(hash, from, to);
                self.policy.relocate(from, to);
                self.sweeps.iter_mut().for_each(|sweep| sweep.relocate(from, to));
                self.expiry.relocate(from, to);
            }
        }
        self.policy.truncate(self.payload.end());
        self.expiry.truncate(self.payload.end());
    }
}
