//! One shard: index, payload, policy and expiry composed, single-threaded, behind one lock that `Cache` holds.
//!
//! Every operation is told the time. What is past its deadline is treated as absent, and removed when met.

use std::cell::Cell;
use std::sync::Arc;

use ahash::RandomState;

use super::cause::RemovalCause;
use super::departures::{Grave, Listener};
use super::entry::{Condition, Entry, EntryRef, TimeLeft};
use super::error::Error;
use super::expiry::Expiry;
use super::index::Index;
use super::keys::{hash_of, is_same};
use super::observer::{Observed, Observer};
use super::payload::{self, Draft, Payload};
use super::policy::{Entries, Policy};
use super::stats::Stats;
use super::sweep::Sweep;
use crate::flight::Flights;

mod ahead;
mod departing;
#[cfg(feature = "daemon")]
mod fitting;
mod loading;
mod looking;
mod room;
mod telling;
mod walk;

pub(super) use loading::{Loading, spread};
pub(super) use room::Reserved;
pub(super) use walk::Walk;

/// A key and the part of its hash that the index uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed<'k> {
    pub(super) key: &'k [u8],
    pub(super) hash: u32,
}

/// What one shard may hold; `u64::MAX` is no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) items: u64,
    pub(super) bytes: u64,
    /// How many others there are, itself included: what is kept for each comes as many times.
    pub(super) shards: usize,
}

/// The deadline of an entry that is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deadline {
    At(u64),
    /// That of the entry that is there; of a new one, this.
    KeepOr(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Different,
    Missing,
}

#[derive(Debug)]
pub(super) struct Shard<P> {
    index: Index,
    payload: Payload,
    policy: P,
    expiry: Expiry,
    limits: Limits,
    /// That of the cache: the same hashes.
    hasher: RandomState,
    /// `items` and `items_with_deadline` are filled in when asked for.
    stats: Stats,
    /// What the holder of the lock has to do about entries that are gone, once it has let go of it.
    graveyard: Vec<Grave>,
    /// Who is told of what leaves, if anybody.
    listener: Option<Listener>,
    observer: Option<Arc<dyn Observer>>,
    /// Whether the observer has to settle what it was shown, before anybody is told that it is done.
    settles: bool,
    /// Whether it was shown something since that was last asked.
    unsettled: Cell<bool>,
    /// Entries that are not here may be where the observer keeps them, whether any was evicted or not.
    others_elsewhere: bool,
    /// What is being loaded. `clear` leaves all of it behind.
    flights: Flights<Box<[u8]>, Entry>,
    /// While everything is being shown: one for each who asked.
    sweeps: Vec<Sweep>,
    /// Slots that have expired and are being removed; kept for its memory.
    expired: Vec<u32>,
    /// From `reclaim` to `tidy`.
    is_expiring: bool,
    /// The footprint when that began.
    footprint_before: u64,
    /// Slots that were vacated since something was last given up for it.
    vacated: u32,
    /// Bytes that are kept free for entries which are about to be stored.
    reserved: u64,
}

