//! The entry of one key of a typed cache: to insert what is not there, and to make a value of the one that is there. Whatever the caller computes is computed without a lock, and
//! written only if nobody has written the entry meanwhile; else again.

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use super::options::InsertOptions;
use super::shard::{Outcome, Spot, is_version};
use super::slots::Version;
use super::{Condition, Expiry, TypedCache};

/// What is to become of an entry: see [`TypedEntry::compute`].
///
/// ```
/// use rustcache::Op;
///
/// let cache = rustcache::TypedCache::builder().build()?;
/// cache.insert("stock", 1);
/// let take_one = |left: Option<u32>| match left {
///     Some(1) => Op::Remove,
///     Some(left) => Op::Put(left - 1),
///     None => Op::Keep,
/// };
/// assert_eq!(cache.entry("stock").compute(take_one), None);
/// # Ok::<(), rustcache::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<V> {
    /// It stays as it is.
    Keep,
    /// It becomes this.
    Put(V),
    /// It goes.
    Remove,
}

/// The place of a key in a cache, whether there is an entry or not: see [`TypedCache::entry`]. Holds no lock.
///
/// ```
/// let cache = rustcache::TypedCache::builder().build()?;
/// assert_eq!(cache.entry("visits").or_insert(1), 1);
/// assert_eq!(cache.entry("visits").upsert(|visits| visits.unwrap_or(0) + 1), 2);
/// # Ok::<(), rustcache::BuildError>(())
/// ```
#[must_use = "an entry by itself does nothing"]
pub struct TypedEntry<'c, K, V, S> {
    cache: &'c TypedCache<K, V, S>,
    key: K,
    hash: u64,
    expiry: Expiry,
}

impl<K, V, S> TypedCache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// The place of a key, to read and write it in one step.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// let list = cache.entry("a").or_insert_with(Vec::<u32>::new);
    /// assert!(list.is_empty());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn entry(&self, key: K) -> TypedEntry<'_, K, V, S> {
        TypedEntry {
            hash: self.inner.hasher.hash_one(&key),
            cache: self,
            key,
            expiry: Expiry::Default,
        }
    }
}

