//! `Method`: a cached function as the method of an instance, with the results that are that instance's.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::instance;
use crate::memo::{Call, Instance, Memo};
use crate::results::Results;

/// What is called when it is unpickled, and with what.
type Reduced<'py> = (Bound<'py, PyAny>, (Py<PyAny>, Bound<'py, PyAny>));

// A cached function as the method of an instance. (No documentation of the class, since it has that of the function.)
#[pyclass(frozen, freelist = 32, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Method {
    #[pyo3(get, name = "__func__")]
    pub(crate) memo: Py<Memo>,
    /// Those of the instance, since all of them were forgotten last.
    pub(crate) results: Py<Results>,
    pub(crate) epoch: u64,
    #[pyo3(get, name = "__self__")]
    pub(crate) instance: Py<PyAny>,
    /// The results are those of the function, and the instance is an argument as any other.
    pub(crate) is_shared: bool,
}

impl Method {
    /// Also of a bound method that was made before the results of all instances were forgotten.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Results>> {
        let memo = self.memo.bind(py);
        if self.is_shared || self.epoch == memo.get().epoch() {
            return Ok(self.results.bind(py).clone());
        }
        Ok(instance::results(memo, self.instance.bind(py))?.into_bound(py))
    }

    fn with_call<'py, T>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        act: impl FnOnce(&Call<'_, 'py>) -> PyResult<T>,
    ) -> PyResult<T> {
        let py = args.py();
        let results = self.results(py)?;
        let mut call = Call {
            memo: self.memo.bind(py),
            results: &results,
            instance: Instance::Apart(self.instance.bind(py)),
            args,
            kwargs,
        };
        if !self.is_shared {
            return act(&call);
        }
        let args = call.all_args()?;
        call.args = &args;
        call.instance = Instance::None;
        act(&call)
    }
}

#[pymethods]
impl Method {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.with_call(args, kwargs, |call| call.run())
    }

    /// Runs the function, and keeps neither what it returns nor that it ran.
    #[pyo3(signature = (*args, **kwargs))]
    fn bypass<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.with_call(args, kwargs, |call| call.bypass())
    }

    /// Runs the function, and keeps what it returns in the place of what is there, which is given to others until then.
    #[pyo3(signature = (*args, **kwargs))]
    fn refresh<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.with_call(args, kwargs, |call| call.refresh())
    }

    /// Forgets the result for these arguments; what is being computed for them now is not kept either. Whether there was anything.
    #[pyo3(signature = (*args, **kwargs))]
    fn invalidate<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.with_call(args, kwargs, |call| call.invalidate())
    }

    /// Hits, misses, `maxsize` and the number of results of this instance.
    fn cache_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.memo
            .bind(py)
            .call_method1(pyo3::intern!(py, "_info"), (self.results(py)?,))
    }

    /// Forgets all results of this instance.
    fn cache_clear<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.memo
            .bind(py)
            .call_method1(pyo3::intern!(py, "_clear"), (self.results(py)?,))
    }

    #[getter]
    fn __doc__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.memo.bind(py).getattr(pyo3::intern!(py, "__doc__"))
    }

    #[getter]
    fn __signature__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.memo
            .bind(py)
            .call_method0(pyo3::intern!(py, "_bound_signature"))
    }

    /// The name, the documentation and whatever else the function has.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let found = self.memo.bind(py).getattr(name);
        found.map_err(|error| {
            if error.is_instance_of::<PyAttributeError>(py) {
                PyAttributeError::new_err(format!(
                    "the cached method {} has no attribute {name}",
                    self.memo.get().name(py)
                ))
            } else {
                error
            }
        })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let Ok(other) = other.cast_exact::<Method>() else {
            return false;
        };
        let other = other.get();
        self.memo.is(&other.memo) && self.instance.is(&other.instance)
    }

    fn __hash__(&self) -> usize {
        (self.memo.as_ptr() as usize).rotate_left(8) ^ self.instance.as_ptr() as usize
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "<cached method {} of {}>",
            self.memo.get().name(py),
            self.instance.bind(py).repr()?
        ))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let getattr = py.import("builtins")?.getattr("getattr")?;
        Ok((
            getattr,
            (
                self.instance.clone_ref(py),
                self.memo.bind(py).getattr("__name__")?,
            ),
        ))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.memo)?;
        visit.call(&self.results)?;
        visit.call(&self.instance)
    }
}
