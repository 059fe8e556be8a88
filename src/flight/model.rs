//! A cache reduced to what counts here, for the tests: values, and flights, behind one lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Call, Flight, Flights, Join};
use crate::sync::{Mutex, lock};

#[derive(Debug)]
pub(super) struct Model {
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    values: BTreeMap<u8, u32>,
    flights: Flights<u8, u32>,
}

impl Model {
    pub(super) fn new() -> Self {
        Model {
            inside: Mutex::new(Inside {
                values: BTreeMap::new(),
                flights: Flights::new(),
            }),
        }
    }

    pub(super) fn ask(&self, key: u8) -> Ask<'_> {
        Ask { model: self, key }
    }

    pub(super) fn get(&self, key: u8) -> Option<u32> {
        lock(&self.inside).values.get(&key).copied()
    }

    /// Writes, or removes.
    pub(super) fn write(&self, key: u8, value: Option<u32>) {
        let mut inside = lock(&self.inside);
        inside.flights.outdate(hash(key), |other| *other == key);
        match value {
            Some(value) => inside.values.insert(key, value),
            None => inside.values.remove(&key),
        };
    }

    /// How many can be joined.
    pub(super) fn flights(&self) -> usize {
        lock(&self.inside).flights.len()
    }

    /// How many wait for the flight of a key.
    #[cfg(not(loom))]
    pub(super) fn waiters(&self, key: u8) -> usize {
        let inside = lock(&self.inside);
        inside.flights.waiters(hash(key), |other| *other == key)
    }
}

/// All the same, so that keys are told apart by themselves alone.
fn hash(_key: u8) -> u64 {
    0
}

#[derive(Debug)]
pub(super) struct Ask<'m> {
    model: &'m Model,
    key: u8,
}

impl Call for Ask<'_> {
    type Key = u8;
    type Value = u32;
    type Brought = u32;

    fn join(&self) -> Join<u8, u32> {
        let own = Arc::new(Flight::new(hash(self.key), self.key));
        let mut inside = lock(&self.model.inside);
        match inside.values.get(&self.key) {
            Some(&value) => Join::Present(value),
            None => inside.flights.join(&own, |other| *other == self.key),
        }
    }

    fn land(&self, flight: &Arc<Flight<u8, u32>>, brought: u32) -> u32 {
        let mut inside = lock(&self.model.inside);
        if inside.flights.end(flight) {
            inside.values.insert(self.key, brought);
        }
        brought
    }

    fn unkept(&self, brought: u32) -> u32 {
        brought
    }

    fn abandon(&self, flight: &Arc<Flight<u8, u32>>) {
        lock(&self.model.inside).flights.end(flight);
    }
}
