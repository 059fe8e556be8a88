//! [`TypedCache`]: keys and values of any type, kept as they are, over the policies, the index and the deadlines of the engine. Knows nothing of bytes.
//!
//! ```text
//! TypedCache ── inner.rs ── lock.rs ── shard.rs ─┬─ index.rs, policy/, expiry.rs     the engine's own, one directory up
//!  (what callers                                 └─ slots.rs                         slot → key, value
//!   ask for)
//! ```
//! A second composition of the same parts as `Cache`'s shard, not that one made generic: there the key is bytes that may be hashed and compared whenever that is
//! convenient; here that is code of the user's, which decides what may happen under a lock and what may not.

mod builder;
mod compute;
mod few;
mod hasher;
mod index;
mod inner;
mod key_lock;
mod load;
mod lock;
mod many;
mod optional;
mod options;
mod order;
mod raw;
mod recency;
mod shard;
mod slots;
#[cfg(test)]
mod tests;
mod walk;
mod weak;
mod whole;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, MutexGuard};

use super::cause::RemovalCause;
use super::entry::{Condition, Expiry, TimeLeft};
pub use builder::TypedBuilder;
pub use compute::{Op, TypedEntry};
pub use hasher::{KeyHasher, RandomState};
use inner::Inner;
pub use load::TypedLoad;
pub use options::{InsertOptions, TooHeavy};
#[doc(hidden)]
pub use raw::{Likeness, Lookup, RawWalk, RawWrite};
use shard::{Found, Gone, Outcome, Shard, Spot, Write};
use slots::Held;
pub use walk::TypedIter;
pub use weak::WeakTypedCache;

/// A bounded, thread-safe cache of objects: keys and values of any type, kept as they are. The policies, TTLs and limits are those of [`Cache`](crate::Cache).
///
/// A handle is cheap to clone, and all clones are one cache. Every operation takes `&self` and may be called from any thread. What is read is cloned, so a value that is
/// expensive to clone is best kept as an [`Arc`].
///
/// # What runs when
///
/// `Eq` of keys and `Clone` of values (in [`iter`](Self::iter), [`retain`](Self::retain) and [`invalidate_if`](Self::invalidate_if) of keys as well) run under the lock of a part of the cache: they must not
/// use the cache, or they may wait for themselves. Nothing else of yours does: `Hash`, `Drop`, the weigher, the listener, and closures are called
/// without a lock, and may do what they like. If any of them panics, the panic goes to the caller (that of a listener, or of a drop on the background thread, ends there), and
/// the cache is as it was before, or as it would have been after.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use rustcache::{InsertOptions, TypedCache};
///
/// let cache: TypedCache<String, Arc<str>> = TypedCache::builder().max_items(10_000).build()?;
/// cache.insert("user:1".to_owned(), "Ada".into());
/// cache.insert_with("code:1".to_owned(), "4711".into(), InsertOptions::ttl(Duration::from_secs(30)))?;
/// assert_eq!(cache.get("user:1").as_deref(), Some("Ada"));
/// assert!(cache.remove("user:1").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TypedCache<K, V, S = RandomState> {
    inner: Arc<Inner<K, V, S>>,
}

impl<K, V> TypedCache<K, V> {
    /// Configures a cache.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().max_items(100).build()?;
    /// cache.insert(1, "one");
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn builder() -> TypedBuilder<K, V> {
        TypedBuilder::new()
    }
}

