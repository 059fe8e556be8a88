//! Puts what is read back into a cache.

use std::time::{Duration, Instant};

use ahash::RandomState;
use hashbrown::HashMap;

use crate::cache::Batch;
use crate::{Cache, Cursor, Expiry, SetOptions, Tag};

use super::format::{Change, SnapshotEntry, fingerprint};
use super::replay::Sink;

pub(super) struct Loader<'c> {
    cache: &'c Cache,
    /// Holds the lock of a shard for many entries at once; let go before the cache is called.
    batch: Batch<'c>,
    /// By how many milliseconds the clock is behind what was written already: it has been set back.
    behind: u64,
    /// When the batch was let go last because of the time, in Unix milliseconds.
    let_go_at: u64,
    /// Entries whose deadline has passed: a later record may give them another. Gone when loading is done.
    expired: HashMap<Vec<u8>, (Vec<u8>, Tag), RandomState>,
    applied: u64,
    reported: Instant,
}

/// Looking at the clock for each record would cost more than some of them.
const LOOKS_EVERY: u64 = 10_000;
/// Keys that are announced to the cache at once.
const EXPECTED: usize = 16;
const REPORTS_EVERY: Duration = Duration::from_secs(1);

impl<'c> Loader<'c> {
    /// `now`, in Unix milliseconds, may be later than what the cache's clock says.
    pub(super) fn new(cache: &'c Cache, now: u64) -> Self {
        Loader {
            cache,
            batch: cache.batch(),
            behind: now.saturating_sub(cache.clock().unix_millis()),
            let_go_at: 0,
            expired: HashMap::default(),
            applied: 0,
            reported: Instant::now(),
        }
    }

    fn report_progress(&mut self) {
        self.applied += 1;
        if self.applied.is_multiple_of(LOOKS_EVERY) && self.reported.elapsed() >= REPORTS_EVERY {
            self.reported = Instant::now();
            self.batch.release();
            tracing::info!(
                applied = self.applied,
                items = self.cache.stats().items,
                "loading"
            );
        }
    }

    /// `None` if the deadline has passed.
    fn expiry(&mut self, deadline: Option<u64>) -> Option<Expiry> {
        let Some(deadline) = deadline else {
            return Some(Expiry::Never);
        };
        // Time goes on while a large directory is loaded.
        let now = self.cache.clock().unix_millis() + self.behind;
        if now != self.let_go_at {
            // A batch counts from when it took its lock, which may be long ago: reading the next record can take any time.
            self.let_go_at = now;
            self.batch.release();
        }
        (deadline > now).then(|| Expiry::After(Duration::from_millis(deadline - now)))
    }

    fn set(&mut self, key: &[u8], value: &[u8], tag: Tag, deadline: Option<u64>) {
        let Some(expiry) = self.expiry(deadline) else {
            self.batch.remove(key);
            self.expired.insert(key.to_vec(), (value.to_vec(), tag));
            return;
        };
        self.forget_expired(key);
        let options = SetOptions {
            tag,
            expiry,
            ..SetOptions::default()
        };
        if self.batch.set(key, value, options).is_err() {
            // It is larger than the limits are now. What the key held before is not what it held last.
            self.batch.remove(key);
        }
    }

    fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) {
        self.batch.release();
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
        self.report_progress();
        self.set(entry.key, entry.value, entry.tag, entry.deadline);
    }

    fn entries(&mut self, entries: &[SnapshotEntry<'_>]) {
        for some in entries.chunks(EXPECTED) {
            self.batch.expect(some.iter().map(|entry| entry.key));
            for entry in some {
                self.entry(entry);
            }
        }
    }

    fn change(&mut self, change: &Change<'_>) {
        self.report_progress();
        match *change {
            Change::Set {
                key,
                value,
                tag,
                deadline,
            } => self.set(key, value, tag, deadline),
            Change::Deadline { key, deadline } => self.set_deadline(key, deadline),
            Change::Remove { key } => {
                self.batch.remove(key);
                self.forget_expired(key);
            }
            Change::Clear { prefix } => {
                self.batch.release();
                self.cache.clear_prefix(prefix);
                self.expired.retain(|key, _| !key.starts_with(prefix));
            }
        }
    }

    fn forget(&mut self, wanted: u32) {
        self.batch.release();
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
