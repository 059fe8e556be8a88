//! One shard of a typed cache: the index, the policies and the deadlines of the engine over slots that hold keys and values themselves. Single-threaded, behind a
//! lock that `TypedCache` holds; told the time.
//!
//! Of the user's code, only `Eq` of keys and `Clone` run in here, both before anything is changed; what leaves is collected in `Gone`, for the caller to
//! tell of and to drop without the lock. So a panic of theirs finds and leaves all in order.

use super::super::clock::{NEVER, later};
use super::super::entry::{Condition, TimeLeft};
use super::super::expiry::Expiry;
use super::super::paged::Paged;
use super::super::shard::{Deadline, Limits};
use super::super::stats::Stats;
use super::RemovalCause;
use super::few::Few;
use super::index::Index;
use super::order::Order;
use super::slots::{Held, Slots, Version};
use crate::flight::Flights;

mod loading;
mod room;

/// What has left the shard, and why, in the order in which it did.
pub(super) type Gone<K, V> = Few<(K, V, RemovalCause)>;

/// What a read finds.
#[derive(Debug)]
pub(super) enum Found<T> {
    Live(T),
    /// An entry past its deadline: `expire` takes it out.
    Expired(u32),
    Nothing,
}

/// An entry to be written, beside key and value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write {
    pub(super) hash: u32,
    pub(super) weight: u64,
    pub(super) deadline: Deadline,
    pub(super) condition: Condition,
}

/// Where an entry is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// Over the live entry of this slot.
    Over(u32),
    /// There is none yet.
    New,
    /// Nowhere: what was there when the caller looked is not there any more.
    Changed,
}

impl Spot {
    pub(super) fn of(found: Option<u32>) -> Self {
        found.map_or(Spot::New, Spot::Over)
    }
}

/// What came of a write. What was not stored is given back.
#[derive(Debug)]
pub(super) enum Outcome<K, V> {
    Stored,
    /// The condition did not hold: nothing changed.
    Unmet(K, V),
    /// `Spot::Changed`: nothing was done.
    Changed(K, V),
    /// Its deadline has come already. What the key held is gone.
    ExpiredAtOnce(K, V),
    /// It weighs more than the shard may hold. What the key held is gone.
    TooHeavy(K, V),
}

#[derive(Debug)]
pub(super) struct Shard<K, V> {
    index: Index,
    slots: Slots<K, V>,
    order: Order,
    /// When an entry goes, whether for its TTL or for being idle.
    expiry: Expiry,
    /// How long an entry may be idle, in nanoseconds, or `NEVER`.
    idle: u64,
    /// When an entry goes however often it is used. Only kept if there is a limit on being idle; else that is in `expiry`.
    hard: Paged<u64>,
    /// Weights of entries; `None` if each weighs 1.
    weights: Option<Paged<u64>>,
    limits: Limits,
    /// What is being loaded. `clear` leaves all of it behind.
    flights: Flights<K, V>,
    /// `items`, `bytes` and `items_with_deadline` are filled in when asked for.
    stats: Stats,
    weight: u64,
    /// Slots that have expired and are being removed; kept for its memory.
    expired: Vec<u32>,
    /// From `reclaim` to `tidy`.
    is_expiring: bool,
    /// Slots that were vacated since some were last given up for it.
    vacated: u32,
}

