//! Adding to the number under a key in one step, also to one that other languages have begun, and go on with. What else is done by steps of this kind is not known here.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};
use rustcache::Expiry;

use crate::repr::shown;
use crate::state::State;
use crate::store::Written;

/// The sum, and what is absent counts as `default`. Without a delta, 1 is added; without a default, 0 is one.
pub(crate) fn add<'py>(
    state: &State,
    key: &Bound<'py, PyAny>,
    delta: Option<&Bound<'py, PyAny>>,
    default: Option<&Bound<'py, PyAny>>,
    expiry: Expiry,
) -> PyResult<Bound<'py, PyAny>> {
    let py = key.py();
    let number = |given: Option<&Bound<'py, PyAny>>, default: i64| match given {
        Some(given) => Ok(given.clone()),
        None => default.into_pyobject(py).map(Bound::into_any),
    };
    let (delta, default) = (number(delta, 1)?, number(default, 0)?);
    let mut counted = None;
    let (sum, written) = state.kept.update(key, expiry, |old| {
        let what = if old.is_some() {
            "the value under the key"
        } else {
            "the default"
        };
        let old = old.unwrap_or_else(|| default.clone());
        // What `increment` of other languages has begun is text, and stays so.
        counted = match state.kept.counter(&old)? {
            Some(counter) => Some(sum_of(counter, &delta)?),
            None => None,
        };
        if let Some(sum) = counted {
            return Ok(PyString::new(py, &sum.to_string()).into_any());
        }
        if !old.is_instance(crate::numbers::number(py)?)? {
            return Err(PyTypeError::new_err(format!(
                "only a number can be added to, and {what} is of type {}",
                old.get_type().name()?
            )));
        }
        old.add(&delta)
    })?;
    match (written, counted) {
        (Written::TooHeavy, _) => Err(PyValueError::new_err(
            "the sum does not fit into the cache, and was not stored",
        )),
        (_, Some(sum)) => Ok(sum.into_pyobject(py)?.into_any()),
        (_, None) => Ok(sum),
    }
}

/// What others can count on as well, or nothing at all.
fn sum_of(counter: i64, delta: &Bound<'_, PyAny>) -> PyResult<i64> {
    let py = delta.py();
    if !delta.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!(
            "the counter under the key is text, to which only an int can be added, and the delta is of type {}",
            delta.get_type().name()?
        )));
    }
    // As the int that it is, whatever its class may make of `+` and `str`.
    let delta = py.import("operator")?.getattr("index")?.call1((delta,))?;
    delta.add(counter)?.extract().map_err(|_| {
        PyOverflowError::new_err(format!(
            "the counter under the key is text, and its sum has to be between -2**63 and 2**63 - 1: {counter} + {} is not",
            shown(&delta)
        ))
    })
}
