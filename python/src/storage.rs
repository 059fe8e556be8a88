//! `Storage`, and all methods that `Cache` inherits from it.

use std::sync::OnceLock;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::arguments::{Given, pair, seconds_left};
use crate::calling;
use crate::config::Config;
use crate::counter;
use crate::iterate::{EntryIterator, What};
use crate::kept::{Kept, PIECE};
use crate::made::Made;
use crate::objects::{Objects, Rounds, Weigher, When};
use crate::state::{More, State};
use crate::stats::Stats;
use crate::store::Written;

/// Objects by reference: bounded, with TTLs, safe under threads. What `get` returns is the very object that was set.
#[pyclass(frozen, subclass, generic, weakref, module = "rustcache")]
#[derive(Debug)]
pub(crate) struct Storage {
    /// Empty until `__init__`, so that subclasses may have an `__init__` of their own.
    state: OnceLock<State>,
    made: Made,
}

impl Storage {
    pub(crate) const fn empty() -> Self {
        Storage {
            state: OnceLock::new(),
            made: Made::now(),
        }
    }

    /// To be called by `__init__`, once.
    pub(crate) fn begin(&self, state: State) -> PyResult<()> {
        self.state
            .set(state)
            .map_err(|_| PyRuntimeError::new_err("__init__ was called before: make another cache instead"))
    }

    #[inline]
    pub(crate) fn state(&self) -> PyResult<&State> {
        self.state.get().ok_or_else(not_begun)
    }

    #[inline]
    pub(crate) fn open(&self) -> PyResult<&State> {
        let state = self.state()?;
        state.check_open()?;
        Ok(state)
    }
}

/// Methods of which every instruction counts: see fast.rs, which makes them methods of the class.
impl Storage {
    #[inline]
    pub(crate) fn get(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        self.state()?.kept.get(key)
    }

    #[inline]
    pub(crate) fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let state = self.open()?;
        state.kept.set(key, value, state.expiry(ttl)?, When::Always)?;
        Ok(())
    }
}

#[cold]
fn not_begun() -> PyErr {
    PyRuntimeError::new_err("__init__ was not called: a subclass has to call super().__init__(…)")
}

#[pymethods]
impl Storage {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(size_limit_in_bytes=None, max_items=None, default_ttl=None, expiration_thread_delay=10.0, \
            expiration_thread_max_checks_per_iteration=10000, expiration_thread_log=False, expiration_disabled=False, *, \
            policy='lru', time_to_idle=None, max_weight=None, weigher=None, eviction_listener=None, dir=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Storage::empty()
    }

