//! Why an entry left a cache: what an eviction listener is told. Nothing else lives here, and no cache is known.

/// Why an entry left the cache: see [`Builder::eviction_listener`](crate::Builder::eviction_listener) and [`TypedBuilder::eviction_listener`](crate::TypedBuilder::eviction_listener).
///
/// ```
/// use rustcache::RemovalCause;
///
/// assert!(RemovalCause::MaxItems.is_eviction() && RemovalCause::MaxWeight.is_eviction());
/// assert!(!RemovalCause::Expired.is_eviction());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// It was evicted because of `max_items`.
    MaxItems,
    /// It was evicted because of `max_weight`; in a cache of bytes, of `max_bytes`.
    MaxWeight,
    /// Its deadline had passed, or it was not used for the time to idle.
    Expired,
    /// Its key was written again.
    Replaced,
    /// A caller removed it; or wrote under its key what expires at once, or what can never fit.
    Removed,
    /// A caller cleared everything, or everything under a prefix.
    Cleared,
}

impl RemovalCause {
    /// Whether it had to make room for others.
    ///
    /// ```
    /// assert!(rustcache::RemovalCause::MaxItems.is_eviction());
    /// assert!(!rustcache::RemovalCause::Removed.is_eviction());
    /// ```
    pub const fn is_eviction(self) -> bool {
        matches!(self, RemovalCause::MaxItems | RemovalCause::MaxWeight)
    }
}
