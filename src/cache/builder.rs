//! How a cache is configured.

use std::time::Duration;

use bytes::Bytes;

use super::cause::RemovalCause;
use super::clock::{Clock, NEVER, nanos};
use super::departures::Listener;
use super::entry::Entry;
use super::error::BuildError;
use super::expiry::MAX_SLOTS;
use super::payload::ENTRY_OVERHEAD;
use super::shard::Limits;
use super::{Cache, PolicyKind, Settings};

/// The least that `max_bytes` may be.
const LEAST_BYTES: u64 = 4096;
/// A shard of a cache that is split by itself holds at least this many entries and bytes, so that the order of eviction stays close to that of one list,
/// and an entry of the largest size allowed fits into a shard several times.
const LEAST_ITEMS_PER_SHARD: u64 = 65_536;
const LEAST_BYTES_PER_SHARD: u64 = 256 << 20;
const LARGEST_ENTRIES_PER_SHARD: u64 = 3;
const MOST_SHARDS: usize = 1024;
/// Lengths are kept in 32 bits, on the wire as well, with room for what goes around them.
const MOST_LENGTH: usize = 1 << 30;

/// Builds a [`Cache`]. Without limits it holds everything until it expires or is removed.
///
/// ```
/// use std::time::Duration;
/// use rustcache::{Cache, PolicyKind};
///
/// let cache = Cache::builder()
///     .max_bytes(64 << 20)
///     .default_ttl(Duration::from_secs(3600))
///     .policy(PolicyKind::TinyLfu)
///     .build()?;
/// # assert!(cache.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "call build() to get a cache"]
pub struct Builder {
    max_items: Option<u64>,
    max_bytes: Option<u64>,
    default_ttl: Option<Duration>,
    time_to_idle: Option<Duration>,
    listener: Option<Listener>,
    max_key_bytes: usize,
    max_value_bytes: usize,
    shards: Option<usize>,
    policy: PolicyKind,
    clock: Clock,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            max_items: None,
            max_bytes: None,
            default_ttl: None,
            time_to_idle: None,
            listener: None,
            max_key_bytes: 64 << 10,
            max_value_bytes: 64 << 20,
            shards: None,
            policy: PolicyKind::Lru,
            clock: Clock::system(),
        }
    }

    /// The most entries to hold, at least 1. Default: no limit (but that of memory: 2³¹ for each shard).
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().max_items(1).build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// cache.set("b", "2", SetOptions::default())?;
    /// assert!(!cache.contains("a") && cache.contains("b"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_items(mut self, items: u64) -> Self {
        self.max_items = Some(items);
        self
    }

    /// The most bytes to hold, at least 4096. An entry is charged what it costs: key, value, overhead, rounding. Default: no limit.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().max_bytes(1 << 20).build()?;
    /// for key in 0..100_000_u32 {
    ///     cache.set(key.to_le_bytes(), "value", SetOptions::default())?;
    /// }
    /// assert!(cache.stats().bytes <= 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The TTL of entries that are written without one. Default: they never expire.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions, TimeLeft};
    /// use std::time::Duration;
    ///
    /// let cache = Cache::builder().default_ttl(Duration::from_secs(60)).build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert!(matches!(cache.time_left("a"), Some(TimeLeft::Left(left)) if left <= Duration::from_secs(60)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_ttl = Some(ttl);
        self
    }

    /// How long an entry stays without being used, to the nanosecond, at least 1 ns. It is used when it is read, written or touched; looking at it
    /// ([`peek`](Cache::peek), [`contains`](Cache::contains), [`time_left`](Cache::time_left), [`iter`](Cache::iter), [`scan`](Cache::scan)) is no use. Its TTL holds as well: what comes first counts.
    /// Default: entries may idle.
    ///
    /// It makes every entry one with a deadline, which `max_bytes` is charged 9 bytes for, and 8 more where there is a TTL as well. What is kept on disk, or in a snapshot, has its TTL
    /// there; after loading, all entries count as just used.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::{Cache, Clock, SetOptions};
    /// let (clock, hands) = Clock::manual();
    /// let cache = Cache::builder().time_to_idle(Duration::from_secs(60)).clock(clock).build()?;
    /// cache.set("used", "v", SetOptions::default())?;
    /// cache.set("idle", "v", SetOptions::default())?;
    /// hands.advance(Duration::from_secs(59));
    /// assert!(cache.get("used").is_some());
    /// hands.advance(Duration::from_secs(1));
    /// assert!(cache.contains("used") && !cache.contains("idle"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.time_to_idle = Some(time);
        self
    }

    /// Whom to tell of each entry that leaves the cache: its key, what it was, and why. Default: nobody, which costs nothing. A second listener takes the
    /// place of the first.
    ///
    /// It is told once for each entry, without any lock held, by the thread that made the entry leave, and before that call returns: of what has expired, by whoever
    /// met it, by [`run_pending`](Cache::run_pending), or by the background thread. One thread tells in the order in which entries left; what different threads removed may be told in any order, and at
    /// the same time. It may call the cache, by a [handle that does not keep it](Cache::downgrade): what leaves by that is told afterwards, by the same thread, never from within the call. A panic ends that one call of it, and
    /// nothing else. It is not told of what is left when the cache itself is dropped. In a cache that keeps itself in a directory, the change is written there before it is told.
    ///
    /// Be quick, or hand over to a channel: the thread that told waits, and the background thread works for all caches of the process. While an operation
    /// is under way, what left by it is kept in memory beside `max_bytes`.
    ///
    /// The entry of what has expired has no time left ([`TimeLeft::Left`](crate::TimeLeft::Left) of zero); others have what they had, so that they can be moved elsewhere.
    ///
    /// ```
    /// use rustcache::{Cache, RemovalCause, SetOptions};
    ///
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let cache = Cache::builder()
    ///     .max_items(1)
    ///     .eviction_listener(move |key, entry, cause| drop(sender.send((key, entry.value, cause))))
    ///     .build()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// cache.set("b", "2", SetOptions::default())?;
    /// let (key, value, cause) = receiver.try_recv()?;
    /// assert_eq!((&key[..], &value[..], cause), (&b"a"[..], &b"1"[..], RemovalCause::MaxItems));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn eviction_listener(
        mut self,
        listener: impl Fn(Bytes, Entry, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Listener::new(listener));
        self
    }

    /// The longest key, in bytes, at most 1 GiB. Default: 64 KiB.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().max_key_bytes(3).build()?;
    /// assert!(cache.set("abc", "1", SetOptions::default()).is_ok());
    /// assert!(cache.set("abcd", "1", SetOptions::default()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_key_bytes(mut self, bytes: usize) -> Self {
        self.max_key_bytes = bytes;
        self
    }

    /// The longest value, in bytes, at most 1 GiB. Default: 64 MiB.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().max_value_bytes(3).build()?;
    /// assert!(cache.set("a", "123", SetOptions::default()).is_ok());
    /// assert!(cache.set("a", "1234", SetOptions::default()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// How many shards there are, each with its own lock and its even part of the limits: a power of two up to 1024. The order of eviction is
    /// exact within a shard, so a cache of one shard is exactly LRU. Each shard has
    /// half-filled pages of its own, up to some hundred KiB: many shards with a share of less than 1 MiB take more memory than is promised beyond `max_bytes`.
    ///
    /// Default: one for a small cache; from twice 65,536 entries and twice 256 MiB (of those limits that are set) on as many as keep each shard at
    /// that size, up to four for each processor.
    ///
    /// ```
    /// # use rustcache::{BuildError, Cache};
    /// let cache = Cache::builder().max_items(1_000_000).shards(16).build()?;
    /// assert_eq!(Cache::builder().shards(3).build().unwrap_err(), BuildError::Shards(3));
    /// # assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Which entry goes when room is needed and none has expired. Default: exact LRU.
    ///
    /// ```
    /// # use rustcache::{Cache, PolicyKind};
    /// let cache = Cache::builder().max_items(1000).policy(PolicyKind::S3Fifo).build()?;
    /// assert_eq!(cache.policy(), PolicyKind::S3Fifo);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn policy(mut self, policy: PolicyKind) -> Self {
        self.policy = policy;
        self
    }

    /// Where the time comes from. Default: the system.
    ///
    /// ```
    /// # use rustcache::{Cache, Clock, SetOptions};
    /// use std::time::Duration;
    ///
    /// let (clock, hands) = Clock::manual();
    /// let cache = Cache::builder().clock(clock).build()?;
    /// cache.set("a", "1", SetOptions::ttl(Duration::from_secs(60)))?;
    /// hands.advance(Duration::from_secs(60));
    /// assert!(!cache.contains("a"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the cache.
    ///
    /// # Errors
    /// A [`BuildError`] names the option that is out of range, its value, and the range.
    ///
    /// ```
    /// # use rustcache::Cache;
    /// let cache = Cache::builder().max_items(1000).build()?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build(self) -> Result<Cache, BuildError> {
        if self.max_items == Some(0) {
            return Err(BuildError::NoItems);
        }
        if let Some(max_bytes) = self.max_bytes.filter(|&bytes| bytes < LEAST_BYTES) {
            return Err(BuildError::TooFewBytes {
                max_bytes,
                least: LEAST_BYTES,
            });
        }
        for (name, value) in [
            ("max_key_bytes", self.max_key_bytes),
            ("max_value_bytes", self.max_value_bytes),
        ] {
            if value > MOST_LENGTH {
                return Err(BuildError::LengthLimit {
                    name,
                    value,
                    max: MOST_LENGTH,
                });
            }
        }
        if self.default_ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(BuildError::ZeroDefaultTtl);
        }
        if self.time_to_idle.is_some_and(|time| time.is_zero()) {
            return Err(BuildError::ZeroTimeToIdle);
        }
        let shards = match self.shards {
            Some(shards) if shards.is_power_of_two() && shards <= MOST_SHARDS => shards,
            Some(shards) => return Err(BuildError::Shards(shards)),
            None => self.fitting_shards(),
        };
        let share = |limit: Option<u64>| limit.map_or(u64::MAX, |limit| limit / shards as u64);
        let limits = Limits {
            items: share(self.max_items).min(u64::from(MAX_SLOTS.min(self.policy.max_slots())) - 1),
            bytes: share(self.max_bytes),
            shards,
        };
        if let Some(max_items) = self.max_items.filter(|_| limits.items == 0) {
            return Err(BuildError::FewerItemsThanShards { max_items, shards });
        }
        if let Some(max_bytes) = self.max_bytes.filter(|_| limits.bytes < LEAST_BYTES) {
            return Err(BuildError::TooFewBytes {
                max_bytes,
                least: LEAST_BYTES * shards as u64,
            });
        }
        let settings = Settings {
            max_items: self.max_items,
            max_bytes: self.max_bytes,
            default_ttl: self.default_ttl.map_or(NEVER, nanos),
            time_to_idle: self.time_to_idle.map_or(NEVER, nanos),
            max_key_bytes: self.max_key_bytes,
            max_value_bytes: self.max_value_bytes,
            policy: self.policy,
        };
        let cache = Cache::from_parts(settings, shards, limits, self.clock);
        if self.listener.is_some() {
            for shard in &cache.inner.shards {
                shard.hold().listen(self.listener.clone());
            }
        }
        Ok(cache)
    }

    fn fitting_shards(&self) -> usize {
        let largest_entry = (self.max_key_bytes + self.max_value_bytes) as u64 + ENTRY_OVERHEAD;
        let least_bytes = LEAST_BYTES_PER_SHARD.max(largest_entry * LARGEST_ENTRIES_PER_SHARD);
        let by_items = self
            .max_items
            .map_or(u64::MAX, |items| items / LEAST_ITEMS_PER_SHARD);
        let by_bytes = self.max_bytes.map_or(u64::MAX, |bytes| bytes / least_bytes);
        let by_processors = std::thread::available_parallelism()
            .map_or(1, |n| n.get() as u64 * 4)
            .min(64);
        let most = by_items.min(by_bytes).min(by_processors).max(1);
        1 << most.ilog2()
    }
}
