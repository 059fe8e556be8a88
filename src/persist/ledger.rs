//! What is there under each key after files were replayed, in the order of use, with absolute deadlines; no limits, no cache. Decides as load.rs does,
//! which puts the same into a cache.

use std::collections::HashMap;

use crate::Tag;

use super::format::{Change, SnapshotEntry, fingerprint};
use super::replay::Sink;

/// What is kept of a value: all of it (`Box<[u8]>`), or its [`Length`].
pub(super) trait Keep: for<'v> From<&'v [u8]> {
    fn bytes(&self) -> u64;
}

/// The length of a value, for those who do not need the value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length(u64);

impl From<&[u8]> for Length {
    fn from(value: &[u8]) -> Self {
        Length(value.len() as u64)
    }
}

impl Keep for Length {
    fn bytes(&self) -> u64 {
        self.0
    }
}

impl Keep for Box<[u8]> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// What a key holds.
#[derive(Debug)]
pub(super) struct Held<V> {
    /// Greater than that of what was used before.
    stamp: u64,
    pub(super) tag: Tag,
    pub(super) deadline: Option<u64>,
    pub(super) value: V,
}

impl<V> Held<V> {
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.deadline.is_none_or(|deadline| deadline > now)
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries that can be read.
    pub live: u64,
    /// Entries whose deadline has passed.
    pub expired: u64,
    /// Bytes of the keys of live entries.
    pub key_bytes: u64,
    /// Bytes of the values of live entries.
    pub value_bytes: u64,
}

/// A sink that remembers.
#[derive(Debug)]
pub(super) struct Ledger<V> {
    /// Also what has expired: a later record may give it another deadline.
    entries: HashMap<Box<[u8]>, Held<V>>,
    next: u64,
}

impl<V: Keep> Ledger<V> {
    pub(super) fn new() -> Self {
        Ledger {
            entries: HashMap::default(),
            next: 0,
        }
    }

    pub(super) fn totals(&self, now: u64) -> Totals {
        let mut totals = Totals::default();
        for (key, held) in &self.entries {
            if held.is_live(now) {
                totals.live += 1;
                totals.key_bytes += key.len() as u64;
                totals.value_bytes += held.value.bytes();
            } else {
                totals.expired += 1;
            }
        }
        totals
    }

    /// What can be read, coldest first.
    pub(super) fn live(&self, now: u64) -> Vec<(&[u8], &Held<V>)> {
        let live = self.entries.iter().filter(|(_, held)| held.is_live(now));
        let mut live: Vec<_> = live.map(|(key, held)| (&**key, held)).collect();
        live.sort_unstable_by_key(|(_, held)| held.stamp);
        live
    }

    fn stamp(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn set(&mut self, key: &[u8], value: &[u8], tag: Tag, deadline: Option<u64>) {
        let held = Held {
            stamp: self.stamp(),
            tag,
            deadline,
            value: value.into(),
        };
        match self.entries.get_mut(key) {
            Some(place) => *place = held,
            None => {
                self.entries.insert(key.into(), held);
            }
        }
    }
}

impl<V: Keep> Sink for Ledger<V> {
    fn entry(&mut self, entry: &SnapshotEntry<'_>) {
        self.set(entry.key, entry.value, entry.tag, entry.deadline);
    }

    fn change(&mut self, change: &Change<'_>) {
        match *change {
            Change::Set {
                key,
                value,
                tag,
                deadline,
            } => self.set(key, value, tag, deadline),
            Change::Deadline { key, deadline } => {
                let stamp = self.stamp();
                if let Some(held) = self.entries.get_mut(key) {
                    held.stamp = stamp;
                    held.deadline = deadline;
                }
            }
            Change::Remove { key } => {
                self.entries.remove(key);
            }
            Change::Clear { prefix: &[] } => self.entries.clear(),
            Change::Clear { prefix } => self.entries.retain(|key, _| !key.starts_with(prefix)),
        }
    }

    fn forget(&mut self, wanted: u32) {
        self.entries.retain(|key, _| fingerprint(key) != wanted);
    }
}
