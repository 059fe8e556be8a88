//! Reading through a typed cache: what is missing is loaded once for all who ask. What that means is `flight`'s; this is what callers say, and where it meets
//! the shards.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use super::super::shard::{index_hash, spread};
use super::shard::{Gone, Spot, Write};
use super::{Condition, Expiry, TypedCache};
use crate::flight::{self, Call, Flight, Join, LoadError};

impl<K, V, S> TypedCache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// The value under a key, as [`get`](Self::get) gives it; or, if it is missing, what the loader brings, which is stored with the cache's default TTL. Use
    /// [`load`](Self::load) for another TTL.
    ///
    /// All that [`Cache::get_with`](crate::Cache::get_with) says holds here: one loader at a time for each key, whose value all who wait get (a clone each);
    /// what is written or removed while it runs is not covered by what it brings ([`retain`](Self::retain) and [`invalidate_if`](Self::invalidate_if) count as a write of
    /// every key); a panic hands over to one of those who wait; and a loader that asks for its own key does not wait for itself. What is too heavy is given
    /// all the same.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<String, u32>::builder().build()?;
    /// assert_eq!(cache.get_with("a", || 1), 1);
    /// assert_eq!(cache.get_with("a", || unreachable!("it is there")), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn get_with<Q>(&self, key: &Q, loader: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        // Before anything is made ready for a load: a hit costs what a `get` does.
        match self.get(key) {
            Some(value) => value,
            None => self.load(key).missing_with(loader),
        }
    }

    /// As [`get_with`](Self::get_with), with a loader that may fail: then nothing is stored, and all who have waited get the error, but for those who expect one of
    /// another type, or none.
    ///
    /// # Errors
    /// [`LoadError::Failed`]: the loader failed, this one or the one that was waited for. [`LoadError::Reentrant`]: this call was made by a loader, and would have waited for it.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<String, u32>::builder().build()?;
    /// assert!(cache.try_get_with("a", || "one".parse()).is_err());
    /// assert_eq!(cache.try_get_with("a", || "1".parse::<u32>())?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_get_with<Q, E>(
        &self,
        key: &Q,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.load(key).missing_try_with(loader),
        }
    }

    /// [`get_with`](Self::get_with) for a loader that is a future: see [`Cache::get_with_async`](crate::Cache::get_with_async), also for what would wait for ever.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::TypedCache::<String, u32>::builder().build()?;
    /// assert_eq!(cache.get_with_async("a", || async { 1 }).await, 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn get_with_async<Q, L>(&self, key: &Q, loader: impl FnOnce() -> L) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        L: Future<Output = V>,
    {
        self.load(key).with_async(loader).await
    }

    /// [`try_get_with`](Self::try_get_with) for a loader that is a future: see [`Cache::get_with_async`](crate::Cache::get_with_async).
    ///
    /// # Errors
    /// As for [`try_get_with`](Self::try_get_with).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::TypedCache::<String, u32>::builder().build()?;
    /// let failed = cache.try_get_with_async("a", || async { "one".parse() }).await;
    /// assert!(failed.is_err());
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn try_get_with_async<Q, E, L>(
        &self,
        key: &Q,
        loader: impl FnOnce() -> L,
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
        L: Future<Output = Result<V, E>>,
    {
        self.load(key).try_with_async(loader).await
    }

    /// [`get_with`](Self::get_with) and its like, with a TTL.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache = rustcache::TypedCache::<String, u32>::builder().build()?;
    /// assert_eq!(cache.load("a").ttl(Duration::from_secs(60)).with(|| 1), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn load<'c, Q>(&'c self, key: &'c Q) -> TypedLoad<'c, Q, K, V, S>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        TypedLoad {
            cache: self,
            key,
            terms: Terms {
                expiry: Expiry::Default,
                expiry_of: None,
            },
        }
    }
}

