//! `Results`: what a cached function has returned, by the arguments it was given, and what is being computed. Knows nothing of functions and arguments: keys come in, results go out.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::Expiry;

use crate::calling;
use crate::few::{Few, Place, Put};
use crate::flight::Flight;
use crate::object::Object;
use crate::sentinel::Missing;
use crate::store::{Store, StoreOptions, Written};

/// A result that becomes stale before it is forgotten. Others are kept as they are.
#[pyclass(frozen, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Aging {
    result: Py<PyAny>,
    /// By `now`.
    fresh_until: Duration,
}

#[pymethods]
impl Aging {
    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.result)
    }
}

fn now() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

/// What is there under a key.
#[derive(Debug)]
pub(crate) enum Found<'py> {
    Fresh(Bound<'py, PyAny>),
    /// To be used, and to be computed anew.
    Stale(Bound<'py, PyAny>),
    Nothing,
}

impl<'py> Found<'py> {
    #[inline]
    fn of(object: Object, py: Python<'py>) -> Self {
        let object = object.into_py().into_bound(py);
        match object.cast_exact::<Aging>() {
            Err(_) => Found::Fresh(object),
            Ok(aging) => {
                let aging = aging.get();
                let result = aging.result.bind(py).clone();
                if now() < aging.fresh_until {
                    Found::Fresh(result)
                } else {
                    Found::Stale(result)
                }
            }
        }
    }
}

/// Hits and misses.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    hits: u64,
    misses: u64,
}

/// What a function has returned, by the arguments it was given.
#[pyclass(frozen, weakref, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Results {
    maxsize: Option<u64>,
    few: Few,
    /// What has moved on from there.
    store: OnceLock<Store>,
    /// The flights of keys whose results are being computed: a dict of Python's, since it asks keys for their `==`.
    #[pyo3(get)]
    pending: Py<PyDict>,
    /// What had been counted when all was cleared last.
    before: Mutex<Counts>,
}

impl Results {
    /// For so many results at most; `None`: without a limit.
    pub(crate) fn new(py: Python<'_>, maxsize: Option<u64>) -> Self {
        Results {
            maxsize,
            few: Few::default(),
            store: OnceLock::new(),
            pending: PyDict::new(py).unbind(),
            before: Mutex::default(),
        }
    }

    /// Where results are that have moved on, as all do with this.
    fn moved(&self, _: Python<'_>) -> PyResult<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::new(StoreOptions {
            max_items: self.maxsize,
            is_one_order: true,
            ..StoreOptions::default()
        })?;
        self.few.move_on(|entries| {
            for (key, value) in entries {
                store.add_new(key.clone(), value.clone());
            }
            self.store.set(store).map_err(|_| gone())
        })?;
        self.store.get().ok_or_else(gone)
    }

    /// Looks a key up whose hash is known; counts.
    #[inline]
    pub(crate) fn find<'py>(&self, key: &Bound<'py, PyAny>, hash: isize) -> PyResult<Found<'py>> {
        let found = match self.store.get() {
            Some(store) => store.get_hashed(key, hash)?,
            None => match self.few.get(key, hash)? {
                Place::Here(found) => found,
                Place::Elsewhere => self.moved(key.py())?.get_hashed(key, hash)?,
            },
        };
        Ok(found.map_or(Found::Nothing, |object| Found::of(object, key.py())))
    }

    /// Keeps a result for ever, unless there is one by now.
    pub(crate) fn keep_first(
        &self,
        key: &Bound<'_, PyAny>,
        hash: isize,
        result: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.keep((key, hash), Object::new(result), Expiry::Never, |there| {
            there.is_none()
        })?;
        Ok(())
    }

    /// Whether it was kept.
    fn keep(
        &self,
        (key, hash): (&Bound<'_, PyAny>, isize),
        object: Object,
        expiry: Expiry,
        admits: impl Fn(Option<&Object>) -> bool,
    ) -> PyResult<bool> {
        if self.maxsize == Some(0) {
            return Ok(false);
        }
        if self.store.get().is_none() && expiry == Expiry::Never {
            let limit = self
                .maxsize
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(usize::MAX);
            match self.few.put((key, hash), &object, limit, &admits)? {
                Place::Here(Put::Stored) => return Ok(true),
                Place::Here(Put::Refused) => return Ok(false),
                Place::Here(Put::Full) | Place::Elsewhere => {}
            }
        }
        let store = self.moved(key.py())?;
        Ok(store.set_if_hashed((key, hash), object, 1, expiry, admits)? == Written::Stored)
    }

    fn counted(&self) -> (Counts, u64) {
        let (hits, misses, items) = self.few.counted();
        let stats = self.store.get().map(Store::stats).unwrap_or_default();
        let counts = Counts {
            hits: hits + stats.hits,
            misses: misses + stats.misses,
        };
        (counts, items + stats.items)
    }
}

