//! A handle of a cache that does not keep it alive: for what a cache itself holds, such as its listener.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Weak};

use super::{Cache, Inner, Keep};

/// A handle of a [`Cache`] that does not keep it: see [`Cache::downgrade`].
///
/// ```
/// let cache = rustcache::Cache::builder().build()?;
/// let weak = cache.downgrade();
/// assert!(weak.upgrade().is_some());
/// drop(cache);
/// assert!(weak.upgrade().is_none());
/// # Ok::<(), rustcache::BuildError>(())
/// ```
#[derive(Clone)]
pub struct WeakCache {
    inner: Weak<Inner>,
    keep: Option<Weak<dyn Keep>>,
}

impl Cache {
    /// A handle that does not keep the cache: once all others are dropped, the cache is gone, and its directory is free, if it has one. What the cache itself holds must have no other:
    /// a listener with a [`Cache`] of its own would keep that for ever.
    ///
    /// ```
    /// use std::sync::{Arc, OnceLock};
    /// use rustcache::{Cache, Expiry, RemovalCause, SetOptions, WeakCache};
    ///
    /// let itself: Arc<OnceLock<WeakCache>> = Arc::default();
    /// let of_listener = Arc::clone(&itself);
    /// let cache = Cache::builder()
    ///     .max_items(3)
    ///     .eviction_listener(move |_key, _entry, cause| {
    ///         if let Some(cache) = of_listener.get().and_then(WeakCache::upgrade).filter(|_| cause == RemovalCause::MaxItems) {
    ///             let _ = cache.increment("evicted", 1, Expiry::Never);
    ///         }
    ///     })
    ///     .build()?;
    /// let _ = itself.set(cache.downgrade());
    /// for key in ["a", "b", "c", "d"] {
    ///     cache.set(key, "v", SetOptions::default())?;
    /// }
    /// // "a" for "d", and "b" for what counts.
    /// assert_eq!(cache.get("evicted").unwrap().value, "2");
    ///
    /// let weak = cache.downgrade();
    /// drop(cache);
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn downgrade(&self) -> WeakCache {
        WeakCache {
            inner: Arc::downgrade(&self.inner),
            keep: self.keep.as_ref().map(Arc::downgrade),
        }
    }
}

impl WeakCache {
    /// A handle of the cache, if it has one still.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// let weak = cache.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn upgrade(&self) -> Option<Cache> {
        let keep = match &self.keep {
            None => None,
            // What keeps it goes first, and has a handle as long as it writes.
            Some(keep) => Some(keep.upgrade()?),
        };
        let inner = self.inner.upgrade()?;
        Some(Cache { inner, keep })
    }
}

// As `Cache`.
impl UnwindSafe for WeakCache {}
impl RefUnwindSafe for WeakCache {}

impl fmt::Debug for WeakCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakCache")
    }
}
