//! `Ready`: what a cached coroutine function gives when the result is there. It is to callers what a coroutine is: awaited once, made a task of, sent to, closed; but it never waits.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// A coroutine that has a result already.
#[pyclass(frozen, weakref, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Ready {
    /// Until it has been given.
    result: Mutex<Option<Py<PyAny>>>,
}

impl Ready {
    pub(crate) fn new(result: Py<PyAny>) -> Self {
        Ready {
            result: Mutex::new(Some(result)),
        }
    }

    fn take(&self) -> Option<Py<PyAny>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How a coroutine returns.
    fn finish(&self) -> PyErr {
        match self.take() {
            Some(result) => PyStopIteration::new_err((result,)),
            None => PyRuntimeError::new_err("cannot reuse already awaited coroutine"),
        }
    }
}

#[pymethods]
impl Ready {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        Err(self.finish())
    }

    fn send(&self, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Err(self.finish())
    }

    #[pyo3(signature = (*exception))]
    fn throw(&self, exception: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        drop(self.take());
        let given = |at| exception.get_item(at).ok().filter(|given| !given.is_none());
        let Some(first) = given(0) else {
            return Err(pyo3::exceptions::PyTypeError::new_err(
                "throw() needs an exception",
            ));
        };
        Err(match given(1) {
            Some(value) if !first.is_instance_of::<pyo3::exceptions::PyBaseException>() => {
                PyErr::from_value(if value.is_instance_of::<pyo3::exceptions::PyBaseException>() {
                    value
                } else {
                    first.call1((value,))?
                })
            }
            _ => PyErr::from_value(first),
        })
    }

    fn close(&self) {
        drop(self.take());
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self.result.try_lock() {
            Ok(result) => visit.call(&*result),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        let result = self.result.try_lock().ok().and_then(|mut result| result.take());
        drop(result);
    }
}
