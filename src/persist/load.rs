//! Puts what is read back into a cache.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::cache::{Batch, Both, Standstill};
use crate::{Cache, Cursor, Expiry, SetOptions, Tag, log};

use super::format::{Change, SnapshotEntry, fingerprint};
use super::opening::Loading;
use super::replay::Sink;

pub(super) struct Loader<'c> {
    cache: &'c Cache,
    /// Holds the lock of a shard for many entries at once; let go before the cache is called.
    batch: Batch<'c>,
    /// By how many milliseconds the clock is behind what was written already: it has been set back.
    behind: u64,
    /// Loading takes its time, and an entry whose deadline passes meanwhile may be given another by a later record.
    standstill: Standstill<'c>,
    /// The clocks at its beginning.
    began: Both,
    /// Gone when loading is done.
    expired: Expired,
    /// Whether the cache was told that not all of what is in the files is in it.
    has_dropped: bool,
    applied: u64,
    /// Records and KiB since the clock was looked at.
    since_look: u64,
    reported: Instant,
    /// Told of each record.
    loading: &'c Loading,
}

/// After so many records, or KiB of them: looking at the clock for each record would cost more than some of them.
const LOOKS_EVERY: u64 = 10_000;
/// Keys that are announced to the cache at once.
const EXPECTED: usize = 16;
const REPORTS_EVERY: Duration = Duration::from_secs(1);

/// Bytes of expired entries that are kept at the most: the limits of the cache do not count them.
const EXPIRED_BYTES: usize = 64 << 20;
/// What an entry takes beside its key and value, about: two allocations and a place in a table.
const OVERHEAD: usize = 128;

type Entries = HashMap<Vec<u8>, (Vec<u8>, Tag)>;

/// Entries whose deadline has passed, since a later record may give them another. Beyond a bound the oldest are dropped: if such a record comes then, the
/// entry is missing, which a cache may have, and whoever may forget one entry never serves a former one.
#[derive(Default)]
struct Expired {
    /// Half of the bound, at the most.
    young: Entries,
    young_bytes: usize,
    /// What was in `young` before: dropped all at once, so that no order has to be kept.
    old: Entries,
}

impl Expired {
    /// `true` if an entry was dropped for it, or it itself.
    fn insert(&mut self, key: &[u8], value: &[u8], tag: Tag) -> bool {
        self.remove(key);
        let bytes = Self::bytes(key, value);
        if bytes > EXPIRED_BYTES / 2 {
            return true;
        }
        let mut drops = false;
        if self.young_bytes + bytes > EXPIRED_BYTES / 2 {
            drops = !self.old.is_empty();
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key.to_vec(), (value.to_vec(), tag));
        drops
    }

    fn remove(&mut self, key: &[u8]) -> Option<(Vec<u8>, Tag)> {
        // Most directories hold nothing that has expired: no hash is computed then.
        if !self.young.is_empty()
            && let Some((value, tag)) = self.young.remove(key)
        {
            self.young_bytes -= Self::bytes(key, &value);
            return Some((value, tag));
        }
        if self.old.is_empty() {
            return None;
        }
        self.old.remove(key)
    }

    fn retain(&mut self, stays: impl Fn(&[u8]) -> bool) {
        let bytes = &mut self.young_bytes;
        self.young.retain(|key, (value, _)| {
            let stays = stays(key);
            if !stays {
                *bytes -= Self::bytes(key, value);
            }
            stays
        });
        self.old.retain(|key, _| stays(key));
    }

    fn bytes(key: &[u8], value: &[u8]) -> usize {
        key.len() + value.len() + OVERHEAD
    }
}

impl<'c> Loader<'c> {
    /// `now`, in Unix milliseconds, may be later than what the cache's clock says.
    pub(super) fn new(cache: &'c Cache, now: u64, loading: &'c Loading) -> Self {
        let standstill = cache.stand_still();
        Loader {
            cache,
            batch: cache.batch(),
            behind: now.saturating_sub(cache.clock().unix_millis()),
            standstill,
            began: cache.clock().both(),
            expired: Expired::default(),
            has_dropped: false,
            applied: 0,
            since_look: 0,
            reported: Instant::now(),
            loading,
        }
    }

    /// A record of so many bytes is there.
    fn count(&mut self, bytes: usize) {
        self.applied += 1;
        self.loading.applied(self.applied);
        self.report_progress(1 + bytes as u64 / 1024);
    }

