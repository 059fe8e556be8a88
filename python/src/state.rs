//! What `__init__` of a `Storage` or a `Cache` makes: what is kept, whether it is closed, and the options, which copies and pickles are made by. How an option is checked is not known here.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::Expiry;

use crate::arguments::expiry;
use crate::config::Config;
use crate::kept::Kept;
use crate::objects::Weigher;
use crate::shown::Limits;

/// What `__init__` makes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kept: Kept,
    pub(crate) config: Config,
    /// Options of a class of its own, as keyword arguments of its constructor.
    pub(crate) more: Vec<(&'static str, More)>,
    is_closed: AtomicBool,
}

/// Where the value of an option is, so that nothing is there, or referred to, twice.
#[derive(Debug)]
pub(crate) enum More {
    Text(String),
    MaxWeight,
    Weigher,
    Listener,
    Serializer,
    Deserializer,
}

impl State {
    pub(crate) const fn new(kept: Kept, config: Config, more: Vec<(&'static str, More)>) -> Self {
        State {
            kept,
            config,
            more,
            is_closed: AtomicBool::new(false),
        }
    }

    /// Raises once nothing may be written any more.
    #[inline]
    pub(crate) fn check_open(&self) -> PyResult<()> {
        if self.is_closed() {
            return Err(PyRuntimeError::new_err("Storage is closed"));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.is_closed.store(true, Ordering::Relaxed);
        self.kept.close(py)
    }

    /// When an entry expires that is written with this TTL.
    #[inline]
    pub(crate) fn expiry(&self, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<Expiry> {
        let expiry = expiry(ttl, self.config.default_expiry)?;
        Ok(if self.config.expiration_disabled {
            Expiry::Never
        } else {
            expiry
        })
    }

    pub(crate) fn limits(&self) -> Limits {
        let weight = match &self.kept {
            Kept::Objects(objects) => objects.max_weight,
            Kept::Serialized(_) => None,
        };
        Limits {
            items: self.config.max_items.map(i64::unsigned_abs),
            weight: self.config.size_limit_in_bytes.map(i64::unsigned_abs).or(weight),
            measure: self.kept.measure(),
        }
    }

    /// As keyword arguments of the constructor.
    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = self.config.to_dict(py)?;
        for (name, more) in &self.more {
            let callable = match (more, &self.kept) {
                (More::MaxWeight, Kept::Objects(objects)) => {
                    dict.set_item(name, objects.max_weight)?;
                    continue;
                }
                (More::Text(text), _) => {
                    dict.set_item(name, text)?;
                    continue;
                }
                (More::Weigher, Kept::Objects(objects)) => match &objects.weigher {
                    Weigher::Callable(weigher) => Some(weigher),
                    _ => None,
                },
                (More::Listener, Kept::Objects(objects)) => objects.listener.as_deref(),
                (More::Listener, Kept::Serialized(serialized)) => serialized.listener.as_deref(),
                (More::Serializer, Kept::Serialized(serialized)) => Some(&serialized.codec.serializer),
                (More::Deserializer, Kept::Serialized(serialized)) => Some(&serialized.codec.deserializer),
                _ => None,
            };
            dict.set_item(name, callable.and_then(|callable| callable.get(py)))?;
        }
        Ok(dict)
    }
}
