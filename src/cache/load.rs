//! Reading through the cache: what is missing is loaded once for all who ask. What that means is `flight`'s; this is what callers say, and where it meets
//! the shards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::payload::{Draft, is_large};
use super::shard::{Deadline, Loading, spread};
use super::{Cache, Entry, Expiry, SetOptions, Tag, TimeLeft, Value};
use crate::flight::{self, Call, Flight, Join, LoadError};

impl Cache {
    /// The entry under a key, as [`get`](Self::get) gives it; or, if it is missing, what the loader brings, which is stored with the cache's default TTL. Use
    /// [`load`](Self::load) for another TTL, or a tag.
    ///
    /// **One loader at a time.** Who asks for a key that is being loaded, by this cache or a clone of it, waits and gets the same value; all of them have counted
    /// a miss. No lock is held while a loader runs: it may take long, and use this cache.
    ///
    /// **Writes win.** If the key is written or removed while the loader runs, in any way (also by [`clear`](Self::clear) or
    /// [`clear_prefix`](Self::clear_prefix)), those who have waited get what it brings and it is not stored; who asks after the write does not wait for it, but loads
    /// anew.
    ///
    /// **Panics.** If a loader panics, its caller panics with it; nothing is stored, and one of those who waited runs his own.
    ///
    /// **Loaders that ask for themselves.** If a loader asks for its own key, or for one whose loader waits for this one, in this thread or in others, that
    /// call does not wait for ever: it runs its own loader at once and stores nothing. ([`try_get_with`](Self::try_get_with) gives an error instead.) That is not noticed if the loader has
    /// another thread ask, and waits for that.
    ///
    /// What cannot be stored (a key or a value that is too long, an entry that can never fit) is given all the same. Of an entry that was
    /// not stored, [`time_left`](Entry::time_left) is zero.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// assert_eq!(cache.get_with("user:1", || "Ada").value, "Ada");
    /// assert_eq!(cache.get_with("user:1", || unreachable!("it is there") as &str).value, "Ada");
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn get_with<V: AsRef<[u8]>>(&self, key: impl AsRef<[u8]>, loader: impl FnOnce() -> V) -> Entry {
        // Before anything is made ready for a load: a hit costs what a `get` does.
        match self.get(&key) {
            Some(entry) => entry,
            None => self.load(key).missing_with(loader),
        }
    }

    /// As [`get_with`](Self::get_with), with a loader that may fail. Nothing is stored then, and all who have waited get the error, but for those who expect one of
    /// another type, or none: one of them runs his own loader.
    ///
    /// # Errors
    /// [`LoadError::Failed`]: the loader failed, this one or the one that was waited for. [`LoadError::Reentrant`]: this call was made by a loader, and would have waited for it.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// let port = cache.try_get_with("port", || std::env::var("PORT_THAT_NOBODY_SET"));
    /// assert_eq!(port.unwrap_err().to_string(), "environment variable not found");
    /// assert_eq!(cache.try_get_with("port", || Ok::<_, std::env::VarError>("80"))?.value, "80");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_get_with<V: AsRef<[u8]>, E: Send + Sync + 'static>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<Entry, LoadError<E>> {
        match self.get(&key) {
            Some(entry) => Ok(entry),
            None => self.load(key).missing_try_with(loader),
        }
    }

    /// [`get_with`](Self::get_with) for a loader that is a future. It runs as a part of this one, on whatever executor polls it.
    ///
    /// Whose future is dropped while its loader runs hands over: one of those who wait runs his own. So nobody waits for ever, as long as the future whose loader runs is polled, or dropped.
    ///
    /// **Two ways to wait for ever.** A future that was polled once, and is then *held without being polled* (in a `select!` by reference whose other branch goes on, in a list that nobody polls),
    /// is still the one that loads: who asks for the same key waits for it, even the task that holds it. Drop it, or poll it to its end. And loads by threads and by tasks wait for each other: a blocking
    /// [`get_with`](Self::get_with) on the thread of an executor waits for a task that only this thread would poll. In tasks, use this method.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let user = cache.get_with_async("user:1", || async { "Ada" }).await;
    /// assert_eq!(user.value, "Ada");
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn get_with_async<V: AsRef<[u8]>, L: Future<Output = V>>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> L,
    ) -> Entry {
        self.load(key).with_async(loader).await
    }

    /// [`try_get_with`](Self::try_get_with) for a loader that is a future: see [`get_with_async`](Self::get_with_async).
    ///
    /// # Errors
    /// As for [`try_get_with`](Self::try_get_with).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let user = cache.try_get_with_async("user:1", || async { Err::<&str, _>("no such user") }).await;
    /// assert_eq!(user.unwrap_err().to_string(), "no such user");
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn try_get_with_async<V, E, L>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> L,
    ) -> Result<Entry, LoadError<E>>
    where
        V: AsRef<[u8]>,
        E: Send + Sync + 'static,
        L: Future<Output = Result<V, E>>,
    {
        self.load(key).try_with_async(loader).await
    }

    /// [`get_with`](Self::get_with) and its like, with a TTL and a tag.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::{Cache, TimeLeft};
    ///
    /// let cache = Cache::builder().build()?;
    /// let page = cache.load("page:/").ttl(Duration::from_secs(60)).with(|| "<h1>hello</h1>");
    /// assert!(matches!(page.time_left, TimeLeft::Left(left) if left <= Duration::from_secs(60)));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn load<K: AsRef<[u8]>>(&self, key: K) -> Load<'_, K> {
        Load {
            cache: self,
            key,
            terms: Terms {
                tag: Tag::BYTES,
                expiry: Expiry::Default,
                expiry_of: None,
            },
        }
    }
}

