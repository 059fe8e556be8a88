//! A callable that is told of each entry that leaves a cache, and why. What it raises ends that one call of it, and goes to `sys.unraisablehook`.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use rustcache::RemovalCause;

use crate::object::{Key, Object};

/// Emptied when the garbage collector breaks a cycle that goes through it.
#[derive(Debug)]
pub(crate) struct Listener(Mutex<Option<Py<PyAny>>>);

impl Listener {
    pub(crate) fn new(callable: Py<PyAny>) -> Self {
        Listener(Mutex::new(Some(callable)))
    }

    fn callable(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(|callable| callable.clone_ref(py))
    }

    pub(crate) fn tell(&self, key: &Key, value: &Object, cause: RemovalCause) {
        Python::try_attach(|py| {
            let Some(callable) = self.callable(py) else {
                return;
            };
            let told = callable.call1(py, (key.object.py(), value.py(), name(cause)));
            if let Err(error) = told {
                error.write_unraisable(py, Some(callable.bind(py)));
            }
        });
    }

    pub(crate) fn traverse(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self.0.try_lock() {
            Ok(held) => visit.call(&*held),
            Err(_) => Ok(()),
        }
    }

    pub(crate) fn break_cycles(&self) {
        let callable = self.0.try_lock().ok().and_then(|mut held| held.take());
        drop(callable);
    }
}

/// What a cause is called in Python.
pub(crate) fn name(cause: RemovalCause) -> &'static str {
    match cause {
        RemovalCause::MaxItems => "max_items",
        RemovalCause::MaxWeight => "max_weight",
        RemovalCause::Expired => "expired",
        RemovalCause::Replaced => "replaced",
        RemovalCause::Removed => "removed",
        RemovalCause::Cleared => "cleared",
        _ => "other",
    }
}