impl<K, V, S> TypedCache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// The value under a key, whose entry becomes the most recently used one. `None` if it is absent or has expired.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// assert_eq!(cache.get("a"), Some(1));
    /// assert_eq!(cache.get("b"), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        self.read(hash, |held| held.key.borrow() == key, |held| held.value.clone())
    }

    /// The value under a key, as [`get`](Self::get) gives it, but neither refreshed nor counted.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::builder().max_items(2).build()?;
    /// cache.insert("a", 1);
    /// cache.insert("b", 2);
    /// assert_eq!(cache.peek("a"), Some(1));
    /// cache.insert("c", 3); // the one that was used least recently goes, which is still "a"
    /// assert_eq!(cache.peek("a"), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.look_at(key, |held, _| held.value.clone())
    }

    /// Writes a value, which becomes the most recently used one, with the cache's default TTL. One that is [too heavy](TooHeavy) is not stored:
    /// [`insert_with`](Self::insert_with) tells.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// cache.insert("a", 2);
    /// assert_eq!(cache.get("a"), Some(2));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn insert(&self, key: K, value: V) {
        self.write((key, value), InsertOptions::default());
    }

    /// Writes a value as the options say; `Ok(false)` if their condition did not hold. What expires at once is not stored, and what the key held is gone.
    ///
    /// # Errors
    /// [`TooHeavy`]: the entry can never fit, and what the key held is removed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::InsertOptions;
    /// # let cache = rustcache::TypedCache::builder().build()?;
    ///
    /// cache.insert_with("a", 1, InsertOptions::ttl(Duration::from_millis(1500)))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert_with(&self, key: K, value: V, options: InsertOptions) -> Result<bool, TooHeavy> {
        let (outcome, weight) = self.write((key, value), options);
        match outcome {
            Outcome::Stored | Outcome::ExpiredAtOnce(..) => Ok(true),
            Outcome::Unmet(..) | Outcome::Changed(..) => Ok(false),
            Outcome::TooHeavy(..) => Err(TooHeavy {
                weight,
                max: self.inner.settings.max_weight_of_one,
            }),
        }
    }

    /// Removes an entry and gives its value back; `None` if it was absent or had expired.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// assert_eq!(cache.remove("a"), Some(1));
    /// assert_eq!(cache.remove("a"), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        let (key, value) = self.remove_entry(hash, |held| held.key.borrow() == key)?;
        Some(self.tell_removal(key, value))
    }

    /// Whether a live entry is there. Neither refreshes it nor counts.
    ///
    /// ```
    /// # let cache = rustcache::TypedCache::builder().build()?;
    /// cache.insert("a", 1);
    /// assert!(cache.contains("a"));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.time_left(key).is_some()
    }

    /// How long an entry has to live, be it for its TTL or until it has been idle for too long; `None` if it is absent or has expired. Neither refreshes it nor counts.
    ///
    /// ```
    /// use rustcache::TimeLeft;
    /// # let cache = rustcache::TypedCache::builder().build()?;
    ///
    /// cache.insert("a", 1);
    /// assert_eq!(cache.time_left("a"), Some(TimeLeft::Forever));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn time_left<Q>(&self, key: &Q) -> Option<TimeLeft>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.look_at(key, |_, left| left)
    }

    /// Neither counts nor refreshes. `seen` runs under the lock.
    fn look_at<Q, R>(&self, key: &Q, seen: impl FnOnce(&Held<K, V>, TimeLeft) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let inner = &*self.inner;
        let (shard, hash) = inner.place(inner.hasher.hash_one(key));
        let held = shard.hold();
        let now = inner.now_for(&held);
        match held.peek(hash, |held| held.key.borrow() == key, now, seen) {
            Found::Live(result) => Some(result),
            Found::Nothing => None,
            Found::Expired(slot) => {
                self.expire(held, slot);
                None
            }
        }
    }

    /// Gives an entry another deadline and makes it the most recently used one; `false` if it is absent or has expired. [`Expiry::Keep`] only refreshes; one that
    /// has come already removes the entry.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::{Expiry, TimeLeft};
    /// # let cache = rustcache::TypedCache::builder().build()?;
    ///
    /// cache.insert("a", 1);
    /// assert!(cache.touch("a", Expiry::After(Duration::from_secs(60))));
    /// assert_ne!(cache.time_left("a"), Some(TimeLeft::Forever));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn touch<Q>(&self, key: &Q, expiry: Expiry) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let inner = &*self.inner;
        let (shard, hash) = inner.place(inner.hasher.hash_one(key));
        let mut gone = Gone::new();
        let found = {
            let mut held = shard.hold();
            let now = inner.clock.now();
            let found = held.live(hash, |held| held.key.borrow() == key, now, &mut gone);
            if let Some(slot) = found {
                held.touch(slot, inner.deadline(expiry, now), now, &mut gone);
            }
            found.is_some()
        };
        inner.watch_if_needed(expiry);
        inner.deliver(gone);
        found
    }

    /// Writes an entry, and says what it weighs.
    fn write(&self, (key, value): (K, V), options: InsertOptions) -> (Outcome<K, V>, u64) {
        let hash = self.inner.hasher.hash_one(&key);
        self.write_at((key, value), hash, options, |shard, hash, key, now, gone| {
            Spot::of(shard.live(hash, |held| held.key == *key, now, gone))
        })
    }
}

