//! Going through a cache entry by entry, and removing what a caller's condition is true of. Pages of a scan lie under it, so a caller's code never runs
//! while a lock is held.

use std::iter::FusedIterator;
use std::{fmt, vec};

use bytes::Bytes;

use super::scan::BYTES_PER_PAGE;
use super::{Cache, Cursor, Entry, EntryRef};

/// Entries that are fetched at once, unless they are large.
const ENTRIES_PER_PAGE: usize = 256;

/// The live entries of a cache, in no particular order: see [`Cache::iter`]. Holds no lock, and a handle of the cache.
///
/// ```
/// # use rustcache::{Cache, SetOptions};
/// # let cache = Cache::builder().build()?;
/// cache.set("a", "1", SetOptions::default())?;
/// let mut entries = cache.iter();
/// let (key, entry) = entries.next().unwrap();
/// assert_eq!((&key[..], &entry.value[..]), (&b"a"[..], &b"1"[..]));
/// assert!(entries.next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an iterator does nothing until it is asked for an item"]
pub struct Iter {
    cache: Cache,
    prefix: Box<[u8]>,
    page: vec::IntoIter<Seen>,
    next: Option<Cursor>,
}

/// An entry as it was when it was shown.
struct Seen {
    key: Bytes,
    entry: Entry,
    /// See `EntryRef::deadline`: what was written again, or touched, mostly has another one.
    deadline: u64,
}

impl Iter {
    fn fetch(&mut self, at: Cursor) {
        let mut page = Vec::new();
        let show = |entry: &EntryRef<'_>| {
            page.push(Seen {
                key: Bytes::copy_from_slice(entry.key()),
                entry: entry.to_entry(),
                deadline: entry.deadline(),
            });
        };
        let prefix = &self.prefix;
        (self.next, _) = self
            .cache
            .show_page(at, prefix, ENTRIES_PER_PAGE, BYTES_PER_PAGE, true, show);
        self.page = page.into_iter();
    }

    fn next_seen(&mut self) -> Option<Seen> {
        loop {
            if let Some(seen) = self.page.next() {
                return Some(seen);
            }
            let at = self.next.take()?;
            self.fetch(at);
        }
    }
}

impl Iterator for Iter {
    type Item = (Bytes, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_seen().map(|Seen { key, entry, .. }| (key, entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let fetched = self.page.len();
        (fetched, self.next.is_none().then_some(fetched))
    }
}

impl FusedIterator for Iter {}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("prefix", &self.prefix.escape_ascii().to_string())
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl IntoIterator for &Cache {
    type Item = (Bytes, Entry);
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}

impl Cache {
    /// The live entries, in no particular order. Going through them neither refreshes them nor counts.
    ///
    /// Every entry that is there throughout comes exactly once, and no key comes twice; what is written or removed meanwhile may or may not come. An entry is what it
    /// was when its page was fetched: 256 entries, or 1 MiB of them, at once; it may have changed, expired or gone since. No lock is held between items, so the cache may be used
    /// in any way meanwhile.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// cache.set("b", "22", SetOptions::default())?;
    /// let bytes: usize = cache.iter().map(|(key, entry)| key.len() + entry.value.len()).sum();
    /// assert_eq!(bytes, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter {
        self.iter_prefix("")
    }

    /// As [`iter`](Self::iter), for those whose keys begin with `prefix`. All keys are looked at: it takes as long.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().build()?;
    /// cache.set("user:1", "Ada", SetOptions::default())?;
    /// cache.set("page:1", "<h1>", SetOptions::default())?;
    /// assert_eq!(cache.iter_prefix("user:").next().unwrap().1.value, "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter_prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        Iter {
            cache: self.clone(),
            prefix: prefix.as_ref().into(),
            page: Vec::new().into_iter(),
            next: Some(Cursor::default()),
        }
    }

    /// Removes the entries of which `keep` is false, and gives their number. It takes what [`iter`](Self::iter) gives, with the same words about what changes meanwhile; and an entry
    /// that was written again after `keep` saw it, or [touched](Self::touch), stays if its value, its tag or its deadline is another one: with all three the same, it is as if that had been before. `keep` runs without any lock and may call the cache; if it panics, what it has refused so far is gone.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, Tag};
    /// let cache = Cache::builder().build()?;
    /// cache.set("short", "abc", SetOptions::default())?;
    /// cache.set("long", "abcdefgh", SetOptions::default())?;
    /// assert_eq!(cache.retain(|_, entry| entry.value.len() < 5), 1);
    /// assert!(cache.contains("short") && !cache.contains("long"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&[u8], &Entry) -> bool) -> u64 {
        // Nobody can ask `keep` of what is being loaded.
        for shard in &self.inner.shards {
            shard.hold().outdate_loads(&[]);
        }
        let mut batch = self.batch();
        let mut removed = 0;
        let mut all = self.iter();
        while let Some(Seen { key, entry, deadline }) = all.next_seen() {
            if !keep(&key, &entry) && batch.remove_if_untouched(&key, &entry, deadline) {
                removed += 1;
            }
            batch.release_after(1);
        }
        removed
    }

    /// Removes the entries of which `condition` is true, and gives their number: the opposite of [`retain`](Self::retain), in all else the same. For a prefix,
    /// [`clear_prefix`](Self::clear_prefix) is quicker.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, Tag};
    /// let cache = Cache::builder().build()?;
    /// cache.set("a", "{}", SetOptions::default().with_tag(Tag::JSON))?;
    /// cache.set("b", "{}", SetOptions::default())?;
    /// assert_eq!(cache.invalidate_if(|_, entry| entry.tag == Tag::JSON), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn invalidate_if(&self, mut condition: impl FnMut(&[u8], &Entry) -> bool) -> u64 {
        self.retain(|key, entry| !condition(key, entry))
    }
}
