//! What an operation on the cache can refuse, and why.

use std::fmt;

/// Why a write was refused.
///
/// ```
/// use rustcache::{Cache, Error, SetOptions};
///
/// let cache = Cache::builder().max_key_bytes(8).build()?;
/// let refused = cache.set("a long key", "v", SetOptions::default());
/// assert_eq!(refused, Err(Error::KeyTooLong { len: 10, max: 8 }));
/// assert!(refused.unwrap_err().to_string().ends_with("use a shorter key, or raise the key limit"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The key is longer than the cache allows. Nothing changed.
    KeyTooLong {
        /// Length of the key in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The value is longer than the cache allows. Nothing changed.
    ValueTooLong {
        /// Length of the value in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The entry weighs more than its shard may ever hold. What the key held has been removed: better a miss than a stale value.
    TooLarge {
        /// Bytes the entry would be charged with.
        weight: u64,
        /// The most that one entry may weigh: `max_bytes` over the number of shards.
        max: u64,
    },
    /// The value to be incremented is not a decimal integer of 64 bits. Nothing changed.
    NotAnInteger {
        /// The beginning of the value, as text.
        found: String,
    },
    /// The sum is outside the range of a signed integer of 64 bits. Nothing changed.
    Overflow {
        /// The value that is there.
        value: i64,
        /// What was to be added.
        delta: i64,
    },
    /// The disk has failed, and the cache keeps itself in a directory and refuses writes then. Nothing changed.
    DiskFailed {
        /// What was to be done, with which file, and what the system said.
        cause: String,
    },
    /// The write was done in memory and could not be written to the disk: it is served, and may be gone after a restart.
    NotDurable {
        /// What was to be done, with which file, and what the system said.
        cause: String,
    },
    /// The cache, which was kept in a directory, has been closed. Nothing changed.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::KeyTooLong { len, max } => write!(
                f,
                "the key is {len} bytes long and the limit is {max}: use a shorter key, or raise the key limit"
            ),
            Error::ValueTooLong { len, max } => write!(
                f,
                "the value is {len} bytes long and the limit is {max}: store less, or raise the value limit"
            ),
            Error::TooLarge { weight, max } => write!(
                f,
                "the entry weighs {weight} bytes and at most {max} can ever be held: raise max_bytes, or store less"
            ),
            Error::NotAnInteger { found } => write!(
                f,
                "the value {found:?} is not a decimal integer of 64 bits and cannot be incremented"
            ),
            Error::Overflow { value, delta } => write!(
                f,
                "{value} + {delta} is outside the range of a signed integer of 64 bits: the value is left as it was"
            ),
            Error::DiskFailed { cause } => write!(
                f,
                "writes are refused, because the disk has failed: {cause}: make room or replace the disk, then write a snapshot"
            ),
            Error::NotDurable { cause } => write!(
                f,
                "this was done in memory and could not be written to the disk: {cause}"
            ),
            Error::Closed => {
                f.write_str("the cache has been closed: open its directory again to write to it")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Why a cache could not be built.
///
/// ```
/// use rustcache::{BuildError, Cache};
///
/// let refused = Cache::builder().max_bytes(100).build();
/// assert!(matches!(refused, Err(BuildError::TooFewBytes { max_bytes: 100, least: 4096 })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// `max_items` is zero.
    NoItems,
    /// `max_bytes` is too small for a single small entry.
    TooFewBytes {
        /// What was asked for.
        max_bytes: u64,
        /// The least that is possible.
        least: u64,
    },
    /// The number of shards is not a power of two from 1 to 1024.
    Shards(usize),
    /// The limits are smaller than the number of shards.
    FewerItemsThanShards {
        /// The limit on entries.
        max_items: u64,
        /// The number of shards.
        shards: usize,
    },
    /// A limit on keys or values is out of range.
    LengthLimit {
        /// `max_key_bytes` or `max_value_bytes`.
        name: &'static str,
        /// What was asked for.
        value: usize,
        /// The most that is possible.
        max: usize,
    },
    /// The default TTL is zero.
    ZeroDefaultTtl,
    /// The time to idle is zero.
    ZeroTimeToIdle,
    /// `max_weight` is zero.
    NoWeight,
    /// The limit on the weight is smaller than the number of shards.
    LessWeightThanShards {
        /// The limit on the weight.
        max_weight: u64,
        /// The number of shards.
        shards: usize,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::NoItems => f.write_str(
                "max_items is 0 and must be at least 1: leave it out for no limit on the number of entries",
            ),
            BuildError::TooFewBytes { max_bytes, least } => write!(
                f,
                "max_bytes is {max_bytes} and must be at least {least}: leave it out for no limit on bytes"
            ),
            BuildError::Shards(shards) => {
                write!(f, "shards is {shards} and must be a power of two from 1 to 1024")
            }
            BuildError::FewerItemsThanShards { max_items, shards } => write!(
                f,
                "max_items is {max_items} and there are {shards} shards: each must hold at least one entry"
            ),
            BuildError::LengthLimit { name, value, max } => {
                write!(f, "{name} is {value} bytes and must be at most {max}")
            }
            BuildError::ZeroDefaultTtl => f.write_str(
                "the default TTL is 0 and every entry would expire at once: leave it out for entries that never expire",
            ),
            BuildError::ZeroTimeToIdle => f.write_str(
                "the time to idle is 0 and every entry would expire at once: leave it out for entries that may be idle as long as may be",
            ),
            BuildError::NoWeight => f.write_str(
                "max_weight is 0 and must be at least 1: leave it out for no limit on the weight",
            ),
            BuildError::LessWeightThanShards { max_weight, shards } => write!(
                f,
                "max_weight is {max_weight} and there are {shards} shards: each must hold a weight of at least 1"
            ),
        }
    }
}

impl std::error::Error for BuildError {}

/// There is no policy of this name.
///
/// ```
/// use rustcache::PolicyKind;
///
/// let unknown = "fifo".parse::<PolicyKind>().unwrap_err();
/// assert_eq!(unknown.found, "fifo");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPolicy {
    /// The name that was given.
    pub found: String,
}

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no policy {:?}: use lru, s3-fifo, tinylfu or adaptive",
            self.found
        )
    }
}

impl std::error::Error for UnknownPolicy {}
