//! What callers pass, checked: times in seconds, and arguments that may be left out.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustcache::{Expiry, TimeLeft};

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

/// A time in seconds. `complaint` is what is raised of a negative one.
pub(crate) fn seconds(value: &Bound<'_, PyAny>, complaint: &'static str) -> PyResult<Duration> {
    let seconds: f64 = value.extract()?;
    if seconds < 0.0 {
        return Err(PyValueError::new_err(complaint));
    }
    if !seconds.is_finite() {
        return Err(PyValueError::new_err(format!(
            "a time has to be a finite number of seconds, and not {}: use None for no limit",
            value.repr()?
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// When an entry expires that is written with this TTL: `None` is never.
pub(crate) fn expiry_of(ttl: &Bound<'_, PyAny>) -> PyResult<Expiry> {
    if ttl.is_none() {
        return Ok(Expiry::Never);
    }
    Ok(Expiry::After(seconds(ttl, "TTL cannot be negative")?))
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
