//! The flights of one shard, by key: single-threaded, behind the lock of the entries, so that looking for an entry and for its flight is one step, and so
//! is keeping what was loaded and seeing that no write has come in between.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashTable;

use super::{Flight, Join};

/// More room than this is given back when no flight is left.
const KEPT_ROOM: usize = 64;

/// The flights that can be joined: of each key one at most. A write removes that of its key, so that a flight which is not here any more when it lands has
/// been outdated: what it brings may be older than the write. Who asks after the write does not find it either, and begins anew.
pub(crate) struct Flights<K, V> {
    flights: HashTable<Arc<Flight<K, V>>>,
}

impl<K, V> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Flights {
            flights: HashTable::new(),
        }
    }

    /// Joins the flight of a key, or takes off with `own`. To be called when the value is not there.
    pub(crate) fn join(&mut self, own: &Arc<Flight<K, V>>, is_key: impl Fn(&K) -> bool) -> Join<K, V> {
        if let Some(flight) = self.find(own.hash, is_key) {
            return Join::Wait(flight.wait());
        }
        self.flights
            .insert_unique(own.hash, Arc::clone(own), |flight| flight.hash);
        Join::Lead(Arc::clone(own))
    }

    /// Ends a flight. Whether what it brings may be kept: `false` if a write has outdated it.
    pub(crate) fn end(&mut self, flight: &Arc<Flight<K, V>>) -> bool {
        let found = self
            .flights
            .find_entry(flight.hash, |other| Arc::ptr_eq(other, flight));
        let Ok(found) = found else {
            return false;
        };
        found.remove();
        self.give_room_back();
        true
    }

    /// Whether a flight can still be joined: no write has come in between so far.
    pub(crate) fn has(&self, flight: &Arc<Flight<K, V>>) -> bool {
        let is_it = |other: &Arc<Flight<K, V>>| Arc::ptr_eq(other, flight);
        self.flights.find(flight.hash, is_it).is_some()
    }

    /// The value of a key is being written or removed: nobody may keep, or get from now on, what is being loaded for it.
    #[inline]
    pub(crate) fn outdate(&mut self, hash: u64, is_key: impl Fn(&K) -> bool) {
        if !self.flights.is_empty() {
            let is_it = |flight: &Arc<Flight<K, V>>| flight.hash == hash && flight.is_for(&is_key);
            while let Ok(found) = self.flights.find_entry(hash, is_it) {
                found.remove();
            }
            self.give_room_back();
        }
    }

    /// As `outdate`, for all keys of which this is true.
    pub(crate) fn outdate_where(&mut self, is_meant: impl Fn(&K) -> bool) {
        if !self.flights.is_empty() {
            self.flights.retain(|flight| !flight.is_for(&is_meant));
            self.give_room_back();
        }
    }

    fn find(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<&Arc<Flight<K, V>>> {
        let is_it = |flight: &Arc<Flight<K, V>>| flight.hash == hash && flight.is_for(&is_key);
        self.flights.find(hash, is_it)
    }

    /// How many wait for the flight of a key.
    #[cfg(all(test, not(loom)))]
    pub(super) fn waiters(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> usize {
        self.find(hash, is_key).map_or(0, |flight| flight.waiters())
    }

    /// How many can be joined.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.flights.len()
    }

    fn give_room_back(&mut self) {
        if self.flights.is_empty() && self.flights.capacity() > KEPT_ROOM {
            self.flights = HashTable::new();
        }
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights")
            .field("len", &self.flights.len())
            .finish()
    }
}
