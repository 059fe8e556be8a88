//! Room for what comes: expiry, eviction, and giving up what is left vacant.

use super::super::super::policy::Measure;
use super::{Gone, Held, RemovalCause, Shard};

/// Groups of deadlines at which one eviction may look for an expired entry to take first.
const EXPIRY_STEPS_PER_EVICTION: u32 = 64;
/// Slots that one operation gives up: so many, or as many as it has vacated.
const GIVEN_UP_PER_OPERATION: u32 = 8;

impl<K, V> Shard<K, V> {
    /// Takes out expired entries, up to `count` of them and a few more; `true` if there may be more.
    pub(in super::super) fn reclaim(&mut self, count: u32, now: u64, gone: &mut Gone<K, V>) -> bool {
        let mut budget = count;
        let mut expired = std::mem::take(&mut self.expired);
        expired.clear();
        self.expiry
            .take_expired(now, count as usize, &mut budget, &mut expired);
        for &slot in &expired {
            self.slots.prefetch(slot);
            self.order.prefetch(slot);
        }
        for &slot in &expired {
            self.discard(slot, RemovalCause::Expired, gone);
        }
        self.stats.expirations += expired.len() as u64;
        let more = budget == 0 || expired.len() >= count as usize;
        self.expired = expired;
        // Those that would be moved now are likely to expire soon themselves.
        self.is_expiring = true;
        self.vacated = 0;
        more
    }

    /// Gives up what expired entries have left vacant, a slice of it; `true` if there is more. To be called some time after `reclaim`.
    pub(in super::super) fn tidy(&mut self, count: u32) -> bool {
        self.is_expiring = false;
        self.give_slots_up(count);
        let more_unused = self.expiry.give_up_unused();
        let more_of_order = self.order.tidy();
        self.slots.is_sparse() || more_unused || more_of_order
    }

    /// Evicts until `items` more entries of `weight` in all fit: expired ones first, then those that the policy names.
    #[inline]
    pub(super) fn make_room(&mut self, items: u64, weight: u64, now: u64, gone: &mut Gone<K, V>) {
        loop {
            let too_many = self.slots.len() as u64 + items > self.limits.items;
            let too_heavy = self.weight.saturating_add(weight) > self.limits.bytes;
            if !too_many && !too_heavy {
                return;
            }
            let mut budget = EXPIRY_STEPS_PER_EVICTION;
            if self.has_deadlines()
                && let Some(slot) = self.expiry.expired(now, &mut budget)
            {
                self.stats.expirations += 1;
                self.discard(slot, RemovalCause::Expired, gone);
                continue;
            }
            let measure = if too_many { Measure::Items } else { Measure::Bytes };
            let Some(slot) = self.order.victim(measure, &self.slots, &self.weights) else {
                return;
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
            self.vacate(slot, true, cause, gone);
            self.prefetch_victims();
        }
    }

    /// Fetches what the next evictions will look at, one step for each: by the time that one goes, its entry has told its hash, and that where it is in the
    /// index, without anybody having waited.
    #[inline]
    fn prefetch_victims(&self) {
        if let Some(slot) = self.order.prefetch_victims(&self.slots)
            && let Some(held) = self.slots.get(slot)
        {
            self.index.prefetch(held.hash);
        }
    }

    /// Takes an entry out for another reason than that the policy named it. The caller counts why.
    pub(super) fn discard(&mut self, slot: u32, cause: RemovalCause, gone: &mut Gone<K, V>) {
        self.vacate(slot, false, cause, gone);
    }

    /// Takes an entry out, because the policy named it if `is_victim`.
    #[inline]
    fn vacate(&mut self, slot: u32, is_victim: bool, cause: RemovalCause, gone: &mut Gone<K, V>) {
        let Some(&Held { hash, .. }) = self.slots.get(slot) else {
            return;
        };
        self.order
            .remove(slot, hash, is_victim, (&self.slots, &self.weights));
        if self.has_deadlines() {
            self.expiry.remove(slot);
        }
        self.weight -= self.weight_of(slot);
        self.index.remove(hash, slot);
        if let Some(held) = self.slots.remove(slot) {
            gone.push((held.key, held.value, cause));
        }
        self.vacated = self.vacated.saturating_add(1);
    }

    /// Gives slots up if many are vacant. Entries move; whoever calls this must not use slots that it knew before.
    #[inline]
    pub(super) fn compact(&mut self) {
        if !self.is_expiring {
            let vacated = std::mem::take(&mut self.vacated);
            if self.slots.is_sparse() {
                self.give_slots_up(vacated.max(GIVEN_UP_PER_OPERATION));
            }
        }
    }

    fn give_slots_up(&mut self, count: u32) {
        for _ in 0..count {
            if !self.slots.is_sparse() {
                break;
            }
            if let Some((from, to, hash)) = self.slots.give_up_last() {
                self.index.relocate(hash, from, to);
                self.order.relocate(from, to);
                self.expiry.relocate(from, to);
                if let Some(weights) = &mut self.weights {
                    weights[to] = weights[from];
                }
                if let Some(&hard) = self.hard.get(from) {
                    self.hard.put(to, hard, &super::NEVER);
                }
            }
        }
        let end = self.slots.end();
        self.order.truncate(end);
        self.expiry.truncate(end);
        self.hard.truncate(end);
        if let Some(weights) = &mut self.weights {
            weights.truncate(end);
        }
    }
}
