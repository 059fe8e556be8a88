//! The model: what a caller of a cache of one list may expect, written in the plainest way.

use std::time::Duration;

use super::super::super::payload::{DEADLINE_OVERHEAD, Draft, FIXED_OVERHEAD, Payload};
use super::super::super::{
    CasOutcome, Condition, Entry, Error, Expiry, RemovalCause, SetOptions, Stats, Tag, TimeLeft, Value,
};
use super::Found;

pub(super) const MAX_KEY: usize = 8;
pub(super) const MAX_VALUE: usize = 16 * 1024 + 400;

pub(super) struct Textbook {
    /// The live ones, coldest first.
    pub(super) entries: Vec<Item>,
    /// What can be counted without knowing when expired entries are reclaimed.
    pub(super) stats: Stats,
    /// What has left, in this order.
    pub(super) gone: Vec<Gone>,
    /// For how long an entry stays without being used.
    pub(super) time_to_idle: Option<u64>,
    max_items: usize,
    max_bytes: u64,
    /// Knows what things weigh.
    scales: Payload,
    /// Nanoseconds, as all times here.
    default_ttl: Option<u64>,
    now: u64,
    /// Unix milliseconds at the start of the clock, as the wall clock has it now. A wall clock before 1970 shows 1970.
    wall_offset: i64,
}

#[derive(Clone)]
pub(super) struct Item {
    pub(super) key: Vec<u8>,
    value: Vec<u8>,
    tag: Tag,
    deadline: Option<u64>,
    used: u64,
}

pub(super) type Gone = (Vec<u8>, Vec<u8>, RemovalCause);

