//! What callers ask of one key without changing what it holds: reads, and looks that leave no trace.

use super::Cache;
use super::entry::{Entry, EntryRef, TimeLeft};

impl Cache {
    /// The entry under a key, which becomes the most recently used one. `None` if it is absent or has expired.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert_eq!(cache.get("a").unwrap().value, "1");
    /// assert!(cache.get("b").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Entry> {
        self.read(key.as_ref(), |entry| entry.to_entry())
    }

    /// The entry under a key, as [`get`](Self::get) gives it, but neither refreshed nor counted.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().max_items(2).build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// cache.set("b", "2", SetOptions::default())?;
    /// assert_eq!(cache.peek("a").unwrap().value, "1");
    /// cache.set("c", "3", SetOptions::default())?; // the one that was used least recently goes, which is still "a"
    /// assert!(cache.peek("a").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peek(&self, key: impl AsRef<[u8]>) -> Option<Entry> {
        let key = self.hashed(key.as_ref());
        self.with_shard_as_it_is(key, |shard, key, now| {
            shard.peek(key, now, |entry| entry.to_entry())
        })
    }

    /// Whether a live entry is there. Neither refreshes it nor counts.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert!(cache.contains("a") && !cache.contains("b"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.time_left(key).is_some()
    }

    /// How long an entry has to live, be it for its TTL or until it has been idle for too long; `None` if it is absent or has expired. Neither refreshes it nor counts. (The
    /// [`time_left`](Entry::time_left) of an entry that was read is about its TTL alone, so that it can be moved elsewhere with that.)
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, TimeLeft};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert_eq!(cache.time_left("a"), Some(TimeLeft::Forever));
    /// assert_eq!(cache.time_left("b"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn time_left(&self, key: impl AsRef<[u8]>) -> Option<TimeLeft> {
        let key = self.hashed(key.as_ref());
        self.with_shard_as_it_is(key, |shard, key, now| shard.time_left(key, now))
    }

    /// Reads under the lock: be quick, and do not call the cache.
    #[inline]
    pub(crate) fn read<R>(&self, key: &[u8], seen: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        self.with_shard_as_it_is(self.hashed(key), |shard, key, now| shard.read(key, now, seen))
    }
}
