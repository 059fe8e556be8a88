//! For programs that were written for the crate [`cache-ro`](https://crates.io/crates/cache-ro) 0.2 or 0.3: its names and signatures over [`Cache`](crate::Cache). Such a program changes its
//! `use` line:
//!
//! ```standalone_crate
//! // use cache_ro::{Cache, CacheConfig};
//! use rustcache::compat::cache_ro::{Cache, CacheConfig};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #   let dir_path = std::env::temp_dir().join(format!("rustcache-doc-ro-{}", std::process::id()));
//! #   let scratch = CacheConfig { dir_path: dir_path.to_string_lossy().into_owned(), ..CacheConfig::default() };
//! #   /*
//!     let cache = Cache::new(CacheConfig::default())?;
//! #   */ let cache = Cache::new(scratch)?;
//!     cache.set("username", "alice".to_string(), Duration::from_secs(60))?;
//!     if let Some(username) = cache.get::<String>("username") {
//!         println!("Cached username: {}", username);
//!     }
//!     Cache::drop();
//! #   std::fs::remove_dir_all(dir_path)?;
//!     Ok(())
//! }
//! ```
//!
//! # What is the same
//!
//! Every name, every signature, the defaults, the time left in whole calls, `Box<dyn Error>` as the error. What is in the boxes is [`Error`], [`OpenError`](crate::OpenError) or
//! [`EncodingError`], which are `Send + Sync`.
//!
//! # What is better
//!
//! - `set` appends to a journal instead of rewriting a file; what it has returned from is there after `kill -9`, and is synced within about a second.
//! - A file that a crash has torn fails no later opening: see [`Cache::new`].
//! - `get` of another type than was set is `None`: values say what they are.
//! - A key that is set again expires at its new time; one that was removed does not come back.
//! - Several caches may be open at once, each with a directory of its own, or in memory: see [`Cache::drop`].
//! - [`get_key_lock`](Cache::get_key_lock) is never taken by `set` or `remove`, so that neither deadlocks with it; and locks of keys are not kept for ever.
//!
//! # What is different
//!
//! The files: [`migrate`] reads those of cache_ro once. `hash_prefix_length` and `cleanup_interval` are taken and have no effect: there is one journal, and what has expired is given back within
//! about a second. After `Cache::drop()` a handle that is left finds nothing and refuses to write.

#[cfg(test)]
mod tests;

mod bincode;
mod migrate;
mod running;
mod taken;
mod values;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DiskError, EncodingError, Error, Expiry, SetOptions, TimeLeft};

pub use migrate::{Migration, Skipped, migrate};
use taken::Taken;

/// How a cache is made: all that cache_ro had.
///
/// ```
/// use rustcache::compat::cache_ro::CacheConfig;
///
/// let config = CacheConfig::default();
/// assert!(config.persistent);
/// assert_eq!(config.dir_path, "cache_data");
/// ```
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// Whether the cache keeps itself in `dir_path`. Default: yes.
    pub persistent: bool,
    /// Has no effect. Default: 2.
    pub hash_prefix_length: usize,
    /// The directory, which is made if it is not there. Default: `cache_data`.
    pub dir_path: String,
    /// Has no effect: what has expired is given back within about a second. Default: 10 seconds.
    pub cleanup_interval: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            persistent: true,
            hash_prefix_length: 2,
            dir_path: "cache_data".to_owned(),
            cleanup_interval: Duration::from_secs(10),
        }
    }
}

/// What the handles of a cache share.
struct Shared {
    cache: crate::Cache,
    config: CacheConfig,
    is_closed: AtomicBool,
    key_locks: Mutex<KeyLocks>,
    taken: Taken,
}

impl Shared {
    /// Also if it is closed already.
    fn close(&self) -> Result<(), DiskError> {
        self.is_closed.store(true, Ordering::Release);
        let closed = self.cache.close();
        self.cache.clear();
        closed
    }
}

/// Locks that somebody holds or is about to take; those of others are forgotten now and then.
#[derive(Default)]
struct KeyLocks {
    locks: HashMap<String, Weak<Mutex<()>>>,
    /// How many were in use when that was looked at last.
    in_use: usize,
}

/// Fewer than so many locks are not looked through.
const FEW_LOCKS: usize = 64;

/// A handle of a cache, as cache_ro had it; cheap to clone, and all clones are one cache.
///
/// ```
/// # use std::time::Duration;
/// use rustcache::compat::cache_ro::{Cache, CacheConfig};
///
/// let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
/// cache.set("primes", vec![2, 3, 5], Duration::from_secs(60))?;
/// assert_eq!(cache.get::<Vec<u64>>("primes"), Some(vec![2, 3, 5]));
/// assert_eq!(cache.get::<String>("primes"), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