/// How a value is got from a typed cache or, if it is missing, loaded and stored: see [`TypedCache::load`]. Of a value that is there, nothing here changes anything.
///
/// ```
/// use std::time::Duration;
/// use rustcache::Expiry;
///
/// let cache = rustcache::TypedCache::<u32, Option<&str>>::builder().build()?;
/// let missing_is_kept_for_a_second = |user: &Option<&str>| match user {
///     None => Expiry::After(Duration::from_secs(1)),
///     Some(_) => Expiry::Never,
/// };
/// assert_eq!(cache.load(&404).expiry_of(missing_is_kept_for_a_second).with(|| None), None);
/// # Ok::<(), rustcache::BuildError>(())
/// ```
#[must_use = "nothing is read or loaded until a loader is given"]
pub struct TypedLoad<'c, Q: ?Sized, K, V, S> {
    cache: &'c TypedCache<K, V, S>,
    key: &'c Q,
    terms: Terms<'c, V>,
}

/// How what is loaded is stored.
struct Terms<'c, V> {
    expiry: Expiry,
    expiry_of: Option<ExpiryOf<'c, V>>,
}

type ExpiryOf<'c, V> = Box<dyn FnOnce(&V) -> Expiry + Send + 'c>;

impl<V> Terms<'_, V> {
    fn of(self, value: V) -> (V, Expiry) {
        let expiry = match self.expiry_of {
            Some(expiry_of) => expiry_of(&value),
            None => self.expiry,
        };
        (value, expiry)
    }
}

impl<'c, Q, K, V, S> TypedLoad<'c, Q, K, V, S>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    V: Clone,
    S: BuildHasher,
{
    /// How long the value is to be served, from when it is stored; zero stores nothing. Default: the cache's default TTL.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert_eq!(cache.load(&1).ttl(Duration::ZERO).with(|| 1), 1);
    /// assert!(!cache.contains(&1));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn ttl(self, ttl: Duration) -> Self {
        self.expiry(Expiry::After(ttl))
    }

    /// When the value expires. [`Expiry::Keep`] is as [`Expiry::Default`] here: there is no entry whose deadline could be kept.
    ///
    /// ```
    /// use rustcache::{Expiry, TimeLeft};
    ///
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// cache.load(&1).expiry(Expiry::Never).with(|| 1);
    /// assert_eq!(cache.time_left(&1), Some(TimeLeft::Forever));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.terms.expiry = expiry;
        self
    }

    /// When the value expires, by what it is. This is called with what the loader brought, before that is stored, and without a lock; if it panics, that is
    /// as if the loader had.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::Expiry;
    ///
    /// let cache = rustcache::TypedCache::<u32, u64>::builder().build()?;
    /// cache.load(&1).expiry_of(|&seconds| Expiry::After(Duration::from_secs(seconds))).with(|| 60);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn expiry_of(mut self, expiry_of: impl FnOnce(&V) -> Expiry + Send + 'c) -> Self {
        self.terms.expiry_of = Some(Box::new(expiry_of));
        self
    }

    /// As [`TypedCache::get_with`].
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert_eq!(cache.load(&1).with(|| 1), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn with(self, loader: impl FnOnce() -> V) -> V {
        match self.cache.get(self.key) {
            Some(value) => value,
            None => self.missing_with(loader),
        }
    }

    /// As [`TypedCache::try_get_with`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert!(cache.load(&1).try_with(|| "one".parse()).is_err());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn try_with<E: Send + Sync + 'static>(
        self,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        match self.cache.get(self.key) {
            Some(value) => Ok(value),
            None => self.missing_try_with(loader),
        }
    }

    /// As [`TypedCache::get_with_async`].
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert_eq!(cache.load(&1).with_async(|| async { 1 }).await, 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn with_async<L: Future<Output = V>>(self, loader: impl FnOnce() -> L) -> V {
        if let Some(value) = self.cache.get(self.key) {
            return value;
        }
        let TypedLoad { cache, key, terms } = self;
        let loader = || async { terms.of(loader().await) };
        flight::get_async(&Missing { cache, key }, loader).await
    }

    /// As [`TypedCache::try_get_with_async`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().build()?;
    /// assert!(cache.load(&1).try_with_async(|| async { "one".parse() }).await.is_err());
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn try_with_async<E, L>(self, loader: impl FnOnce() -> L) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
        L: Future<Output = Result<V, E>>,
    {
        if let Some(value) = self.cache.get(self.key) {
            return Ok(value);
        }
        let TypedLoad { cache, key, terms } = self;
        let loader = || async { loader().await.map(|value| terms.of(value)) };
        flight::try_get_async(&Missing { cache, key }, loader).await
    }

    #[cold]
    #[inline(never)]
    fn missing_with(self, loader: impl FnOnce() -> V) -> V {
        let TypedLoad { cache, key, terms } = self;
        flight::get(&Missing { cache, key }, || terms.of(loader()))
    }

    #[cold]
    #[inline(never)]
    fn missing_try_with<E: Send + Sync + 'static>(
        self,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        let TypedLoad { cache, key, terms } = self;
        let loader = || loader().map(|value| terms.of(value));
        flight::try_get(&Missing { cache, key }, loader)
    }
}

