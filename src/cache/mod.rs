//! The engine: [`Cache`], a thread-safe handle to shards of bytes. Knows nothing of protocols, files or sockets.
//!
//! ```text
//! Cache ── shard.rs ─┬─ index.rs     hash → slot
//!  (locks,           ├─ payload.rs   slot → key, value, tag, weight
//!   hashing,         ├─ policy/      which slot goes next
//!   time)            └─ expiry.rs    which slots are past their deadline
//! ```
//! The four parts speak of u32 slots and do not know of each other; each can be replaced alone.

mod batch;
mod builder;
mod cause;
mod clock;
mod compute;
mod departures;
mod entry;
mod error;
mod expiry;
mod housekeeper;
mod index;
mod inner;
mod iter;
mod key_lock;
mod keys;
mod load;
mod locked;
mod many;
mod observer;
mod paged;
mod pages;
mod payload;
mod policy;
mod prefetch;
mod scan;
mod seal;
mod seeds;
mod shard;
mod standstill;
mod stats;
mod sweep;
#[cfg(test)]
mod tests;
pub(crate) mod typed;
mod value;
mod watch;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use ahash::RandomState;

pub(crate) use batch::Batch;
pub use builder::Builder;
pub use cause::RemovalCause;
pub(crate) use clock::Both;
pub use clock::{Clock, ManualClock};
pub use compute::{Computed, EntrySelector};
pub(crate) use entry::EntryRef;
pub use entry::{CasOutcome, Condition, Entry, Expiry, ScanEntry, SetOptions, Tag, TimeLeft};
pub use error::{BuildError, Error, UnknownPolicy};
pub use iter::Iter;
pub use load::Load;
pub(crate) use observer::{Keep, Observed, Observer};
pub use policy::PolicyKind;
pub use scan::{Cursor, Page};
pub(crate) use standstill::Standstill;
pub use stats::Stats;
pub use value::Value;

use clock::NEVER;
pub(crate) use clock::millis_rounded_up;
use departures::Unsettled;
use keys::hash_of;
use locked::Locked;
use payload::Draft;
use policy::{AnyPolicy, Salt};
use shard::{Comparison, Deadline, Hashed, Limits, Reserved, index_hash};
use watch::Watch;

use crate::key_lock::KeyLocks;

type Shard = shard::Shard<AnyPolicy>;

/// How many expired entries are removed under one hold of a lock, and how many are moved afterwards.
const RECLAIM_SLICE: u32 = 128;
const TIDY_SLICE: u32 = 64;
/// While at least this part of what is held expires each time that the housekeeper comes by, what it leaves vacant is left alone: most of what would be moved
/// goes soon.
const STORM: u64 = 16;
/// A shard of more entries than this is freed by the background thread when it is cleared.
const FREED_IN_BACKGROUND_FROM: u64 = 1024;

/// A bounded cache of bytes: exact LRU or [another policy](PolicyKind), TTL to the nanosecond, limits by count and by bytes.
///
/// A handle is cheap to clone, and all clones are one cache. Every operation takes `&self` and may be called from any thread.
///
/// ```
/// use std::time::Duration;
/// use rustcache::{Cache, SetOptions};
///
/// let cache = Cache::builder().max_bytes(64 << 20).build()?;
/// cache.set("user:1", "Ada", SetOptions::ttl(Duration::from_secs(60)))?;
/// assert_eq!(cache.get("user:1").unwrap().value, "Ada");
/// assert!(cache.remove("user:1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    keep: Option<Arc<dyn Keep>>,
}

/// What the builder was told, in the engine's units.
#[derive(Debug)]
struct Settings {
    max_items: Option<u64>,
    max_bytes: Option<u64>,
    /// Nanoseconds, or `NEVER`.
    default_ttl: u64,
    /// Nanoseconds, or `NEVER`.
    time_to_idle: u64,
    max_key_bytes: usize,
    max_value_bytes: usize,
    policy: PolicyKind,
}

struct Inner {
    shards: Box<[Locked]>,
    hasher: RandomState,
    clock: Clock,
    settings: Settings,
    /// Later than this it does not get, see [`Standstill`]; otherwise `NEVER`.
    standstill: AtomicU64,
    /// Whether the housekeeper comes by.
    watch: Watch,
    /// Who settles changes, if the cache is kept.
    kept: OnceLock<Arc<dyn Observer>>,
    /// Made when a key is locked for the first time.
    key_locks: OnceLock<Arc<KeyLocks<Box<[u8]>>>>,
    /// Held while everything is being shown: one sweep at a time. No lock of a shard is held when it is taken.
    sweeping: Mutex<()>,
    itself: Weak<Inner>,
}

