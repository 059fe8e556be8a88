//! How a `Storage` or `Cache` is configured: what was asked for, as it was asked for (it is shown, copied and pickled), and what is checked of it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::{Expiry, PolicyKind};

use crate::arguments::seconds;

/// Options that all kinds of caches have. Callables are kept by whoever calls them.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) size_limit_in_bytes: Option<i64>,
    pub(crate) max_items: Option<i64>,
    pub(crate) default_ttl: Option<f64>,
    pub(crate) expiration_thread_delay: f64,
    pub(crate) expiration_thread_max_checks_per_iteration: i64,
    pub(crate) expiration_thread_log: bool,
    pub(crate) expiration_disabled: bool,
    pub(crate) policy: PolicyKind,
    pub(crate) time_to_idle: Option<f64>,
}

const LEAST_BYTES: i64 = 4096;

impl Config {
    /// Refuses what makes no sense.
    pub(crate) fn check(self, py: Python<'_>) -> PyResult<Self> {
        let refuse = |complaint: &str| Err(PyValueError::new_err(complaint.to_owned()));
        if self.size_limit_in_bytes.is_some_and(|bytes| bytes < LEAST_BYTES) {
            return refuse("size_limit_in_bytes must be at least 4096");
        }
        if self.max_items.is_some_and(|items| items < 1) {
            return refuse("max_items must be at least 1");
        }
        time(py, self.default_ttl, "default_ttl cannot be negative")?;
        time(py, self.time_to_idle, "time_to_idle must be positive")?;
        if self.time_to_idle == Some(0.0) {
            return refuse("time_to_idle must be positive");
        }
        if self.expiration_thread_delay <= 0.0 || self.expiration_thread_delay.is_nan() {
            return refuse("expiration_thread_delay must be positive");
        }
        if self.expiration_thread_max_checks_per_iteration < 0 {
            return refuse("expiration_thread_max_checks_per_iteration cannot be negative");
        }
        Ok(self)
    }

    /// When entries expire that are written without a TTL.
    pub(crate) fn default_expiry(&self, py: Python<'_>) -> PyResult<Expiry> {
        let ttl = time(py, self.default_ttl, "default_ttl cannot be negative")?;
        Ok(match ttl {
            Some(ttl) if !self.expiration_disabled => Expiry::After(ttl),
            _ => Expiry::Never,
        })
    }

    pub(crate) fn idle_time(&self, py: Python<'_>) -> PyResult<Option<std::time::Duration>> {
        time(py, self.time_to_idle, "time_to_idle must be positive")
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

fn time(
    py: Python<'_>,
    value: Option<f64>,
    complaint: &'static str,
) -> PyResult<Option<std::time::Duration>> {
    let check = |value: f64| seconds(value.into_pyobject(py)?.as_any(), complaint);
    value.map(check).transpose()
}

pub(crate) fn policy(name: &str) -> PyResult<PolicyKind> {
    name.parse()
        .map_err(|error: rustcache::UnknownPolicy| PyValueError::new_err(error.to_string()))
}