type Boxed<T> = Result<T, Box<dyn StdError>>;

impl Cache {
    /// Closes all caches of the process that were made by [`new`](Self::new) and are open: what is in their directories is complete, a last snapshot makes the next start fast, and the
    /// directories are free. cache_ro could have one cache at a time, so that this needed no name; [`close`](Self::close) closes one of several.
    ///
    /// What was set survives without this as well, also the death of the process.
    ///
    /// ```standalone_crate
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let memory = || CacheConfig { persistent: false, ..CacheConfig::default() };
    /// let (one, two) = (Cache::new(memory())?, Cache::new(memory())?);
    /// Cache::drop();
    /// assert!(one.set("a", 1, Duration::from_secs(60)).is_err());
    /// assert!(two.is_empty() && Cache::instance().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop() {
        for shared in running::take_all() {
            // Nobody can be told here; the writes that it failed for have told.
            let _ = shared.close();
        }
    }

    /// The cache that was made last, if it is open. It is held for this function until [`drop`](Self::drop), [`close`](Self::close) or the making of another one; other caches live as
    /// long as their handles.
    ///
    /// # Errors
    /// If there is none.
    ///
    /// ```standalone_crate
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// Cache::instance()?.set("a", 1, Duration::from_secs(60))?;
    /// assert_eq!(Cache::instance()?.get("a"), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn instance() -> Boxed<Self> {
        match running::instance() {
            Some(shared) => Ok(Cache { shared }),
            None => Err(io::Error::other("no cache is open: make one with Cache::new").into()),
        }
    }

    /// Makes a cache; if it is to be persistent, in a directory of its own, with what is in there. An end of the journal that a crash has torn was never acknowledged and is cut off; of damaged
    /// files what is intact is kept ([`Recover::Valid`](crate::Recover::Valid)).
    ///
    /// # Errors
    /// [`OpenError`](crate::OpenError), for example if another cache has the directory.
    ///
    /// ```
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(config: CacheConfig) -> Boxed<Self> {
        let builder = crate::Cache::builder();
        let cache = match config.persistent {
            true => {
                running::let_go_of(&config.dir_path);
                builder.dir(&config.dir_path).open()?
            }
            false => builder.build()?,
        };
        let shared = Arc::new(Shared {
            taken: Taken::of(&config),
            cache,
            config,
            is_closed: AtomicBool::new(false),
            key_locks: Mutex::default(),
        });
        running::made(&shared);
        Ok(Cache { shared })
    }

    /// Closes this cache, whoever else has handles of it. Not in cache_ro.
    ///
    /// # Errors
    /// [`DiskError`], when what was changed is not on the disk.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let memory = || CacheConfig { persistent: false, ..CacheConfig::default() };
    /// let (one, two) = (Cache::new(memory())?, Cache::new(memory())?);
    /// one.close()?;
    /// assert!(one.set("a", 1, Duration::from_secs(60)).is_err());
    /// assert!(two.set("a", 1, Duration::from_secs(60)).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) -> Boxed<()> {
        running::closed(&self.shared);
        Ok(self.shared.close()?)
    }

    /// The cache itself, with all that cache_ro does not have. Not in cache_ro.
    ///
    /// ```
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// assert_eq!(cache.cache().stats().hits, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache(&self) -> &crate::Cache {
        &self.shared.cache
    }

    /// Stores a value for a time, in whole milliseconds; zero stores nothing, and what the key held is gone. With a directory it is there after the death of the process once this has returned.
    ///
    /// # Errors
    /// [`EncodingError`] if the value cannot be encoded, [`Error`] if the cache cannot take or keep it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// cache.set("user", ("Ada", 36), Duration::from_secs(60))?;
    /// assert_eq!(cache.get("user"), Some(("Ada".to_string(), 36)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set<V: Serialize>(&self, key: &str, value: V, ttl: Duration) -> Boxed<()> {
        self.check_open()?;
        let options = SetOptions {
            expiry: Expiry::After(whole_millis(ttl)),
            ..SetOptions::default()
        };
        match self.shared.cache.set_as(key, &value, options) {
            Ok(_) => Ok(()),
            Err(EncodingError::Refused(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`set`](Self::set), which never takes the lock of a key: the two are one.
    ///
    /// # Errors
    /// As `set`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// let lock = cache.get_key_lock("n");
    /// let guard = lock.lock().unwrap();
    /// let n: u64 = cache.get("n").unwrap_or(0);
    /// cache.set_without_guard("n", n + 1, Duration::from_secs(60))?;
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_without_guard<V: Serialize>(&self, key: &str, value: V, ttl: Duration) -> Boxed<()> {
        self.set(key, value, ttl)
    }

    /// The value of a key, if it is there, has not expired, and is of this type or of one that means the same.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// cache.set("n", 7_u8, Duration::from_secs(60))?;
    /// assert_eq!(cache.get::<u64>("n"), Some(7));
    /// assert_eq!(cache.get::<String>("n"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get<V: for<'de> Deserialize<'de>>(&self, key: &str) -> Option<V> {
        let entry = self.shared.cache.get(key)?;
        values::decode(entry.tag, &entry.value)
    }

    /// How long a key has to live, if it is there.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// cache.set("n", 7_u8, Duration::from_secs(60))?;
    /// assert!(cache.expire("n").unwrap() <= Duration::from_secs(60));
    /// assert_eq!(cache.expire("absent"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire(&self, key: &str) -> Option<Duration> {
        match self.shared.cache.time_left(key)? {
            TimeLeft::Left(left) => Some(left),
            TimeLeft::Forever => Some(Duration::MAX),
        }
    }

    /// Removes a key, for good; that it was not there is no error.
    ///
    /// # Errors
    /// If that could not be written to the directory: the key is gone in memory, and may be there after the next start.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// cache.set("n", 7_u8, Duration::from_secs(60))?;
    /// cache.remove("n")?;
    /// assert_eq!(cache.get::<u8>("n"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&self, key: &str) -> Boxed<()> {
        self.check_open()?;
        self.shared.cache.remove(key);
        self.check_kept()
    }

    /// As [`remove`](Self::remove), which never takes the lock of a key: the two are one.
    ///
    /// # Errors
    /// As `remove`.
    ///
    /// ```
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// let lock = cache.get_key_lock("n");
    /// let guard = lock.lock().unwrap();
    /// cache.remove_without_guard("n")?;
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_without_guard(&self, key: &str) -> Boxed<()> {
        self.remove(key)
    }

    /// Removes everything.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    ///
    /// ```
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// cache.clear()?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self) -> Boxed<()> {
        self.check_open()?;
        self.shared.cache.clear();
        self.check_kept()
    }

    /// How many entries there are, those that have expired and are not given back yet included.
    ///
    /// ```
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// assert_eq!(cache.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        usize::try_from(self.shared.cache.len()).unwrap_or(usize::MAX)
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.shared.cache.is_empty()
    }

    /// The bytes that the entries are charged with: keys, values, and what is kept beside them.
    ///
    /// ```
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// assert_eq!(cache.memory_usage(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn memory_usage(&self) -> usize {
        usize::try_from(self.shared.cache.stats().bytes).unwrap_or(usize::MAX)
    }

    /// The lock of a key, for several operations on it that no other thread that takes the lock is to come between. The cache itself never takes it: whoever does not ask for
    /// the lock is not held up by it, and `set`, `get` and `remove` can be called while it is held.
    ///
    /// It is a mutex of the standard library, as in cache_ro: a thread that locks it while it holds it deadlocks or panics. It is not poisoned for those who ask for it after a panic.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use rustcache::compat::cache_ro::{Cache, CacheConfig};
    /// # let cache = Cache::new(CacheConfig { persistent: false, ..CacheConfig::default() })?;
    /// let lock = cache.get_key_lock("balance");
    /// let guard = lock.lock().unwrap();
    /// let balance: i64 = cache.get("balance").unwrap_or(0);
    /// cache.set("balance", balance - 5, Duration::from_secs(60))?;
    /// # drop(guard);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_key_lock(&self, key: &str) -> Arc<Mutex<()>> {
        let mut held = self
            .shared
            .key_locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = held.locks.get(key).and_then(Weak::upgrade) {
            if lock.is_poisoned() {
                lock.clear_poison();
            }
            return lock;
        }
        if held.locks.len() >= FEW_LOCKS.max(2 * held.in_use) {
            held.locks.retain(|_, lock| lock.strong_count() > 0);
            held.in_use = held.locks.len();
        }
        let lock = Arc::new(Mutex::new(()));
        held.locks.insert(key.to_owned(), Arc::downgrade(&lock));
        lock
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.shared.is_closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    /// Whether all that was done is kept, if it is to be.
    fn check_kept(&self) -> Boxed<()> {
        match self
            .shared
            .cache
            .directory()
            .and_then(|directory| directory.failure())
        {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

/// cache_ro counts in them.
fn whole_millis(ttl: Duration) -> Duration {
    Duration::new(ttl.as_secs(), ttl.subsec_millis() * 1_000_000)
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("cache", &self.shared.cache)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
