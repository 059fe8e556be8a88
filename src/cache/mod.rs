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
mod optional;
mod paged;
mod pages;
mod payload;
mod policy;
mod prefetch;
mod reading;
mod scan;
mod seal;
mod seeds;
mod shard;
mod standstill;
mod stats;
mod sweep;
mod telling;
#[cfg(test)]
mod tests;
#[cfg(feature = "daemon")]
mod transaction;
pub(crate) mod typed;
mod unharmed;
mod value;
mod watch;
mod weak;
mod whole;
mod writing;

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
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
#[doc(hidden)]
pub use housekeeper::{ForkedRounds, Outside, Pause, is_background_thread};
pub use iter::Iter;
pub use load::Load;
pub(crate) use observer::{Keep, Observed, Observer};
pub use policy::PolicyKind;
pub use scan::{Cursor, Page};
pub(crate) use standstill::Standstill;
pub use stats::Stats;
#[cfg(feature = "daemon")]
pub(crate) use transaction::{Step, Stepped, Watched};
pub use value::Value;
pub use weak::WeakCache;

#[cfg(feature = "daemon")]
pub(crate) use clock::millis_rounded_up;
use clock::{NEVER, duration};
use keys::hash_of;
use locked::Locked;
use policy::{AnyPolicy, Salt};
use shard::{Hashed, Limits, index_hash};
use sweep::Sweeping;
use watch::Watch;

use crate::key_lock::KeyLocks;

type Shard = shard::Shard<AnyPolicy>;

/// How many expired entries are removed under one hold of a lock, and how many are moved afterwards.
const RECLAIM_SLICE: u32 = 128;
const TIDY_SLICE: u32 = 64;
/// While at least this part of what is held expires each time that the housekeeper comes by, what it leaves vacant is left alone: most of what would be moved
/// goes soon.
const STORM: u64 = 16;
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
    /// Never held while everything is being shown.
    sweeping: Mutex<Sweeping>,
    itself: Weak<Inner>,
}

impl Cache {
    /// Configures a cache.
    ///
    /// ```
    /// let cache = rustcache::Cache::builder().max_items(1000).build()?;
    /// assert_eq!(cache.max_items(), Some(1000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
            sweeping: Mutex::default(),
            itself: itself.clone(),
        });
        Cache { inner, keep: None }
    }

    /// Lets nothing expire until the result is dropped.
    pub(crate) fn stand_still(&self) -> Standstill<'_> {
        Standstill::new(&self.inner)
    }

    /// Several operations, one after the other, with few changes of lock.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch::new(self)
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

    fn with_shard<R>(
        &self,
        (shard, key): (usize, Hashed<'_>),
        operation: impl FnOnce(&mut Shard, Hashed<'_>, u64) -> R,
    ) -> R {
        self.inner.shards[shard].with(|shard| operation(shard, key, self.inner.now()))
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

// A panic of the user's code leaves a cache in order, as `locked.rs` and `departures.rs` see to.
impl UnwindSafe for Cache {}
impl RefUnwindSafe for Cache {}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            max_items,
            max_bytes,
            default_ttl,
            time_to_idle,
            max_key_bytes,
            max_value_bytes,
            policy,
        } = self;
        f.debug_struct("Settings")
            .field("max_items", max_items)
            .field("max_bytes", max_bytes)
            .field("default_ttl", &duration(*default_ttl))
            .field("time_to_idle", &duration(*time_to_idle))
            .field("max_key_bytes", max_key_bytes)
            .field("max_value_bytes", max_value_bytes)
            .field("policy", policy)
            .finish()
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
