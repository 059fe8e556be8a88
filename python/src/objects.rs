//! What a `Storage` keeps: objects by reference, and what they weigh.

use std::sync::Arc;

use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustcache::{Expiry, Stats};

use crate::arguments::whole;
use crate::callable::Callable;
use crate::config::Config;
use crate::listener;
use crate::object::Object;
use crate::store::{Store, StoreOptions, Written};

/// What the engine takes for an entry, about: its place, its part of the index, of the order and of the deadlines.
pub(crate) const ENTRY_OVERHEAD: u64 = 80;
/// Far more than threads get in each other's way by chance.
const MOST_ROUNDS: usize = 10_000;

/// What entries weigh.
#[derive(Debug)]
pub(crate) enum Weigher {
    /// Each the same.
    Nothing,
    /// Values are bytes, and weigh what they and their keys take in memory.
    Bytes,
    Callable(Callable),
}

#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) store: Store,
    pub(crate) weigher: Weigher,
    /// As it was asked for.
    pub(crate) max_weight: Option<u64>,
    pub(crate) listener: Option<Arc<Callable>>,
}

/// Which writes are to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
}

/// Counts how often something is tried again because the value under the key was written or removed meanwhile: code of the user's that does so each time must not make it go on for ever.
#[derive(Debug, Default)]
pub(crate) struct Rounds(usize);

impl Rounds {
    pub(crate) fn next(&mut self) -> PyResult<()> {
        self.0 += 1;
        if self.0 <= MOST_ROUNDS {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(format!(
            "the value under the key changed {MOST_ROUNDS} times while a new one was to be written: what makes values must not write there"
        )))
    }
}

impl Objects {
    /// With those options that only objects have.
    pub(crate) fn new(
        config: &Config,
        max_weight: Option<&Bound<'_, PyAny>>,
        weigher: Option<&Bound<'_, PyAny>>,
        eviction_listener: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let max_weight = max_weight.map(|weight| whole("max_weight", weight)).transpose()?;
        let refuse = |complaint: &'static str| Err(PyValueError::new_err(complaint));
        match (config.size_limit_in_bytes, max_weight, weigher) {
            (_, Some(weight), _) if weight < 1 => {
                return Err(PyValueError::new_err(format!(
                    "max_weight must be at least 1, and is {weight}"
                )));
            }
            (Some(_), Some(_), _) => {
                return refuse("size_limit_in_bytes and max_weight exclude each other: give one of them");
            }
            (None, Some(_), None) => {
                return refuse("max_weight needs a weigher, which says what an entry weighs");
            }
            _ => {}
        }
        let weigher = match weigher {
            Some(weigher) => Weigher::Callable(Callable::new(weigher, "weigher")?),
            None if config.size_limit_in_bytes.is_some() => Weigher::Bytes,
            None => Weigher::Nothing,
        };
        let listener = listener::of(eviction_listener)?;
        let weighs = !matches!(weigher, Weigher::Nothing);
        let store = Store::new(StoreOptions {
            is_one_order: false,
            max_items: config.max_items.map(i64::unsigned_abs),
            // Where a weigher only counts there is a limit as well, so that the sum fits into what it is counted in.
            max_weight: config
                .size_limit_in_bytes
                .or(max_weight)
                .or(weighs.then_some(i64::MAX))
                .map(i64::unsigned_abs),
            weighs,
            time_to_idle: config.idle_time,
            policy: Some(config.policy),
            listener: listener.clone(),
        })?;
        Ok(Objects {
            store,
            weigher,
            max_weight: max_weight.map(i64::unsigned_abs),
            listener,
        })
    }

    #[inline]
    pub(crate) fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        expiry: Expiry,
        when: When,
    ) -> PyResult<Written> {
        let weight = self.weigh(key, value)?;
        let value = Object::new(value);
        match when {
            When::Always => self.store.set(key, value, weight, expiry),
            When::Absent => self.store.set_if(key, value, weight, expiry, |old| old.is_none()),
        }
    }

    /// Writes what `make` makes of the value that is there, in one step: if another one came meanwhile, of that. It counts as a read. The deadline of what is there stays.
    pub(crate) fn update<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        expiry: Expiry,
        mut make: impl FnMut(Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Written)> {
        let py = key.py();
        let mut rounds = Rounds::default();
        loop {
            rounds.next()?;
            let old = self.store.get(key)?;
            let new = make(old.as_ref().map(|old| old.py().bind(py).clone()))?;
            let weight = self.weigh(key, &new)?;
            let expiry = if old.is_some() { Expiry::Keep } else { expiry };
            let is_same = |now: Option<&Object>| match (now, &old) {
                (None, None) => true,
                (Some(now), Some(old)) => now.is(old),
                _ => false,
            };
            match self
                .store
                .set_if(key, Object::new(&new), weight, expiry, is_same)?
            {
                Written::Refused => {}
                written => return Ok((new, written)),
            }
        }
    }

    #[inline]
    fn weigh(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        match &self.weigher {
            Weigher::Nothing => Ok(1),
            Weigher::Bytes => {
                if !value.is_instance_of::<PyBytes>() {
                    return Err(PyValueError::new_err(
                        "Value must be bytes if size_limit_in_bytes is set",
                    ));
                }
                Ok(ENTRY_OVERHEAD
                    .saturating_add(size_of(key)?)
                    .saturating_add(size_of(value)?))
            }
            Weigher::Callable(weigher) => {
                let weight = weigher.call2(key, value)?;
                weight.extract().map_err(|error: PyErr| {
                    let py = key.py();
                    // Not of what its own __index__ raises.
                    let is_ours = error.is_instance_of::<PyOverflowError>(py)
                        || !weight.hasattr(intern!(py, "__index__")).unwrap_or(true);
                    let Some(shown) = weight.repr().ok().filter(|_| is_ours) else {
                        return error;
                    };
                    let text =
                        format!("the weigher has to give an integer from 0 to 2**64 - 1, and gave {shown}");
                    if error.is_instance_of::<PyOverflowError>(py) {
                        PyOverflowError::new_err(text)
                    } else {
                        PyTypeError::new_err(text)
                    }
                })
            }
        }
    }

    /// What the entries take; without a limit on bytes, that of the values is not known.
    pub(crate) fn size_of(&self, stats: &Stats) -> u64 {
        match self.weigher {
            Weigher::Bytes => stats.bytes,
            _ => stats.items * ENTRY_OVERHEAD,
        }
    }

    pub(crate) fn traverse(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if let Weigher::Callable(weigher) = &self.weigher {
            weigher.traverse(visit)?;
        }
        if let Some(listener) = &self.listener {
            listener.traverse(visit)?;
        }
        self.store.traverse(visit)
    }

    pub(crate) fn break_cycles(&self) {
        if let Weigher::Callable(weigher) = &self.weigher {
            weigher.break_cycles();
        }
        if let Some(listener) = &self.listener {
            listener.break_cycles();
        }
        self.store.break_cycles();
    }
}

/// What an object takes by itself.
fn size_of(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    object.call_method0(intern!(object.py(), "__sizeof__"))?.extract()
}