/// How a value is got from the cache or, if it is missing, loaded and stored: see [`Cache::load`]. Of a value that is there, nothing here changes anything.
///
/// ```
/// # use rustcache::{Cache, Tag};
/// # let cache = Cache::builder().build()?;
/// use std::time::Duration;
///
/// let load = cache.load("page:/").ttl(Duration::from_secs(60)).tag(Tag::TEXT);
/// assert_eq!(load.with(|| "<h1>hello</h1>").tag, Tag::TEXT);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is read or loaded until a loader is given"]
pub struct Load<'c, K> {
    cache: &'c Cache,
    key: K,
    terms: Terms<'c>,
}

/// How what is loaded is stored.
struct Terms<'c> {
    tag: Tag,
    expiry: Expiry,
    expiry_of: Option<ExpiryOf<'c>>,
}

type ExpiryOf<'c> = Box<dyn FnOnce(&[u8]) -> Expiry + Send + 'c>;

impl<'c, K: AsRef<[u8]>> Load<'c, K> {
    /// What the value is. Default: [`Tag::BYTES`].
    ///
    /// ```
    /// use rustcache::{Cache, Tag};
    ///
    /// let cache = Cache::builder().build()?;
    /// assert_eq!(cache.load("user:1").tag(Tag::TEXT).with(|| "Ada").tag, Tag::TEXT);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn tag(mut self, tag: Tag) -> Self {
        self.terms.tag = tag;
        self
    }

    /// How long the value is to be served, from when it is stored; zero stores nothing. Default: the cache's default TTL.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::Cache;
    ///
    /// let cache = Cache::builder().build()?;
    /// assert_eq!(cache.load("now").ttl(Duration::ZERO).with(|| "12:00").value, "12:00");
    /// assert!(!cache.contains("now"));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn ttl(self, ttl: Duration) -> Self {
        self.expiry(Expiry::After(ttl))
    }

    /// When the value expires. [`Expiry::Keep`] is as [`Expiry::Default`] here: there is no entry whose deadline could be kept.
    ///
    /// ```
    /// use rustcache::{Cache, Expiry, TimeLeft};
    ///
    /// let cache = Cache::builder().build()?;
    /// let entry = cache.load("pi").expiry(Expiry::Never).with(|| "3.14159");
    /// assert_eq!(entry.time_left, TimeLeft::Forever);
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
    /// use rustcache::{Cache, Expiry};
    ///
    /// let cache = Cache::builder().build()?;
    /// let missing_is_kept_for_a_second = |value: &[u8]| match value {
    ///     b"" => Expiry::After(Duration::from_secs(1)),
    ///     _ => Expiry::Never,
    /// };
    /// cache.load("user:404").expiry_of(missing_is_kept_for_a_second).with(|| "");
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn expiry_of(mut self, expiry_of: impl FnOnce(&[u8]) -> Expiry + Send + 'c) -> Self {
        self.terms.expiry_of = Some(Box::new(expiry_of));
        self
    }

    /// As [`Cache::get_with`].
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// assert_eq!(cache.load("user:1").with(|| "Ada").value, "Ada");
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn with<V: AsRef<[u8]>>(self, loader: impl FnOnce() -> V) -> Entry {
        match self.cache.get(&self.key) {
            Some(entry) => entry,
            None => self.missing_with(loader),
        }
    }

    /// As [`Cache::try_get_with`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().build()?;
    /// assert!(cache.load("user:1").try_with(|| Err::<&str, _>("no such user")).is_err());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn try_with<V: AsRef<[u8]>, E: Send + Sync + 'static>(
        self,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<Entry, LoadError<E>> {
        match self.cache.get(&self.key) {
            Some(entry) => Ok(entry),
            None => self.missing_try_with(loader),
        }
    }

    /// As [`Cache::get_with_async`].
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// assert_eq!(cache.load("user:1").with_async(|| async { "Ada" }).await.value, "Ada");
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn with_async<V: AsRef<[u8]>, L: Future<Output = V>>(
        self,
        loader: impl FnOnce() -> L,
    ) -> Entry {
        if let Some(entry) = self.cache.get(&self.key) {
            return entry;
        }
        let Load { cache, key, terms } = self;
        let loader = || async { terms.of(loader().await) };
        flight::get_async(&Missing::new(cache, &key), loader).await
    }

    /// As [`Cache::try_get_with_async`].
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let cache = rustcache::Cache::builder().build()?;
    /// let user = cache.load("user:1").try_with_async(|| async { Err::<&str, _>("no such user") });
    /// assert!(user.await.is_err());
    /// # Ok::<(), rustcache::BuildError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "async")]
    pub async fn try_with_async<V, E, L>(self, loader: impl FnOnce() -> L) -> Result<Entry, LoadError<E>>
    where
        V: AsRef<[u8]>,
        E: Send + Sync + 'static,
        L: Future<Output = Result<V, E>>,
    {
        if let Some(entry) = self.cache.get(&self.key) {
            return Ok(entry);
        }
        let Load { cache, key, terms } = self;
        let loader = || async { loader().await.map(|value| terms.of(value)) };
        flight::try_get_async(&Missing::new(cache, &key), loader).await
    }

    #[cold]
    #[inline(never)]
    fn missing_with<V: AsRef<[u8]>>(self, loader: impl FnOnce() -> V) -> Entry {
        let Load { cache, key, terms } = self;
        flight::get(&Missing::new(cache, &key), || terms.of(loader()))
    }

    #[cold]
    #[inline(never)]
    fn missing_try_with<V: AsRef<[u8]>, E: Send + Sync + 'static>(
        self,
        loader: impl FnOnce() -> Result<V, E>,
    ) -> Result<Entry, LoadError<E>> {
        let Load { cache, key, terms } = self;
        let loader = || loader().map(|value| terms.of(value));
        flight::try_get(&Missing::new(cache, &key), loader)
    }
}

