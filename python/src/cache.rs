//! `Cache`: values as bytes in the engine, so that what they take is known, and bounded. All methods are `Storage`'s.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use rustcache::Tag;

use crate::arguments::{Given, path};
use crate::background;
use crate::callable::Callable;
use crate::codec::{Codec, Format};
use crate::config::Config;
use crate::directory::DirectoryOptions;
use crate::kept::Kept;
use crate::listener;
use crate::repr::shown;
use crate::serialized::{Serialized, key_bytes, key_object};
use crate::state::{More, State};
use crate::storage::Storage;

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
            serializer=None, deserializer=None, *, policy='lru', time_to_idle=None, eviction_listener=None, dir=None, codec=None, \
            sync=None, recover=None, on_disk_error=None, snapshot_after=None, snapshot_every=None, last_snapshot_within=None, \
            lock_patience=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Storage::empty()).add_subclass(Cache)
    }

    #[expect(clippy::too_many_arguments, reason = "they are Python's keyword arguments")]
    #[pyo3(signature = (
        size_limit_in_bytes=None, max_items=None, default_ttl=None, expiration_thread_delay=Given::Nothing,
        expiration_thread_max_checks_per_iteration=Given::Nothing, expiration_thread_log=false, expiration_disabled=false,
        serializer=None, deserializer=None, *, policy="lru", time_to_idle=None, eviction_listener=None, dir=None, codec=None, sync=None,
        recover=None, on_disk_error=None, snapshot_after=None, snapshot_every=None, last_snapshot_within=None, lock_patience=None,
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        size_limit_in_bytes: Option<&Bound<'_, PyAny>>,
        max_items: Option<&Bound<'_, PyAny>>,
        default_ttl: Option<&Bound<'_, PyAny>>,
        expiration_thread_delay: Given<'_>,
        expiration_thread_max_checks_per_iteration: Given<'_>,
        expiration_thread_log: bool,
        expiration_disabled: bool,
        serializer: Option<&Bound<'_, PyAny>>,
        deserializer: Option<&Bound<'_, PyAny>>,
        policy: &str,
        time_to_idle: Option<&Bound<'_, PyAny>>,
        eviction_listener: Option<&Bound<'_, PyAny>>,
        dir: Option<&Bound<'_, PyAny>>,
        codec: Option<&str>,
        sync: Option<&str>,
        recover: Option<&str>,
        on_disk_error: Option<&str>,
        snapshot_after: Option<&Bound<'_, PyAny>>,
        snapshot_every: Option<&Bound<'_, PyAny>>,
        last_snapshot_within: Option<&Bound<'_, PyAny>>,
        lock_patience: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if let Some(limit) = size_limit_in_bytes {
            refuse_path(limit)?;
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
        let dir = dir.map(|dir| path("dir", dir)).transpose()?;
        let mut more = Vec::new();
        if let Some(codec) = codec {
            more.push(("codec", More::Text(codec.to_owned())));
        }
        let codec = Arc::new(codec_of(py, dir.is_some(), codec, serializer, deserializer)?);
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
        if let Some(time) = config.idle_time {
            builder = builder.time_to_idle(time);
        }
        if let Some(listener) = listener.clone() {
            let codec = Arc::clone(&codec);
            builder = builder.eviction_listener(move |key, entry, cause| {
                background::attached(|py| match codec.decode(py, entry.tag, entry.value.as_slice()) {
                    Ok(Some(value)) => listener::tell(&listener, &key_object(py, &key), &value, cause),
                    // It was stale.
                    Ok(None) => {}
                    Err(error) => error.write_unraisable(py, None),
                });
            });
        }
        let options = DirectoryOptions {
            dir,
            sync,
            recover,
            on_disk_error,
            snapshot_after,
            snapshot_every,
            last_snapshot_within,
            lock_patience,
        };
        let (cache, place) = options.open(py, builder)?;
        if serializer.is_some() {
            more.push(("serializer", More::Serializer));
        }
        if deserializer.is_some() {
            more.push(("deserializer", More::Deserializer));
        }
        if listener.is_some() {
            more.push(("eviction_listener", More::Listener));
        }
        let kept = Kept::Serialized(Box::new(Serialized::new(cache, place, codec, listener)));
        slf.as_super().get().begin(State::new(kept, config, more))
    }

    /// The directory, as an absolute path; `None` if the cache is in memory only.
    #[getter]
    fn dir(slf: &Bound<'_, Self>) -> PyResult<Option<PathBuf>> {
        let place = serialized(slf)?.place.as_ref();
        Ok(place.map(|place| place.path().to_owned()))
    }

    /// Removes all entries whose keys begin with this, and gives their number.
    fn clear_prefix(slf: &Bound<'_, Self>, prefix: &Bound<'_, PyAny>) -> PyResult<u64> {
        slf.as_super().get().open()?;
        let prefix = key_bytes(prefix)?;
        serialized(slf)?.write_or_raise(slf.py(), |cache| cache.clear_prefix(prefix))
    }

    /// Writes what has changed to the disk and syncs it, whatever `sync` says. Without a directory there is nothing to do.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().open()?;
        serialized(slf)?.save(slf.py(), false)
    }

    /// Writes everything to a new file, beside all other work, so that the next start is fast. If the disk has failed, one that succeeds ends that.
    fn snapshot(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().open()?;
        serialized(slf)?.save(slf.py(), true)
    }
}

