//! `Storage`: objects by reference.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustcache::Expiry;

use crate::arguments::{Given, after, expiry, seconds};
use crate::object::Object;
use crate::sentinel::CacheMiss;
use crate::store::{Store, StoreOptions};

#[derive(Debug)]
struct State {
    store: Store,
    default: Expiry,
    is_closed: AtomicBool,
}

/// Objects by reference, bounded, safe under threads.
#[pyclass(frozen, subclass, generic, weakref, module = "rustcache")]
#[derive(Debug)]
pub(crate) struct Storage {
    /// Empty until `__init__`, so that subclasses may have an `__init__` of their own.
    state: OnceLock<State>,
}

impl Storage {
    #[inline]
    fn state(&self) -> PyResult<&State> {
        self.state.get().ok_or_else(|| {
            PyRuntimeError::new_err(
                "Storage.__init__ was not called: call super().__init__(…) in the subclass",
            )
        })
    }

    #[inline]
    fn open(&self) -> PyResult<&State> {
        let state = self.state()?;
        if state.is_closed.load(Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("Storage is closed"));
        }
        Ok(state)
    }
}

#[pymethods]
impl Storage {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Storage {
            state: OnceLock::new(),
        }
    }

    #[pyo3(signature = (size_limit_in_bytes=None, max_items=None, default_ttl=None))]
    fn __init__(
        &self,
        size_limit_in_bytes: Option<i64>,
        max_items: Option<i64>,
        default_ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = size_limit_in_bytes;
        let ttl = default_ttl
            .map(|ttl| seconds(ttl, "default_ttl cannot be negative"))
            .transpose()?
            .flatten();
        let store = Store::new(StoreOptions {
            max_items: match max_items {
                Some(items) if items < 1 => {
                    return Err(PyValueError::new_err("max_items must be at least 1"));
                }
                items => items.map(i64::unsigned_abs),
            },
            ..StoreOptions::default()
        })?;
        let _ = self.state.set(State {
            store,
            default: after(ttl),
            is_closed: AtomicBool::new(false),
        });
        Ok(())
    }

    #[pyo3(signature = (key, default=Given::Nothing))]
    fn get(&self, key: &Bound<'_, PyAny>, default: Given<'_>) -> PyResult<Py<PyAny>> {
        match self.state()?.store.get(key)? {
            Some(value) => Ok(value.into_py()),
            None => match default {
                Given::Something(default) => Ok(default.unbind()),
                Given::Nothing => Ok(CacheMiss::get(key.py())?.clone_ref(key.py()).into_any()),
            },
        }
    }

    #[pyo3(signature = (key, value, ttl=Given::Nothing))]
    fn set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, ttl: Given<'_>) -> PyResult<()> {
        let state = self.open()?;
        let expiry = expiry(&ttl, state.default)?;
        state.store.set(key, Object::new(value), 1, expiry)?;
        Ok(())
    }

    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.open()?.store.remove(key)?.is_some())
    }

    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.open()?.store.clear(py);
        Ok(())
    }

    #[pyo3(signature = (wait=false))]
    fn close(&self, wait: bool) -> PyResult<()> {
        let _ = wait;
        self.state()?.is_closed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.state
            .get()
            .map_or(Ok(()), |state| state.store.traverse(visit))
    }

    fn __clear__(&self) {
        if let Some(state) = self.state.get() {
            state.store.break_cycles();
        }
    }
}
