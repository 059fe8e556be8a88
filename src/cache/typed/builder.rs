//! Configures a typed cache, and checks the configuration.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::super::clock::{Clock, NEVER, nanos};
use super::super::error::BuildError;
use super::super::housekeeper::Watched;
use super::super::policy::{PolicyKind, Salt};
use super::super::shard::Limits;
use super::super::watch::Watch;
use super::hasher::RandomState;
use super::inner::{Attendant, Inner, Listener, Settings, Weigher, telling};
use super::lock::Locked;
use super::order::Order;
use super::shard::Shard;
use super::{RemovalCause, TypedCache};

const MOST_SHARDS: usize = 1 << 10;
/// Positions of a log of uses, of which there are more than slots, have 32 bits: see recency.rs.
const MOST_SLOTS: u32 = 1 << 30;
/// A cache that may hold fewer than twice this many entries is one shard, and so exactly LRU.
const LEAST_ITEMS_PER_SHARD: u64 = 4096;
/// The same for the weight, which is bytes in most caches: then no entry of up to 64 MiB is refused for the sake of shards.
const LEAST_WEIGHT_PER_SHARD: u64 = 64 << 20;
const SHARDS_PER_PROCESSOR: u64 = 16;
/// The most that the entries of a shard may weigh together, and so that one of them may: sums of that, and thousands of times as much in the arithmetic of policies, do not overflow.
const MOST_WEIGHT: u64 = 1 << 52;

/// Configures a [`TypedCache`]: see [`TypedCache::builder`].
///
/// ```
/// use std::time::Duration;
/// use rustcache::{PolicyKind, TypedCache};
///
/// let cache: TypedCache<String, Vec<u8>> = TypedCache::builder()
///     .max_weight(64 << 20)
///     .weigher(|key: &String, value: &Vec<u8>| (key.len() + value.len()) as u64)
///     .default_ttl(Duration::from_secs(3600))
///     .policy(PolicyKind::TinyLfu)
///     .build()?;
/// # let _ = cache;
/// # Ok::<(), rustcache::BuildError>(())
/// ```
pub struct TypedBuilder<K, V, S = RandomState> {
    max_items: Option<u64>,
    max_weight: Option<u64>,
    weigher: Option<Weigher<K, V>>,
    default_ttl: Option<Duration>,
    time_to_idle: Option<Duration>,
    listener: Option<Listener<K, V>>,
    attendant: Option<Attendant>,
    shards: Option<usize>,
    policy: PolicyKind,
    clock: Clock,
    hasher: S,
}

impl<K, V> TypedBuilder<K, V> {
    pub(super) fn new() -> Self {
        TypedBuilder {
            max_items: None,
            max_weight: None,
            weigher: None,
            default_ttl: None,
            time_to_idle: None,
            listener: None,
            attendant: None,
            shards: None,
            policy: PolicyKind::Lru,
            clock: Clock::system(),
            hasher: RandomState::new(),
        }
    }
}

