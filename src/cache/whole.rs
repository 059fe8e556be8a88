//! What is asked of a cache as a whole: emptying it, counting, its limits, and giving memory back at once. Going through its entries is in `iter.rs` and `scan.rs`.

use super::clock::Clock;
use super::departures::Unsettled;
use super::locked::Locked;
use super::observer::Observed;
use super::policy::PolicyKind;
use super::stats::Stats;
use super::{Cache, Shard, housekeeper};

/// A shard of more entries than this is freed by the background thread when it is cleared.
const FREED_IN_BACKGROUND_FROM: u64 = 1024;

impl Cache {
    /// Removes everything and gives the number of entries, those past their deadline and not yet reclaimed included. Each shard is emptied at
    /// once; its memory is given back in the background.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert_eq!(cache.clear(), 1);
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self) -> u64 {
        // All locks at once, so that an observer can be told in one word.
        let mut shards: Vec<_> = self.inner.shards.iter().map(Locked::hold).collect();
        let now = self.inner.now();
        let old: Vec<Shard> = shards.iter_mut().map(|shard| shard.clear()).collect();
        shards[0].tell(&Observed::Clear { prefix: &[] });
        let keeper = shards[0].take_unsettled();
        drop(shards);
        Unsettled::new(keeper, Vec::new(), None).settle_silently();
        old.iter().for_each(|shard| shard.tell_all_departed(now));
        let removed = old.iter().map(|shard| shard.stats().items).sum();
        if removed > FREED_IN_BACKGROUND_FROM {
            housekeeper::drop_later(Box::new(old));
        }
        removed
    }

    /// Entries held now, those past their deadline and not yet reclaimed included.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.stats().items
    }

    /// Whether nothing is held.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted since the cache was built, and what it holds now.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// cache.get("nothing");
    /// assert_eq!(cache.stats().misses, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.inner.shards {
            stats += shard.hold().stats();
        }
        stats
    }

    /// The limit on entries, if there is one.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().max_items(10).build()?;
    /// assert_eq!(cache.max_items(), Some(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_items(&self) -> Option<u64> {
        self.inner.settings.max_items
    }

    /// The limit on bytes, if there is one.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().max_bytes(1 << 20).build()?;
    /// assert_eq!(cache.max_bytes(), Some(1 << 20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_bytes(&self) -> Option<u64> {
        self.inner.settings.max_bytes
    }

    /// The longest key, in bytes.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().max_key_bytes(250).build()?;
    /// assert_eq!(cache.max_key_bytes(), 250);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_key_bytes(&self) -> usize {
        self.inner.settings.max_key_bytes
    }

    /// The longest value, in bytes.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().max_value_bytes(1 << 20).build()?;
    /// assert_eq!(cache.max_value_bytes(), 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_value_bytes(&self) -> usize {
        self.inner.settings.max_value_bytes
    }

    /// Which entry goes when room is needed.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// assert_eq!(cache.policy(), rustcache::PolicyKind::Lru);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn policy(&self) -> PolicyKind {
        self.inner.settings.policy
    }

    /// Where this cache gets its time from.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// assert!(cache.clock().unix_millis() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Removes what has expired, now, and tells the [eviction listener](crate::Builder::eviction_listener) of it. A background thread does so within about a second anyway; for tests, and for
    /// programs that want the memory back at once. Nothing else is ever put off.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::{Cache, Clock, SetOptions};
    /// let (clock, hands) = Clock::manual();
    /// let cache = Cache::builder().clock(clock).build()?;
    /// cache.set("code", "4711", SetOptions::ttl(Duration::from_secs(30)))?;
    /// hands.advance(Duration::from_secs(30));
    /// cache.run_pending();
    /// assert_eq!(cache.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_pending(&self) {
        housekeeper::begin_in_a_child();
        self.inner.reclaim(true);
    }

    /// Panics if the engine's structures contradict each other or a limit is broken. For tests and fuzzers; takes time in
    /// proportion to the entries held.
    #[doc(hidden)]
    pub fn validate(&self) {
        for shard in &self.inner.shards {
            shard.hold().validate();
        }
    }
}
