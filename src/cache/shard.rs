//! One shard: index, payload, policy and expiry composed, single-threaded, behind one lock that `Cache` holds.
//!
//! Every operation is told the time. What is past its deadline is treated as absent, and removed when met.

use std::sync::Arc;

use super::entry::{Condition, EntryRef, TimeLeft};
use super::error::Error;
use super::expiry::Expiry;
use super::index::Index;
use super::observer::{Observed, Observer};
use super::payload::{Payload, Record};
use super::policy::Policy;
use super::stats::Stats;
use super::sweep::Sweep;

mod walk;

pub(super) use walk::Walk;

/// Slots that one eviction may move within the expiry wheel while it looks for an expired entry to take first.
const EXPIRY_STEPS_PER_EVICTION: u32 = 64;

/// Slots that one operation gives up at most. More than a slice of expired entries leaves vacant, so that this keeps pace.
const SLOTS_PER_COMPACTION: u32 = 512;

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
    /// `items` and `items_with_deadline` are filled in when asked for.
    stats: Stats,
    /// Large records that are gone, for the holder of the lock to drop once it has let go of it: freeing many MiB takes a while.
    graveyard: Vec<Record>,
    observer: Option<Arc<dyn Observer>>,
    /// Entries that are not here may be where the observer keeps them, whether any was evicted or not.
    others_elsewhere: bool,
    /// While everything is being shown.
    sweep: Option<Sweep>,
}