    fn report_progress(&mut self, done: u64) {
        self.since_look += done;
        if self.since_look < LOOKS_EVERY {
            return;
        }
        self.since_look = 0;
        if self.reported.elapsed() >= REPORTS_EVERY {
            self.reported = Instant::now();
            self.batch.release();
            let stats = self.loading.stats();
            log::info!(
                applied = self.applied,
                items = self.cache.stats().items,
                bytes = stats.loaded_bytes,
                of = stats.load_bytes,
                "loading"
            );
        }
    }

    /// `None` if the deadline had passed when loading began.
    fn expiry(&self, deadline: Option<u64>) -> Option<Expiry> {
        let Some(deadline) = deadline else {
            return Some(Expiry::Never);
        };
        let at = self.began.to_monotonic(deadline.saturating_sub(self.behind))?;
        // From where the cache's time stands. Zero would be expired.
        let left = at.saturating_sub(self.standstill.now).max(1);
        Some(Expiry::After(Duration::from_nanos(left)))
    }

    fn set(&mut self, key: &[u8], value: &[u8], tag: Tag, deadline: Option<u64>) {
        let Some(expiry) = self.expiry(deadline) else {
            self.batch.remove(key);
            self.keep_expired(key, value, tag);
            return;
        };
        self.expired.remove(key);
        let options = SetOptions {
            tag,
            expiry,
            ..SetOptions::default()
        };
        if self.batch.set(key, value, options).is_err() {
            // It is larger than the limits are now. What the key held before is not what it held last.
            self.batch.remove(key);
            self.dropped();
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
                    self.keep_expired(key, &entry.value, entry.tag);
                }
            }
        }
    }

    fn keep_expired(&mut self, key: &[u8], value: &[u8], tag: Tag) {
        if self.expired.insert(key, value, tag) {
            self.dropped();
        }
    }

    /// The files hold what the cache does not, and another start may find room for it: from now on a removal has to be recorded, found here or not.
    fn dropped(&mut self) {
        if !self.has_dropped {
            self.has_dropped = true;
            self.batch.release();
            self.cache.note_entries_elsewhere();
        }
    }
}

