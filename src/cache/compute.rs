//! Changing an entry by a caller's closure, atomically for its key: the closure runs without a lock on what was seen, and what it decides is done only if that is
//! still there; if not, it is asked again. Operations under the lock are those of `shard.rs`.

use super::entry::EntryRef;
use super::payload::{Draft, SHARED_FROM};
use super::shard::{Deadline, Hashed};
use super::typed::Op;
use super::{Batch, Cache, Condition, Entry, Error, Expiry, SetOptions, Shard, Tag, Value};

/// What has become of an entry: see [`EntrySelector::compute`].
///
/// ```
/// # use rustcache::{Cache, Computed, Op};
/// let cache = Cache::builder().build()?;
/// let found = cache.entry("k").compute(|_| Op::Put("v"))?;
/// assert_eq!(found, Computed::Inserted("v"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Computed<V> {
    /// There was none, and there is none.
    StillAbsent,
    /// It is as it was.
    Unchanged(Entry),
    /// There was none, and this value was written.
    Inserted(V),
    /// A value was written over another.
    Replaced {
        /// What was there.
        before: Entry,
        /// What was written.
        value: V,
    },
    /// It was removed.
    Removed(Entry),
}

/// The entry of one key, there or not, to be changed by what is there: see [`Cache::entry`].
///
/// ```
/// # use rustcache::Cache;
/// let cache = Cache::builder().build()?;
/// let words = "to be or not to be";
/// for word in words.split(' ') {
///     cache.entry(word).upsert(|found| [found.map_or(0, |entry| entry.value[0]) + 1])?;
/// }
/// assert_eq!(cache.get("be").unwrap().value, [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it does nothing by itself"]
pub struct EntrySelector<'c, K> {
    cache: &'c Cache,
    key: K,
    options: SetOptions,
}

impl Cache {
    /// The entry of a key, there or not, to be changed by what is there, atomically. For arithmetic there is [`increment`](Self::increment), which takes one lock instead of two;
    /// and where what is missing takes long to make, a closure here may be run by several threads at once.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// let doubled = cache.entry("n").upsert(|found| {
    ///     let former: u32 = found.and_then(|entry| entry.value.as_str().ok()?.parse().ok()).unwrap_or(1);
    ///     (former * 2).to_string()
    /// })?;
    /// assert_eq!(doubled, "2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entry<K: AsRef<[u8]>>(&self, key: K) -> EntrySelector<'_, K> {
        EntrySelector {
            cache: self,
            key,
            options: SetOptions::default(),
        }
    }

    fn remove_if_same(&self, key: &[u8], seen: &Entry) -> bool {
        self.batch().remove_if_same(key, seen)
    }

    /// Writes an entry if what is there is what was seen; `false` if it is not.
    fn set_if_same(
        &self,
        key: &[u8],
        seen: Option<&Entry>,
        value: &[u8],
        options: SetOptions,
    ) -> Result<bool, Error> {
        self.check(key, value)?;
        let draft = Draft::new(key, value, options.tag);
        let key = self.hashed(key);
        let condition = match seen {
            Some(_) => Condition::IfPresent,
            None => Condition::IfAbsent,
        };
        let reserved = self.reserve(key, &draft, SetOptions { condition, ..options });
        self.write(key, options.expiry, |shard, key, now| {
            shard.end_reserving(reserved);
            if !holds(shard, key, seen, now) {
                shard.abandon(draft);
                return Ok(false);
            }
            let deadline: Deadline = self.inner.deadline(options.expiry, now);
            shard.store(key.hash, draft, deadline, Condition::Always, now)
        })
    }

    /// Nothing is there to be removed, but somebody may be loading what is older than this.
    fn remove_absent(&self, key: &[u8]) {
        self.with_shard_as_it_is(self.hashed(key), |shard, key, _| shard.outdate_load(key));
    }
}

impl Batch<'_> {
    /// Removes an entry if it has the bytes and the tag that were seen.
    pub(super) fn remove_if_same(&mut self, key: &[u8], seen: &Entry) -> bool {
        self.with_next(key, |shard, key, now| {
            holds(shard, key, Some(seen), now) && shard.remove(key, now, |_| ()).is_some()
        })
    }

    /// The same, if its deadline is what was seen as well.
    pub(super) fn remove_if_untouched(&mut self, key: &[u8], seen: &Entry, deadline: u64) -> bool {
        self.with_next(key, |shard, key, now| {
            let is_it = |entry: EntryRef<'_>| is_same(&entry, seen) && entry.deadline() == deadline;
            shard.peek(key, now, is_it) == Some(true) && shard.remove(key, now, |_| ()).is_some()
        })
    }
}