impl<K, V, S> TypedEntry<'_, K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// When what is written shall expire. Default: after the cache's default TTL.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::Expiry;
    ///
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// cache.entry("a").expiry(Expiry::After(Duration::from_secs(60))).or_insert(1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// The key.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<_, u32>::builder().build()?;
    /// assert_eq!(cache.entry("a").key(), &"a");
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The value, as [`TypedCache::get`] gives it.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<_, u32>::builder().build()?;
    /// assert_eq!(cache.entry("a").get(), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn get(&self) -> Option<V> {
        self.cache.look(self.hash, &self.key).map(|(value, _)| value)
    }

    /// The value, or this one, which is then written.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// assert_eq!(cache.entry("a").or_insert(1), 1);
    /// assert_eq!(cache.entry("a").or_insert(2), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn or_insert(self, value: V) -> V {
        self.or_insert_with(|| value)
    }

    /// The value, or the one that `make` gives, which is then written. Where several threads make one at the same time, the first that is written is what all of them get.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// assert_eq!(cache.entry("a").or_insert_with(|| 1), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.get() {
            return value;
        }
        let TypedEntry {
            cache, hash, expiry, ..
        } = self;
        let (mut key, mut made) = (self.key, make());
        loop {
            let kept = made.clone();
            match cache.put_if_unchanged((key, made), hash, expiry, None) {
                Put::Done | Put::NotKept => return kept,
                Put::Raced(back, value) => (key, made) = (back, value),
            }
            if let Some((value, _)) = cache.look(hash, &key) {
                return value;
            }
        }
    }

    /// Writes what `make` makes of the value that is there, and gives it. `make` is called again if somebody else wrote or removed the entry meanwhile.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// let push = |list: Option<Vec<u32>>| {
    ///     let mut list = list.unwrap_or_default();
    ///     list.push(7);
    ///     list
    /// };
    /// cache.entry("a").upsert(push);
    /// assert_eq!(cache.entry("a").upsert(push), [7, 7]);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn upsert(self, mut make: impl FnMut(Option<V>) -> V) -> V {
        let TypedEntry {
            cache,
            mut key,
            hash,
            expiry,
        } = self;
        loop {
            let (value, version) = cache.look(hash, &key).unzip();
            let made = make(value);
            match cache.put_if_unchanged((key, made.clone()), hash, expiry, version) {
                Put::Done | Put::NotKept => return made,
                Put::Raced(back, _) => key = back,
            }
        }
    }

    /// Keeps, writes or removes the entry, as `decide` says of the value that is there, and gives the value that the key holds then. `decide` is called again if somebody else
    /// wrote or removed the entry meanwhile.
    ///
    /// ```
    /// use rustcache::Op;
    ///
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// assert_eq!(cache.entry("a").compute(|_| Op::Keep), Some(1));
    /// assert_eq!(cache.entry("a").compute(|value| Op::Put(value.unwrap_or(0) + 1)), Some(2));
    /// assert_eq!(cache.entry("a").compute(|_| Op::Remove), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn compute(self, mut decide: impl FnMut(Option<V>) -> Op<V>) -> Option<V> {
        let Ok(value) = self.try_compute(|value| Ok::<_, Infallible>(decide(value)));
        value
    }

    /// As [`compute`](Self::compute), with a `decide` that may fail: then nothing has changed.
    ///
    /// # Errors
    /// Those of `decide`.
    ///
    /// ```
    /// use rustcache::Op;
    ///
    /// let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1_u8);
    /// let sum = |more: u8| {
    ///     let add = |value: Option<u8>| value.unwrap_or(0).checked_add(more).map(Op::Put).ok_or("too many");
    ///     cache.entry("a").try_compute(add)
    /// };
    /// assert_eq!(sum(254), Ok(Some(255)));
    /// assert_eq!(sum(1), Err("too many"));
    /// assert_eq!(cache.get("a"), Some(255));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn try_compute<E>(
        self,
        mut decide: impl FnMut(Option<V>) -> Result<Op<V>, E>,
    ) -> Result<Option<V>, E> {
        let TypedEntry {
            cache,
            mut key,
            hash,
            expiry,
        } = self;
        loop {
            let (value, version) = cache.look(hash, &key).unzip();
            match (decide(value.clone())?, version) {
                (Op::Keep, _) => return Ok(value),
                (Op::Remove, None) => {
                    cache.inner.outdate_load(hash);
                    return Ok(None);
                }
                (Op::Remove, Some(version)) => {
                    if let Some((key, value)) = cache.remove_entry(hash, is_version(version)) {
                        cache.tell_removal(key, value);
                        return Ok(None);
                    }
                }
                (Op::Put(made), version) => {
                    match cache.put_if_unchanged((key, made.clone()), hash, expiry, version) {
                        Put::Done => return Ok(Some(made)),
                        Put::NotKept => return Ok(None),
                        Put::Raced(back, _) => key = back,
                    }
                }
            }
        }
    }
}

/// What came of a write of a value that was made of another.
enum Put<K, V> {
    Done,
    /// It is too heavy, or expired at once. Nothing is under the key.
    NotKept,
    /// Somebody else was there first: key and value are given back.
    Raced(K, V),
}

impl<K, V, S> TypedCache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// A value, as it is now, and what tells it from what is written over it.
    fn look(&self, hash: u64, key: &K) -> Option<(V, Version)> {
        self.read(
            hash,
            |held| held.key == *key,
            |held| (held.value.clone(), held.version),
        )
    }

    /// Writes a value if the entry is still the one of this version, or is still absent.
    fn put_if_unchanged(
        &self,
        entry: (K, V),
        hash: u64,
        expiry: Expiry,
        version: Option<Version>,
    ) -> Put<K, V> {
        let condition = match version {
            Some(_) => Condition::Always,
            None => Condition::IfAbsent,
        };
        let options = InsertOptions { expiry, condition };
        let (outcome, _) = self.write_at(
            entry,
            hash,
            options,
            |shard, hash, key, now, gone| match version {
                Some(version) => shard
                    .live(hash, is_version(version), now, gone)
                    .map_or(Spot::Changed, Spot::Over),
                None => Spot::of(shard.live(hash, |held| held.key == *key, now, gone)),
            },
        );
        match outcome {
            Outcome::Stored => Put::Done,
            Outcome::ExpiredAtOnce(..) | Outcome::TooHeavy(..) => Put::NotKept,
            Outcome::Unmet(key, value) | Outcome::Changed(key, value) => Put::Raced(key, value),
        }
    }
}

impl<K: fmt::Debug, V, S> fmt::Debug for TypedEntry<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedEntry")
            .field("key", &self.key)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}
