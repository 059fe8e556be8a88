//! `Flight`: one call of a cached function that others may wait for; and who waits for whom, so that nobody waits for itself. How they wait, and what they get, is Python's part (`_flights.py`).
//!
//! No Python object is touched under the lock in here, so that no garbage collection and no signal handler comes in between.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;

static LAST: AtomicU64 = AtomicU64::new(0);

/// Flights, and those that each cannot end without. Flights of neither kind are not in here.
#[derive(Debug, Default)]
struct Needs(HashMap<u64, Vec<u64>>);

impl Needs {
    fn add(&mut self, flight: u64, other: u64) {
        self.0.entry(flight).or_default().push(other);
    }

    fn remove(&mut self, flight: u64, other: u64) {
        let Some(needed) = self.0.get_mut(&flight) else {
            return;
        };
        if let Some(at) = needed.iter().position(|&needed| needed == other) {
            needed.swap_remove(at);
        }
        if needed.is_empty() {
            self.0.remove(&flight);
        }
    }

    /// Whether `flight` cannot end without `other`, if only by way of third ones.
    fn reaches(&self, flight: u64, other: u64) -> bool {
        let mut seen = Vec::new();
        let mut open = vec![flight];
        while let Some(next) = open.pop() {
            if next == other {
                return true;
            }
            if !seen.contains(&next) {
                seen.push(next);
                open.extend(self.0.get(&next).into_iter().flatten());
            }
        }
        false
    }
}

fn needs() -> MutexGuard<'static, Needs> {
    static NEEDS: OnceLock<Mutex<Needs>> = OnceLock::new();
    let needs = NEEDS.get_or_init(Mutex::default);
    needs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call of a cached function that others may wait for.
#[pyclass(frozen, subclass, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Flight {
    id: u64,
    /// That within which it runs.
    outer: OnceLock<u64>,
    is_outdated: AtomicBool,
}

impl Flight {
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }
}

#[pymethods]
impl Flight {
    #[new]
    fn new() -> Self {
        Flight {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            outer: OnceLock::new(),
            is_outdated: AtomicBool::new(false),
        }
    }

    /// What it brings is not to be kept: it began before what it was asked for was invalidated.
    fn outdate(&self) {
        self.is_outdated.store(true, Ordering::Release);
    }

    /// It runs within another, which cannot end without it.
    fn enter(&self, outer: Option<&Self>) {
        if let Some(outer) = outer
            && self.outer.set(outer.id).is_ok()
        {
            needs().add(outer.id, self.id);
        }
    }

    /// It has ended.
    fn leave(&self) {
        if let Some(&outer) = self.outer.get() {
            needs().remove(outer, self.id);
        }
    }

    /// Something within this flight is about to wait for `other`, which is allowed unless that waits for this one.
    fn wait_for(&self, other: &Self) -> bool {
        let mut needs = needs();
        if needs.reaches(other.id, self.id) {
            return false;
        }
        needs.add(self.id, other.id);
        true
    }

    /// The end of what `wait_for` has allowed.
    fn stop_waiting(&self, other: &Self) {
        needs().remove(self.id, other.id);
    }
}
