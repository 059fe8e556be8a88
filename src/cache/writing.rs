//! What changes the entry under one key, at once and whatever else goes on. What depends on code of the caller's is in `compute.rs` and `load.rs`, many keys are in `many.rs`.

use super::Cache;
use super::entry::{CasOutcome, Condition, Entry, Expiry, SetOptions};
use super::error::Error;
use super::payload::Draft;
use super::shard::{Comparison, Deadline, Hashed, Reserved};
use super::{Settings, Shard};

impl Cache {
    /// Writes a value; `Ok(false)` if the condition in the options did not hold. The entry becomes the most recently used one.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`] and [`Error::ValueTooLong`]: nothing changed. [`Error::TooLarge`]: the entry can never fit, and
    /// what the key held is removed.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// use std::time::Duration;
    ///
    /// cache.set("user:1", "Ada", SetOptions::default())?;
    /// cache.set("code:1", "4711", SetOptions::ttl(Duration::from_secs(30)))?;
    /// assert_eq!(cache.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<bool, Error> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.check(key, value)?;
        let key = self.hashed(key);
        let draft = Draft::new(key.1.key, value, options.tag);
        let reserved = self.reserve(key, &draft, options);
        self.write(key, options.expiry, |shard, key, now| {
            let deadline = self.inner.deadline(options.expiry, now);
            shard.end_reserving(reserved);
            shard.store(key.hash, draft, deadline, options.condition, now)
        })
    }

    /// Removes an entry; `false` if it was absent or had expired.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert!(cache.remove("a"));
    /// assert!(!cache.remove("a"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> bool {
        self.batch().remove(key.as_ref())
    }

    /// Removes an entry and gives it back. Counts as a hit or a miss.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("job:1", "mail", SetOptions::default())?;
    /// assert_eq!(cache.take("job:1").unwrap().value, "mail");
    /// assert!(cache.take("job:1").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&self, key: impl AsRef<[u8]>) -> Option<Entry> {
        let key = self.hashed(key.as_ref());
        self.with_shard_as_it_is(key, |shard, key, now| {
            shard.take(key, now, |entry| entry.to_entry())
        })
    }

    /// Gives an entry another deadline and makes it the most recently used one; `false` if it is absent or has expired.
    /// [`Expiry::Keep`] only refreshes.
    ///
    /// ```
    /// # use rustcache::{Cache, Expiry, SetOptions, TimeLeft};
    /// # let cache = Cache::builder().build()?;
    /// use std::time::Duration;
    ///
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert!(cache.touch("a", Expiry::After(Duration::from_secs(60))));
    /// assert_ne!(cache.time_left("a"), Some(TimeLeft::Forever));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn touch(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> bool {
        let key = self.hashed(key.as_ref());
        let found = self.with_shard(key, |shard, key, now| {
            shard.touch(key, self.inner.deadline(expiry, now), now)
        });
        self.inner.watch_if_needed(expiry);
        found
    }

    /// Takes an entry's deadline away and makes it the most recently used one; `false` if it is absent or has expired.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, TimeLeft};
    /// # let cache = Cache::builder().build()?;
    /// use std::time::Duration;
    ///
    /// cache.set("a", "1", SetOptions::ttl(Duration::from_secs(60)))?;
    /// assert!(cache.persist("a"));
    /// assert_eq!(cache.time_left("a"), Some(TimeLeft::Forever));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn persist(&self, key: impl AsRef<[u8]>) -> bool {
        self.touch(key, Expiry::Never)
    }

    /// Adds to a decimal integer, atomically, and gives the sum. An absent key counts as 0 and gets the deadline given; one that is there keeps its
    /// own. The number is kept as decimal text; text of more than 64 characters is no number.
    ///
    /// # Errors
    /// [`Error::NotAnInteger`], [`Error::Overflow`], [`Error::KeyTooLong`], [`Error::ValueTooLong`]: nothing changed. [`Error::TooLarge`] as for [`set`](Self::set).
    ///
    /// ```
    /// # use rustcache::{Cache, Expiry};
    /// # let cache = Cache::builder().build()?;
    /// use std::time::Duration;
    ///
    /// let a_minute = Expiry::After(Duration::from_secs(60)); // from the first request on
    /// assert_eq!(cache.increment("requests:1", 1, a_minute)?, 1);
    /// assert_eq!(cache.increment("requests:1", 1, a_minute)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn increment(&self, key: impl AsRef<[u8]>, delta: i64, when_created: Expiry) -> Result<i64, Error> {
        let key = key.as_ref();
        self.check(key, &[])?;
        let max_len = self.inner.settings.max_value_bytes;
        self.write(self.hashed(key), when_created, |shard, key, now| {
            let (Deadline::At(at) | Deadline::KeepOr(at)) = self.inner.deadline(when_created, now);
            shard.increment(key, delta, at, max_len, now)
        })
    }

    /// Writes a value if the key holds exactly the bytes `expected`, atomically. Tags are not compared. The condition in the options is not looked at.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    ///
    /// ```
    /// # use rustcache::{Cache, CasOutcome, SetOptions};
    /// # let cache = Cache::builder().build()?;
    /// cache.set("leader", "node 1", SetOptions::default())?;
    /// let outcome = cache.compare_and_set("leader", "node 1", "node 2", SetOptions::default())?;
    /// assert_eq!(outcome, CasOutcome::Stored);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        expected: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<CasOutcome, Error> {
        let (key, expected, value) = (key.as_ref(), expected.as_ref(), value.as_ref());
        self.check(key, value)?;
        let key = self.hashed(key);
        let draft = Draft::new(key.1.key, value, options.tag);
        let holds_it = || {
            self.with_shard_as_it_is(key, |shard, key, now| {
                shard.peek(key, now, |entry| entry.value() == expected)
            })
        };
        let to_replace = SetOptions {
            condition: Condition::IfPresent,
            ..options
        };
        let reserved = if draft.is_large() && holds_it() == Some(true) {
            self.reserve(key, &draft, to_replace)
        } else {
            Reserved::default()
        };
        let found = self.write(key, options.expiry, |shard, key, now| {
            shard.end_reserving(reserved);
            let deadline = self.inner.deadline(options.expiry, now);
            shard.compare_and_set(key.hash, expected, draft, deadline, now)
        });
        found.map(|comparison| match comparison {
            Comparison::Equal => CasOutcome::Stored,
            Comparison::Different => CasOutcome::Mismatch,
            Comparison::Missing => CasOutcome::Missing,
        })
    }

    /// Whether a write can be taken.
    pub(super) fn check(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        if let Some(refusal) = self.inner.kept.get().and_then(|keeper| keeper.refusal()) {
            return Err(refusal);
        }
        let Settings {
            max_key_bytes,
            max_value_bytes,
            ..
        } = self.inner.settings;
        if key.len() > max_key_bytes {
            return Err(Error::KeyTooLong {
                len: key.len(),
                max: max_key_bytes,
            });
        }
        if value.len() > max_value_bytes {
            return Err(Error::ValueTooLong {
                len: value.len(),
                max: max_value_bytes,
            });
        }
        Ok(())
    }

    /// Keeps room for what needs the place of many others; nothing, for all else. To be given to `end_reserving`.
    pub(super) fn reserve(
        &self,
        (shard, key): (usize, Hashed<'_>),
        draft: &Draft<'_>,
        options: SetOptions,
    ) -> Reserved {
        if draft.is_large() {
            self.inner.shards[shard].reserve(key.hash, draft, options, &self.inner)
        } else {
            Reserved::default()
        }
    }

    /// As `with_shard`, for an operation that may give a deadline and can say that what it has changed could not be kept.
    pub(super) fn write<R>(
        &self,
        (shard, key): (usize, Hashed<'_>),
        expiry: Expiry,
        operation: impl FnOnce(&mut Shard, Hashed<'_>, u64) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (result, unsettled) = self.inner.shards[shard].with_unsettled(|shard| {
            let now = match self.inner.may_expire(expiry) {
                true => self.inner.now(),
                false => self.inner.now_for(shard),
            };
            operation(shard, key, now)
        });
        self.inner.watch_if_needed(expiry);
        match unsettled {
            None => result,
            Some(unsettled) => {
                let settled = unsettled.settle();
                // What is wrong with the operation itself is the more useful to know.
                let result = result?;
                settled.map(|()| result)
            }
        }
    }
}
