//! How a `Storage` or `Cache` is configured: what was asked for, as it was asked for (it is shown, copied and pickled), and what is checked of it.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::{Expiry, PolicyKind};

use crate::arguments::{Given, positive_seconds, real, seconds, whole};

/// Options that all kinds of caches have. Callables are kept by whoever calls them.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) size_limit_in_bytes: Option<i64>,
    pub(crate) max_items: Option<i64>,
    pub(crate) default_ttl: Option<f64>,
    expiration_thread_delay: f64,
    expiration_thread_max_checks_per_iteration: i64,
    expiration_thread_log: bool,
    pub(crate) expiration_disabled: bool,
    pub(crate) policy: PolicyKind,
    time_to_idle: Option<f64>,
    /// When entries expire that are written without a TTL.
    pub(crate) default_expiry: Expiry,
    pub(crate) idle_time: Option<Duration>,
}

const LEAST_BYTES: i64 = 4096;

/// An option that may be left out.
type Asked<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

impl Config {
    /// Of what was asked for, by the names of the options. Refuses what makes no sense.
    pub(crate) fn new<'py>(
        (size_limit_in_bytes, max_items): (Asked<'_, 'py>, Asked<'_, 'py>),
        (default_ttl, time_to_idle): (Asked<'_, 'py>, Asked<'_, 'py>),
        policy: &str,
        (expiration_thread_delay, expiration_thread_max_checks_per_iteration): (&Given<'py>, &Given<'py>),
        (expiration_thread_log, expiration_disabled): (bool, bool),
    ) -> PyResult<Self> {
        let refuse = |complaint: &str| Err(PyValueError::new_err(complaint.to_owned()));
        let size_limit_in_bytes = size_limit_in_bytes
            .map(|bytes| whole("size_limit_in_bytes", bytes))
            .transpose()?;
        if size_limit_in_bytes.is_some_and(|bytes| bytes < LEAST_BYTES) {
            return refuse("size_limit_in_bytes must be at least 4096");
        }
        let max_items = max_items.map(|items| whole("max_items", items)).transpose()?;
        if max_items.is_some_and(|items| items < 1) {
            return refuse("max_items must be at least 1");
        }
        let default = default_ttl.map(|ttl| seconds("default_ttl", ttl)).transpose()?;
        let idle_time = time_to_idle
            .map(|time| positive_seconds("time_to_idle", time))
            .transpose()?;
        let delay = match expiration_thread_delay.as_ref() {
            Some(delay) => real("expiration_thread_delay", delay)?,
            None => 10.0,
        };
        if delay <= 0.0 || delay.is_nan() {
            return refuse("expiration_thread_delay must be positive");
        }
        let checks = match expiration_thread_max_checks_per_iteration.as_ref() {
            Some(checks) => whole("expiration_thread_max_checks_per_iteration", checks)?,
            None => 10_000,
        };
        if checks < 0 {
            return refuse("expiration_thread_max_checks_per_iteration cannot be negative");
        }
        Ok(Config {
            size_limit_in_bytes,
            max_items,
            default_ttl: default_ttl.map(|ttl| real("default_ttl", ttl)).transpose()?,
            expiration_thread_delay: delay,
            expiration_thread_max_checks_per_iteration: checks,
            expiration_thread_log,
            expiration_disabled,
            policy: policy
                .parse()
                .map_err(|error: rustcache::UnknownPolicy| PyValueError::new_err(error.to_string()))?,
            time_to_idle: time_to_idle.map(|time| real("time_to_idle", time)).transpose()?,
            default_expiry: match default {
                Some(ttl) if !expiration_disabled => Expiry::After(ttl),
                _ => Expiry::Never,
            },
            idle_time,
        })
    }

    /// As keyword arguments of a constructor.
    pub(crate) fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("size_limit_in_bytes", self.size_limit_in_bytes)?;
        dict.set_item("max_items", self.max_items)?;
        dict.set_item("default_ttl", self.default_ttl)?;
        dict.set_item("expiration_thread_delay", self.expiration_thread_delay)?;
        dict.set_item(
            "expiration_thread_max_checks_per_iteration",
            self.expiration_thread_max_checks_per_iteration,
        )?;
        dict.set_item("expiration_thread_log", self.expiration_thread_log)?;
        dict.set_item("expiration_disabled", self.expiration_disabled)?;
        dict.set_item("policy", self.policy.name())?;
        dict.set_item("time_to_idle", self.time_to_idle)?;
        Ok(dict)
    }
}
