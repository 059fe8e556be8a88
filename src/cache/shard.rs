//! One shard: index, payload, policy and expiry composed, single-threaded, behind one lock that `Cache` holds.
//!
//! Every operation is told the time. What is past its deadline is treated as absent, and removed when met.

use super::clock::NEVER;
use super::entry::{Condition, EntryRef};
use super::error::Error;
use super::expiry::Expiry;
use super::index::Index;
use super::payload::{Payload, Record};
use super::policy::Policy;
use super::stats::Stats;

/// Slots that one eviction may move within the expiry wheel while it looks for an expired entry to take first.
const EXPIRY_STEPS_PER_EVICTION: u32 = 64;

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

/// Whether a walk goes on after an entry that was shown; if not, whether that entry is to be shown again first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    On,
    StopAfter,
    StopBefore,
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
                let payload = &self.payload;
                self.index
                    .insert(hash, slot, |other| payload.record(other).hash());
                self.policy.insert(slot);
                slot
            }
        };
        self.expiry.set(slot, deadline);
        // An overwrite may have made the entry heavier. It is the most recently used one and fits by itself.
        self.make_room(0, 0, now);
        Ok(true)
    }

    /// Removes a live entry and gives it to `seen` first. `None` if there was none.
    pub(super) fn remove<R>(
        &mut self,
        key: Hashed<'_>,
        now: u64,
        seen: impl FnOnce(EntryRef<'_>) -> R,
    ) -> Option<R> {
        let slot = self.live(key, now)?;
        let result = seen(EntryRef::new(
            self.payload.record(slot),
            now,
            self.expiry.deadline(slot),
        ));
        self.stats.removals += 1;
        self.discard(slot);
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
                self.stats.removals += 1;
                self.discard(slot);
            }
            Deadline::At(at) => self.expiry.set(slot, at),
        }
        true
    }

    /// Adds to the decimal integer that the key holds, or to 0. An entry that is there keeps its deadline and its tag.
    pub(super) fn increment(
        &mut self,
        key: Hashed<'_>,
        delta: i64,
        when_created: u64,
        now: u64,
    ) -> Result<i64, Error> {
        let (value, tag) = match self.peek(key, now) {
            Some(entry) => (parse_integer(entry.value())?, entry.tag()),
            None => (0, super::Tag::TEXT),
        };
        let sum = value.checked_add(delta).ok_or(Error::Overflow { value, delta })?;
        let record = Record::new(key.hash, key.key, sum.to_string().as_bytes(), tag);
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
        self.stats = Stats {
            bytes: 0,
            removals: old.stats.removals + old.payload.len() as u64,
            ..old.stats
        };
        old
    }

    /// Removes the live entries under a prefix among `count` slots from `from` on. Gives the number removed, and
    /// where to go on.
    pub(super) fn clear_slice(
        &mut self,
        from: u32,
        count: u32,
        prefix: &[u8],
        now: u64,
    ) -> (u64, Option<u32>) {
        let before = self.stats.removals;
        let to = from.saturating_add(count).min(self.payload.end());
        for slot in from..to {
            if self
                .payload
                .get(slot)
                .is_some_and(|record| record.key().starts_with(prefix))
            {
                if self.expiry.deadline(slot) <= now {
                    self.stats.expirations += 1;
                } else {
                    self.stats.removals += 1;
                }
                self.discard(slot);
            }
        }
        (
            self.stats.removals - before,
            (to < self.payload.end()).then_some(to),
        )
    }

    /// Shows the live entries under a prefix among `count` slots from `from` on, until told to stop. Gives where to go on, or
    /// `None` if there are no more slots.
    ///
    /// An entry keeps its slot while it lives, so a walk over the slots meets each entry that is there throughout exactly once.
    pub(super) fn scan_slice(
        &self,
        from: u32,
        count: u32,
        prefix: &[u8],
        now: u64,
        mut show: impl FnMut(EntryRef<'_>) -> Walk,
    ) -> Option<u32> {
        let end = self.payload.end();
        let to = from.saturating_add(count).min(end);
        for slot in from..to {
            let deadline = self.expiry.deadline(slot);
            if let Some(record) = self.payload.get(slot)
                && record.key().starts_with(prefix)
                && deadline > now
            {
                match show(EntryRef::new(record, now, deadline)) {
                    Walk::On => {}
                    Walk::StopBefore => return Some(slot),
                    Walk::StopAfter => return (slot + 1 < end).then_some(slot + 1),
                }
            }
        }
        (to < end).then_some(to)
    }

    /// Removes expired entries, up to `count` of them; `true` if there may be more.
    pub(super) fn reclaim(&mut self, count: u32, now: u64) -> bool {
        let mut budget = count;
        for _ in 0..count {
            match self.expiry.expired(now, &mut budget) {
                Some(slot) => {
                    self.stats.expirations += 1;
                    self.discard(slot);
                }
                None => return budget == 0,
            }
        }
        true
    }

    /// The slot that holds the key, unless it has expired: then it is removed.
    fn live(&mut self, key: Hashed<'_>, now: u64) -> Option<u32> {
        let payload = &self.payload;
        let slot = self.index.find(key.hash, |slot| {
            let record = payload.record(slot);
            record.hash() == key.hash && record.key() == key.key
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

    fn bury(&mut self, record: Record) {
        if record.is_large() {
            self.graveyard.push(record);
        }
    }

    /// Panics if the four parts contradict each other or a limit is broken. For tests and fuzzers.
    pub(super) fn validate(&self) {
        let mut occupied = 0;
        let mut bytes = 0;
        let mut with_deadline = 0;
        for slot in 0..self.payload.end() {
            let deadline = self.expiry.deadline(slot);
            let Some(record) = self.payload.get(slot) else {
                assert_eq!(deadline, NEVER, "vacant slot {slot} has a deadline");
                continue;
            };
            occupied += 1;
            bytes += record.weight();
            with_deadline += usize::from(deadline != NEVER);
            assert_eq!(
                self.index.find(record.hash(), |other| other == slot),
                Some(slot),
                "index of slot {slot}"
            );
        }
        assert_eq!(occupied, self.payload.len(), "occupied slots");
        assert_eq!(occupied, self.index.len(), "slots in the index");
        assert_eq!(with_deadline, self.expiry.len(), "slots with a deadline");
        assert_eq!(bytes, self.stats.bytes, "bytes charged");
        let mut order = self.policy.coldest_first();
        assert_eq!(order.len(), occupied, "slots known to the policy");
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), occupied, "slots known twice to the policy");
        assert!(
            order.iter().all(|&slot| self.payload.get(slot).is_some()),
            "the policy knows a vacant slot"
        );
        assert!(occupied as u64 <= self.limits.items, "max_items is broken");
        assert!(bytes <= self.limits.bytes, "max_bytes is broken");
        self.expiry.validate();
    }
}

fn parse_integer(value: &[u8]) -> Result<i64, Error> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::NotAnInteger {
            found: String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned(),
        })
}
