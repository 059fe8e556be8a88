//! Why an entry left a cache: what an eviction listener is told. Nothing else lives here, and no cache is known.

/// Why an entry left the cache: see [`TypedBuilder::eviction_listener`](crate::TypedBuilder::eviction_listener).
///
/// ```
/// use rustcache::Cause;
///
/// assert!(Cause::EvictedByItems.is_eviction());
/// assert!(!Cause::Removed.is_eviction());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Its deadline had passed: its TTL was over, or it had been idle for too long.
    Expired,
    /// There was no room within the limit on the number of entries.
    EvictedByItems,
    /// There was no room within the limit on the weight of all entries.
    EvictedByWeight,
    /// Its key was written again.
    Replaced,
    /// A caller removed it.
    Removed,
}

impl Cause {
    /// Whether it went for want of room.
    pub const fn is_eviction(self) -> bool {
        matches!(self, Cause::EvictedByItems | Cause::EvictedByWeight)
    }
}
