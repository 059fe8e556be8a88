//! What a `Cache` keeps: bytes in the engine, which a codec makes of values and values of. In a directory, the interpreter is free while something is written, and only the process that opened it may use it.

use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rustcache::{
    Cache, CasOutcome, Condition, Directory, DiskError, Entry, Error, Expiry, SetOptions, Tag, TimeLeft,
};

use crate::callable::Callable;
use crate::codec::Codec;
use crate::directory::{self, Place};
use crate::failure;
use crate::objects::{Rounds, When};
use crate::store::Written;

#[derive(Debug)]
pub(crate) struct Serialized {
    /// `None` only while it is dropped.
    cache: Option<Cache>,
    /// Where it is kept, if it is.
    pub(crate) place: Option<Place>,
    pub(crate) codec: Arc<Codec>,
    pub(crate) listener: Option<Arc<Callable>>,
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

fn options(tag: Tag, expiry: Expiry, condition: Condition) -> SetOptions {
    SetOptions::default()
        .with_tag(tag)
        .with_expiry(expiry)
        .with_condition(condition)
}

impl Serialized {
    pub(crate) fn new(
        cache: Cache,
        place: Option<Place>,
        codec: Arc<Codec>,
        listener: Option<Arc<Callable>>,
    ) -> Self {
        Serialized {
            cache: Some(cache),
            place,
            codec,
            listener,
        }
    }

    /// For what neither waits nor writes.
    #[inline]
    pub(crate) fn cache(&self, py: Python<'_>) -> PyResult<&Cache> {
        if let Some(place) = &self.place {
            place.check(py)?;
        }
        self.cache
            .as_ref()
            .ok_or_else(|| PyRuntimeError::new_err("Storage is closed"))
    }