impl<P: Policy> Shard<P> {
    /// `idle`: for how many nanoseconds an entry stays without being used, or `NEVER`.
    pub(super) fn new(limits: Limits, policy: P, idle: u64, hasher: RandomState) -> Self {
        Shard {
            index: Index::new(limits.bytes, limits.shards),
            payload: Payload::new(limits.bytes, limits.shards, policy.overhead()),
            policy,
            expiry: Expiry::of_idle(idle),
            limits,
            hasher,
            stats: Stats::default(),
            graveyard: Vec::new(),
            listener: None,
            observer: None,
            settles: false,
            unsettled: Cell::new(false),
            others_elsewhere: false,
            flights: Flights::new(),
            sweeps: Vec::new(),
            expired: Vec::new(),
            is_expiring: false,
            footprint_before: 0,
            vacated: 0,
            reserved: 0,
        }
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            items: self.payload.len() as u64,
            items_with_deadline: self.expiry.len() as u64,
            ..self.stats
        }
    }

    pub(super) fn has_deadlines(&self) -> bool {
        self.expiry.len() > 0
    }

    /// Reads an entry: counts, and refreshes it.
    #[inline]
    pub(super) fn read<R>(
        &mut self,
        key: Hashed<'_>,
        now: u64,
        seen: impl FnOnce(EntryRef<'_>) -> R,
    ) -> Option<R> {
        if let Some((slot, held)) = find(&self.index, &self.payload, key) {
            let deadline = self.expiry.deadline(slot);
            if deadline > now {
                self.stats.hits += 1;
                let entries = known(&self.payload, &self.hasher, self.limits);
                self.policy.access(slot, key.hash, &entries);
                let fixed = self.expiry.used(slot, deadline, now);
                // Last, so that the result is made where the caller wants it.
                return Some(seen(EntryRef::new(held.view(), now, fixed)));
            }
            self.expire(slot, key.hash);
        }
        self.stats.misses += 1;
        self.policy.miss(key.hash);
        None
    }

    /// Writes an entry. `Ok(false)` if the condition did not hold.
    pub(super) fn store(
        &mut self,
        hash: u32,
        draft: Draft<'_>,
        deadline: Deadline,
        condition: Condition,
        now: u64,
    ) -> Result<bool, Error> {
        let key = Hashed { key: draft.key, hash };
        let found = self.live(key, now);
        match (condition, found) {
            (Condition::IfAbsent, Some(_)) | (Condition::IfPresent, None) => {
                self.bury(draft.into_large());
                return Ok(false);
            }
            _ => {}
        }
        self.outdate_load(key);
        let deadline = self.deadline_of(deadline, found);
        let weight = self.payload.weight_of(&draft) + self.expiry.charge_for(deadline);
        let fits = weight <= self.limits.bytes;
        if deadline <= now || !fits {
            self.tell_removal(key.key, found.is_some());
            if let Some(slot) = found {
                self.depart(slot, RemovalCause::Removed, now);
                self.stats.removals += 1;
                self.discard_hashed(slot, hash);
                self.compact();
            }
            self.bury(draft.into_large());
            if fits {
                return Ok(true);
            }
            self.stats.refused += 1;
            return Err(Error::TooLarge {
                weight,
                max: self.limits.bytes,
            });
        }
        let slot = match found {
            Some(slot) => {
                self.depart(slot, RemovalCause::Replaced, now);
                self.stats.updates += 1;
                self.policy
                    .access(slot, hash, &known(&self.payload, &self.hasher, self.limits));
                self.stats.bytes -= self.weight(slot);
                let old_weight = known(&self.payload, &self.hasher, self.limits).weight(slot);
                let old = self.payload.replace(slot, draft);
                let new_weight = known(&self.payload, &self.hasher, self.limits).weight(slot);
                self.policy.reweigh(slot, old_weight, new_weight);
                self.bury(old);
                slot
            }
            None => {
                self.make_room(1, weight, now);
                self.stats.inserts += 1;
                let slot = self.payload.insert(draft);
                self.index.insert(hash, slot);
                self.policy
                    .insert(slot, hash, &known(&self.payload, &self.hasher, self.limits));
                slot
            }
        };
        self.expiry.give(slot, deadline, now);
        self.stats.bytes += self.weight(slot);
        if self.observer.is_some() {
            let entry = self.payload.view(slot);
            self.tell(&Observed::Set {
                key: entry.key,
                value: entry.value,
                shared: entry.shared,
                tag: entry.tag,
                time_left: TimeLeft::between(now, deadline),
                now,
            });
        }
        // An overwrite may have made the entry heavier. It fits by itself; and with exact LRU it is the last that would go.
        self.make_room(0, 0, now);
        self.compact();
        Ok(true)
    }

    /// Removes a live entry and gives it to `seen` first. `None` if there was none.
    pub(super) fn remove<R>(
        &mut self,
        key: Hashed<'_>,
        now: u64,
        seen: impl FnOnce(EntryRef<'_>) -> R,
    ) -> Option<R> {
        self.outdate_load(key);
        let found = self.live(key, now);
        self.tell_removal(key.key, found.is_some());
        let slot = found?;
        let result = seen(self.entry(slot, now));
        self.depart(slot, RemovalCause::Removed, now);
        self.stats.removals += 1;
        self.discard_hashed(slot, key.hash);
        self.compact();
        Some(result)
    }

    /// As `remove`, but counted as a read.
    pub(super) fn take<R>(
        &mut self,
        key: Hashed<'_>,
        now: u64,
        seen: impl FnOnce(EntryRef<'_>) -> R,
    ) -> Option<R> {
        let taken = self.remove(key, now, seen);
        match taken {
            Some(_) => self.stats.hits += 1,
            None => {
                self.stats.misses += 1;
                self.policy.miss(key.hash);
            }
        }
        taken
    }

    /// Gives a live entry another deadline and refreshes it. `false` if there is none.
    pub(super) fn touch(&mut self, key: Hashed<'_>, deadline: Deadline, now: u64) -> bool {
        let Some(slot) = self.live(key, now) else {
            return false;
        };
        self.policy
            .access(slot, key.hash, &known(&self.payload, &self.hasher, self.limits));
        match deadline {
            Deadline::KeepOr(_) => {
                let deadline = self.expiry.deadline(slot);
                self.expiry.used(slot, deadline, now);
            }
            Deadline::At(at) if at <= now => {
                self.tell_removal(key.key, true);
                self.depart(slot, RemovalCause::Removed, now);
                self.stats.removals += 1;
                self.discard_hashed(slot, key.hash);
            }
            Deadline::At(at) => {
                self.stats.bytes -= self.weight(slot);
                self.expiry.give(slot, at, now);
                self.stats.bytes += self.weight(slot);
                self.tell(&Observed::Deadline {
                    key: key.key,
                    time_left: TimeLeft::between(now, at),
                    now,
                });
                // A deadline weighs something. The entry is the most recently used one.
                self.make_room(0, 0, now);
            }
        }
        self.compact();
        true
    }

    /// Adds to the decimal integer that the key holds, or to 0. An entry that is there keeps its deadline and its tag.
    pub(super) fn increment(
        &mut self,
        key: Hashed<'_>,
        delta: i64,
        when_created: u64,
        max_len: usize,
        now: u64,
    ) -> Result<i64, Error> {
        let found = self.peek(key, now, |entry| {
            parse_integer(entry.value()).map(|value| (value, entry.tag()))
        });
        let (value, tag) = found.unwrap_or(Ok((0, super::Tag::TEXT)))?;
        let sum = value.checked_add(delta).ok_or(Error::Overflow { value, delta })?;
        let text = sum.to_string();
        if text.len() > max_len {
            return Err(Error::ValueTooLong {
                len: text.len(),
                max: max_len,
            });
        }
        let draft = Draft::new(key.key, text.as_bytes(), tag);
        let deadline = Deadline::KeepOr(when_created);
        self.store(key.hash, draft, deadline, Condition::Always, now)?;
        Ok(sum)
    }

    /// Writes what is drafted if the key holds exactly the bytes `expected`.
    pub(super) fn compare_and_set(
        &mut self,
        hash: u32,
        expected: &[u8],
        draft: Draft<'_>,
        deadline: Deadline,
        now: u64,
    ) -> Result<Comparison, Error> {
        let key = Hashed { key: draft.key, hash };
        let found = match self.peek(key, now, |entry| entry.value() == expected) {
            None => Comparison::Missing,
            Some(true) => Comparison::Equal,
            Some(false) => Comparison::Different,
        };
        if found == Comparison::Equal {
            self.store(hash, draft, deadline, Condition::Always, now)?;
        } else {
            self.bury(draft.into_large());
        }
        Ok(found)
    }

    /// Empties the shard at once. What it held is in the result, to be dropped without the lock.
    pub(super) fn clear(&mut self) -> Self {
        let idle = self.expiry.time_to_idle();
        let new = Shard::new(self.limits, self.policy.anew(), idle, self.hasher.clone());
        let old = std::mem::replace(self, new);
        self.observe(old.observer.clone(), old.settles);
        self.listener.clone_from(&old.listener);
        self.others_elsewhere = old.others_elsewhere;
        // Sweeps that are under way have nothing left to show.
        self.sweeps = old.sweeps.iter().map(|sweep| Sweep::new(sweep.id, 0)).collect();
        self.reserved = old.reserved;
        self.stats = Stats {
            bytes: 0,
            removals: old.stats.removals + old.payload.len() as u64,
            ..old.stats
        };
        old
    }

    #[inline]
    fn entry(&self, slot: u32, now: u64) -> EntryRef<'_> {
        EntryRef::new(self.payload.view(slot), now, self.expiry.fixed(slot))
    }

    /// The slot that holds the key, unless it has expired: then it is removed.
    #[inline]
    fn live(&mut self, key: Hashed<'_>, now: u64) -> Option<u32> {
        let (slot, _) = find(&self.index, &self.payload, key)?;
        if self.expiry.deadline(slot) > now {
            return Some(slot);
        }
        self.expire(slot, key.hash);
        None
    }

    /// Removes an entry that was met past its deadline.
    #[cold]
    fn expire(&mut self, slot: u32, hash: u32) {
        self.depart(slot, RemovalCause::Expired, 0);
        self.stats.expirations += 1;
        self.discard_hashed(slot, hash);
        // Or what many reads leave behind would be up to one write.
        self.compact();
    }

    /// The deadline of what is written, where there may be an entry already.
    fn deadline_of(&self, deadline: Deadline, found: Option<u32>) -> u64 {
        match (deadline, found) {
            (Deadline::At(at), _) | (Deadline::KeepOr(at), None) => at,
            (Deadline::KeepOr(_), Some(slot)) => self.expiry.fixed(slot),
        }
    }

    /// Bytes charged for what a slot holds.
    fn weight(&self, slot: u32) -> u64 {
        self.payload.weight(slot) + self.expiry.charge(slot)
    }

    #[inline]
    fn hash_of(&self, key: &[u8]) -> u32 {
        index_hash(hash_of(&self.hasher, key))
    }
}

/// The part of a key's hash that the index uses.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half; the upper one chooses the shard"
)]
pub(super) const fn index_hash(hash: u64) -> u32 {
    hash as u32
}

