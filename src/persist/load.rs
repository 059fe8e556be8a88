//! Puts what is read back into a cache.

use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::{Cache, Cursor, Expiry, SetOptions, Tag};

use super::format::{Change, SnapshotEntry, fingerprint};
use super::replay::Sink;

pub(super) struct Loader<'c> {
    cache: &'c Cache,
    /// Deadlines on the disk are compared with this time, in Unix milliseconds.
    now: u64,
    /// Entries whose deadline has passed: a later record may give them another. Gone when loading is done.
    expired: HashMap<Vec<u8>, (Vec<u8>, Tag), RandomState>,
}

impl<'c> Loader<'c> {
    pub(super) fn new(cache: &'c Cache, now: u64) -> Self {
        Loader {
            cache,
            now,
            expired: HashMap::default(),
        }
    }

    /// `None` if the deadline has passed.
    fn expiry(&self, deadline: Option<u64>) -> Option<Expiry> {
        match deadline {
            None => Some(Expiry::Never),
            Some(deadline) if deadline <= self.now => None,
            Some(deadline) => Some(Expiry::After(Duration::from_millis(deadline - self.now))),
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8], tag: Tag, deadline: Option<u64>) {
        let Some(expiry) = self.expiry(deadline) else {
            self.cache.remove(key);
            self.expired.insert(key.to_vec(), (value.to_vec(), tag));
            return;
        };
        self.forget_expired(key);
        let options = SetOptions {
            tag,
            expiry,
            ..SetOptions::default()
        };
        if self.cache.set(key, value, options).is_err() {
            // It is larger than the limits are now. What the key held before is not what it held last.
            self.cache.remove(key);
        }
    }

    fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) {
        match self.expiry(deadline) {
            Some(expiry) if !self.cache.touch(key, expiry) => {
                if let Some((value, tag)) = self.expired.remove(key) {
                    self.set(key, &value, tag, deadline);
                }
            }
            Some(_) => {}
            None => {
                if let Some(entry) = self.cache.take(key) {
                    self.expired
                        .insert(key.to_vec(), (entry.value.to_vec(), entry.tag));
                }
            }
        }
    }

    fn forget_expired(&mut self, key: &[u8]) {
        if !self.expired.is_empty() {
            self.expired.remove(key);
        }
    }
}

impl Sink for Loader<'_> {
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
            Change::Deadline { key, deadline } => self.set_deadline(key, deadline),
            Change::Remove { key } => {
                self.cache.remove(key);
                self.forget_expired(key);
            }
            Change::Clear { prefix } => {
                self.cache.clear_prefix(prefix);
                self.expired.retain(|key, _| !key.starts_with(prefix));
            }
        }
    }

    fn forget(&mut self, wanted: u32) {
        self.expired.retain(|key, _| fingerprint(key) != wanted);
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next {
            let page = self.cache.scan(cursor, [], 1000, false);
            for entry in page
                .entries
                .iter()
                .filter(|entry| fingerprint(&entry.key) == wanted)
            {
                self.cache.remove(&entry.key);
            }
            next = page.next;
        }
    }
}