impl<K: AsRef<[u8]>> fmt::Debug for Load<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("key", &String::from_utf8_lossy(self.key.as_ref()))
            .field("tag", &self.terms.tag)
            .field("expiry", &self.terms.expiry)
            .finish_non_exhaustive()
    }
}

impl Terms<'_> {
    fn of(self, value: impl AsRef<[u8]>) -> Brought {
        let value = value.as_ref();
        Brought {
            value: Value::copy_from_slice(value),
            tag: self.tag,
            expiry: match self.expiry_of {
                Some(expiry_of) => expiry_of(value),
                None => self.expiry,
            },
        }
    }
}

/// What a loader brought, and how it is to be stored.
#[derive(Debug)]
struct Brought {
    value: Value,
    tag: Tag,
    expiry: Expiry,
}

impl Brought {
    fn entry(self, time_left: TimeLeft) -> Entry {
        Entry {
            value: self.value,
            tag: self.tag,
            time_left,
        }
    }

    fn unkept(self) -> Entry {
        self.entry(TimeLeft::Left(Duration::ZERO))
    }
}

/// A call for a key that was missing a moment ago.
#[derive(Debug)]
struct Missing<'c> {
    cache: &'c Cache,
    key: &'c [u8],
}

impl<'c> Missing<'c> {
    fn new(cache: &'c Cache, key: &'c impl AsRef<[u8]>) -> Self {
        let key = key.as_ref();
        Missing { cache, key }
    }
}

impl Call for Missing<'_> {
    type Key = Box<[u8]>;
    type Value = Entry;
    type Brought = Brought;

    fn join(&self) -> Join<Box<[u8]>, Entry> {
        let key = self.cache.hashed(self.key);
        // Made here, and not under the lock.
        let own = Arc::new(Flight::new(spread(key.1.hash), self.key.into()));
        self.cache
            .with_shard_as_it_is(key, |shard, key, now| shard.join_load(key, &own, now))
    }

    fn land(&self, load: &Arc<Loading>, brought: Brought) -> Entry {
        let (cache, inner) = (self.cache, &self.cache.inner);
        if cache.check(self.key, &brought.value).is_err() {
            self.abandon(load);
            return brought.unkept();
        }
        let key = cache.hashed(self.key);
        // Others must not go for what is not kept in the end.
        if is_large(self.key, &brought.value)
            && !cache.with_shard_as_it_is(key, |shard, _, _| shard.is_loading(load))
        {
            return brought.unkept();
        }
        let draft = Draft::new(self.key, &brought.value, brought.tag);
        let options = SetOptions {
            tag: brought.tag,
            expiry: brought.expiry,
            ..SetOptions::default()
        };
        let reserved = cache.reserve(key, &draft, options);
        let time_left = cache.write(key, brought.expiry, |shard, key, now| {
            shard.end_reserving(reserved);
            let (Deadline::At(at) | Deadline::KeepOr(at)) = inner.deadline(brought.expiry, now);
            let is_kept = shard.land_load(load, key.hash, draft, at, now)?;
            Ok(is_kept.then(|| TimeLeft::between(now, at)))
        });
        match time_left {
            Ok(Some(time_left)) => brought.entry(time_left),
            // Whoever asks gets what was brought, whether it could be kept or not.
            Ok(None) | Err(_) => brought.unkept(),
        }
    }

    fn unkept(&self, brought: Brought) -> Entry {
        brought.unkept()
    }

    fn abandon(&self, load: &Arc<Loading>) {
        let key = self.cache.hashed(self.key);
        self.cache
            .with_shard_as_it_is(key, |shard, _, _| shard.abandon_load(load));
    }
}
