//! What the callers of a typed cache say and are told beside keys and values.

use std::time::Duration;

use super::super::entry::{Condition, Expiry};

/// How an entry is written: see [`TypedCache::insert_with`](super::TypedCache::insert_with). The default is the cache's default TTL, in any case.
///
/// ```
/// use std::time::Duration;
/// use rustcache::{Condition, InsertOptions, TypedCache};
///
/// let cache = TypedCache::<u32, u32>::builder().build()?;
/// let only_new = InsertOptions::ttl(Duration::from_secs(60)).with_condition(Condition::IfAbsent);
/// assert!(cache.insert_with(1, 10, only_new)?);
/// assert!(!cache.insert_with(1, 11, only_new)?);
/// assert_eq!(cache.get(&1), Some(10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct InsertOptions {
    /// When it expires.
    pub expiry: Expiry,
    /// Whether the write depends on the key's being there.
    pub condition: Condition,
}

impl InsertOptions {
    /// The default but for an expiry `after` this time from now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rustcache::{Expiry, InsertOptions};
    ///
    /// let options = InsertOptions::ttl(Duration::from_secs(1));
    /// assert_eq!(options.expiry, Expiry::After(Duration::from_secs(1)));
    /// ```
    pub fn ttl(after: Duration) -> Self {
        Self::default().with_expiry(Expiry::After(after))
    }

    /// These, with another expiry.
    ///
    /// ```
    /// use rustcache::{Expiry, InsertOptions, TimeLeft, TypedCache};
    ///
    /// let cache = TypedCache::<u32, u32>::builder().build()?;
    /// cache.insert_with(1, 10, InsertOptions::default().with_expiry(Expiry::Never))?;
    /// assert_eq!(cache.time_left(&1), Some(TimeLeft::Forever));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// These, with another condition.
    ///
    /// ```
    /// use rustcache::{Condition, InsertOptions, TypedCache};
    ///
    /// let cache = TypedCache::<u32, u32>::builder().build()?;
    /// let only_there = InsertOptions::default().with_condition(Condition::IfPresent);
    /// assert!(!cache.insert_with(1, 10, only_there)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn with_condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }
}

/// An entry was not stored, since it weighs more than its shard may ever hold. What its key held has been removed: better a miss than a stale value.
///
/// ```
/// use rustcache::{InsertOptions, TooHeavy, TypedCache};
///
/// let cache = TypedCache::builder()
///     .max_weight(100)
///     .weigher(|_: &u32, value: &String| value.len() as u64)
///     .build()?;
/// let refused = cache.insert_with(1, "x".repeat(101), InsertOptions::default());
/// assert!(matches!(refused, Err(TooHeavy { weight: 101, max: 100, .. })));
/// # Ok::<(), rustcache::BuildError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooHeavy {
    /// What the weigher said.
    pub weight: u64,
    /// The most that one entry may weigh: `max_weight` over the number of shards.
    pub max: u64,
}

impl std::fmt::Display for TooHeavy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TooHeavy { weight, max } = self;
        write!(
            f,
            "the entry weighs {weight} and at most {max} can ever be held: raise max_weight, or store less"
        )
    }
}

impl std::error::Error for TooHeavy {}