impl<P: Policy> Shard<P> {
    pub(super) fn new(limits: Limits, now: u64) -> Self {
        Shard {
            index: Index::new(),
            payload: Payload::new(),
            policy: P::new(),
            expiry: Expiry::new(now),
            limits,
            stats: Stats::default(),
            graveyard: Vec::new(),
            observer: None,
            others_elsewhere: false,
            sweep: None,
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

    pub(super) fn has_graves(&self) -> bool {
        !self.graveyard.is_empty()
    }

    pub(super) fn take_graves(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.graveyard)
    }

    /// Reads an entry: counts, and refreshes it.
    pub(super) fn read(&mut self, key: Hashed<'_>, now: u64) -> Option<EntryRef<'_>> {
        let Some(slot) = self.live(key, now) else {
            self.stats.misses += 1;
            return None;
        };
        self.stats.hits += 1;
        self.policy.access(slot);
        Some(EntryRef::new(
            self.payload.record(slot),
            now,
            self.expiry.deadline(slot),
        ))
    }

    /// Looks at an entry: neither counts nor refreshes.
    pub(super) fn peek(&mut self, key: Hashed<'_>, now: u64) -> Option<EntryRef<'_>> {
        let slot = self.live(key, now)?;
        Some(EntryRef::new(
            self.payload.record(slot),
            now,
            self.expiry.deadline(slot),
        ))
    }

    /// Writes an entry. `Ok(false)` if the condition did not hold.
    pub(super) fn store(
        &mut self,
        record: Record,
        deadline: Deadline,
        condition: Condition,
        now: u64,
    ) -> Result<bool, Error> {
        let found = self.live(
            Hashed {
                key: record.key(),
                hash: record.hash(),
            },
            now,
        );
        match (condition, found) {
            (Condition::IfAbsent, Some(_)) | (Condition::IfPresent, None) => {
                self.bury(record);
                return Ok(false);
            }
            _ => {}
        }
        let deadline = match (deadline, found) {
            (Deadline::At(at), _) | (Deadline::KeepOr(at), None) => at,
            (Deadline::KeepOr(_), Some(slot)) => self.expiry.deadline(slot),
        };
        let weight = record.weight();
        let fits = weight <= self.limits.bytes;
        if deadline <= now || !fits {
            self.tell_removal(record.key(), found.is_some());
            if let Some(slot) = found {
                self.stats.removals += 1;
                self.discard(slot);
            }
            self.bury(record);
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
                self.stats.updates += 1;
                self.policy.access(slot);
                let old = self.payload.replace(slot, record);
                self.stats.bytes = self.stats.bytes - old.weight() + weight;
                self.bury(old);
                slot
            }
            None => {
                self.make_room(1, weight, now);
                self.stats.inserts += 1;
                self.stats.bytes += weight;
                let hash = record.hash();
                let slot = self.payload.insert(record);
                self.index.insert(hash, slot);
                self.policy.insert(slot);
                slot
            }
        };
        self.expiry.set(slot, deadline);
        if let Some(observer) = &self.observer {
            let record = self.payload.record(slot);
            observer.changed(&Observed::Set {
                key: record.key(),
                value: record.value(),
                shared: record.shared_value(),
                tag: record.tag(),
                time_left: TimeLeft::between(now, deadline),
                now,
            });
        }
        // An overwrite may have made the entry heavier. It is the most recently used one and fits by itself.
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
        let found = self.live(key, now);
        self.tell_removal(key.key, found.is_some());
        let slot = found?;
        let result = seen(EntryRef::new(
            self.payload.record(slot),
            now,
            self.expiry.deadline(slot),
        ));
        self.stats.removals += 1;
        self.discard(slot);
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
            None => self.stats.misses += 1,
        }
        taken
    }

    /// Gives a live entry another deadline and refreshes it. `false` if there is none.
    pub(super) fn touch(&mut self, key: Hashed<'_>, deadline: Deadline, now: u64) -> bool {
        let Some(slot) = self.live(key, now) else {
            return false;
        };
        self.policy.access(slot);
        match deadline {
            Deadline::KeepOr(_) => {}
            Deadline::At(at) if at <= now => {
                self.tell_removal(key.key, true);
                self.stats.removals += 1;
                self.discard(slot);
            }
            Deadline::At(at) => {
                self.expiry.set(slot, at);
                self.tell(&Observed::Deadline {
                    key: key.key,
                    time_left: TimeLeft::between(now, at),
                    now,
                });
            }
        }
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
        let (value, tag) = match self.peek(key, now) {
            Some(entry) => (parse_integer(entry.value())?, entry.tag()),
            None => (0, super::Tag::TEXT),
        };
        let sum = value.checked_add(delta).ok_or(Error::Overflow { value, delta })?;
        let text = sum.to_string();
        if text.len() > max_len {
            return Err(Error::ValueTooLong {
                len: text.len(),
                max: max_len,
            });
        }
        let record = Record::new(key.hash, key.key, text.as_bytes(), tag);
        self.store(record, Deadline::KeepOr(when_created), Condition::Always, now)?;
        Ok(sum)
    }

    /// Writes `record` if the key holds exactly the bytes `expected`.
    pub(super) fn compare_and_set(
        &mut self,
        expected: &[u8],
        record: Record,
        deadline: Deadline,
        now: u64,
    ) -> Result<Comparison, Error> {
        let key = Hashed {
            key: record.key(),
            hash: record.hash(),
        };
        let found = match self.peek(key, now) {
            None => Comparison::Missing,
            Some(entry) if entry.value() == expected => Comparison::Equal,
            Some(_) => Comparison::Different,
        };
        if found == Comparison::Equal {
            self.store(record, deadline, Condition::Always, now)?;
        } else {
            self.bury(record);
        }
        Ok(found)
    }

    /// Empties the shard at once. What it held is in the result, to be dropped without the lock.
    pub(super) fn clear(&mut self, now: u64) -> Self {
        let old = std::mem::replace(self, Shard::new(self.limits, now));
        self.observer.clone_from(&old.observer);
        self.others_elsewhere = old.others_elsewhere;
        // A sweep that is under way has nothing left to show.
        self.sweep = old.sweep.is_some().then(|| Sweep::new(0));
        self.stats = Stats {
            bytes: 0,
            removals: old.stats.removals + old.payload.len() as u64,
            ..old.stats
        };
        old
    }

    /// Removes expired entries, up to `count` of them; `true` if there may be more.
    pub(super) fn reclaim(&mut self, count: u32, now: u64) -> bool {
        let mut budget = count;
        let mut more = true;
        for _ in 0..count {
            let Some(slot) = self.expiry.expired(now, &mut budget) else {
                more = budget == 0;
                break;
            };
            self.stats.expirations += 1;
            self.discard(slot);
        }
        self.compact();
        more
    }

    pub(super) fn observe(&mut self, observer: Option<Arc<dyn Observer>>) {
        self.observer = observer;
    }

    /// Tells the observer, if there is one.
    pub(super) fn tell(&self, change: &Observed<'_>) {
        if let Some(observer) = &self.observer {
            observer.changed(change);
        }
    }

    pub(super) fn note_entries_elsewhere(&mut self) {
        self.others_elsewhere = true;
    }

    /// Tells of a removal, also of a key that is absent here if it may be there elsewhere.
    fn tell_removal(&self, key: &[u8], found: bool) {
        let has_evicted = self.stats.evictions_by_items + self.stats.evictions_by_bytes > 0;
        if found || has_evicted || self.others_elsewhere {
            self.tell(&Observed::Remove { key });
        }
    }

    /// See `Index::fetch`.
    pub(super) fn fetch(&self, hash: u32) -> u64 {
        self.index.fetch(hash)
    }

    /// The slot that holds the key, unless it has expired: then it is removed.
    fn live(&mut self, key: Hashed<'_>, now: u64) -> Option<u32> {
        let payload = &self.payload;
        let slot = self.index.find(key.hash, |slot| {
            let record = payload.record(slot);
            record.key() == key.key
        })?;
        if self.expiry.deadline(slot) > now {
            return Some(slot);
        }
        self.stats.expirations += 1;
        self.discard(slot);
        None
    }

    /// Evicts until `items` more entries of `bytes` in all fit: expired ones first, then those that the policy names.
    fn make_room(&mut self, items: u64, bytes: u64, now: u64) {
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
            let Some(slot) = self.policy.victim() else {
                return;
            };
            if too_many {
                self.stats.evictions_by_items += 1;
            } else {
                self.stats.evictions_by_bytes += 1;
            }
            self.discard(slot);
        }
    }

    /// Takes an occupied slot out of all four parts. The caller counts why.
    fn discard(&mut self, slot: u32) {
        let record = self.payload.remove(slot);
        self.stats.bytes -= record.weight();
        self.index.remove(record.hash(), slot);
        self.policy.remove(slot);
        self.expiry.remove(slot);
        self.bury(record);
    }

    /// Gives slots up if many are vacant, so that memory taken for many small entries comes back when few large ones follow. Entries move; whoever
    /// calls this must not use slots that it knew before.
    fn compact(&mut self) {
        if !self.payload.is_sparse() {
            return;
        }
        for _ in 0..SLOTS_PER_COMPACTION {
            if !self.payload.is_sparse() {
                break;
            }
            if let Some((from, to)) = self.payload.give_up_last() {
                self.index.relocate(self.payload.record(to).hash(), from, to);
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

    fn bury(&mut self, record: Record) {
        if record.is_large() {
            self.graveyard.push(record);
        }
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
