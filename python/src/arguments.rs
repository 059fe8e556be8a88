//! What callers pass, checked: times in seconds, names of policies, and arguments that may be left out.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustcache::{Expiry, PolicyKind};

use crate::sentinel::DefaultTtl;

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

/// `None`, or seconds that are not negative. `complaint` is what is raised of a negative number.
pub(crate) fn seconds(value: &Bound<'_, PyAny>, complaint: &'static str) -> PyResult<Option<Duration>> {
    if value.is_none() {
        return Ok(None);
    }
    let seconds: f64 = value.extract()?;
    if seconds < 0.0 {
        return Err(PyValueError::new_err(complaint));
    }
    if !seconds.is_finite() {
        return Err(PyValueError::new_err(format!(
            "a TTL has to be a finite number of seconds, and not {seconds}: use None for no expiry"
        )));
    }
    Ok(Some(
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
    ))
}

/// When an entry expires that is written with this TTL.
#[inline]
pub(crate) fn expiry(ttl: &Given<'_>, default: Expiry) -> PyResult<Expiry> {
    match ttl {
        Given::Nothing => Ok(default),
        Given::Something(ttl) if ttl.is(DefaultTtl::get(ttl.py())?) => Ok(default),
        Given::Something(ttl) => Ok(after(seconds(ttl, "TTL cannot be negative")?)),
    }
}

pub(crate) fn after(ttl: Option<Duration>) -> Expiry {
    ttl.map_or(Expiry::Never, Expiry::After)
}

pub(crate) fn policy(name: &str) -> PyResult<PolicyKind> {
    name.parse()
        .map_err(|error: rustcache::UnknownPolicy| PyValueError::new_err(error.to_string()))
}