impl Textbook {
    pub(super) fn new(
        max_items: Option<u64>,
        max_bytes: Option<u64>,
        default_ttl: Option<u64>,
        wall: u64,
    ) -> Self {
        Textbook {
            entries: Vec::new(),
            stats: Stats::default(),
            gone: Vec::new(),
            time_to_idle: None,
            max_items: max_items.map_or(usize::MAX, |items| items as usize),
            max_bytes: max_bytes.unwrap_or(u64::MAX),
            scales: Payload::new(max_bytes.unwrap_or(u64::MAX), 1, 0),
            default_ttl,
            now: 0,
            wall_offset: wall.cast_signed(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| self.weight(entry)).sum()
    }

    fn weight(&self, entry: &Item) -> u64 {
        let draft = Draft::new(&entry.key, &entry.value, entry.tag);
        let deadlines = match (self.time_to_idle, entry.deadline) {
            (None, None) => 0,
            (Some(_), Some(_)) => DEADLINE_OVERHEAD + FIXED_OVERHEAD,
            _ => DEADLINE_OVERHEAD,
        };
        self.scales.weight_of(&draft) + deadlines
    }

    fn evict(&mut self) {
        loop {
            let cause = if self.entries.len() > self.max_items {
                self.stats.evictions_by_items += 1;
                RemovalCause::MaxItems
            } else if self.max_bytes != u64::MAX && self.bytes() > self.max_bytes {
                self.stats.evictions_by_bytes += 1;
                RemovalCause::MaxWeight
            } else {
                return;
            };
            self.part_with(0, cause);
        }
    }

    fn part_with(&mut self, at: usize, cause: RemovalCause) -> Item {
        let item = self.entries.remove(at);
        self.gone.push((item.key.clone(), item.value.clone(), cause));
        item
    }

    /// Everything of which this is true goes; gives its number.
    fn part_with_all(&mut self, goes: impl Fn(&Item) -> bool, cause: RemovalCause) -> u64 {
        let mut count = 0;
        while let Some(at) = self.entries.iter().position(&goes) {
            self.part_with(at, cause);
            count += 1;
        }
        count
    }

    pub(super) fn advance(&mut self, by: u64) {
        self.now += by;
        let now = self.now;
        let idle = self.time_to_idle;
        let is_over = |entry: &Item| {
            entry.deadline.is_some_and(|deadline| deadline <= now)
                || idle.is_some_and(|idle| entry.used.saturating_add(idle) <= now)
        };
        self.part_with_all(is_over, RemovalCause::Expired);
    }

    pub(super) fn jump_wall_clock(&mut self, by: i64) {
        self.wall_offset += by;
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    fn left(&self, entry: &Item) -> TimeLeft {
        match entry.deadline {
            None => TimeLeft::Forever,
            Some(deadline) => TimeLeft::Left(Duration::from_nanos(deadline - self.now)),
        }
    }

    fn shown(&self, entry: &Item) -> Entry {
        Entry {
            value: Value::copy_from_slice(&entry.value),
            tag: entry.tag,
            time_left: self.left(entry),
        }
    }

    fn refresh(&mut self, at: usize) {
        let mut entry = self.entries.remove(at);
        entry.used = self.now;
        self.entries.push(entry);
    }

    pub(super) fn peek(&self, key: &[u8]) -> Vec<u8> {
        self.find(key)
            .map_or_else(Vec::new, |at| self.entries[at].value.clone())
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<Entry> {
        let Some(at) = self.find(key) else {
            self.stats.misses += 1;
            return None;
        };
        self.stats.hits += 1;
        self.refresh(at);
        self.entries.last().map(|entry| self.shown(entry))
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let at = self.find(key)?;
        self.stats.removals += 1;
        let entry = self.part_with(at, RemovalCause::Removed);
        Some(self.shown(&entry))
    }

    pub(super) fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let taken = self.remove(key);
        match taken {
            Some(_) => self.stats.hits += 1,
            None => self.stats.misses += 1,
        }
        taken
    }

    pub(super) fn time_left(&self, key: &[u8]) -> Option<TimeLeft> {
        let entry = &self.entries[self.find(key)?];
        let Some(idle) = self.time_to_idle else {
            return Some(self.left(entry));
        };
        let until_idle = entry.used.saturating_add(idle).min(u64::MAX - 1) - self.now;
        let until_idle = Duration::from_nanos(until_idle);
        Some(TimeLeft::Left(match self.left(entry) {
            TimeLeft::Forever => until_idle,
            TimeLeft::Left(left) => left.min(until_idle),
        }))
    }

    /// So many nanoseconds from now, or the last moment.
    fn moment(&self, from_now: u128) -> u64 {
        let last = u128::from(u64::MAX - 1);
        (u128::from(self.now) + from_now).min(last) as u64
    }

    /// `None` is never.
    fn deadline(&self, expiry: Expiry, found: Option<usize>) -> Option<u64> {
        match expiry {
            Expiry::Default => self.default_ttl.map(|ttl| self.now + ttl),
            Expiry::Never => None,
            Expiry::After(ttl) => Some(self.moment(ttl.as_nanos())),
            Expiry::At(unix) => {
                let wall = i128::from(self.now) + i128::from(self.wall_offset) * 1_000_000;
                let unix = i128::from(unix) * 1_000_000;
                Some(self.moment((unix - wall.max(0)).max(0).cast_unsigned()))
            }
            Expiry::Keep => match found {
                Some(at) => self.entries[at].deadline,
                None => self.default_ttl.map(|ttl| self.now + ttl),
            },
        }
    }

    pub(super) fn touch(&mut self, key: &[u8], expiry: Expiry) -> bool {
        let Some(at) = self.find(key) else {
            return false;
        };
        let deadline = self.deadline(expiry, Some(at));
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.remove(key);
        } else {
            self.entries[at].deadline = deadline;
            self.refresh(at);
            self.evict();
        }
        true
    }

    fn check_lengths(key: &[u8], value: &[u8]) -> Result<(), Error> {
        if key.len() > MAX_KEY {
            return Err(Error::KeyTooLong {
                len: key.len(),
                max: MAX_KEY,
            });
        }
        if value.len() > MAX_VALUE {
            return Err(Error::ValueTooLong {
                len: value.len(),
                max: MAX_VALUE,
            });
        }
        Ok(())
    }

    pub(super) fn set(&mut self, key: &[u8], value: &[u8], options: SetOptions) -> Result<bool, Error> {
        Self::check_lengths(key, value)?;
        let found = self.find(key);
        match options.condition {
            Condition::IfAbsent if found.is_some() => return Ok(false),
            Condition::IfPresent if found.is_none() => return Ok(false),
            _ => {}
        }
        let deadline = self.deadline(options.expiry, found);
        let entry = Item {
            key: key.to_vec(),
            value: value.to_vec(),
            tag: options.tag,
            deadline,
            used: self.now,
        };
        let weight = self.weight(&entry);
        if weight > self.max_bytes {
            self.remove(key);
            self.stats.refused += 1;
            return Err(Error::TooLarge {
                weight,
                max: self.max_bytes,
            });
        }
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.remove(key);
            return Ok(true);
        }
        match found {
            Some(at) => {
                self.stats.updates += 1;
                self.part_with(at, RemovalCause::Replaced);
            }
            None => self.stats.inserts += 1,
        }
        self.entries.push(entry);
        self.evict();
        Ok(true)
    }