    #[expect(clippy::too_many_arguments, reason = "they are Python's keyword arguments")]
    #[pyo3(signature = (
        size_limit_in_bytes=None, max_items=None, default_ttl=None, expiration_thread_delay=Given::Nothing,
        expiration_thread_max_checks_per_iteration=Given::Nothing, expiration_thread_log=false, expiration_disabled=false,
        *, policy="lru", time_to_idle=None, max_weight=None, weigher=None, eviction_listener=None, dir=None,
    ))]
    fn __init__(
        &self,
        size_limit_in_bytes: Option<&Bound<'_, PyAny>>,
        max_items: Option<&Bound<'_, PyAny>>,
        default_ttl: Option<&Bound<'_, PyAny>>,
        expiration_thread_delay: Given<'_>,
        expiration_thread_max_checks_per_iteration: Given<'_>,
        expiration_thread_log: bool,
        expiration_disabled: bool,
        policy: &str,
        time_to_idle: Option<&Bound<'_, PyAny>>,
        max_weight: Option<&Bound<'_, PyAny>>,
        weigher: Option<&Bound<'_, PyAny>>,
        eviction_listener: Option<&Bound<'_, PyAny>>,
        dir: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if dir.is_some() {
            return Err(PyTypeError::new_err(
                "a Storage keeps objects by reference, which can only be in memory: use Cache(dir=…), which keeps values as bytes",
            ));
        }
        let config = Config::new(
            (size_limit_in_bytes, max_items),
            (default_ttl, time_to_idle),
            policy,
            (
                &expiration_thread_delay,
                &expiration_thread_max_checks_per_iteration,
            ),
            (expiration_thread_log, expiration_disabled),
        )?;
        let objects = Objects::new(&config, max_weight, weigher, eviction_listener)?;
        let mut more = Vec::new();
        if objects.max_weight.is_some() {
            more.push(("max_weight", More::MaxWeight));
        }
        if matches!(objects.weigher, Weigher::Callable(_)) {
            more.push(("weigher", More::Weigher));
        }
        if objects.listener.is_some() {
            more.push(("eviction_listener", More::Listener));
        }
        let kept = Kept::Objects(objects);
        self.begin(State::new(kept, config, more))
    }

    /// Writes a value if there is none; whether it did.
    #[pyo3(signature = (key, value, ttl=Given::Nothing), text_signature = "($self, key, value, ttl=...)")]
    fn add(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, ttl: Given<'_>) -> PyResult<bool> {
        let state = self.open()?;
        let written = state
            .kept
            .set(key, value, state.expiry(ttl.as_ref())?, When::Absent)?;
        Ok(written == Written::Stored)
    }

    /// The value under a key, or the default, which is written there if there is none.
    #[pyo3(signature = (key, default, ttl=Given::Nothing), text_signature = "($self, key, default, ttl=...)")]
    fn setdefault(
        &self,
        key: &Bound<'_, PyAny>,
        default: &Bound<'_, PyAny>,
        ttl: Given<'_>,
    ) -> PyResult<Py<PyAny>> {
        let state = self.open()?;
        let expiry = state.expiry(ttl.as_ref())?;
        let mut rounds = Rounds::default();
        loop {
            rounds.next()?;
            if let Some(value) = state.kept.get(key)? {
                return Ok(value);
            }
            if state.kept.set(key, default, expiry, When::Absent)? != Written::Refused {
                return Ok(default.clone().unbind());
            }
        }
    }

    /// Adds to the number under a key, in one step, and gives the sum. What is absent counts as `default` and gets the TTL; what is there keeps its own.
    #[pyo3(
        signature = (key, delta=None, *, default=None, ttl=Given::Nothing),
        text_signature = "($self, key, delta=1, *, default=0, ttl=...)"
    )]
    fn incr<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        delta: Option<&Bound<'py, PyAny>>,
        default: Option<&Bound<'py, PyAny>>,
        ttl: Given<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let state = self.open()?;
        counter::add(state, key, delta, default, state.expiry(ttl.as_ref())?)
    }

    /// Puts what `make` makes of the value under a key (of `CACHE_MISS`, if there is none) in its place, in one step, and gives that. `make` is called again if others write meanwhile; what is there keeps its TTL.
    fn _update<'py>(&self, key: &Bound<'py, PyAny>, make: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let state = self.open()?;
        let nothing = crate::sentinel::CacheMiss::get(key.py())?.bind(key.py());
        let made = state.kept.update(key, state.expiry(None)?, |old| {
            let old = old.as_ref().unwrap_or(nothing);
            calling::call(make, &PyTuple::new(key.py(), [old])?, None)
        });
        made.map(|(new, _)| new)
    }

    /// Gives an entry another TTL, counted from now, and makes it the most recently used one; `False` if there is none.
    #[pyo3(signature = (key, ttl=Given::Nothing), text_signature = "($self, key, ttl=...)")]
    fn touch(&self, key: &Bound<'_, PyAny>, ttl: Given<'_>) -> PyResult<bool> {
        let state = self.open()?;
        state.kept.touch(key, state.expiry(ttl.as_ref())?)
    }

    /// The seconds that an entry has to live, `None` if it does not expire, `CACHE_MISS` if there is none. Neither counts nor refreshes.
    fn ttl(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        match self.state()?.kept.time_left(key)? {
            Some(left) => Ok(seconds_left(left).into_pyobject(py)?.unbind()),
            None => Given::Nothing.or_miss(py),
        }
    }

    /// Removes an entry; whether there was one.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.open()?.kept.remove(key)
    }

    /// Removes an entry and gives its value; `CACHE_MISS`, or the default, if there is none.
    #[pyo3(signature = (key, default=Given::Nothing), text_signature = "($self, key, default=...)")]
    fn pop(&self, key: &Bound<'_, PyAny>, default: Given<'_>) -> PyResult<Py<PyAny>> {
        match self.open()?.kept.take(key)? {
            Some(value) => Ok(value),
            None => default.or_miss(key.py()),
        }
    }

    /// The values of those keys that are there, as a dict.
    fn get_many<'py>(&self, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let (py, state) = (keys.py(), self.state()?);
        let found = PyDict::new(py);
        for key in keys.try_iter()? {
            let key = key?;
            if let Some(value) = state.kept.get(&key)? {
                found.set_item(key, value)?;
            }
        }
        Ok(found)
    }

    /// Writes all entries of a mapping, or of an iterable of pairs.
    #[pyo3(signature = (entries, ttl=Given::Nothing), text_signature = "($self, entries, ttl=...)")]
    fn set_many(&self, entries: &Bound<'_, PyAny>, ttl: Given<'_>) -> PyResult<()> {
        let state = self.open()?;
        let expiry = state.expiry(ttl.as_ref())?;
        let items = match entries.getattr_opt(intern!(entries.py(), "items"))? {
            Some(items) => items.call0()?,
            None => entries.clone(),
        };
        let py = entries.py();
        let mut piece = Vec::with_capacity(PIECE);
        for item in items.try_iter()? {
            match item.and_then(|item| pair(&item)) {
                Ok(pair) => piece.push(pair),
                Err(error) => {
                    state.kept.set_many(py, &piece, expiry)?;
                    return Err(error);
                }
            }
            if piece.len() == PIECE {
                state.kept.set_many(py, &piece, expiry)?;
                piece.clear();
            }
        }
        state.kept.set_many(py, &piece, expiry)
    }

    /// Removes entries, and gives the number of those that were there.
    fn delete_many(&self, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let state = self.open()?;
        let mut removed = 0;
        for key in keys.try_iter()? {
            removed += usize::from(state.kept.remove(&key?)?);
        }
        Ok(removed)
    }

    /// Removes everything.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.open()?.kept.clear(py)
    }

    /// From now on nothing is written: what would raises `RuntimeError`. What is there can still be read. A directory is synced and given up; there is no thread to wait for, whatever `wait` says.
    #[pyo3(signature = (wait=false))]
    fn close(&self, py: Python<'_>, wait: bool) -> PyResult<()> {
        let _ = wait;
        self.state()?.close(py)
    }

    /// The keys, in no particular order.
    fn keys(slf: &Bound<'_, Self>) -> PyResult<EntryIterator> {
        EntryIterator::new(slf, What::Keys)
    }

    /// The values, in no particular order.
    fn values(slf: &Bound<'_, Self>) -> PyResult<EntryIterator> {
        EntryIterator::new(slf, What::Values)
    }

    /// Pairs of key and value, in no particular order.
    fn items(slf: &Bound<'_, Self>) -> PyResult<EntryIterator> {
        EntryIterator::new(slf, What::Items)
    }

    /// What was counted since the cache was made, and what it holds now.
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        let state = self.state()?;
        let (counted, directory) = (state.kept.stats(py)?, state.kept.directory_stats(py)?);
        Ok(Stats::new(counted, state.limits(), directory))
    }

    /// What the entries take in memory, about. Of a `Storage` without `size_limit_in_bytes`, without their keys and values.
    #[getter]
    fn size_in_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        self.state()?.kept.size_in_bytes(py)
    }

    /// Entries held now.
    #[getter]
    fn number_of_items(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.state()?.kept.stats(py)?.items)
    }

    /// The option of that name.
    #[getter]
    fn size_limit_in_bytes(&self) -> PyResult<Option<i64>> {
        Ok(self.state()?.config.size_limit_in_bytes)
    }

    /// The option of that name.
    #[getter]
    fn max_items(&self) -> PyResult<Option<i64>> {
        Ok(self.state()?.config.max_items)
    }

    /// The option of that name.
    #[getter]
    fn default_ttl(&self) -> PyResult<Option<f64>> {
        Ok(self.state()?.config.default_ttl)
    }

    /// The option of that name.
    #[getter]
    fn policy(&self) -> PyResult<&'static str> {
        Ok(self.state()?.config.policy.name())
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> PyResult<bool> {
        Ok(self.state()?.is_closed())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(usize::try_from(self.number_of_items(py)?)?)
    }

    /// An empty cache is a cache.
    fn __bool__(&self) -> bool {
        true
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.state()?.kept.time_left(key)?.is_some())
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<EntryIterator> {
        EntryIterator::new(slf, What::Keys)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(slf: &Bound<'_, Self>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        slf.call_method0(intern!(slf.py(), "close"))?;
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        let Some(state) = slf.get().state.get() else {
            return Ok(format!("<{name}, before __init__>"));
        };
        let limit = |limit: Option<i64>| limit.map_or_else(|| "None".to_owned(), |limit| limit.to_string());
        Ok(format!(
            "<{name}: {} items, max_items={}, size_limit_in_bytes={}, policy={}{}>",
            match state.kept.stats(slf.py()) {
                Ok(stats) => stats.items.to_string(),
                // Of the parent process.
                Err(_) => "?".to_owned(),
            },
            limit(state.config.max_items),
            limit(state.config.size_limit_in_bytes),
            state.config.policy.name(),
            if state.is_closed() { ", closed" } else { "" },
        ))
    }

    /// Copies and pickles have the configuration, and none of the entries.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let state = slf.get().state()?;
        if state.kept.is_in_directory() {
            return Err(PyTypeError::new_err(
                "a cache in a directory can be neither copied nor pickled: one cache at a time can have the directory",
            ));
        }
        let options = state.to_dict(py)?;
        let attributes = slf.getattr_opt(intern!(py, "__dict__"))?;
        let make = py.import("copyreg")?.getattr("__newobj__")?;
        let state = (options, attributes).into_pyobject(py)?;
        (make, (slf.get_type(),), state).into_pyobject(py)
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = slf.py();
        let (options, attributes): (Bound<'_, PyDict>, Option<Bound<'_, PyDict>>) = state.extract()?;
        // Not that of a subclass, which may have other arguments.
        let class: Bound<'_, PyType> = if slf.is_instance_of::<crate::cache::Cache>() {
            py.get_type::<crate::cache::Cache>()
        } else {
            py.get_type::<Storage>()
        };
        class.getattr("__init__")?.call((slf,), Some(&options))?;
        if let Some(attributes) = attributes {
            let own = slf.getattr(intern!(py, "__dict__"))?;
            own.cast::<PyDict>()?.update(attributes.as_mapping())?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self.state.get() {
            Some(state) if self.made.is_made() => state.kept.traverse(visit),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        if let Some(state) = self.state.get() {
            state.kept.break_cycles();
        }
    }
}
