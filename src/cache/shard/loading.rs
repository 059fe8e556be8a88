//! What is being loaded for a shard: looked for together with the entry, ended together with the write, and outdated by any other write.

use std::sync::Arc;

use super::super::Entry;
use super::super::policy::Policy;
use super::{Condition, Deadline, Draft, Error, Hashed, Shard};
use crate::flight::{Flight, Join};

/// A load of one key.
pub(in crate::cache) type Loading = Flight<Box<[u8]>, Entry>;

/// The whole of a hash of the index, for a table that looks at both ends of it.
pub(in crate::cache) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<P: Policy> Shard<P> {
    /// The live entry, which is neither counted nor refreshed; or the load of its key; or, if there is none, `own`.
    pub(in crate::cache) fn join_load(
        &mut self,
        key: Hashed<'_>,
        own: &Arc<Loading>,
        now: u64,
    ) -> Join<Box<[u8]>, Entry> {
        match self.peek(key, now, |entry| entry.to_entry()) {
            Some(entry) => Join::Present(entry),
            None => self.flights.join(own, |other| **other == *key.key),
        }
    }

    /// Ends a load and writes what it brought, unless a write came in between. `Ok(false)` if nothing is kept.
    pub(in crate::cache) fn land_load(
        &mut self,
        load: &Arc<Loading>,
        hash: u32,
        draft: Draft<'_>,
        deadline: u64,
        now: u64,
    ) -> Result<bool, Error> {
        if !self.flights.end(load) {
            self.bury(draft.into_large());
            return Ok(false);
        }
        self.store(hash, draft, Deadline::At(deadline), Condition::Always, now)?;
        Ok(deadline > now)
    }

    /// Whether what a load brings would be kept if it came now.
    pub(in crate::cache) fn is_loading(&self, load: &Arc<Loading>) -> bool {
        self.flights.has(load)
    }

    pub(in crate::cache) fn abandon_load(&mut self, load: &Arc<Loading>) {
        self.flights.end(load);
    }

    /// What is being loaded for a key may be older than the write that comes now.
    #[inline]
    pub(in crate::cache) fn outdate_load(&mut self, key: Hashed<'_>) {
        self.flights
            .outdate(spread(key.hash), |other| **other == *key.key);
    }

    /// As `outdate_load`, for all keys under a prefix.
    pub(in crate::cache) fn outdate_loads(&mut self, prefix: &[u8]) {
        self.flights.outdate_where(|key| key.starts_with(prefix));
    }
}
