//! What callers pass, checked: numbers, times in seconds, paths, and arguments that may be left out. What is raised names the argument.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rustcache::{Expiry, TimeLeft};

use crate::repr::shown;
use crate::sentinel::{CacheMiss, DefaultTtl};

/// An argument that may be left out, which is not the same as `None`.
#[derive(Debug)]
pub(crate) enum Given<'py> {
    Nothing,
    Something(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Given::Something(object.to_owned()))
    }
}

impl<'py> Given<'py> {
    pub(crate) fn as_ref(&self) -> Option<&Bound<'py, PyAny>> {
        match self {
            Given::Something(object) => Some(object),
            Given::Nothing => None,
        }
    }

    /// What it is, or `CACHE_MISS` if it was left out.
    #[inline]
    pub(crate) fn or_miss(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Given::Something(object) => Ok(object.unbind()),
            Given::Nothing => Ok(CacheMiss::get(py)?.clone_ref(py).into_any()),
        }
    }
}

/// The number that an argument is; what is raised names the argument.
fn number<'a, 'py, T>(name: &str, range: &str, value: &'a Bound<'py, PyAny>) -> PyResult<T>
where
    T: FromPyObject<'a, 'py, Error = PyErr>,
{
    value.extract().map_err(|error: PyErr| {
        let py = value.py();
        if error.is_instance_of::<PyOverflowError>(py) {
            return PyOverflowError::new_err(format!("{name} must be {range}, and is {}", shown(value)));
        }
        if !error.is_instance_of::<PyTypeError>(py) {
            return error;
        }
        let named = PyTypeError::new_err(format!("{name}: {}", error.value(py)));
        named.set_cause(py, Some(error));
        named
    })
}

/// An option that is an integer. Whether it may be negative, or 0, is up to the caller.
pub(crate) fn whole(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    number(name, "from 0 to 2**63 - 1", value)
}

/// The most entries of a cache of which this is all that is asked.
pub(crate) fn capacity(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    match number("capacity", "from 1 to 2**64 - 1", value)? {
        0 => Err(PyValueError::new_err("capacity must be at least 1")),
        capacity => Ok(capacity),
    }
}

/// The most results of a function.
pub(crate) fn maxsize(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    number("maxsize", "from 0 to 2**64 - 1, or None for no limit", value)
}

pub(crate) fn real(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    number(name, "a number that a float can hold", value)
}

/// A time in seconds.
pub(crate) fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let seconds = real(name, value)?;
    if seconds < 0.0 {
        return Err(PyValueError::new_err(format!("{name} cannot be negative")));
    }
    if !seconds.is_finite() {
        return Err(PyValueError::new_err(format!(
            "{name} has to be a finite number of seconds, and is {}: use None for no limit",
            shown(value)
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

pub(crate) fn positive_seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    if real(name, value)? <= 0.0 {
        return Err(PyValueError::new_err(format!(
            "{name} must be positive: leave it out, or use None, for none"
        )));
    }
    seconds(name, value)
}

/// A path of text.
pub(crate) fn path(name: &str, value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    let py = value.py();
    let refuse = |more: &str| {
        PyTypeError::new_err(format!(
            "{name} has to be a str, or a path that is one, and is {}{more}",
            shown(value)
        ))
    };
    let text = match py.import("os")?.call_method1("fspath", (value,)) {
        Ok(text) => text,
        Err(error) if error.is_instance_of::<PyTypeError>(py) => {
            let refused = refuse("");
            refused.set_cause(py, Some(error));
            return Err(refused);
        }
        Err(error) => return Err(error),
    };
    if text.is_instance_of::<PyBytes>() {
        return Err(refuse(": os.fsdecode() makes a str of bytes"));
    }
    text.extract()
}

/// One of the pairs of key and value that an iterable gives, as `dict()` takes them.
pub(crate) fn pair<'py>(item: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = item.py();
    let refuse = |more: &str| {
        format!(
            "entries have to be pairs of key and value, and one is {}{more}",
            shown(item)
        )
    };
    let tuple = match item.cast::<PyTuple>() {
        Ok(tuple) => tuple.clone(),
        Err(_) => match item.try_iter() {
            Ok(parts) => PyTuple::new(py, parts.collect::<PyResult<Vec<_>>>()?)?,
            Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                let refused = PyTypeError::new_err(refuse(""));
                refused.set_cause(py, Some(error));
                return Err(refused);
            }
            Err(error) => return Err(error),
        },
    };
    if tuple.len() != 2 {
        return Err(PyValueError::new_err(refuse(&format!(
            ", of length {}",
            tuple.len()
        ))));
    }
    Ok((tuple.get_item(0)?, tuple.get_item(1)?))
}

/// When an entry expires that is written with this TTL: `None` is never.
pub(crate) fn expiry_of(ttl: &Bound<'_, PyAny>) -> PyResult<Expiry> {
    if ttl.is_none() {
        return Ok(Expiry::Never);
    }
    Ok(Expiry::After(seconds("TTL", ttl)?))
}

/// As `expiry_of`, with a default.
#[inline]
pub(crate) fn expiry(ttl: Option<&Bound<'_, PyAny>>, default: Expiry) -> PyResult<Expiry> {
    match ttl {
        None => Ok(default),
        Some(ttl) if ttl.is(DefaultTtl::get(ttl.py())?) => Ok(default),
        Some(ttl) => expiry_of(ttl),
    }
}

/// Seconds, or `None` for ever.
pub(crate) fn seconds_left(left: TimeLeft) -> Option<f64> {
    match left {
        TimeLeft::Forever => None,
        TimeLeft::Left(time) => Some(time.as_secs_f64()),
    }
}