/// Whether the key holds what was seen: the same bytes with the same tag, or nothing. That it was written again with the same is no matter to whoever
/// decides by what it is.
pub(super) fn holds(shard: &mut Shard, key: Hashed<'_>, seen: Option<&Entry>, now: u64) -> bool {
    let found = shard.peek(key, now, |entry| seen.is_some_and(|seen| is_same(&entry, seen)));
    found.unwrap_or(seen.is_none())
}

/// Large values are compared by where they are, for it takes long to compare many MiB: they never change in place, and whoever has seen one keeps it there.
fn is_same(entry: &EntryRef<'_>, seen: &Entry) -> bool {
    let (there, seen_value) = (entry.value(), seen.value.as_slice());
    entry.tag() == seen.tag
        && there.len() == seen_value.len()
        && (std::ptr::eq(there, seen_value) || (there.len() < SHARED_FROM && there == seen_value))
}

impl<K: AsRef<[u8]>> EntrySelector<'_, K> {
    /// The key.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// # let cache = Cache::builder().build()?;
    /// assert_eq!(cache.entry("n").key(), b"n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key(&self) -> &[u8] {
        self.key.as_ref()
    }

    /// What the value that is written shall be. Default: plain bytes.
    ///
    /// ```
    /// # use rustcache::{Cache, Tag};
    /// let cache = Cache::builder().build()?;
    /// cache.entry("k").tag(Tag::JSON).or_insert("{}")?;
    /// assert_eq!(cache.get("k").unwrap().tag, Tag::JSON);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tag(mut self, tag: Tag) -> Self {
        self.options.tag = tag;
        self
    }

    /// When what is written shall expire. Default: after the cache's default TTL.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::{Cache, Expiry};
    /// let cache = Cache::builder().build()?;
    /// cache.entry("k").expiry(Expiry::After(Duration::from_secs(60))).or_insert("v")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expiry(mut self, expiry: Expiry) -> Self {
        self.options.expiry = expiry;
        self
    }

    /// Asks `decide` what is to become of the entry, and does it if the entry is still what `decide` was shown: its value and its tag. If not, `decide` is asked again, about
    /// what is there then. So what is done is done to what was seen, as if nobody else had come between; whoever is asked again was overtaken by somebody who was done.
    ///
    /// `decide` runs without any lock and may call the cache; if it panics, nothing has changed. It is one read, which counts and refreshes, and at most one write.
    ///
    /// # Errors
    /// As for [`Cache::set`].
    ///
    /// ```
    /// # use rustcache::{Cache, Computed, Op, SetOptions};
    /// let cache = Cache::builder().build()?;
    /// cache.set("tickets", [2], SetOptions::default())?;
    /// let sell = || cache.entry("tickets").compute(|found| match found.map(|entry| entry.value[0]) {
    ///     None => Op::Keep,
    ///     Some(1) => Op::Remove,
    ///     Some(left) => Op::Put([left - 1]),
    /// });
    /// assert!(matches!(sell()?, Computed::Replaced { value: [1], .. }));
    /// assert!(matches!(sell()?, Computed::Removed(_)));
    /// assert_eq!(sell()?, Computed::StillAbsent);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compute<V: AsRef<[u8]>>(
        self,
        mut decide: impl FnMut(Option<&Entry>) -> Op<V>,
    ) -> Result<Computed<V>, Error> {
        self.try_compute(|found| Ok(decide(found)))
    }

    /// As [`compute`](Self::compute), with a `decide` that may fail: then nothing has changed, and its error is given.
    ///
    /// # Errors
    /// Those of `decide`; and as for [`Cache::set`].
    ///
    /// ```
    /// # use rustcache::{Cache, Op, SetOptions};
    /// # type Failure = Box<dyn std::error::Error>;
    /// let cache = Cache::builder().build()?;
    /// cache.set("n", "41", SetOptions::default())?;
    /// let next = || cache.entry("n").try_compute(|found| {
    ///     let before: u64 = found.map_or(Ok("0"), |entry| entry.value.as_str())?.parse()?;
    ///     Ok::<_, Failure>(Op::Put((before + 1).to_string()))
    /// });
    /// assert!(next().is_ok());
    /// assert_eq!(cache.get("n").unwrap().value, "42");
    /// cache.set("n", "many", SetOptions::default())?;
    /// assert!(next().is_err());
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn try_compute<V: AsRef<[u8]>, E: From<Error>>(
        self,
        mut decide: impl FnMut(Option<&Entry>) -> Result<Op<V>, E>,
    ) -> Result<Computed<V>, E> {
        let EntrySelector { cache, key, options } = &self;
        let key = key.as_ref();
        let mut seen = cache.get(key);
        loop {
            match (decide(seen.as_ref())?, seen) {
                (Op::Keep, None) => return Ok(Computed::StillAbsent),
                (Op::Remove, None) => {
                    cache.remove_absent(key);
                    return Ok(Computed::StillAbsent);
                }
                (Op::Keep, Some(entry)) => return Ok(Computed::Unchanged(entry)),
                (Op::Remove, Some(entry)) => {
                    if cache.remove_if_same(key, &entry) {
                        return Ok(Computed::Removed(entry));
                    }
                }
                (Op::Put(value), before) => {
                    if cache.set_if_same(key, before.as_ref(), value.as_ref(), *options)? {
                        return Ok(match before {
                            None => Computed::Inserted(value),
                            Some(before) => Computed::Replaced { before, value },
                        });
                    }
                }
            }
            seen = cache.peek(key);
        }
    }

    /// Writes what `make` makes of what is there, and gives it back. See [`compute`](Self::compute) for what is promised.
    ///
    /// # Errors
    /// As for [`Cache::set`].
    ///
    /// ```
    /// # use rustcache::Cache;
    /// let cache = Cache::builder().build()?;
    /// let append = |line: &str| cache.entry("log").upsert(|found| {
    ///     let former = found.map(|entry| entry.value.to_vec()).unwrap_or_default();
    ///     [&former, line.as_bytes(), b"\n"].concat()
    /// });
    /// append("one")?;
    /// assert_eq!(append("two")?, b"one\ntwo\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn upsert<V: AsRef<[u8]>>(self, mut make: impl FnMut(Option<&Entry>) -> V) -> Result<V, Error> {
        match self.compute(|found| Op::Put(make(found)))? {
            Computed::Inserted(value) | Computed::Replaced { value, .. } => Ok(value),
            Computed::StillAbsent | Computed::Unchanged(_) | Computed::Removed(_) => {
                unreachable!("what is put is inserted, or replaces")
            }
        }
    }

    /// What is there; or what `make` makes, which is written unless somebody else was quicker: then theirs. Several threads may make one at the same time.
    ///
    /// # Errors
    /// As for [`Cache::set`].
    ///
    /// ```
    /// # use rustcache::Cache;
    /// let cache = Cache::builder().build()?;
    /// assert_eq!(cache.entry("motto").or_insert_with(|| "festina lente")?, "festina lente");
    /// assert_eq!(cache.entry("motto").or_insert_with(|| "carpe diem")?, "festina lente");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn or_insert_with<V: AsRef<[u8]>>(self, make: impl FnOnce() -> V) -> Result<Value, Error> {
        let EntrySelector { cache, key, options } = &self;
        let key = key.as_ref();
        if let Some(entry) = cache.get(key) {
            return Ok(entry.value);
        }
        let value = make();
        let value = value.as_ref();
        loop {
            if cache.set_if_same(key, None, value, *options)? {
                return Ok(Value::copy_from_slice(value));
            }
            if let Some(entry) = cache.peek(key) {
                return Ok(entry.value);
            }
        }
    }

    /// What is there, or this, which is then written.
    ///
    /// # Errors
    /// As for [`Cache::set`].
    ///
    /// ```
    /// # use rustcache::Cache;
    /// let cache = Cache::builder().build()?;
    /// assert_eq!(cache.entry("a").or_insert("1")?, "1");
    /// assert_eq!(cache.entry("a").or_insert("2")?, "1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn or_insert(self, value: impl AsRef<[u8]>) -> Result<Value, Error> {
        self.or_insert_with(|| value)
    }
}
