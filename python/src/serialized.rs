//! What a `Cache` keeps: bytes in the engine, made of values by one callable and made values of by another.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rustcache::{Cache, CasOutcome, Condition, Entry, Error, Expiry, SetOptions, Tag};

use crate::callable::Callable;
use crate::objects::{Rounds, When};
use crate::store::Written;

#[derive(Debug)]
pub(crate) struct Serialized {
    pub(crate) cache: Cache,
    pub(crate) codec: Arc<Codec>,
    pub(crate) listener: Option<Arc<Callable>>,
}

/// How values become bytes, and bytes values.
#[derive(Debug)]
pub(crate) struct Codec {
    pub(crate) serializer: Callable,
    pub(crate) deserializer: Callable,
    /// What values are marked with.
    pub(crate) tag: Tag,
}

impl Codec {
    fn encode<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        let made = self.serializer.call1(value).and_then(|made| {
            if made.is_instance_of::<PyBytes>() {
                return Ok(made);
            }
            Err(PyTypeError::new_err(format!(
                "the serializer has to give bytes, and gave {}",
                made.get_type().name()?
            )))
        });
        made.map_err(|cause| {
            let name = value.get_type().name().map(|name| name.to_string());
            let name = name.unwrap_or_else(|_| "?".to_owned());
            because(py, format!("Failed to serialize value of type: {name}"), cause)
        })
    }

    pub(crate) fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let bytes = PyBytes::new(py, bytes);
        let value = self.deserializer.call1(bytes.as_any());
        value.map_err(|cause| because(py, "Failed to deserialize value".to_owned(), cause))
    }
}

/// A `ValueError` that something else led to. What no program is to catch (`KeyboardInterrupt`, …) stays what it is.
fn because(py: Python<'_>, text: String, cause: PyErr) -> PyErr {
    if !cause.is_instance_of::<pyo3::exceptions::PyException>(py) {
        return cause;
    }
    let error = PyValueError::new_err(text);
    error.set_cause(py, Some(cause));
    error
}

/// A key as bytes. Text is the same key as its UTF-8.
pub(crate) fn key_bytes<'k>(key: &'k Bound<'_, PyAny>) -> PyResult<&'k [u8]> {
    if let Ok(text) = key.cast::<PyString>() {
        return Ok(text.to_str()?.as_bytes());
    }
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    Err(PyTypeError::new_err(format!(
        "a key of a Cache has to be str or bytes, and not {}: a Storage takes any object",
        key.get_type().name()?
    )))
}

/// A key as it is shown: text, if it can be.
pub(crate) fn key_object<'py>(py: Python<'py>, key: &[u8]) -> Bound<'py, PyAny> {
    match std::str::from_utf8(key) {
        Ok(text) => PyString::new(py, text).into_any(),
        Err(_) => PyBytes::new(py, key).into_any(),
    }
}

fn raise(error: &Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn written(result: Result<bool, Error>) -> PyResult<Written> {
    match result {
        Ok(true) => Ok(Written::Stored),
        Ok(false) => Ok(Written::Refused),
        Err(Error::TooLarge { .. }) => Ok(Written::TooHeavy),
        Err(error) => Err(raise(&error)),
    }
}

impl Serialized {
    pub(crate) fn get<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let entry = self.cache.get(key_bytes(key)?);
        entry.map(|entry| self.decode(key.py(), &entry)).transpose()
    }

    pub(crate) fn decode<'py>(&self, py: Python<'py>, entry: &Entry) -> PyResult<Bound<'py, PyAny>> {
        self.codec.decode(py, entry.value.as_slice())
    }

    pub(crate) fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        expiry: Expiry,
        when: When,
    ) -> PyResult<Written> {
        let made = self.codec.encode(value)?;
        let condition = match when {
            When::Always => Condition::Always,
            When::Absent => Condition::IfAbsent,
        };
        let options = self.options(expiry, condition);
        written(
            self.cache
                .set(key_bytes(key)?, made.cast::<PyBytes>()?.as_bytes(), options),
        )
    }

    /// Writes what `make` makes of the value that is there, in one step: if another one came meanwhile, of that. The deadline of what is there stays.
    pub(crate) fn update<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        expiry: Expiry,
        mut make: impl FnMut(Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Written)> {
        let (py, bytes) = (key.py(), key_bytes(key)?);
        let mut rounds = Rounds::default();
        loop {
            rounds.next()?;
            let old = self.cache.get(bytes);
            let new = make(old.as_ref().map(|old| self.decode(py, old)).transpose()?)?;
            let made = self.codec.encode(&new)?;
            let made = made.cast::<PyBytes>()?.as_bytes();
            let outcome = match &old {
                None => {
                    let options = self.options(expiry, Condition::IfAbsent);
                    written(self.cache.set(bytes, made, options))?
                }
                Some(old) => {
                    let options = self.options(Expiry::Keep, Condition::Always);
                    let outcome = self
                        .cache
                        .compare_and_set(bytes, old.value.as_slice(), made, options);
                    written(outcome.map(|outcome| outcome == CasOutcome::Stored))?
                }
            };
            if outcome != Written::Refused {
                return Ok((new, outcome));
            }
        }
    }

    fn options(&self, expiry: Expiry, condition: Condition) -> SetOptions {
        SetOptions::default()
            .with_tag(self.codec.tag)
            .with_expiry(expiry)
            .with_condition(condition)
    }

    pub(crate) fn take<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let entry = self.cache.take(key_bytes(key)?);
        entry.map(|entry| self.decode(key.py(), &entry)).transpose()
    }

    fn callables(&self) -> impl Iterator<Item = &Callable> {
        let listener = self.listener.as_deref();
        [&self.codec.serializer, &self.codec.deserializer]
            .into_iter()
            .chain(listener)
    }

    pub(crate) fn traverse(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.callables().try_for_each(|callable| callable.traverse(visit))
    }

    pub(crate) fn break_cycles(&self) {
        self.callables().for_each(Callable::break_cycles);
    }
}