impl<K, V, S> TypedBuilder<K, V, S> {
    /// The most entries to hold, at least 1. Default: no limit (but that of memory: 2³⁰ for each shard).
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().max_items(1).build()?;
    /// cache.insert("a", 1);
    /// cache.insert("b", 2);
    /// assert_eq!(cache.get("a"), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn max_items(mut self, items: u64) -> Self {
        self.max_items = Some(items);
        self
    }

    /// The most that all entries together may weigh, at least 1, in the unit of the [`weigher`](Self::weigher); without one, each entry weighs 1. An entry may weigh
    /// as much as a shard may hold, and a shard holds 2⁵² at most. Default: no limit.
    ///
    /// ```
    /// let builder = rustcache::TypedCache::builder().max_weight(1000);
    /// let cache = builder.weigher(|_: &u32, text: &String| text.len() as u64).build()?;
    /// cache.insert(1, "x".repeat(700));
    /// cache.insert(2, "y".repeat(700));
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn max_weight(mut self, weight: u64) -> Self {
        self.max_weight = Some(weight);
        self
    }

    /// Says what an entry weighs: its bytes, its cost, anything that adds up; 0 is allowed. Asked once for each entry, when it is written, without a lock: it
    /// may call the cache. What is heavier than its shard may be, [`u64::MAX`] for example, is not stored. Without [`max_weight`](Self::max_weight), the sum in the [statistics](TypedCache::stats) is all that comes of it, and an
    /// entry counts 2³² - 1 at most.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::builder().weigher(|_: &u32, text: &&str| text.len() as u64).build()?;
    /// cache.insert(1, "text");
    /// assert_eq!(cache.stats().bytes, 4);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// The TTL of entries that are written without one. Default: they do not expire.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::{Clock, TypedCache};
    ///
    /// let (clock, hands) = Clock::manual();
    /// let cache = TypedCache::builder().default_ttl(Duration::from_secs(60)).clock(clock).build()?;
    /// cache.insert("a", 1);
    /// hands.advance(Duration::from_secs(60));
    /// assert_eq!(cache.get("a"), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_ttl = Some(ttl);
        self
    }

    /// How long an entry may go without being read or written; then it expires, if it has not for its TTL. Every read then asks for the time. Default: as
    /// long as may be.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::{Clock, TypedCache};
    ///
    /// let (clock, hands) = Clock::manual();
    /// let cache = TypedCache::builder().time_to_idle(Duration::from_secs(2)).clock(clock).build()?;
    /// cache.insert("used", 1);
    /// cache.insert("idle", 2);
    /// for _ in 0..3 {
    ///     hands.advance(Duration::from_secs(1));
    ///     assert_eq!(cache.get("used"), Some(1));
    /// }
    /// assert_eq!(cache.get("idle"), None);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.time_to_idle = Some(time);
        self
    }

    /// Whom to tell of each entry that leaves the cache: its key, its value, and why. Default: nobody, which costs nothing. A second listener takes the place of the first.
    ///
    /// It is told once for each entry, without any lock held, by the thread that made the entry leave, and before that call returns: of what has expired, by whoever
    /// met it, by [`run_pending`](TypedCache::run_pending), or by the background thread. One thread tells in the order in which entries left; what different threads removed may be told in any order, and at
    /// the same time. It may call the cache, by a [handle that does not keep it](TypedCache::downgrade): what leaves by that is told afterwards, by the same thread, never from within the call. A panic ends that one call of it, and
    /// nothing else. It is not told of what is left when the cache itself is dropped, nor of what was never stored.
    ///
    /// Be quick, or hand over to a channel: the thread that told waits, and the background thread works for all caches of the process.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use rustcache::{RemovalCause, TypedCache};
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let cache = TypedCache::builder()
    ///     .max_items(1)
    ///     .eviction_listener(move |key, value, cause| { let _ = sender.send((key, value, cause)); })
    ///     .build()?;
    /// cache.insert("a", 1);
    /// cache.insert("b", 2);
    /// assert_eq!(receiver.recv(), Ok(("a", 1, RemovalCause::MaxItems)));
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn eviction_listener(
        mut self,
        listener: impl Fn(K, V, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Who reclaims what has expired in the background, for keys and values that not just any thread may drop: it is called when there is something, and calls what it is given, slice by
    /// slice, until that gives `false`. If it stops earlier, it is called again soon.
    #[doc(hidden)]
    pub fn attendant(mut self, attendant: impl Fn(&mut dyn FnMut() -> bool) + Send + Sync + 'static) -> Self {
        self.attendant = Some(Box::new(attendant));
        self
    }

    /// How many shards there are, each with its own lock and its even part of the limits: a power of two up to 1024. The order of eviction is exact within a
    /// shard, so a cache of one shard is exactly LRU.
    ///
    /// Default: one for a small cache; from twice 4,096 entries and a weight of twice 64 Mi (of those limits that are set) on as many as keep each shard at that
    /// size, up to 16 for each processor, and 256 in all.
    ///
    /// ```
    /// let cache = rustcache::TypedCache::<u32, u32>::builder().max_items(1_000_000).shards(1).build()?;
    /// # let _ = cache;
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Which entry goes when room is needed and none has expired. Default: exact LRU.
    ///
    /// ```
    /// use rustcache::{PolicyKind, TypedCache};
    ///
    /// let cache = TypedCache::<u32, u32>::builder().max_items(1000).policy(PolicyKind::Adaptive).build()?;
    /// assert_eq!(cache.policy(), PolicyKind::Adaptive);
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn policy(mut self, policy: PolicyKind) -> Self {
        self.policy = policy;
        self
    }

    /// Where the time comes from. Default: the system.
    ///
    /// ```
    /// use rustcache::{Clock, TypedCache};
    ///
    /// let (clock, _hands) = Clock::manual();
    /// let cache = TypedCache::<u32, u32>::builder().clock(clock).build()?;
    /// # let _ = cache;
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Hashes keys with this. Default: [`RandomState`]. All 64 bits of a hash are used, so they should all depend on all of the key; and whoever chooses keys should not be able to
    /// choose hashes.
    ///
    /// ```
    /// use rustcache::TypedCache;
    ///
    /// let hasher = std::hash::RandomState::new();
    /// let cache: TypedCache<u32, u32, _> = TypedCache::builder().hasher(hasher).build()?;
    /// # let _ = cache;
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn hasher<T>(self, hasher: T) -> TypedBuilder<K, V, T> {
        TypedBuilder {
            max_items: self.max_items,
            max_weight: self.max_weight,
            weigher: self.weigher,
            default_ttl: self.default_ttl,
            time_to_idle: self.time_to_idle,
            listener: self.listener,
            attendant: self.attendant,
            shards: self.shards,
            policy: self.policy,
            clock: self.clock,
            hasher,
        }
    }

    fn fitting_shards(&self) -> usize {
        let by_items = self
            .max_items
            .map_or(u64::MAX, |items| items / LEAST_ITEMS_PER_SHARD);
        let by_weight = self
            .max_weight
            .map_or(u64::MAX, |weight| weight / LEAST_WEIGHT_PER_SHARD);
        let by_processors =
            std::thread::available_parallelism().map_or(1, |n| n.get() as u64 * SHARDS_PER_PROCESSOR);
        let most = by_items.min(by_weight).min(by_processors.min(256)).max(1);
        1 << most.ilog2()
    }
}

impl<K, V, S> TypedBuilder<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Clone + Send + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Builds the cache.
    ///
    /// # Errors
    /// A [`BuildError`] names the option that is out of range, its value, and the range.
    ///
    /// ```
    /// use rustcache::{BuildError, TypedCache};
    ///
    /// let refused = TypedCache::<u32, u32>::builder().max_items(0).build();
    /// assert_eq!(refused.err(), Some(BuildError::NoItems));
    /// ```
    pub fn build(self) -> Result<TypedCache<K, V, S>, BuildError> {
        self.build_raw()
    }
}

