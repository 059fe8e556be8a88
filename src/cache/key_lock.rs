//! The locks of keys that callers ask the cache for. The cache itself never takes one.

use std::sync::Arc;
use std::time::Duration;

use super::Cache;
use crate::key_lock::{KeyGuard, KeyLocks};

impl Cache {
    /// Waits until this thread has the lock of a key, and holds it until the guard is dropped: for work on one key that must not be done twice at the same time
    /// and takes more than one call. Those who wait get it in the order in which they came.
    ///
    /// **It keeps out others who lock the key, and nobody else**: no other method of the cache takes it, so that [`get`](Self::get), [`set`](Self::set) and
    /// [`remove`](Self::remove) neither wait for it nor wait while it is held. The key need not be there. Clones of a cache share their locks; other caches
    /// have their own. They are gone when the last guard is: a key that was locked once takes no memory.
    ///
    /// **Taking it again**: the lock is the thread's. It can take it again and gets it at once; others get it when the last of these guards is dropped. The guard
    /// cannot be sent to another thread. Two threads that take two locks in opposite order can wait for each other for ever, as with any locks: take them in one order, or use
    /// [`key_lock_timeout`](Self::key_lock_timeout).
    ///
    /// So it does not keep tasks that one thread runs in turns from each other: to hold a lock over an `await`, take it with `key_lock_async` (feature `async`).
    ///
    /// A panic while it is held lets it go as any other end does.
    ///
    /// ```
    /// use rustcache::{Cache, SetOptions};
    ///
    /// let cache = Cache::builder().build()?;
    /// std::thread::scope(|scope| {
    ///     for word in ["a", "b", "c"] {
    ///         let cache = cache.clone();
    ///         scope.spawn(move || {
    ///             let _guard = cache.key_lock("words");
    ///             let mut words = cache.get("words").map_or(Vec::new(), |entry| entry.value.to_vec());
    ///             words.extend_from_slice(word.as_bytes());
    ///             cache.set("words", words, SetOptions::default())
    ///         });
    ///     }
    /// });
    /// assert_eq!(cache.get("words").unwrap().value.len(), 3);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn key_lock(&self, key: impl AsRef<[u8]>) -> KeyGuard {
        let (hash, key) = self.to_lock(key.as_ref());
        self.key_locks().lock(hash, key)
    }

    /// The lock of a key if it is free, or this thread's already; `None` if others have it. See [`key_lock`](Self::key_lock).
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// let guard = cache.try_key_lock("report").expect("nobody has it");
    /// let others = cache.clone();
    /// std::thread::spawn(move || assert!(others.try_key_lock("report").is_none())).join().unwrap();
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn try_key_lock(&self, key: impl AsRef<[u8]>) -> Option<KeyGuard> {
        let (hash, key) = self.to_lock(key.as_ref());
        self.key_locks().try_lock(hash, key)
    }

    /// As [`key_lock`](Self::key_lock), but waits for this time at most, by the system's clock; then it gives `None`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache = rustcache::Cache::builder().build()?;
    /// let guard = cache.key_lock_timeout("report", Duration::from_secs(5)).expect("nobody has it");
    /// let others = cache.clone();
    /// let waits = move || assert!(others.key_lock_timeout("report", Duration::from_millis(1)).is_none());
    /// std::thread::spawn(waits).join().unwrap();
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn key_lock_timeout(&self, key: impl AsRef<[u8]>, timeout: Duration) -> Option<KeyGuard> {
        let (hash, key) = self.to_lock(key.as_ref());
        self.key_locks().lock_for(hash, key, timeout)
    }

    /// Waits until the lock of a key has been got, as [`key_lock`](Self::key_lock), without a thread; on whatever executor polls this. The two wait for each other, in one line.
    ///
    /// The guard may be held over an `await` and sent to other threads, so it is nobody's in particular: **who has it and asks for the same lock again waits for himself**, for
    /// as long as nobody drops one of the two. Where that may be, use [`try_key_lock_async`](Self::try_key_lock_async), or the timeout of the executor.
    /// A future that is dropped leaves the line, and loses nothing on the way.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let guard = cache.key_lock_async("report").await;
    /// cache.set("report", "made by one at a time", rustcache::SetOptions::default())?;
    /// drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn key_lock_async(&self, key: impl AsRef<[u8]>) -> crate::AsyncKeyGuard {
        let (hash, key) = self.to_lock(key.as_ref());
        self.key_locks().lock_async(hash, key).await
    }

    /// The lock of a key, as [`key_lock_async`](Self::key_lock_async) gives it, if it is free; `None` if it is held, by whomever.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// let guard = cache.try_key_lock_async("report").expect("nobody has it");
    /// assert!(cache.try_key_lock_async("report").is_none());
    /// std::thread::spawn(move || drop(guard)).join().unwrap();
    /// assert!(cache.try_key_lock_async("report").is_some());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[cfg(feature = "async")]
    pub fn try_key_lock_async(&self, key: impl AsRef<[u8]>) -> Option<crate::AsyncKeyGuard> {
        let (hash, key) = self.to_lock(key.as_ref());
        self.key_locks().try_lock_async(hash, key)
    }

    /// In as many parts as the cache: how many threads are at work at once is the same question.
    fn key_locks(&self) -> &Arc<KeyLocks<Box<[u8]>>> {
        let parts = self.inner.shards.len();
        self.inner
            .key_locks
            .get_or_init(|| Arc::new(KeyLocks::new(parts)))
    }

    fn to_lock(&self, key: &[u8]) -> (u64, Box<[u8]>) {
        (self.inner.hasher.hash_one(key), key.into())
    }
}