impl Sink for Loader<'_> {
    fn entry(&mut self, entry: &SnapshotEntry<'_>) {
        self.count(entry.key.len() + entry.value.len());
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
        self.count(match change {
            Change::Set { key, value, .. } => key.len() + value.len(),
            _ => 0,
        });
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
                self.expired.remove(key);
            }
            Change::Clear { prefix } => {
                self.batch.release();
                self.cache.clear_prefix(prefix);
                self.expired.retain(|key| !key.starts_with(prefix));
            }
        }
    }

    fn forget(&mut self, wanted: u32) {
        self.batch.release();
        self.expired.retain(|key| fingerprint(key) != wanted);
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
            self.report_progress(page.entries.len() as u64);
            next = page.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cache::{Observed, Observer};
    use crate::{Clock, TimeLeft};

    const NOW: u64 = 1 << 42;
    const MIB: usize = 1 << 20;

    fn cache() -> Cache {
        let (clock, hands) = Clock::manual();
        hands.jump_wall_clock(NOW.cast_signed());
        Cache::builder().clock(clock).build().unwrap()
    }

    /// A loader of which nothing is too late that has a deadline after `NOW`.
    fn loader(cache: &Cache) -> Loader<'_> {
        let loading = Box::leak(Box::default());
        Loader::new(cache, cache.clock().unix_millis(), loading)
    }

    fn set(loader: &mut Loader<'_>, key: &str, value: &[u8], deadline: Option<u64>) {
        loader.change(&Change::Set {
            key: key.as_bytes(),
            value,
            tag: Tag::BYTES,
            deadline,
        });
    }

    fn keep_for_ever(loader: &mut Loader<'_>, key: &str) {
        loader.change(&Change::Deadline {
            key: key.as_bytes(),
            deadline: None,
        });
    }

    #[test]
    fn an_entry_that_expires_while_loading_goes_on_is_there_for_a_later_record_that_gives_it_time() {
        let (clock, hands) = Clock::manual();
        hands.jump_wall_clock(NOW.cast_signed());
        let start = clock.unix_millis();
        let cache = Cache::builder().clock(clock).build().unwrap();
        let mut loader = loader(&cache);
        set(&mut loader, "revived", b"v", Some(start + 10));
        set(&mut loader, "not revived", b"v", Some(start + 10));
        hands.advance(Duration::from_millis(20));
        set(&mut loader, "late", b"v", Some(start + 15));
        loader.batch.release();
        cache.run_pending();
        for key in ["revived", "late"] {
            loader.change(&Change::Deadline {
                key: key.as_bytes(),
                deadline: Some(start + 100),
            });
        }
        drop(loader);
        assert!(!cache.contains("not revived"), "its time was over");
        for key in ["revived", "late"] {
            let left = Duration::from_millis(80);
            assert_eq!(cache.time_left(key), Some(TimeLeft::Left(left)), "{key}");
        }
    }

    #[test]
    fn expired_entries_take_no_more_than_their_bound_and_the_youngest_can_be_revived() {
        let cache = cache();
        let mut loader = loader(&cache);
        set(&mut loader, "0", b"stale", None);
        for number in 0..100u8 {
            set(&mut loader, &number.to_string(), &[number; MIB], Some(NOW - 1));
            let kept: usize = [&loader.expired.young, &loader.expired.old]
                .map(|entries| entries.values().map(|(value, _)| value.len()).sum())
                .iter()
                .sum();
            assert!(kept <= EXPIRED_BYTES, "{number}: {kept}");
        }
        for number in 0..100u8 {
            keep_for_ever(&mut loader, &number.to_string());
        }
        loader.batch.release();
        for number in 0..100u8 {
            match cache.get(number.to_string()) {
                Some(entry) => assert_eq!(entry.value, [number; MIB][..]),
                None => assert!(number < 69, "{number} is one of the youngest"),
            }
        }
        assert!(!cache.contains("0"), "the oldest");
    }

    #[test]
    fn expired_entries_that_are_small_or_huge_keep_to_the_bound_too() {
        let cache = cache();
        let mut loader = loader(&cache);
        for number in 0..600_000 {
            set(&mut loader, &number.to_string(), b"", Some(NOW - 1));
        }
        let kept = loader.expired.young.len() + loader.expired.old.len();
        assert!(kept <= EXPIRED_BYTES / OVERHEAD, "{kept} entries");
        set(&mut loader, "huge", b"before it", Some(NOW - 1));
        set(&mut loader, "huge", &vec![1; EXPIRED_BYTES], Some(NOW - 1));
        keep_for_ever(&mut loader, "huge");
        loader.batch.release();
        assert!(
            !cache.contains("huge"),
            "what it held before is not what it held last"
        );
    }

    #[test]
    fn expired_entries_that_go_make_room() {
        let cache = cache();
        let mut loader = loader(&cache);
        for round in 0..50 {
            for key in ["removed", "cleared", "forgotten", "revived", "replaced"] {
                set(&mut loader, key, &[1; MIB], Some(NOW - 1));
            }
            loader.change(&Change::Remove { key: b"removed" });
            loader.change(&Change::Clear { prefix: b"clear" });
            loader.forget(fingerprint(b"forgotten"));
            keep_for_ever(&mut loader, "revived");
            set(&mut loader, "replaced", b"", None);
            assert!(loader.expired.young.is_empty(), "{round}");
            assert_eq!(loader.expired.young_bytes, 0, "{round}");
        }
        assert!(!loader.has_dropped);
    }

    #[derive(Debug, Default)]
    struct Removals(Mutex<Vec<Vec<u8>>>);

    impl Observer for Removals {
        fn changed(&self, change: &Observed<'_>) {
            if let Observed::Remove { key } = change {
                self.0.lock().unwrap().push(key.to_vec());
            }
        }
    }

    #[test]
    fn once_an_entry_was_dropped_the_removal_of_any_key_is_recorded_and_before_that_it_costs_nothing() {
        for (values, expected) in [(10, &[][..]), (100, &[b"absent".to_vec()][..])] {
            let cache = cache();
            let mut loader = loader(&cache);
            for number in 0..values {
                set(&mut loader, &number.to_string(), &[1; MIB], Some(NOW - 1));
            }
            drop(loader);
            // It stays so.
            cache.clear();
            let removals = Arc::new(Removals::default());
            cache.observe(Some(&(Arc::clone(&removals) as Arc<dyn Observer>)));
            assert!(!cache.remove("absent"));
            assert_eq!(*removals.0.lock().unwrap(), expected, "{values}");
        }
    }
}
