//! `Cache`: values as bytes in the engine, so that what they take is known, and bounded. All methods are `Storage`'s.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustcache::Tag;

use crate::background;
use crate::callable::Callable;
use crate::config::{self, Config};
use crate::kept::Kept;
use crate::listener;
use crate::serialized::{Codec, Serialized, key_object};
use crate::storage::{More, State, Storage};

/// Values by serialization, bounded by what they take: pickled, unless it is given something else to make bytes of them.
#[pyclass(frozen, subclass, extends = Storage, module = "rustcache")]
#[derive(Debug)]
pub(crate) struct Cache;

#[pymethods]
impl Cache {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(size_limit_in_bytes=None, max_items=None, default_ttl=None, expiration_thread_delay=10.0, \
            expiration_thread_max_checks_per_iteration=10000, expiration_thread_log=False, expiration_disabled=False, \
            serializer=None, deserializer=None, *, policy='lru', time_to_idle=None, eviction_listener=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Storage::empty()).add_subclass(Cache)
    }

    #[expect(clippy::too_many_arguments, reason = "they are Python's keyword arguments")]
    #[pyo3(signature = (
        size_limit_in_bytes=None, max_items=None, default_ttl=None, expiration_thread_delay=10.0,
        expiration_thread_max_checks_per_iteration=10_000, expiration_thread_log=false, expiration_disabled=false,
        serializer=None, deserializer=None, *, policy="lru", time_to_idle=None, eviction_listener=None,
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        size_limit_in_bytes: Option<i64>,
        max_items: Option<i64>,
        default_ttl: Option<f64>,
        expiration_thread_delay: f64,
        expiration_thread_max_checks_per_iteration: i64,
        expiration_thread_log: bool,
        expiration_disabled: bool,
        serializer: Option<&Bound<'_, PyAny>>,
        deserializer: Option<&Bound<'_, PyAny>>,
        policy: &str,
        time_to_idle: Option<f64>,
        eviction_listener: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let config = Config {
            size_limit_in_bytes,
            max_items,
            default_ttl,
            expiration_thread_delay,
            expiration_thread_max_checks_per_iteration,
            expiration_thread_log,
            expiration_disabled,
            policy: config::policy(policy)?,
            time_to_idle,
        };
        let config = config.check(py)?;
        let pickles = serializer.is_none() && deserializer.is_none();
        let codec = Arc::new(Codec {
            serializer: callable(py, serializer, "serializer", "dumps")?,
            deserializer: callable(py, deserializer, "deserializer", "loads")?,
            tag: if pickles { Tag::PICKLE } else { Tag::BYTES },
        });
        let listener = listener::of(eviction_listener)?;
        let mut builder = rustcache::Cache::builder()
            .policy(config.policy)
            .max_key_bytes(MOST_BYTES)
            .max_value_bytes(MOST_BYTES);
        if cfg!(not(Py_GIL_DISABLED)) {
            builder = builder.shards(1);
        }
        if let Some(bytes) = config.size_limit_in_bytes {
            builder = builder.max_bytes(bytes.unsigned_abs());
        }
        if let Some(items) = config.max_items {
            builder = builder.max_items(items.unsigned_abs());
        }
        if let Some(time) = config.idle_time(py)? {
            builder = builder.time_to_idle(time);
        }
        if let Some(listener) = listener.clone() {
            let codec = Arc::clone(&codec);
            builder = builder.eviction_listener(move |key, entry, cause| {
                background::attached(|py| match codec.decode(py, entry.value.as_slice()) {
                    Ok(value) => listener::tell(&listener, &key_object(py, &key), &value, cause),
                    Err(error) => error.write_unraisable(py, None),
                });
            });
        }
        let cache = builder
            .build()
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let mut more = Vec::new();
        if serializer.is_some() {
            more.push(("serializer", More::Serializer));
        }
        if deserializer.is_some() {
            more.push(("deserializer", More::Deserializer));
        }
        if listener.is_some() {
            more.push(("eviction_listener", More::Listener));
        }
        let kept = Kept::Serialized(Box::new(Serialized {
            cache,
            codec,
            listener,
        }));
        let state = State::new(py, kept, config, more)?;
        slf.as_super().get().begin(state)
    }
}

/// What the engine can hold at most.
const MOST_BYTES: usize = 1 << 30;

/// What was given, or a function of pickle.
fn callable(
    py: Python<'_>,
    given: Option<&Bound<'_, PyAny>>,
    name: &str,
    default: &str,
) -> PyResult<Callable> {
    match given {
        Some(given) => Callable::new(given, name),
        None => Callable::new(&py.import("pickle")?.getattr(default)?, name),
    }
}