fn serialized<'a>(cache: &'a Bound<'_, Cache>) -> PyResult<&'a Serialized> {
    match &cache.as_super().get().state()?.kept {
        Kept::Serialized(serialized) => Ok(serialized),
        Kept::Objects(_) => Err(PyRuntimeError::new_err(
            "Storage.__init__ was called in the place of Cache.__init__",
        )),
    }
}

/// A directory in the place of a number: it is the first argument of other packages.
fn refuse_path(size_limit_in_bytes: &Bound<'_, PyAny>) -> PyResult<()> {
    let given = size_limit_in_bytes;
    let is_path = given.is_instance_of::<PyString>()
        || given.is_instance_of::<PyBytes>()
        || given.hasattr(intern!(given.py(), "__fspath__"))?;
    if !is_path {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "size_limit_in_bytes must be an integer, and is {}: a directory is given as dir=…",
        shown(given)
    )))
}

/// How values are written and read: what everybody can read is the default in a directory, and pickle where nobody else comes.
fn codec_of(
    py: Python<'_>,
    is_in_directory: bool,
    name: Option<&str>,
    serializer: Option<&Bound<'_, PyAny>>,
    deserializer: Option<&Bound<'_, PyAny>>,
) -> PyResult<Codec> {
    let is_given = serializer.is_some() || deserializer.is_some();
    let refuse = |complaint: &'static str| Err(PyValueError::new_err(complaint));
    match name {
        Some(_) if is_given => {
            return refuse("codec and serializer exclude each other: give one of them");
        }
        None if is_in_directory && is_given && (serializer.is_none() || deserializer.is_none()) => {
            return refuse(
                "in a directory, serializer and deserializer need each other: the other one would be pickle's, which runs any code that a file holds",
            );
        }
        _ => {}
    }
    let serializer = callable(py, serializer, "serializer", "dumps")?;
    let deserializer = callable(py, deserializer, "deserializer", "loads")?;
    Ok(match name {
        Some(name) => Codec::by_tag(Format::named(name)?, serializer, deserializer),
        None if is_in_directory && is_given => Codec::by_tag(Format::Callables, serializer, deserializer),
        None if is_in_directory => Codec::by_tag(Format::Auto, serializer, deserializer),
        None => {
            let tag = if is_given { Tag::BYTES } else { Tag::PICKLE };
            Codec::of_callables(serializer, deserializer, tag)
        }
    })
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