impl<Q: fmt::Debug + ?Sized, K, V, S> fmt::Debug for TypedLoad<'_, Q, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedLoad")
            .field("key", &self.key)
            .field("expiry", &self.terms.expiry)
            .finish_non_exhaustive()
    }
}

/// A call for a key that was missing a moment ago.
struct Missing<'c, Q: ?Sized, K, V, S> {
    cache: &'c TypedCache<K, V, S>,
    key: &'c Q,
}

impl<Q, K, V, S> Call for Missing<'_, Q, K, V, S>
where
    K: Hash + Eq + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    V: Clone,
    S: BuildHasher,
{
    type Key = K;
    type Value = V;
    type Brought = (V, Expiry);

    fn join(&self) -> Join<K, V> {
        let inner = &*self.cache.inner;
        let hash = inner.hasher.hash_one(self.key);
        // Made here, and not under the lock.
        let own = Arc::new(Flight::new(spread(index_hash(hash)), self.key.to_owned()));
        let (shard, hash) = inner.place(hash);
        let mut held = shard.hold();
        let now = inner.now_for(&held);
        held.join_load(hash, |key| key.borrow() == self.key, &own, now)
    }

    fn land(&self, load: &Arc<Flight<K, V>>, (value, expiry): (V, Expiry)) -> V {
        let inner = &*self.cache.inner;
        let mut entry = Some((self.key.to_owned(), value.clone()));
        let weight = entry.as_ref().map_or(0, |(key, value)| inner.weigh(key, value));
        let (shard, hash) = inner.place(inner.hasher.hash_one(self.key));
        let mut gone = Gone::new();
        let outcome = {
            let mut held = shard.hold();
            let now = inner.now_to_write(&held, expiry);
            let write = Write {
                hash,
                weight,
                deadline: inner.deadline(expiry, now),
                condition: Condition::Always,
            };
            if held.end_load(load) {
                let spot = Spot::of(held.live(hash, |held| held.key.borrow() == self.key, now, &mut gone));
                entry
                    .take()
                    .map(|entry| held.store(spot, &write, entry, now, &mut gone))
            } else {
                None
            }
        };
        inner.watch_if_needed(expiry);
        inner.deliver(gone);
        // What was not stored is dropped here, and not under the lock.
        drop((outcome, entry));
        value
    }

    fn unkept(&self, (value, _): (V, Expiry)) -> V {
        value
    }

    fn abandon(&self, load: &Arc<Flight<K, V>>) {
        let inner = &*self.cache.inner;
        let (shard, _) = inner.place(inner.hasher.hash_one(self.key));
        shard.hold().end_load(load);
    }
}