/// The slot that holds the key, expired or not, and where to look at what it holds.
#[inline(always)]
fn find<'p>(index: &Index, payload: &'p Payload, key: Hashed<'_>) -> Option<(u32, payload::Held<'p>)> {
    for slot in index.slots(key.hash) {
        let held = payload.held(slot);
        if is_same(held.key(), key.key) {
            return Some((slot, held));
        }
    }
    if !index.is_crowded() {
        return None;
    }
    let slot = index.find_in_crowd(key.hash, |slot| payload.key(slot) == key.key)?;
    Some((slot, payload.held(slot)))
}

/// What policies may ask about entries. What a deadline weighs is no matter to them.
struct Known<'a> {
    payload: &'a Payload,
    hasher: &'a RandomState,
    /// Weights are only looked up where bytes are limited.
    weighs: bool,
}

#[inline]
fn known<'a>(payload: &'a Payload, hasher: &'a RandomState, limits: Limits) -> Known<'a> {
    let weighs = limits.bytes != u64::MAX;
    Known {
        payload,
        hasher,
        weighs,
    }
}

impl Entries for Known<'_> {
    fn hash(&self, slot: u32) -> u32 {
        index_hash(hash_of(self.hasher, self.payload.key(slot)))
    }

    fn weight(&self, slot: u32) -> u64 {
        if self.weighs { self.payload.weight(slot) } else { 0 }
    }
}

fn parse_integer(value: &[u8]) -> Result<i64, Error> {
    // No number is longer, but for zeros in front; and megabytes are not to be looked through under the lock.
    let text = Some(value)
        .filter(|value| value.len() <= 64)
        .and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::NotAnInteger {
            found: String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned(),
        })
}
