//! What an instance keeps of its cached methods: it is in the `__dict__` of the instance, and ends with it. A copy of the instance does not take it for its own, and nothing of it is pickled.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType, PyWeakrefReference};

use crate::memo::Memo;
use crate::object::dict_of;
use crate::results::Results;

/// The name in the `__dict__`.
const PLACE: &str = "__rustcache_results__";

/// Whose it is.
#[derive(Debug)]
enum Owner {
    Weak(Py<PyWeakrefReference>),
    /// Of instances that cannot be referred to weakly. A copy has another address, as long as both are there.
    Address(usize),
}

impl Owner {
    fn of(instance: &Bound<'_, PyAny>) -> Self {
        match PyWeakrefReference::new(instance) {
            Ok(weak) => Owner::Weak(weak.unbind()),
            Err(_) => Owner::Address(instance.as_ptr() as usize),
        }
    }

    fn is(&self, instance: &Bound<'_, PyAny>) -> bool {
        match self {
            Owner::Weak(weak) => {
                use pyo3::types::PyWeakrefMethods;
                weak.bind(instance.py())
                    .upgrade()
                    .is_some_and(|owner| owner.is(instance))
            }
            Owner::Address(address) => *address == instance.as_ptr() as usize,
        }
    }
}

/// What one method has returned, since all of it was cleared last.
#[derive(Debug)]
struct OfMethod {
    memo: Py<Memo>,
    epoch: u64,
    results: Py<Results>,
}

/// What the cached methods of one instance have returned.
#[pyclass(frozen, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct OfInstance {
    owner: Owner,
    /// Nothing of Python's runs while it is held.
    methods: Mutex<Vec<OfMethod>>,
}

impl OfInstance {
    fn find(&self, memo: &Bound<'_, Memo>, epoch: u64) -> Option<Py<Results>> {
        let methods = self.methods.lock().unwrap_or_else(PoisonError::into_inner);
        let found = methods.iter().find(|of| of.memo.is(memo))?;
        (found.epoch == epoch).then(|| found.results.clone_ref(memo.py()))
    }

    /// Of two threads, one is right.
    fn find_or_add(&self, memo: &Bound<'_, Memo>, epoch: u64, results: Py<Results>) -> Py<Results> {
        let py = memo.py();
        let new = OfMethod {
            memo: memo.clone().unbind(),
            epoch,
            results: results.clone_ref(py),
        };
        let mut methods = self.methods.lock().unwrap_or_else(PoisonError::into_inner);
        let (result, old) = match methods.iter_mut().find(|of| of.memo.is(memo)) {
            Some(there) if there.epoch >= epoch => (there.results.clone_ref(py), new),
            Some(there) => (results, std::mem::replace(there, new)),
            None => {
                methods.push(new);
                return results;
            }
        };
        drop(methods);
        drop(old);
        result
    }
}

#[pymethods]
impl OfInstance {
    /// It is unpickled, and copied, as `None`.
    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, Bound<'py, PyTuple>) {
        (py.None().bind(py).get_type(), PyTuple::empty(py))
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) {}

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Owner::Weak(weak) = &self.owner {
            visit.call(weak)?;
        }
        if let Ok(methods) = self.methods.try_lock() {
            for of in &*methods {
                visit.call(&of.memo)?;
                visit.call(&of.results)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let methods = self
            .methods
            .try_lock()
            .map(|mut methods| std::mem::take(&mut *methods));
        drop(methods);
    }
}

/// What this method of this instance has returned.
pub(crate) fn results<'py>(memo: &Bound<'py, Memo>, instance: &Bound<'py, PyAny>) -> PyResult<Py<Results>> {
    let py = memo.py();
    let dict = dict(memo, instance)?;
    let place = pyo3::intern!(py, PLACE);
    let epoch = memo.get().epoch();
    let there = dict.get_item(place)?;
    if let Some(there) = &there
        && let Ok(of) = there.cast_exact::<OfInstance>()
        && of.get().owner.is(instance)
    {
        if let Some(results) = of.get().find(memo, epoch) {
            return Ok(results);
        }
        let new = memo.get().new_results_of_instance(py)?;
        return Ok(of.get().find_or_add(memo, epoch, new));
    }
    let new = OfInstance {
        owner: Owner::of(instance),
        methods: Mutex::default(),
    };
    let new = Bound::new(py, new)?;
    let of = if there.is_some() {
        // That of the instance of which this one is a copy.
        dict.set_item(place, &new)?;
        new
    } else {
        let there = dict.call_method1(pyo3::intern!(py, "setdefault"), (place, &new))?;
        there.cast_into_exact().unwrap_or(new)
    };
    let results = memo.get().new_results_of_instance(py)?;
    Ok(of.get().find_or_add(memo, epoch, results))
}

fn dict<'py>(memo: &Bound<'py, Memo>, instance: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = memo.py();
    let complain = |what: &str| {
        PyTypeError::new_err(format!(
            "an instance of {} has no {what} in which the results of {} could be kept: add '__dict__' to its __slots__, or give @cached a key=",
            instance
                .get_type()
                .name()
                .map_or_else(|_| "its class".to_owned(), |name| name.to_string()),
            memo.get().name(py),
        ))
    };
    let dict = match dict_of(instance) {
        Ok(dict) => dict,
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => return Err(complain("__dict__")),
        Err(error) => return Err(error),
    };
    dict.cast_into::<PyDict>()
        .map_err(|_| complain("__dict__ that is a dict"))
}
