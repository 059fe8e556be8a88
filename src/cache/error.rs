//! What an operation on the cache can refuse, and why.

/// Why a write was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is longer than the cache allows. Nothing changed.
    #[error("the key is {len} bytes long and the limit is {max}: use a shorter key, or raise the key limit")]
    KeyTooLong {
        /// Length of the key in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The value is longer than the cache allows. Nothing changed.
    #[error("the value is {len} bytes long and the limit is {max}: store less, or raise the value limit")]
    ValueTooLong {
        /// Length of the value in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The entry weighs more than its shard may ever hold. What the key held has been removed: better a miss than a stale value.
    #[error(
        "the entry weighs {weight} bytes and at most {max} can ever be held: raise max_bytes, or store less"
    )]
    TooLarge {
        /// Bytes the entry would be charged with.
        weight: u64,
        /// The most that one entry may weigh: `max_bytes` over the number of shards.
        max: u64,
    },
    /// The value to be incremented is not a decimal integer of 64 bits. Nothing changed.
    #[error("the value {found:?} is not a decimal integer of 64 bits and cannot be incremented")]
    NotAnInteger {
        /// The beginning of the value, as text.
        found: String,
    },
    /// The sum is outside the range of a signed integer of 64 bits. Nothing changed.
    #[error(
        "{value} + {delta} is outside the range of a signed integer of 64 bits: the value is left as it was"
    )]
    Overflow {
        /// The value that is there.
        value: i64,
        /// What was to be added.
        delta: i64,
    },
}

/// Why a cache could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// `max_items` is zero.
    #[error("max_items is 0 and must be at least 1: leave it out for no limit on the number of entries")]
    NoItems,
    /// `max_bytes` is too small for a single small entry.
    #[error("max_bytes is {max_bytes} and must be at least {least}: leave it out for no limit on bytes")]
    TooFewBytes {
        /// What was asked for.
        max_bytes: u64,
        /// The least that is possible.
        least: u64,
    },
    /// The number of shards is not a power of two from 1 to 1024.
    #[error("shards is {0} and must be a power of two from 1 to 1024")]
    Shards(usize),
    /// The limits are smaller than the number of shards.
    #[error("max_items is {max_items} and there are {shards} shards: each must hold at least one entry")]
    FewerItemsThanShards {
        /// The limit on entries.
        max_items: u64,
        /// The number of shards.
        shards: usize,
    },
    /// A limit on keys or values is out of range.
    #[error("{name} is {value} bytes and must be at most {max}")]
    LengthLimit {
        /// `max_key_bytes` or `max_value_bytes`.
        name: &'static str,
        /// What was asked for.
        value: usize,
        /// The most that is possible.
        max: usize,
    },
    /// The default TTL is zero.
    #[error(
        "the default TTL is 0 and every entry would expire at once: leave it out for entries that never expire"
    )]
    ZeroDefaultTtl,
    /// The time to idle is zero.
    #[error(
        "the time to idle is 0 and every entry would expire at once: leave it out for entries that may be idle as long as may be"
    )]
    ZeroTimeToIdle,
    /// `max_weight` is zero.
    #[error("max_weight is 0 and must be at least 1: leave it out for no limit on the weight")]
    NoWeight,
    /// The limit on the weight is smaller than the number of shards.
    #[error(
        "max_weight is {max_weight} and there are {shards} shards: each must hold a weight of at least 1"
    )]
    LessWeightThanShards {
        /// The limit on the weight.
        max_weight: u64,
        /// The number of shards.
        shards: usize,
    },
}

/// There is no policy of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no policy {found:?}: use lru, s3-fifo, tinylfu or adaptive")]
pub struct UnknownPolicy {
    /// The name that was given.
    pub found: String,
}