impl<K, V> Shard<K, V> {
    pub(super) fn new(limits: Limits, order: Order, idle: u64, weighs: bool) -> Self {
        Shard {
            index: Index::new(),
            slots: Slots::new(),
            order,
            expiry: Expiry::new(),
            idle,
            hard: Paged::new(),
            weights: weighs.then(Paged::new),
            limits,
            flights: Flights::new(),
            stats: Stats::default(),
            weight: 0,
            expired: Vec::new(),
            is_expiring: false,
            vacated: 0,
        }
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            items: self.slots.len() as u64,
            bytes: self.weight,
            items_with_deadline: self.expiry.len() as u64,
            ..self.stats
        }
    }

    /// Whether there is something to reclaim or to tidy.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.is_expiring || self.expiry.is_due(now)
    }

    pub(super) fn has_deadlines(&self) -> bool {
        self.expiry.len() > 0
    }

    /// Reads an entry: counts, and refreshes it.
    #[inline]
    pub(super) fn read<R>(
        &mut self,
        hash: u32,
        is_it: impl FnMut(&Held<K, V>) -> bool,
        now: u64,
        seen: impl FnOnce(&Held<K, V>) -> R,
    ) -> Found<R> {
        let found = self.read_if_there(hash, is_it, now, seen);
        if matches!(found, Found::Nothing) {
            self.count_miss(hash);
        }
        found
    }

    /// As `read`, but what is not there is not counted as a miss.
    #[inline]
    pub(super) fn read_if_there<R>(
        &mut self,
        hash: u32,
        is_it: impl FnMut(&Held<K, V>) -> bool,
        now: u64,
        seen: impl FnOnce(&Held<K, V>) -> R,
    ) -> Found<R> {
        let Some((slot, held)) = self.find(hash, is_it) else {
            return Found::Nothing;
        };
        let has_deadlines = self.has_deadlines();
        if has_deadlines && self.expiry.deadline(slot) <= now {
            return Found::Expired(slot);
        }
        // First, since it may panic.
        let result = seen(held);
        if has_deadlines && self.idle != NEVER {
            let hard = self.hard_deadline(slot);
            self.expiry.set(slot, hard.min(later(now, self.idle)));
        }
        self.stats.hits += 1;
        self.order.access(slot, hash, (&self.slots, &self.weights));
        Found::Live(result)
    }

    /// Looks at an entry: neither counts nor refreshes.
    pub(super) fn peek<R>(
        &self,
        hash: u32,
        is_it: impl FnMut(&Held<K, V>) -> bool,
        now: u64,
        seen: impl FnOnce(&Held<K, V>, TimeLeft) -> R,
    ) -> Found<R> {
        let Some((slot, held)) = self.find(hash, is_it) else {
            return Found::Nothing;
        };
        match self.expiry.deadline(slot) {
            deadline if deadline <= now => Found::Expired(slot),
            deadline => Found::Live(seen(held, TimeLeft::between(now, deadline))),
        }
    }

    /// The value of a slot that is held.
    pub(super) fn value(&self, slot: u32) -> Option<&V> {
        self.slots.get(slot).map(|held| &held.value)
    }

    /// Shows everything that is held, expired or not, until `show` fails.
    pub(super) fn each<E>(&self, mut show: impl FnMut(&K, &V) -> Result<(), E>) -> Result<(), E> {
        self.slots
            .iter()
            .try_for_each(|held| show(&held.key, &held.value))
    }

    /// Shows all live entries of this hash.
    pub(super) fn each_alike(&self, hash: u32, now: u64, mut show: impl FnMut(&Held<K, V>)) {
        self.index.find(hash, |slot| {
            if let Some(held) = self.slots.get(slot)
                && self.expiry.deadline(slot) > now
            {
                show(held);
            }
            false
        });
    }

    pub(super) fn count_miss(&mut self, hash: u32) {
        self.stats.misses += 1;
        self.order.miss(hash);
    }

    /// The slot of a live entry. One that has expired is taken out.
    #[inline]
    pub(super) fn live(
        &mut self,
        hash: u32,
        is_it: impl FnMut(&Held<K, V>) -> bool,
        now: u64,
        gone: &mut Gone<K, V>,
    ) -> Option<u32> {
        let (slot, _) = self.find(hash, is_it)?;
        if !self.has_deadlines() || self.expiry.deadline(slot) > now {
            return Some(slot);
        }
        self.expire(slot, gone);
        None
    }

    /// Takes out an entry that was met past its deadline.
    #[cold]
    pub(super) fn expire(&mut self, slot: u32, gone: &mut Gone<K, V>) {
        self.stats.expirations += 1;
        self.discard(slot, RemovalCause::Expired, gone);
        self.compact();
    }

    /// Writes an entry over the one that `live` has found, or as a new one.
    pub(super) fn store(
        &mut self,
        spot: Spot,
        write: &Write,
        (key, value): (K, V),
        now: u64,
        gone: &mut Gone<K, V>,
    ) -> Outcome<K, V> {
        let &Write { hash, weight, .. } = write;
        let found = match spot {
            Spot::Over(slot) => Some(slot),
            Spot::New => None,
            Spot::Changed => return Outcome::Changed(key, value),
        };
        match (write.condition, found) {
            (Condition::IfAbsent, Some(_)) | (Condition::IfPresent, None) => {
                return Outcome::Unmet(key, value);
            }
            _ => {}
        }
        self.outdate_load(hash);
        let deadline = match (write.deadline, found) {
            (Deadline::At(at), _) | (Deadline::KeepOr(at), None) => at,
            (Deadline::KeepOr(_), Some(slot)) => self.hard_deadline(slot),
        };
        let fits = weight <= self.limits.bytes;
        if deadline <= now || !fits {
            if let Some(slot) = found {
                self.stats.removals += 1;
                self.discard(slot, RemovalCause::Removed, gone);
                self.compact();
            }
            if fits {
                return Outcome::ExpiredAtOnce(key, value);
            }
            self.stats.refused += 1;
            return Outcome::TooHeavy(key, value);
        }
        let slot = match found {
            Some(slot) => {
                self.stats.updates += 1;
                self.order.access(slot, hash, (&self.slots, &self.weights));
                if let Some((key, value)) = self.slots.replace(slot, key, value) {
                    gone.push((key, value, RemovalCause::Replaced));
                }
                self.reweigh(slot, weight);
                slot
            }
            None => {
                self.make_room(1, weight, now, gone);
                self.stats.inserts += 1;
                let slot = self.slots.insert(hash, key, value);
                self.index.insert(hash, slot);
                if let Some(weights) = &mut self.weights {
                    weights.put(slot, weight, &0);
                }
                self.weight += weight;
                self.order.insert(slot, hash, (&self.slots, &self.weights));
                slot
            }
        };
        self.set_deadline(slot, deadline, now);
        if found.is_some() {
            // It may be heavier than what it was written over. It fits by itself; and with exact LRU it is the last that would go.
            self.make_room(0, 0, now, gone);
        }
        self.compact();
        Outcome::Stored
    }

    /// Gives the live entry of a slot another deadline and refreshes it.
    pub(super) fn touch(&mut self, slot: u32, deadline: Deadline, now: u64, gone: &mut Gone<K, V>) {
        let Some(&Held { hash, .. }) = self.slots.get(slot) else {
            return;
        };
        let deadline = match deadline {
            Deadline::At(at) => at,
            Deadline::KeepOr(_) => self.hard_deadline(slot),
        };
        if deadline <= now {
            self.take(slot, gone);
            return;
        }
        self.order.access(slot, hash, (&self.slots, &self.weights));
        self.set_deadline(slot, deadline, now);
    }

    /// Takes the live entry of a slot out because a caller says so.
    pub(super) fn take(&mut self, slot: u32, gone: &mut Gone<K, V>) {
        self.stats.removals += 1;
        self.discard(slot, RemovalCause::Removed, gone);
        self.compact();
    }

    /// Empties the shard at once. What it held is in the result.
    pub(super) fn clear(&mut self) -> Self {
        let weighs = self.weights.is_some();
        let new = Shard::new(self.limits, self.order.anew(), self.idle, weighs);
        let old = std::mem::replace(self, new);
        self.stats = Stats {
            removals: old.stats.removals + old.slots.len() as u64,
            ..old.stats
        };
        // A version says which write it was, also of an entry that is not there any more.
        self.slots.go_on_from(&old.slots);
        old
    }

    /// All that is held, with the reason why it goes when everything is cleared.
    pub(super) fn into_gone(self, now: u64, gone: &mut Gone<K, V>) {
        for (slot, key, value) in self.slots.into_entries() {
            let cause = if self.expiry.deadline(slot) <= now {
                RemovalCause::Expired
            } else {
                RemovalCause::Cleared
            };
            gone.push((key, value, cause));
        }
    }

    /// Shows the live entries from the hash `from` on, to the end of the segment of the index in which that lies, ordered by hash; gives where to go on, or `None` at
    /// the end. `found` is emptied first.
    pub(super) fn walk(
        &self,
        from: u32,
        now: u64,
        found: &mut Vec<(u32, u32)>,
        mut show: impl FnMut(&Held<K, V>, TimeLeft),
    ) -> Option<u32> {
        let next = self.index.walk(from, found);
        for &(_, slot) in &*found {
            let deadline = self.expiry.deadline(slot);
            if let Some(held) = self.slots.get(slot)
                && deadline > now
            {
                show(held, TimeLeft::between(now, deadline));
            }
        }
        next
    }

    /// Fetches what is to be looked at for these hashes from memory at the same time, instead of one after the other. (Chen, Gibbons, Mowry 2001: "group prefetching".)
    pub(super) fn prefetch(&self, hashes: impl Iterator<Item = u32> + Clone) {
        for hash in hashes.clone() {
            self.index.prefetch(hash);
            self.order.prefetch_hash(hash);
        }
        let slot_of = |hash| self.index.find(hash, |_| true);
        for slot in hashes.clone().filter_map(slot_of) {
            self.slots.prefetch(slot);
            self.order.prefetch(slot);
            self.expiry.prefetch(slot);
        }
        for slot in hashes.filter_map(slot_of) {
            self.order.prefetch_neighbours(slot);
        }
    }

    /// The entry that is meant, expired or not, and its slot.
    #[inline(always)]
    fn find(&self, hash: u32, mut is_it: impl FnMut(&Held<K, V>) -> bool) -> Option<(u32, &Held<K, V>)> {
        self.index.find_map(hash, |slot| {
            let held = self.slots.get(slot)?;
            is_it(held).then_some(held)
        })
    }

    /// When an entry goes however often it is used, or `NEVER`.
    fn hard_deadline(&self, slot: u32) -> u64 {
        if self.idle == NEVER {
            self.expiry.deadline(slot)
        } else {
            self.hard.get(slot).copied().unwrap_or(NEVER)
        }
    }

    #[inline]
    fn set_deadline(&mut self, slot: u32, hard: u64, now: u64) {
        if self.idle == NEVER {
            if hard != NEVER || self.has_deadlines() {
                self.expiry.set(slot, hard);
            }
        } else {
            self.hard.put(slot, hard, &NEVER);
            self.expiry.set(slot, hard.min(later(now, self.idle)));
        }
    }

    fn weight_of(&self, slot: u32) -> u64 {
        match &self.weights {
            None => 1,
            Some(weights) => weights.get(slot).copied().unwrap_or(0),
        }
    }

    fn reweigh(&mut self, slot: u32, new: u64) {
        if let Some(weights) = &mut self.weights {
            let old = std::mem::replace(&mut weights[slot], new);
            self.weight = self.weight - old + new;
            self.order.reweigh(slot, old, new);
        }
    }

    /// The entry that will be evicted next, if that can be told.
    pub(super) fn coldest(&mut self) -> Option<&Held<K, V>> {
        let slot = self.order.next_victim()?;
        self.slots.get(slot)
    }

    /// Slots that there are, held and vacant.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.end()
    }

    /// The keys of the live entries, in the order in which they would be evicted.
    #[cfg(test)]
    pub(super) fn coldest_first(&mut self, now: u64) -> Vec<K>
    where
        K: Clone,
    {
        let live = |&slot: &u32| self.expiry.deadline(slot) > now;
        let slots = self.order.coldest_first().into_iter().filter(live);
        slots
            .filter_map(|slot| self.slots.get(slot).map(|held| held.key.clone()))
            .collect()
    }

    /// Panics if the parts contradict each other or a limit is broken. For tests and fuzzers.
    pub(super) fn validate(&mut self) {
        let (mut held, mut weight, mut with_deadline) = (0, 0, 0);
        for slot in 0..u32::try_from(self.slots.end()).expect("fewer than MAX_SLOTS") {
            let deadline = self.expiry.deadline(slot);
            let Some(Held { hash, .. }) = self.slots.get(slot) else {
                assert_eq!(deadline, NEVER, "vacant slot {slot} has a deadline");
                continue;
            };
            held += 1;
            weight += self.weight_of(slot);
            with_deadline += usize::from(deadline != NEVER);
            assert_eq!(
                self.index.find(*hash, |other| other == slot),
                Some(slot),
                "index of slot {slot}"
            );
            if self.idle != NEVER {
                assert!(deadline <= self.hard_deadline(slot), "deadline of slot {slot}");
            }
        }
        assert_eq!(held, self.slots.len(), "slots held");
        assert_eq!(held, self.index.len(), "slots in the index");
        assert_eq!(with_deadline, self.expiry.len(), "slots with a deadline");
        assert_eq!(weight, self.weight, "weight");
        let mut order = self.order.coldest_first();
        assert_eq!(order.len(), held, "slots known to the policy");
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), held, "slots known twice to the policy");
        assert!(
            order.iter().all(|&slot| self.slots.get(slot).is_some()),
            "the policy knows a vacant slot"
        );
        assert!(held as u64 <= self.limits.items, "max_items is broken");
        assert!(weight <= self.limits.bytes, "max_weight is broken");
        self.order.validate(&self.slots, &self.weights);
        self.slots.validate();
        self.index.validate();
        self.expiry.validate();
    }
}

/// Whether an entry is the one that was seen with this version.
pub(super) fn is_version<K, V>(version: Version) -> impl FnMut(&Held<K, V>) -> bool {
    move |held| held.version == version
}