    /// As `set`, for a value that is the key.
    pub(super) fn set_quickly(&mut self, key: &str, options: SetOptions) -> Result<bool, Error> {
        self.set(key.as_bytes(), key.as_bytes(), options)
    }

    pub(super) fn increment(&mut self, key: &[u8], delta: i64, when_created: Expiry) -> Result<i64, Error> {
        Self::check_lengths(key, &[])?;
        let found = self.find(key).map(|at| self.entries[at].clone());
        let (value, tag, expiry) = match &found {
            None => (0, Tag::TEXT, when_created),
            Some(entry) => {
                let shown = String::from_utf8_lossy(&entry.value[..entry.value.len().min(40)]);
                let text = std::str::from_utf8(&entry.value)
                    .ok()
                    .filter(|text| text.len() <= 64);
                let value = text.and_then(|text| text.parse::<i64>().ok());
                let value = value.ok_or_else(|| Error::NotAnInteger {
                    found: shown.into_owned(),
                })?;
                (value, entry.tag, Expiry::Keep)
            }
        };
        let sum = value.checked_add(delta).ok_or(Error::Overflow { value, delta })?;
        let options = SetOptions {
            tag,
            expiry,
            condition: Condition::Always,
        };
        self.set(key, sum.to_string().as_bytes(), options)?;
        Ok(sum)
    }

    pub(super) fn compare_and_set(
        &mut self,
        key: &[u8],
        expected: &[u8],
        value: &[u8],
        options: SetOptions,
    ) -> Result<CasOutcome, Error> {
        Self::check_lengths(key, value)?;
        match self.find(key) {
            None => Ok(CasOutcome::Missing),
            Some(at) if self.entries[at].value != expected => Ok(CasOutcome::Mismatch),
            Some(_) => {
                self.set(
                    key,
                    value,
                    SetOptions {
                        condition: Condition::Always,
                        ..options
                    },
                )?;
                Ok(CasOutcome::Stored)
            }
        }
    }

    /// The cache says how many went: those past their deadline that it still held count as well.
    pub(super) fn clear(&mut self, removed: u64) {
        self.stats.removals += removed;
        self.part_with_all(|_| true, RemovalCause::Cleared);
    }

    pub(super) fn clear_prefix(&mut self, prefix: &[u8]) -> u64 {
        let removed = self.part_with_all(|entry| entry.key.starts_with(prefix), RemovalCause::Cleared);
        self.stats.removals += removed;
        removed
    }

    pub(super) fn scan(&self, prefix: &[u8], with_values: bool) -> Found {
        let entries = self.entries.iter().filter(|entry| entry.key.starts_with(prefix));
        entries
            .map(|entry| {
                let value = with_values.then(|| entry.value.clone());
                (
                    entry.key.clone(),
                    (value, entry.value.len(), entry.tag, self.left(entry)),
                )
            })
            .collect()
    }
}
