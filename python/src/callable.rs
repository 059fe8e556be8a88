//! A callable of the user's that a cache keeps: a weigher, a listener, a serializer. It can be taken away where the garbage collector breaks a cycle that goes through it.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyReferenceError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::calling;

/// Its lock is held for a moment, and never while Python code runs.
#[derive(Debug)]
pub(crate) struct Callable(Mutex<Option<Py<PyAny>>>);

impl Callable {
    /// `name` is that of the argument.
    pub(crate) fn new(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        if !object.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "{name} has to be callable, and {} is not",
                object.repr()?
            )));
        }
        Ok(Callable(Mutex::new(Some(object.clone().unbind()))))
    }

    /// `None` if the garbage collector has taken it away.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(|callable| callable.bind(py).clone())
    }

    pub(crate) fn call1<'py>(&self, argument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = argument.py();
        calling::call(&self.alive(py)?, &PyTuple::new(py, [argument])?, None)
    }

    pub(crate) fn call2<'py>(
        &self,
        first: &Bound<'py, PyAny>,
        second: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = first.py();
        calling::call(&self.alive(py)?, &PyTuple::new(py, [first, second])?, None)
    }

    fn alive<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py).ok_or_else(|| {
            PyReferenceError::new_err(
                "the cache is being collected as garbage, and has let go of its callables",
            )
        })
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
