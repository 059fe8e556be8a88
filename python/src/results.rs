//! `Results`: what a cached function has returned, by the arguments it was given, and what is being computed. Knows nothing of functions and arguments: keys come in, results go out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::Expiry;

use crate::flight::Flight;
use crate::object::Object;
use crate::sentinel::Missing;
use crate::store::{Store, StoreOptions};

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
#[pyclass(frozen, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Results {
    /// `None`: nothing is kept.
    store: Option<Store>,
    /// The flights of keys whose results are being computed: a dict of Python's, since it asks keys for their `==`.
    #[pyo3(get)]
    pending: Py<PyDict>,
    /// What the store had counted when it was cleared last.
    before: Mutex<Counts>,
    /// Misses where there is no store.
    missed: AtomicU64,
}

impl Results {
    /// For so many results at most; `None`: without a limit.
    pub(crate) fn new(py: Python<'_>, maxsize: Option<u64>) -> PyResult<Self> {
        let options = StoreOptions {
            max_items: maxsize,
            is_one_order: true,
            ..StoreOptions::default()
        };
        Ok(Results {
            store: if maxsize == Some(0) {
                None
            } else {
                Some(Store::new(options)?)
            },
            pending: PyDict::new(py).unbind(),
            before: Mutex::default(),
            missed: AtomicU64::new(0),
        })
    }

    /// Looks a key up whose hash is known; counts.
    #[inline]
    pub(crate) fn find<'py>(&self, key: &Bound<'py, PyAny>, hash: isize) -> PyResult<Found<'py>> {
        let Some(store) = &self.store else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return Ok(Found::Nothing);
        };
        let found = store.get_hashed(key, hash)?;
        Ok(found.map_or(Found::Nothing, |object| Found::of(object, key.py())))
    }

    /// Keeps a result for ever, unless there is one by now.
    pub(crate) fn keep_first(
        &self,
        key: &Bound<'_, PyAny>,
        hash: isize,
        result: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if let Some(store) = &self.store {
            store.set_if_hashed((key, hash), Object::new(result), 1, Expiry::Never, |there| {
                there.is_none()
            })?;
        }
        Ok(())
    }

    fn counted(&self) -> Counts {
        match &self.store {
            Some(store) => {
                let stats = store.stats();
                Counts {
                    hits: stats.hits,
                    misses: stats.misses,
                }
            }
            None => Counts {
                hits: 0,
                misses: self.missed.load(Ordering::Relaxed),
            },
        }
    }
}

#[pymethods]
impl Results {
    /// What is there, without counting or refreshing it; `MISSING` if nothing is.
    fn peek(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        let found = self
            .store
            .as_ref()
            .map(|store| store.peek(key))
            .transpose()?
            .flatten();
        Ok(match found.map(|(object, _)| Found::of(object, py)) {
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
        let Some(store) = &self.store else {
            return Ok(false);
        };
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let (object, expiry) = match ttl {
            None => (Object::new(result), Expiry::Never),
            Some(ttl) if stale > 0.0 => {
                let aging = Aging {
                    result: result.clone().unbind(),
                    fresh_until: now().saturating_add(seconds(ttl)),
                };
                let aging = Bound::new(key.py(), aging)?;
                (
                    Object::new(aging.as_any()),
                    Expiry::After(seconds(ttl).saturating_add(seconds(stale))),
                )
            }
            Some(ttl) => (Object::new(result), Expiry::After(seconds(ttl))),
        };
        // Under the lock that a removal needs as well: who outdates a flight and then removes finds what it has brought.
        let written = store.set_if(key, object, 1, expiry, |_| !flight.is_outdated())?;
        Ok(written == crate::store::Written::Stored)
    }

    fn remove(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        match &self.store {
            Some(store) => Ok(store.remove(key)?.is_some()),
            None => Ok(false),
        }
    }

    /// Removes everything, and counts from 0 again.
    fn clear(&self, py: Python<'_>) {
        if let Some(store) = &self.store {
            store.clear(py);
        }
        let counted = self.counted();
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    /// Hits, misses, and how many results there are.
    fn info(&self) -> (u64, u64, u64) {
        let before = *self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.counted();
        let items = self.store.as_ref().map_or(0, |store| store.stats().items);
        (
            counted.hits.saturating_sub(before.hits),
            counted.misses.saturating_sub(before.misses),
            items,
        )
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Some(store) = &self.store {
            store.traverse(visit)?;
        }
        visit.call(&self.pending)
    }

    fn __clear__(&self) {
        if let Some(store) = &self.store {
            store.break_cycles();
        }
    }
}
