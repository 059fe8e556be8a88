//! What is asked of a typed cache as a whole: emptying it, counting, its limits, and giving memory back at once. Going through its entries is in `walk.rs`.

use super::super::clock::Clock;
use super::super::housekeeper;
use super::super::policy::PolicyKind;
use super::super::stats::Stats;
use super::TypedCache;
use super::shard::{Gone, Shard};

impl<K, V, S> TypedCache<K, V, S> {
    /// Removes everything and gives the number of entries, those past their deadline and not yet reclaimed included. Each shard is emptied at once.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// assert_eq!(cache.clear(), 1);
    /// assert!(cache.is_empty());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn clear(&self) -> u64 {
        let all = self.inner.shards.iter();
        let old: Vec<Shard<K, V>> = all.map(|shard| shard.hold().clear()).collect();
        let removed = old.iter().map(|shard| shard.stats().items).sum();
        if self.inner.listener.is_some() {
            let mut gone = Gone::new();
            let now = self.inner.clock.now();
            old.into_iter().for_each(|shard| shard.into_gone(now, &mut gone));
            self.inner.deliver(gone);
        }
        removed
    }

    /// Entries held now, those past their deadline and not yet reclaimed included.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.stats().items
    }

    /// Whether nothing is held.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted since the cache was built, and what it holds now. `bytes` is the weight of all entries, and `evictions_by_bytes` counts those that went because of
    /// `max_weight`.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// cache.get(&1);
    /// assert_eq!(cache.stats().misses, 1);
    /// # Ok::<(), rustcache::BuildError>(())
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
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().max_items(10).build()?;
    /// assert_eq!(cache.max_items(), Some(10));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn max_items(&self) -> Option<u64> {
        self.inner.settings.max_items
    }

    /// The limit on the weight, if there is one.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().max_weight(10).build()?;
    /// assert_eq!(cache.max_weight(), Some(10));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn max_weight(&self) -> Option<u64> {
        self.inner.settings.max_weight
    }

    /// Which entry goes when room is needed.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert_eq!(cache.policy(), rustcache::PolicyKind::Lru);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn policy(&self) -> PolicyKind {
        self.inner.settings.policy
    }

    /// Where this cache gets its time from.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert!(cache.clock().unix_millis() > 0);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Removes what has expired, now, and tells the [listener](crate::TypedBuilder::eviction_listener) of it. A background thread does so within about a second anyway; for tests, and for programs that want
    /// the memory back at once. Nothing else is ever put off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::{Clock, TypedCache};
    ///
    /// let (clock, hands) = Clock::manual();
    /// let cache = TypedCache::builder().default_ttl(Duration::from_secs(1)).clock(clock).build()?;
    /// cache.insert("a", 1);
    /// hands.advance(Duration::from_secs(1));
    /// cache.run_pending();
    /// assert_eq!(cache.len(), 0);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn run_pending(&self) {
        housekeeper::begin_in_a_child();
        self.inner.reclaim(true);
    }

    /// Panics if the structures contradict each other or a limit is broken. For tests and fuzzers; takes time in proportion to the entries held.
    #[doc(hidden)]
    pub fn validate(&self) {
        for shard in &self.inner.shards {
            shard.hold().validate();
        }
    }
}
