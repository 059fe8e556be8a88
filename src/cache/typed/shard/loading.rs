//! What is being loaded for a shard of a typed cache: looked for together with the entry, ended together with the write, and outdated by any other write.

use std::sync::Arc;

use super::super::super::shard::spread;
use super::super::Held;
use super::{Found, Shard};
use crate::flight::{Flight, Join};

impl<K: Eq, V: Clone> Shard<K, V> {
    /// The live value, which is neither counted nor refreshed; or the load of its key; or, if there is none, `own`.
    pub(in crate::cache::typed) fn join_load(
        &mut self,
        hash: u32,
        is_key: impl Fn(&K) -> bool,
        own: &Arc<Flight<K, V>>,
        now: u64,
    ) -> Join<K, V> {
        let is_it = |held: &Held<K, V>| is_key(&held.key);
        match self.peek(hash, is_it, now, |held, _| held.value.clone()) {
            Found::Live(value) => Join::Present(value),
            Found::Nothing | Found::Expired(_) => self.flights.join(own, &is_key),
        }
    }
}

impl<K, V> Shard<K, V> {
    /// Ends a load. Whether what it brings may be written.
    pub(in crate::cache::typed) fn end_load(&mut self, load: &Arc<Flight<K, V>>) -> bool {
        self.flights.end(load)
    }

    /// What is being loaded for keys of this hash may be older than the write that comes now. Keys are not compared: if two are taken for one, a value is not kept.
    #[inline]
    pub(in crate::cache::typed) fn outdate_load(&mut self, hash: u32) {
        self.flights.outdate(spread(hash), |_| true);
    }

    pub(in crate::cache::typed) fn outdate_loads(&mut self) {
        self.flights.outdate_where(|_| true);
    }
}