    /// Does something that may have to wait for the disk.
    fn write<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&Cache) -> T + Send) -> PyResult<T> {
        let cache = self.cache(py)?;
        Ok(match &self.place {
            None => work(cache),
            Some(_) => py.detach(|| work(cache)),
        })
    }

    /// As `write`, for what the engine has no error for: raises if it did not come to the disk.
    pub(crate) fn write_or_raise<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Cache) -> T + Send,
    ) -> PyResult<T> {
        let (done, failure) = self.write(py, |cache| {
            let done = work(cache);
            (done, cache.directory().and_then(Directory::failure))
        })?;
        match (&self.place, failure) {
            (Some(place), Some(failure)) => place.complain(py, &failure).map(|()| done),
            _ => Ok(done),
        }
    }

    fn written(&self, py: Python<'_>, result: Result<bool, Error>) -> PyResult<Written> {
        match result {
            Ok(true) => Ok(Written::Stored),
            Ok(false) => Ok(Written::Refused),
            Err(Error::TooLarge { .. }) => Ok(Written::TooHeavy),
            Err(error) => Err(failure::refused(py, self.cache(py)?, &error)),
        }
    }

    pub(crate) fn get<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        match self.cache(py)?.get(key_bytes(key)?) {
            Some(entry) => self.decode(py, &entry),
            None => Ok(None),
        }
    }

    /// `None` if it is there for those alone who ask for what is stale.
    pub(crate) fn decode<'py>(&self, py: Python<'py>, entry: &Entry) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.codec.decode(py, entry.tag, entry.value.as_slice())
    }

    pub(crate) fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        expiry: Expiry,
        when: When,
    ) -> PyResult<Written> {
        let py = key.py();
        let encoded = self.codec.encode(value)?;
        let (key, value) = (key_bytes(key)?, encoded.as_slice());
        let result = self.write(py, |cache| match when {
            When::Always => cache.set(key, value, options(encoded.tag, expiry, Condition::Always)),
            When::Absent => self.set_absent(cache, key, value, (encoded.tag, expiry)),
        })?;
        self.written(py, result)
    }

    /// What is stale is not there, but has to be written over.
    fn set_absent(
        &self,
        cache: &Cache,
        key: &[u8],
        value: &[u8],
        (tag, expiry): (Tag, Expiry),
    ) -> Result<bool, Error> {
        loop {
            if cache.set(key, value, options(tag, expiry, Condition::IfAbsent))? {
                return Ok(true);
            }
            let Some(old) = cache.peek(key) else {
                // It went meanwhile.
                continue;
            };
            if !self.is_stale(&old) {
                return Ok(false);
            }
            let options = options(tag, expiry, Condition::Always);
            if cache.compare_and_set(key, old.value.as_slice(), value, options)? == CasOutcome::Stored {
                return Ok(true);
            }
        }
    }

    fn is_stale(&self, entry: &Entry) -> bool {
        self.codec.is_stale(entry.tag, entry.value.as_slice())
    }

    /// `None` if there is none but for those who ask for what is stale.
    pub(crate) fn time_left(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<TimeLeft>> {
        let (cache, key) = (self.cache(key.py())?, key_bytes(key)?);
        let left = cache.time_left(key);
        // In memory alone nothing is stale: nobody else writes there.
        if left.is_none() || self.place.is_none() {
            return Ok(left);
        }
        let is_stale = cache.peek(key).is_none_or(|entry| self.is_stale(&entry));
        Ok(left.filter(|_| !is_stale))
    }

    /// Writes all of these, which come to the disk together. If one cannot be made bytes of, those before it are written all the same.
    pub(crate) fn set_many(
        &self,
        py: Python<'_>,
        entries: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)],
        expiry: Expiry,
    ) -> PyResult<()> {
        let mut encoded = Vec::with_capacity(entries.len());
        let mut unfit = None;
        for (key, value) in entries {
            match key_bytes(key).and_then(|key| Ok((key, self.codec.encode(value)?))) {
                Ok(entry) => encoded.push(entry),
                Err(error) => {
                    unfit = Some(error);
                    break;
                }
            }
        }
        let bytes: Vec<_> = encoded
            .iter()
            .map(|(key, value)| {
                (
                    *key,
                    value.as_slice(),
                    options(value.tag, expiry, Condition::Always),
                )
            })
            .collect();
        for result in self.write(py, |cache| cache.set_many(bytes))? {
            self.written(py, result)?;
        }
        unfit.map_or(Ok(()), Err)
    }

    pub(crate) fn remove(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let bytes = key_bytes(key)?;
        self.write_or_raise(key.py(), |cache| cache.remove(bytes))
    }

    pub(crate) fn touch(&self, key: &Bound<'_, PyAny>, expiry: Expiry) -> PyResult<bool> {
        let bytes = key_bytes(key)?;
        // Whatever is written meanwhile is not stale: nobody else writes there.
        let is_stale = self.place.is_some()
            && self
                .cache(key.py())?
                .peek(bytes)
                .is_some_and(|entry| self.is_stale(&entry));
        if is_stale {
            return Ok(false);
        }
        self.write_or_raise(key.py(), |cache| cache.touch(bytes, expiry))
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
            let old = self.cache(py)?.get(bytes);
            let value = match &old {
                Some(old) => self.decode(py, old)?,
                None => None,
            };
            // What is stale is not there, but has to be written over.
            let expiry = if value.is_some() { Expiry::Keep } else { expiry };
            let new = make(value)?;
            let encoded = self.codec.encode(&new)?;
            let (tag, made) = (encoded.tag, encoded.as_slice());
            let result = self.write(py, |cache| match &old {
                None => cache.set(bytes, made, options(tag, expiry, Condition::IfAbsent)),
                Some(old) => {
                    let options = options(tag, expiry, Condition::Always);
                    let outcome = cache.compare_and_set(bytes, old.value.as_slice(), made, options);
                    outcome.map(|outcome| outcome == CasOutcome::Stored)
                }
            })?;
            let outcome = self.written(py, result)?;
            drop(encoded);
            if outcome != Written::Refused {
                return Ok((new, outcome));
            }
        }
    }

    pub(crate) fn take<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, bytes) = (key.py(), key_bytes(key)?);
        if self.place.is_some() {
            // What cannot be read stays.
            if let Some(entry) = self.cache(py)?.peek(bytes) {
                self.decode(py, &entry)?;
            }
        }
        match self.write_or_raise(py, |cache| cache.take(bytes))? {
            Some(entry) => self.decode(py, &entry),
            None => Ok(None),
        }
    }

    /// Writes and syncs what has changed; or a snapshot of everything.
    pub(crate) fn save(&self, py: Python<'_>, is_snapshot: bool) -> PyResult<()> {
        let saved = self.write(py, |cache| match cache.directory() {
            Some(directory) if is_snapshot => directory.snapshot(),
            _ => cache.flush(),
        })?;
        saved.map_err(|failure| self.failed(py, &failure))
    }

    /// Gives the directory up. In a child process there is none to give up.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.place.as_ref().is_none_or(|place| !place.is_here()) {
            return Ok(());
        }
        let closed = self.write(py, Cache::close)?;
        closed.map_err(|failure| self.failed(py, &failure))
    }

    fn failed(&self, py: Python<'_>, failure: &DiskError) -> PyErr {
        match &self.place {
            Some(place) => failure::disk_failed(py, place.path(), failure, &failure.to_string(), true),
            None => PyRuntimeError::new_err(failure.to_string()),
        }
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

impl Drop for Serialized {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.take() {
            directory::let_go(cache, self.place.as_ref());
        }
    }
}