impl<K, V, S> TypedCache<K, V, S> {
    /// Reads an entry: counts, and refreshes it. Both closures run under the lock.
    #[inline]
    fn read<R>(
        &self,
        hash: u64,
        is_it: impl FnMut(&Held<K, V>) -> bool,
        seen: impl FnOnce(&Held<K, V>) -> R,
    ) -> Option<R> {
        let inner = &*self.inner;
        let (shard, hash) = inner.place(hash);
        let mut held = shard.hold();
        let now = inner.now_for(&held);
        match held.read(hash, is_it, now, seen) {
            Found::Live(result) => Some(result),
            Found::Nothing => None,
            Found::Expired(slot) => {
                held.count_miss(hash);
                self.expire(held, slot);
                None
            }
        }
    }

    /// Writes an entry where `find` says, which runs under the lock.
    fn write_at(
        &self,
        (key, value): (K, V),
        hash: u64,
        options: InsertOptions,
        find: impl FnOnce(&mut Shard<K, V>, u32, &K, u64, &mut Gone<K, V>) -> Spot,
    ) -> (Outcome<K, V>, u64) {
        let weight = self.inner.weigh(&key, &value);
        let outcome = self.write_weighed((key, value), weight, hash, options, find);
        (outcome, weight)
    }

    /// As `write_at`, for an entry whose weight is known.
    fn write_weighed(
        &self,
        (key, value): (K, V),
        weight: u64,
        hash: u64,
        options: InsertOptions,
        find: impl FnOnce(&mut Shard<K, V>, u32, &K, u64, &mut Gone<K, V>) -> Spot,
    ) -> Outcome<K, V> {
        let inner = &*self.inner;
        let (shard, hash) = inner.place(hash);
        let mut gone = Gone::new();
        let outcome = {
            let mut held = shard.hold();
            let now = inner.now_to_write(&held, options.expiry);
            let write = Write {
                hash,
                weight,
                deadline: inner.deadline(options.expiry, now),
                condition: options.condition,
            };
            let spot = find(&mut held, hash, &key, now, &mut gone);
            held.store(spot, &write, (key, value), now, &mut gone)
        };
        inner.watch_if_needed(options.expiry);
        inner.deliver(gone);
        outcome
    }

    /// Takes out the live entry that is meant, without telling of it.
    fn remove_entry(&self, hash: u64, is_it: impl FnMut(&Held<K, V>) -> bool) -> Option<(K, V)> {
        let inner = &*self.inner;
        let (shard, hash) = inner.place(hash);
        let mut gone = Gone::new();
        let mut taken = Gone::new();
        {
            let mut held = shard.hold();
            held.outdate_load(hash);
            let now = inner.now_for(&held);
            if let Some(slot) = held.live(hash, is_it, now, &mut gone) {
                held.take(slot, &mut taken);
            }
        }
        inner.deliver(gone);
        let (key, value, _) = taken.into_iter().next()?;
        Some((key, value))
    }

    /// Tells of an entry that was removed, and gives its value.
    fn tell_removal(&self, key: K, value: V) -> V
    where
        V: Clone,
    {
        if self.inner.listener.is_some() {
            let mut gone = Gone::new();
            gone.push((key, value.clone(), RemovalCause::Removed));
            self.inner.deliver(gone);
        }
        value
    }

    /// Takes out an entry that was met past its deadline.
    #[cold]
    fn expire(&self, mut held: MutexGuard<'_, Shard<K, V>>, slot: u32) {
        let mut gone = Gone::new();
        held.expire(slot, &mut gone);
        drop(held);
        self.inner.deliver(gone);
    }
}

impl<K, V, S> Clone for TypedCache<K, V, S> {
    fn clone(&self) -> Self {
        TypedCache {
            inner: Arc::clone(&self.inner),
        }
    }
}

// A panic of the user's code leaves a cache in order, whatever keys and values are.
impl<K, V, S> UnwindSafe for TypedCache<K, V, S> {}
impl<K, V, S> RefUnwindSafe for TypedCache<K, V, S> {}

impl<K, V, S> fmt::Debug for TypedCache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCache")
            .field("shards", &self.inner.shards.len())
            .field("settings", &self.inner.settings)
            .field("stats", &self.stats())
            .finish()
    }
}
