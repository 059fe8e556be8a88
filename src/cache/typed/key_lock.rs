//! The locks of keys that callers ask a typed cache for. The cache itself never takes one.

use std::any::Any;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use super::TypedCache;
use crate::key_lock::{KeyGuard, KeyLocks};

impl<K, V, S> TypedCache<K, V, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    /// Waits until this thread has the lock of a key, and holds it until the guard is dropped: see [`Cache::key_lock`](crate::Cache::key_lock). It is the thread's, and does not keep tasks
    /// that one thread runs in turns from each other: to hold a lock over an `await`, take it with `key_lock_async` (feature `async`). The keys' own code runs
    /// without a lock of the cache's.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// let guard = cache.key_lock(&1);
    /// cache.insert(1, cache.get(&1).unwrap_or(0) + 1);
    /// assert_eq!(guard.key(), &1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn key_lock(&self, key: &K) -> KeyGuard<K> {
        self.key_locks()
            .lock(self.inner.hasher.hash_one(key), key.clone())
    }

    /// The lock of a key if it is free, or this thread's already: see [`Cache::try_key_lock`](crate::Cache::try_key_lock).
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert!(cache.try_key_lock(&1).is_some());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn try_key_lock(&self, key: &K) -> Option<KeyGuard<K>> {
        self.key_locks()
            .try_lock(self.inner.hasher.hash_one(key), key.clone())
    }

    /// As [`key_lock`](Self::key_lock), but waits for this time at most: see [`Cache::key_lock_timeout`](crate::Cache::key_lock_timeout).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert!(cache.key_lock_timeout(&1, Duration::from_secs(5)).is_some());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn key_lock_timeout(&self, key: &K, timeout: Duration) -> Option<KeyGuard<K>> {
        self.key_locks()
            .lock_for(self.inner.hasher.hash_one(key), key.clone(), timeout)
    }

    /// Waits until the lock of a key has been got, without a thread: see [`Cache::key_lock_async`](crate::Cache::key_lock_async).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// let guard = cache.key_lock_async(&1).await;
    /// assert!(cache.try_key_lock(&1).is_none());
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn key_lock_async(&self, key: &K) -> crate::AsyncKeyGuard<K> {
        let hash = self.inner.hasher.hash_one(key);
        self.key_locks().lock_async(hash, key.clone()).await
    }

    /// The lock of a key, as [`key_lock_async`](Self::key_lock_async) gives it, if it is free; `None` if it is held, by whomever.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// let guard = cache.try_key_lock_async(&1).expect("nobody has it");
    /// assert!(cache.try_key_lock_async(&1).is_none());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[cfg(feature = "async")]
    pub fn try_key_lock_async(&self, key: &K) -> Option<crate::AsyncKeyGuard<K>> {
        self.key_locks()
            .try_lock_async(self.inner.hasher.hash_one(key), key.clone())
    }

    /// In as many parts as the cache: how many threads are at work at once is the same question.
    fn key_locks(&self) -> Arc<KeyLocks<K>> {
        let inner = &*self.inner;
        let new = || Arc::new(KeyLocks::<K>::new(inner.shards.len())) as Arc<dyn Any + Send + Sync>;
        let locks = Arc::clone(inner.key_locks.get_or_init(new));
        locks.downcast().expect("nothing else is put there")
    }
}
