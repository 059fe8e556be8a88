//! Walking over a cache a slice at a time: scan by cursor and prefix, and removal by prefix.

use super::seal::{open, seal};
use super::shard::Walk;
use super::{Cache, EntryRef, Observed, ScanEntry};

/// Entries looked at under one hold of a lock; the segment of the index in which the last one lies is finished.
const ENTRIES_PER_HOLD: usize = 256;
/// Holds of a lock for one page, so that a page of a rare prefix does not take for ever either.
const HOLDS_PER_PAGE: u32 = 64;
/// A page of several entries holds at most this many bytes of keys and values.
pub(super) const BYTES_PER_PAGE: usize = 1 << 20;

/// Where a scan goes on. The default is the beginning. It stays valid while the cache lives, whatever is written or removed.
///
/// ```
/// # use rustcache::{Cache, Cursor, SetOptions};
/// # let cache = Cache::builder().build()?;
/// cache.set("a", "1", SetOptions::default())?;
/// let page = cache.scan(Cursor::default(), "", 1, false);
/// if let Some(cursor) = page.next {
///     assert!(cache.scan(cursor, "", 1, false).entries.is_empty());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    sealed: u64,
}

/// What a cursor says to the cache that it is of. Not to be shown to anybody.
#[derive(Clone, Copy)]
struct Position {
    shard: u32,
    hash: u32,
}

/// A part of a scan: see [`Cache::scan`].
///
/// ```
/// # use rustcache::{Cache, Cursor, SetOptions};
/// # let cache = Cache::builder().build()?;
/// cache.set("a", "1", SetOptions::default())?;
/// let page = cache.scan(Cursor::default(), "", 100, false);
/// assert_eq!((page.entries.len(), page.next), (1, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Page {
    /// The entries found; may be fewer than asked for, even none, before the end.
    pub entries: Vec<ScanEntry>,
    /// Where to go on, or `None` at the end.
    pub next: Option<Cursor>,
}

#[cfg(feature = "daemon")]
impl Cursor {
    pub(crate) fn to_u64(self) -> u64 {
        self.sealed
    }

    pub(crate) fn from_u64(sealed: u64) -> Self {
        Cursor { sealed }
    }
}

impl Cache {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn position(&self, cursor: Cursor) -> Position {
        let position = open(&self.inner.hasher, cursor.sealed);
        Position {
            shard: (position >> 32) as u32,
            hash: position as u32,
        }
    }

    fn cursor(&self, Position { shard, hash }: Position) -> Cursor {
        let position = u64::from(shard) << 32 | u64::from(hash);
        Cursor {
            sealed: seal(&self.inner.hasher, position),
        }
    }