impl<K: Send + 'static, V: Send + 'static, S: Send + Sync + 'static> TypedBuilder<K, V, S> {
    /// Builds a cache for the lower layer, whose keys can be neither hashed nor compared here: see raw.rs.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    #[doc(hidden)]
    pub fn build_raw(self) -> Result<TypedCache<K, V, S>, BuildError> {
        if self.max_items == Some(0) {
            return Err(BuildError::NoItems);
        }
        if self.max_weight == Some(0) {
            return Err(BuildError::NoWeight);
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
            items: share(self.max_items).min(u64::from(MOST_SLOTS.min(self.policy.max_slots())) - 1),
            bytes: share(
                self.max_weight
                    .map(|weight| weight.min(MOST_WEIGHT.saturating_mul(shards as u64))),
            ),
            shards,
        };
        if let Some(max_items) = self.max_items.filter(|_| limits.items == 0) {
            return Err(BuildError::FewerItemsThanShards { max_items, shards });
        }
        if let Some(max_weight) = self.max_weight.filter(|_| limits.bytes == 0) {
            return Err(BuildError::LessWeightThanShards { max_weight, shards });
        }
        let settings = Settings {
            max_items: self.max_items,
            max_weight: self.max_weight,
            max_weight_of_one: limits.bytes,
            default_ttl: self.default_ttl.map_or(NEVER, nanos),
            time_to_idle: self.time_to_idle.map_or(NEVER, nanos),
            policy: self.policy,
        };
        let weighs = self.weigher.is_some();
        // Not of the hasher, which may be one that anybody can compute.
        let salt = Salt::new(RandomState::new().hash_one("the salt of policies"));
        let inner = Arc::new_cyclic(|itself: &Weak<Inner<K, V, S>>| {
            let itself: Weak<dyn Watched> = Weak::clone(itself) as Weak<dyn Watched>;
            let order = || Order::new(settings.policy, salt);
            let shard = || Shard::new(limits, order(), settings.time_to_idle, weighs);
            Inner {
                shards: (0..shards).map(|_| Locked::new(shard())).collect(),
                hasher: self.hasher,
                clock: self.clock,
                settings,
                listener: self.listener.map(telling),
                weigher: self.weigher,
                attendant: self.attendant,
                watch: Watch::new(),
                key_locks: OnceLock::new(),
                itself,
            }
        });
        Ok(TypedCache { inner })
    }
}

impl<K, V, S> fmt::Debug for TypedBuilder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedBuilder")
            .field("max_items", &self.max_items)
            .field("max_weight", &self.max_weight)
            .field("default_ttl", &self.default_ttl)
            .field("time_to_idle", &self.time_to_idle)
            .field("shards", &self.shards)
            .field("policy", &self.policy)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