impl Cache {
    /// Configures a cache.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn from_parts(settings: Settings, shards: usize, limits: Limits, clock: Clock) -> Self {
        let hasher = seeds::seeded();
        let salt = Salt::new(hasher.hash_one("the salt of policies"));
        let inner = Arc::new_cyclic(|itself| Inner {
            shards: (0..shards)
                .map(|_| {
                    Locked::new(Shard::new(
                        limits,
                        AnyPolicy::new(settings.policy, salt),
                        settings.time_to_idle,
                        hasher.clone(),
                    ))
                })
                .collect(),
            hasher,
            clock,
            settings,
            standstill: AtomicU64::new(NEVER),
            watch: Watch::new(),
            kept: OnceLock::new(),
            key_locks: OnceLock::new(),
            sweeping: Mutex::new(()),
            itself: itself.clone(),
        });
        Cache { inner, keep: None }
    }

    /// The entry under a key, which becomes the most recently used one. `None` if it is absent or has expired.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Entry> {
        self.read(key.as_ref(), |entry| entry.to_entry())
    }

    /// Writes a value; `Ok(false)` if the condition in the options did not hold. The entry becomes the most recently used one.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`] and [`Error::ValueTooLong`]: nothing changed. [`Error::TooLarge`]: the entry can never fit, and
    /// what the key held is removed.
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
    pub fn remove(&self, key: impl AsRef<[u8]>) -> bool {
        self.batch().remove(key.as_ref())
    }

    /// Removes an entry and gives it back. Counts as a hit or a miss.
    pub fn take(&self, key: impl AsRef<[u8]>) -> Option<Entry> {
        let key = self.hashed(key.as_ref());
        self.with_shard_as_it_is(key, |shard, key, now| {
            shard.take(key, now, |entry| entry.to_entry())
        })
    }

    /// Whether a live entry is there. Neither refreshes it nor counts.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.time_left(key).is_some()
    }

    /// How long an entry has to live; `None` if it is absent or has expired. Neither refreshes it nor counts.
    pub fn time_left(&self, key: impl AsRef<[u8]>) -> Option<TimeLeft> {
        let key = self.hashed(key.as_ref());
        self.with_shard_as_it_is(key, |shard, key, now| {
            shard.peek(key, now, |entry| entry.time_left)
        })
    }

    /// Gives an entry another deadline and makes it the most recently used one; `false` if it is absent or has expired.
    /// [`Expiry::Keep`] only refreshes.
    pub fn touch(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> bool {
        let key = self.hashed(key.as_ref());
        let found = self.with_shard(key, |shard, key, now| {
            shard.touch(key, self.inner.deadline(expiry, now), now)
        });
        self.inner.watch_if_needed(expiry);
        found
    }

    /// Takes an entry's deadline away and makes it the most recently used one; `false` if it is absent or has expired.
    pub fn persist(&self, key: impl AsRef<[u8]>) -> bool {
        self.touch(key, Expiry::Never)
    }

    /// Adds to a decimal integer, atomically, and gives the sum. An absent key counts as 0 and gets the deadline given; one that is there keeps its
    /// own. The number is kept as decimal text; text of more than 64 characters is no number.
    ///
    /// # Errors
    /// [`Error::NotAnInteger`], [`Error::Overflow`], [`Error::KeyTooLong`], [`Error::ValueTooLong`]: nothing changed. [`Error::TooLarge`] as for [`set`](Self::set).
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

    /// Removes everything and gives the number of entries, those past their deadline and not yet reclaimed included. Each shard is emptied at
    /// once; its memory is given back in the background.
    pub fn clear(&self) -> u64 {
        // All locks at once, so that an observer can be told in one word.
        let mut shards: Vec<_> = self.inner.shards.iter().map(Locked::hold).collect();
        let now = self.inner.now();
        let old: Vec<Shard> = shards.iter_mut().map(|shard| shard.clear()).collect();
        shards[0].tell(&Observed::Clear { prefix: &[] });
        let keeper = shards[0].take_unsettled();
        drop(shards);
        Unsettled::new(keeper, Vec::new(), None).settle_silently();
        old.iter().for_each(|shard| shard.tell_all_departed(now));
        let removed = old.iter().map(|shard| shard.stats().items).sum();
        if removed > FREED_IN_BACKGROUND_FROM {
            housekeeper::drop_later(Box::new(old));
        }
        removed
    }

    /// Entries held now, those past their deadline and not yet reclaimed included.
    pub fn len(&self) -> u64 {
        self.stats().items
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted since the cache was built, and what it holds now.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.inner.shards {
            stats += shard.hold().stats();
        }
        stats
    }

    /// The limit on entries, if there is one.
    pub fn max_items(&self) -> Option<u64> {
        self.inner.settings.max_items
    }

    /// The limit on bytes, if there is one.
    pub fn max_bytes(&self) -> Option<u64> {
        self.inner.settings.max_bytes
    }

    /// The longest key, in bytes.
    pub fn max_key_bytes(&self) -> usize {
        self.inner.settings.max_key_bytes
    }

    /// The longest value, in bytes.
    pub fn max_value_bytes(&self) -> usize {
        self.inner.settings.max_value_bytes
    }

    /// Which entry goes when room is needed.
    pub fn policy(&self) -> PolicyKind {
        self.inner.settings.policy
    }

    /// Where this cache gets its time from.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Removes what has expired, now. A background thread does so within about a second anyway; for tests, and for programs that want the memory back at once.
    pub fn reclaim_expired(&self) {
        self.inner.reclaim(true);
    }

    /// Removes what has expired, now, and tells the [eviction listener](Builder::eviction_listener) of it: all that is ever pending. Everything else is done by the call
    /// that is the cause of it, so that most programs never need this.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::{Cache, Clock, SetOptions};
    /// let (clock, hands) = Clock::manual();
    /// let cache = Cache::builder().clock(clock).build()?;
    /// cache.set("code", "4711", SetOptions::ttl(Duration::from_secs(30)))?;
    /// hands.advance(Duration::from_secs(30));
    /// cache.run_pending();
    /// assert_eq!(cache.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_pending(&self) {
        self.reclaim_expired();
    }

    /// Panics if the engine's structures contradict each other or a limit is broken. For tests and fuzzers; takes time in
    /// proportion to the entries held.
    #[doc(hidden)]
    pub fn validate(&self) {
        for shard in &self.inner.shards {
            shard.hold().validate();
        }
    }

    /// Reads under the lock: be quick, and do not call the cache.
    #[inline]
    pub(crate) fn read<R>(&self, key: &[u8], seen: impl FnOnce(EntryRef<'_>) -> R) -> Option<R> {
        self.with_shard_as_it_is(self.hashed(key), |shard, key, now| shard.read(key, now, seen))
    }

    /// Lets nothing expire until the result is dropped.
    pub(crate) fn stand_still(&self) -> Standstill<'_> {
        Standstill::new(&self.inner)
    }

    /// Several operations, one after the other, with few changes of lock.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Whether a write can be taken.
    fn check(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
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

    #[inline(always)]
    fn hashed<'k>(&self, key: &'k [u8]) -> (usize, Hashed<'k>) {
        let hash = hash_of(&self.inner.hasher, key);
        let shard = (hash >> 32) as usize & (self.inner.shards.len() - 1);
        (
            shard,
            Hashed {
                key,
                hash: index_hash(hash),
            },
        )
    }

    /// Keeps room for what needs the place of many others; nothing, for all else. To be given to `end_reserving`.
    fn reserve(&self, (shard, key): (usize, Hashed<'_>), draft: &Draft<'_>, options: SetOptions) -> Reserved {
        if draft.is_large() {
            self.inner.shards[shard].reserve(key.hash, draft, options, &self.inner)
        } else {
            Reserved::default()
        }
    }

    fn with_shard<R>(
        &self,
        (shard, key): (usize, Hashed<'_>),
        operation: impl FnOnce(&mut Shard, Hashed<'_>, u64) -> R,
    ) -> R {
        self.inner.shards[shard].with(|shard| operation(shard, key, self.inner.now()))
    }

    /// As `with_shard`, for an operation that may give a deadline and can say that what it has changed could not be kept.
    fn write<R>(
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

    /// As `with_shard`, for an operation that brings no deadline with it: without one in the shard, the time is no matter.
    #[inline]
    fn with_shard_as_it_is<R>(
        &self,
        (shard, key): (usize, Hashed<'_>),
        operation: impl FnOnce(&mut Shard, Hashed<'_>, u64) -> R,
    ) -> R {
        self.inner.shards[shard].with(|shard| {
            let now = self.inner.now_for(shard);
            operation(shard, key, now)
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("shards", &self.inner.shards.len())
            .field("settings", &self.inner.settings)
            .field("stats", &self.stats())
            .finish()
    }
}