/// Cannot be: whoever moves results on sets where to.
fn gone() -> PyErr {
    pyo3::exceptions::PyRuntimeError::new_err("results were moved and are not where they should be")
}

#[pymethods]
impl Results {
    /// What is there, without counting or refreshing it; `MISSING` if nothing is.
    fn peek(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let found = match self.store.get() {
            Some(store) => store.peek(key)?.map(|(object, _)| object),
            None => match self.few.peek(key, calling::hash(key)?)? {
                Place::Here(found) => found,
                Place::Elsewhere => self.moved(py)?.peek(key)?.map(|(object, _)| object),
            },
        };
        Ok(match found.map(|object| Found::of(object, py)) {
            Some(Found::Fresh(result) | Found::Stale(result)) => result.unbind(),
            Some(Found::Nothing) | None => Missing::get(py)?.clone_ref(py).into_any(),
        })
    }

    /// Keeps a result, unless the flight that brings it is outdated: whether it was kept. `ttl` in seconds, `None` for ever; for `stale` seconds after that it is still given.
    fn put(
        &self,
        key: &Bound<'_, PyAny>,
        result: &Bound<'_, PyAny>,
        flight: &Flight,
        ttl: Option<f64>,
        stale: f64,
    ) -> PyResult<bool> {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let (object, expiry) = match ttl {
            None => (Object::new(result), Expiry::Never),
            Some(ttl) if stale > 0.0 => {
                let aging = Aging {
                    result: result.clone().unbind(),
                    fresh_until: now().saturating_add(seconds(ttl)),
                };
                let aging = Bound::new(key.py(), aging)?;
                let life = seconds(ttl).saturating_add(seconds(stale));
                (Object::new(aging.as_any()), Expiry::After(life))
            }
            Some(ttl) => (Object::new(result), Expiry::After(seconds(ttl))),
        };
        // Under the lock that a removal needs as well: who outdates a flight and then removes finds what it has brought.
        self.keep((key, calling::hash(key)?), object, expiry, |_| {
            !flight.is_outdated()
        })
    }

    fn remove(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        if self.store.get().is_none()
            && let Place::Here(was_there) = self.few.remove(key, calling::hash(key)?)?
        {
            return Ok(was_there);
        }
        Ok(self.moved(key.py())?.remove(key)?.is_some())
    }

    /// Removes everything, and counts from 0 again.
    fn clear(&self, py: Python<'_>) {
        // In this order: what moves on meanwhile is found there.
        self.few.clear();
        if let Some(store) = self.store.get() {
            store.clear(py);
        }
        let (counted, _) = self.counted();
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    /// Hits, misses, and how many results there are.
    fn info(&self) -> (u64, u64, u64) {
        let before = *self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let (counted, items) = self.counted();
        (
            counted.hits.saturating_sub(before.hits),
            counted.misses.saturating_sub(before.misses),
            items,
        )
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.few.traverse(visit)?;
        if let Some(store) = self.store.get() {
            store.traverse(visit)?;
        }
        visit.call(&self.pending)
    }

    fn __clear__(&self) {
        self.few.break_cycles();
        if let Some(store) = self.store.get() {
            store.break_cycles();
        }
    }
}
