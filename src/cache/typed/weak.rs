//! A handle of a typed cache that does not keep it alive: for what a cache itself holds, such as its listener.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Weak};

use super::TypedCache;
use super::hasher::RandomState;
use super::inner::Inner;

/// A handle of a [`TypedCache`] that does not keep it: see [`TypedCache::downgrade`].
///
/// ```
/// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
/// let weak = cache.downgrade();
/// assert!(weak.upgrade().is_some());
/// drop(cache);
/// assert!(weak.upgrade().is_none());
/// # Ok::<(), rustcache::BuildError>(())
/// ```
pub struct WeakTypedCache<K, V, S = RandomState> {
    inner: Weak<Inner<K, V, S>>,
}

impl<K, V, S> TypedCache<K, V, S> {
    /// A handle that does not keep the cache: once all others are dropped, the cache is gone. What the cache itself holds must have no other:
    /// a listener with a [`TypedCache`] of its own, or a value, would keep that for ever.
    ///
    /// ```
    /// use std::sync::{Arc, OnceLock};
    /// use rustcache::{TypedCache, WeakTypedCache};
    ///
    /// let itself: Arc<OnceLock<WeakTypedCache<u32, &str>>> = Arc::default();
    /// let of_listener = Arc::clone(&itself);
    /// let cache = TypedCache::builder()
    ///     .max_items(2)
    ///     .eviction_listener(move |key, value, _cause| {
    ///         // What is too good to go comes back.
    ///         if let Some(cache) = of_listener.get().and_then(WeakTypedCache::upgrade).filter(|_| value == "gold") {
    ///             cache.insert(key, value);
    ///         }
    ///     })
    ///     .build()?;
    /// let _ = itself.set(cache.downgrade());
    /// for (key, value) in [(1, "gold"), (2, "lead"), (3, "tin")] {
    ///     cache.insert(key, value);
    /// }
    /// assert_eq!(cache.get(&1), Some("gold"));
    ///
    /// let weak = cache.downgrade();
    /// drop(cache);
    /// assert!(weak.upgrade().is_none());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn downgrade(&self) -> WeakTypedCache<K, V, S> {
        WeakTypedCache {
            inner: Arc::downgrade(&self.inner),
        }
    }
}

impl<K, V, S> WeakTypedCache<K, V, S> {
    /// A handle of the cache, if it has one still.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// let weak = cache.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn upgrade(&self) -> Option<TypedCache<K, V, S>> {
        let inner = self.inner.upgrade()?;
        Some(TypedCache { inner })
    }
}

// As `TypedCache`.
impl<K, V, S> UnwindSafe for WeakTypedCache<K, V, S> {}
impl<K, V, S> RefUnwindSafe for WeakTypedCache<K, V, S> {}

impl<K, V, S> Clone for WeakTypedCache<K, V, S> {
    fn clone(&self) -> Self {
        WeakTypedCache {
            inner: Weak::clone(&self.inner),
        }
    }
}

impl<K, V, S> fmt::Debug for WeakTypedCache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakTypedCache")
    }
}
