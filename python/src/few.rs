//! `Few`: a handful of results, in a list. An instance whose method has returned one thing does not need the tables of the engine, which take some KiB; what is more than a handful, or expires, moves on to them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use rustcache::{Likeness, Lookup};

use crate::object::{Key, Object};
use crate::store::Sought;

/// So many are a handful.
pub(crate) const MOST: usize = 8;

#[derive(Debug, Default)]
struct Entries {
    /// The most recently used one comes last. Never more than `MOST`.
    list: Vec<(Key, Object)>,
    hits: u64,
    misses: u64,
    /// They have moved on, for good.
    have_moved: bool,
}

/// Where a result is.
#[derive(Debug)]
pub(crate) enum Place<T> {
    Here(T),
    /// Not here: all have moved on.
    Elsewhere,
}

/// What came of a write.
#[derive(Debug)]
pub(crate) enum Put {
    Stored,
    Refused,
    /// There is no room for it, unless all move on.
    Full,
}

/// Up to `MOST` results that do not expire. No Python code runs under its lock.
#[derive(Debug, Default)]
pub(crate) struct Few(Mutex<Entries>);

impl Few {
    fn hold(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the entry of a key, given its place in the list; `None` if there is none.
    fn with<T>(
        &self,
        key: &Bound<'_, PyAny>,
        hash: isize,
        mut act: impl FnMut(&mut Entries, Option<usize>) -> T,
    ) -> PyResult<Place<T>> {
        let found = Sought::new(key, hash).settle(|sought| {
            let mut entries = self.hold();
            if entries.have_moved {
                return Lookup::Hit(Place::Elsewhere);
            }
            let mut unsure = Vec::new();
            let mut at = None;
            for (place, (other, _)) in entries.list.iter().enumerate().rev() {
                match sought.judge(other) {
                    Likeness::Same => {
                        at = Some(place);
                        break;
                    }
                    Likeness::Different => {}
                    Likeness::Unknown => unsure.push(other.clone()),
                }
            }
            if at.is_none() && !unsure.is_empty() {
                return Lookup::Unsure(unsure);
            }
            Lookup::Hit(Place::Here(act(&mut entries, at)))
        })?;
        // It is always a hit.
        Ok(found.unwrap_or(Place::Elsewhere))
    }

    /// Reads, counts and refreshes.
    pub(crate) fn get(&self, key: &Bound<'_, PyAny>, hash: isize) -> PyResult<Place<Option<Object>>> {
        self.with(key, hash, |entries, at| match at {
            Some(at) => {
                entries.hits += 1;
                entries.list[at..].rotate_left(1);
                entries.list.last().map(|(_, value)| value.clone())
            }
            None => {
                entries.misses += 1;
                None
            }
        })
    }

    /// Neither counts nor refreshes.
    pub(crate) fn peek(&self, key: &Bound<'_, PyAny>, hash: isize) -> PyResult<Place<Option<Object>>> {
        self.with(key, hash, |entries, at| at.map(|at| entries.list[at].1.clone()))
    }

    pub(crate) fn remove(&self, key: &Bound<'_, PyAny>, hash: isize) -> PyResult<Place<bool>> {
        let removed = self.with(key, hash, |entries, at| at.map(|at| entries.list.remove(at)))?;
        Ok(match removed {
            Place::Here(removed) => Place::Here(removed.is_some()),
            Place::Elsewhere => Place::Elsewhere,
        })
    }

    /// Writes if `admits` says so of what is there, which runs under the lock. Where `limit` are held, the least recently used one goes.
    pub(crate) fn put(
        &self,
        (key, hash): (&Bound<'_, PyAny>, isize),
        value: &Object,
        limit: usize,
        admits: impl Fn(Option<&Object>) -> bool,
    ) -> PyResult<Place<Put>> {
        let entry = || {
            let object = Object::new(key);
            (Key { object, hash }, value.clone())
        };
        // What leaves is dropped without the lock.
        let mut gone = Vec::new();
        self.with(key, hash, |entries, at| {
            if !admits(at.map(|at| &entries.list[at].1)) {
                return Put::Refused;
            }
            match at {
                Some(at) => gone.push(entries.list.remove(at)),
                None if entries.list.len() >= limit => gone.push(entries.list.remove(0)),
                None if entries.list.len() >= MOST => return Put::Full,
                None => {}
            }
            entries.list.push(entry());
            Put::Stored
        })
    }

    /// Shows all of them, coldest first, and lets them go: `take_over` has them from now on. It runs under the lock, and not at all if they have moved already.
    pub(crate) fn move_on<E>(
        &self,
        take_over: impl FnOnce(&[(Key, Object)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entries = self.hold();
        if entries.have_moved {
            return Ok(());
        }
        take_over(&entries.list)?;
        entries.have_moved = true;
        let gone = std::mem::take(&mut entries.list);
        drop(entries);
        drop(gone);
        Ok(())
    }

    pub(crate) fn clear(&self) {
        let gone = std::mem::take(&mut self.hold().list);
        drop(gone);
    }

    /// Hits, misses, and how many there are.
    pub(crate) fn counted(&self) -> (u64, u64, u64) {
        let entries = self.hold();
        (entries.hits, entries.misses, entries.list.len() as u64)
    }

    /// Shows the garbage collector what is held, unless it would have to wait.
    pub(crate) fn traverse(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Ok(entries) = self.0.try_lock() {
            for (key, value) in &entries.list {
                visit.call(key.object.py())?;
                visit.call(value.py())?;
            }
        }
        Ok(())
    }

    /// As `clear`, for the garbage collector.
    pub(crate) fn break_cycles(&self) {
        let gone = self
            .0
            .try_lock()
            .map(|mut entries| std::mem::take(&mut entries.list));
        drop(gone);
    }
}
