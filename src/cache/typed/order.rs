//! The order of eviction of a typed cache. Exact LRU is a log, see recency.rs; every other policy is the engine's own, with its
//! side arrays.

use super::super::paged::Paged;
use super::super::policy::{AnyPolicy, Entries, Measure, Policy, PolicyKind, Salt};
use super::recency::Log;
use super::slots::Slots;

#[derive(Debug)]
pub(super) enum Order {
    Lru(Log),
    Other(AnyPolicy),
}

/// What policies may ask about entries.
struct Known<'s, K, V> {
    slots: &'s Slots<K, V>,
    weights: Option<&'s Paged<u64>>,
}

impl<K, V> Entries for Known<'_, K, V> {
    fn hash(&self, slot: u32) -> u32 {
        self.slots.get(slot).map_or(0, |held| held.hash)
    }

    fn weight(&self, slot: u32) -> u64 {
        match self.weights {
            None => 1,
            Some(weights) => weights.get(slot).copied().unwrap_or(0),
        }
    }
}

/// The entries, as each call is told of them: they and their weights.
pub(super) type Held<'s, K, V> = (&'s Slots<K, V>, &'s Option<Paged<u64>>);

const fn known<'s, K, V>((slots, weights): Held<'s, K, V>) -> Known<'s, K, V> {
    Known {
        slots,
        weights: weights.as_ref(),
    }
}

impl Order {
    pub(super) fn new(kind: PolicyKind, salt: Salt) -> Self {
        match kind {
            PolicyKind::Lru => Order::Lru(Log::new()),
            _ => Order::Other(AnyPolicy::new(kind, salt)),
        }
    }

    /// An empty one of the same kind.
    pub(super) fn anew(&self) -> Self {
        match self {
            Order::Lru(_) => Order::Lru(Log::new()),
            Order::Other(policy) => Order::Other(policy.anew()),
        }
    }

    /// A slot holds a new entry.
    #[inline]
    pub(super) fn insert<K, V>(&mut self, slot: u32, hash: u32, held: Held<'_, K, V>) {
        match self {
            Order::Lru(log) => log.add(slot),
            Order::Other(policy) => policy.insert(slot, hash, &known(held)),
        }
    }

    /// The entry was read or overwritten.
    #[inline(always)]
    pub(super) fn access<K, V>(&mut self, slot: u32, hash: u32, held: Held<'_, K, V>) {
        match self {
            Order::Lru(log) => log.note_use(slot),
            Order::Other(policy) => access_other(policy, slot, hash, &known(held)),
        }
    }

    #[inline]
    pub(super) fn miss(&mut self, hash: u32) {
        if let Order::Other(policy) = self {
            policy.miss(hash);
        }
    }

    pub(super) fn reweigh(&mut self, slot: u32, old: u64, new: u64) {
        if let Order::Other(policy) = self {
            policy.reweigh(slot, old, new);
        }
    }

    /// The entry goes, because the policy named it if `is_victim`.
    #[inline]
    pub(super) fn remove<K, V>(&mut self, slot: u32, hash: u32, is_victim: bool, held: Held<'_, K, V>) {
        match self {
            Order::Lru(log) if is_victim => log.remove_oldest(slot),
            Order::Lru(log) => log.remove(slot),
            Order::Other(policy) if is_victim => policy.evict(slot, hash, &known(held)),
            Order::Other(policy) => policy.remove(slot, hash, &known(held)),
        }
    }

    /// The entry has moved from one slot to another.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        match self {
            Order::Lru(log) => log.relocate(from, to),
            Order::Other(policy) => policy.relocate(from, to),
        }
    }

    pub(super) fn truncate(&mut self, end: usize) {
        match self {
            Order::Lru(log) => log.truncate(end),
            Order::Other(policy) => policy.truncate(end),
        }
    }

    /// Gives back what was kept for more entries than there are any more, a slice of it; `true` if there is more.
    pub(super) fn tidy(&mut self) -> bool {
        match self {
            Order::Lru(_) => false,
            Order::Other(policy) => policy.tidy(),
        }
    }

    /// Fetches what is looked at for a hash, whether it is there or not.
    pub(super) fn prefetch_hash(&self, hash: u32) {
        if let Order::Other(policy) = self {
            policy.prefetch_hash(hash);
        }
    }

    /// Fetches what is known of a slot.
    pub(super) fn prefetch(&self, slot: u32) {
        if let Order::Other(policy) = self {
            policy.prefetch(slot);
        }
    }

    /// Fetches what that leads to.
    pub(super) fn prefetch_neighbours(&self, slot: u32) {
        if let Order::Other(policy) = self {
            policy.prefetch_neighbours(slot);
        }
    }

    /// The slot to evict next, now that there is too much of `measure` or would be.
    #[inline]
    pub(super) fn victim<K, V>(
        &mut self,
        measure: Measure,
        slots: &Slots<K, V>,
        weights: &Option<Paged<u64>>,
    ) -> Option<u32> {
        match self {
            Order::Lru(log) => log.oldest(),
            Order::Other(policy) => policy.victim(measure, &known((slots, weights))),
        }
    }

    /// The slot that will go next, if that can be told without effort.
    pub(super) fn next_victim(&mut self) -> Option<u32> {
        match self {
            Order::Lru(log) => log.oldest(),
            Order::Other(policy) => policy.upcoming()[0],
        }
    }

    /// Fetches what the next evictions look at, and gives a slot that is likely to go soon, of which the entry has been fetched before.
    #[inline]
    pub(super) fn prefetch_victims<K, V>(&self, slots: &Slots<K, V>) -> Option<u32> {
        match self {
            Order::Lru(log) => {
                let [near, far] = log.upcoming();
                slots.prefetch(far);
                Some(near)
            }
            Order::Other(policy) => {
                let [next, second, third] = policy.upcoming();
                third.into_iter().for_each(|slot| policy.prefetch(slot));
                second.into_iter().for_each(|slot| slots.prefetch(slot));
                next
            }
        }
    }

    /// All known slots, about in the order in which they would go; exactly so, if that can be told in advance.
    pub(super) fn coldest_first(&mut self) -> Vec<u32> {
        match self {
            Order::Lru(log) => log.in_order(),
            Order::Other(policy) => policy.coldest_first(),
        }
    }

    /// Panics if the order contradicts itself. For tests and fuzzers.
    pub(super) fn validate<K, V>(&self, slots: &Slots<K, V>, weights: &Option<Paged<u64>>) {
        match self {
            Order::Lru(log) => log.validate(),
            Order::Other(policy) => policy.validate(&known((slots, weights))),
        }
    }
}

/// Not in place: that of LRU is.
#[inline(never)]
fn access_other(policy: &mut AnyPolicy, slot: u32, hash: u32, entries: &impl Entries) {
    policy.access(slot, hash, entries);
}