    /// A page of live entries whose keys begin with `prefix`, in no particular order: `limit` of them (one at least; keys whose hashes are
    /// equal are not parted, so that it may be one more once in a great while), or fewer.
    ///
    /// Going on until `next` is `None` gives every entry that was there throughout, exactly once, and no key twice. Entries written or removed meanwhile may
    /// or may not be among them. No lock is held for longer than about a thousand entries take.
    ///
    /// ```
    /// # use rustcache::{Cache, Cursor, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// for key in ["user:1", "user:2", "page:1"] {
    ///     cache.set(key, "v", SetOptions::default())?;
    /// }
    /// let (mut users, mut at) = (0, Some(Cursor::default()));
    /// while let Some(cursor) = at {
    ///     let page = cache.scan(cursor, "user:", 100, false);
    ///     users += page.entries.len();
    ///     at = page.next;
    /// }
    /// assert_eq!(users, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self, cursor: Cursor, prefix: impl AsRef<[u8]>, limit: usize, with_values: bool) -> Page {
        let mut entries = Vec::new();
        let (next, _) = self.show_page(
            cursor,
            prefix.as_ref(),
            limit,
            BYTES_PER_PAGE,
            with_values,
            |entry| entries.push(entry.to_scan_entry(with_values)),
        );
        Page { entries, next }
    }

    /// The same without values, with so many bytes of keys at most, unless it is one alone; and how many entries were looked at for it, or some more.
    #[cfg(all(feature = "daemon", feature = "http", unix))]
    pub(crate) fn scan_within(
        &self,
        cursor: Cursor,
        prefix: &[u8],
        limit: usize,
        bytes: usize,
    ) -> (Page, usize) {
        let mut entries = Vec::new();
        let (next, looked_at) = self.show_page(cursor, prefix, limit, bytes, false, |entry| {
            entries.push(entry.to_scan_entry(false));
        });
        (Page { entries, next }, looked_at)
    }

    /// Shows a page of a scan, of so many entries and bytes, under the lock: be quick, and do not call the cache. Gives where to go on, and how many were looked at,
    /// or some more.
    pub(super) fn show_page(
        &self,
        cursor: Cursor,
        prefix: &[u8],
        limit: usize,
        most_bytes: usize,
        with_values: bool,
        mut show: impl FnMut(&EntryRef<'_>),
    ) -> (Option<Cursor>, usize) {
        let limit = limit.max(1);
        let shards = &self.inner.shards;
        let mut shown = 0;
        let mut bytes = 0;
        let mut holds_left = HOLDS_PER_PAGE;
        let looked_at = |holds_left| (HOLDS_PER_PAGE - holds_left) as usize * ENTRIES_PER_HOLD;
        let mut at = self.position(cursor);
        while let Some(shard) = shards.get(at.shard as usize) {
            if holds_left == 0 || shown >= limit {
                return (Some(self.cursor(at)), looked_at(holds_left));
            }
            holds_left -= 1;
            let mut full = false;
            let held = shard.hold();
            let now = self.inner.now();
            let next = held.scan_slice(at.hash, ENTRIES_PER_HOLD, prefix, now, |entry, inseparable| {
                bytes += entry.key().len() + if with_values { entry.value().len() } else { 0 };
                // A page of one entry may be larger, or it would never be shown.
                full = bytes > most_bytes && shown > 0 && !inseparable;
                if full {
                    return Walk::StopBefore;
                }
                show(&entry);
                shown += 1;
                if shown >= limit { Walk::StopAfter } else { Walk::On }
            });
            drop(held);
            shard.let_others_in();
            at = match next {
                Some(hash) => Position { hash, ..at },
                None => Position {
                    shard: at.shard + 1,
                    hash: 0,
                },
            };
            if full {
                return (Some(self.cursor(at)), looked_at(holds_left));
            }
        }
        (None, looked_at(holds_left))
    }

    /// Removes the live entries whose keys begin with `prefix` and gives their number; an empty prefix is [`clear`](Self::clear). Entries written meanwhile may
    /// or may not be removed. No lock is held for longer than about a thousand entries take.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("user:1", "Ada", SetOptions::default())?;
    /// cache.set("page:1", "<h1>", SetOptions::default())?;
    /// assert_eq!(cache.clear_prefix("user:"), 1);
    /// assert!(cache.contains("page:1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear_prefix(&self, prefix: impl AsRef<[u8]>) -> u64 {
        let prefix = prefix.as_ref();
        if prefix.is_empty() {
            return self.clear();
        }
        // Told first, for entries that are elsewhere and not here; those removed below are told one by one.
        self.inner.shards[0].hold().tell(&Observed::Clear { prefix });
        let mut removed = 0;
        for shard in &self.inner.shards {
            let mut from = Some(0);
            while let Some(hash) = from {
                let (count, next) = {
                    let mut held = shard.hold();
                    let now = self.inner.now();
                    held.clear_slice(hash, ENTRIES_PER_HOLD, prefix, now)
                };
                removed += count;
                from = next;
                shard.let_others_in();
            }
        }
        removed
    }
}
