//! What a `Storage` (objects) or a `Cache` (bytes) keeps, by one set of operations: each is a choice between the two and nothing more.

use pyo3::prelude::*;
use rustcache::{Expiry, Iter, RawWalk, Stats, TimeLeft};

use crate::objects::{Objects, Weigher, When};
use crate::serialized::{self, Serialized};
use crate::shown::Measure;
use crate::store::Written;

#[derive(Debug)]
pub(crate) enum Kept {
    Objects(Objects),
    Serialized(Box<Serialized>),
}

/// An entry as it was found on a walk.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) key: Py<PyAny>,
    pub(crate) value: Py<PyAny>,
}

/// Where a walk goes on.
#[derive(Debug)]
pub(crate) enum Walk {
    Objects(RawWalk),
    Serialized(Iter),
}

/// Entries of bytes that are made objects at a time.
const PIECE: usize = 64;

impl Kept {
    #[inline]
    pub(crate) fn get(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        match self {
            Kept::Objects(objects) => Ok(objects.store.get(key)?.map(|value| value.into_py())),
            Kept::Serialized(serialized) => Ok(serialized.get(key)?.map(Bound::unbind)),
        }
    }

    #[inline]
    pub(crate) fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        expiry: Expiry,
        when: When,
    ) -> PyResult<Written> {
        match self {
            Kept::Objects(objects) => objects.set(key, value, expiry, when),
            Kept::Serialized(serialized) => serialized.set(key, value, expiry, when),
        }
    }

    pub(crate) fn update<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        expiry: Expiry,
        make: impl FnMut(Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Written)> {
        match self {
            Kept::Objects(objects) => objects.update(key, expiry, make),
            Kept::Serialized(serialized) => serialized.update(key, expiry, make),
        }
    }

    pub(crate) fn take(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        match self {
            Kept::Objects(objects) => Ok(objects.store.remove(key)?.map(|value| value.into_py())),
            Kept::Serialized(serialized) => Ok(serialized.take(key)?.map(Bound::unbind)),
        }
    }

    pub(crate) fn remove(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self {
            Kept::Objects(objects) => Ok(objects.store.remove(key)?.is_some()),
            Kept::Serialized(serialized) => Ok(serialized.cache.remove(serialized::key_bytes(key)?)),
        }
    }

    pub(crate) fn touch(&self, key: &Bound<'_, PyAny>, expiry: Expiry) -> PyResult<bool> {
        match self {
            Kept::Objects(objects) => objects.store.touch(key, expiry),
            Kept::Serialized(serialized) => Ok(serialized.cache.touch(serialized::key_bytes(key)?, expiry)),
        }
    }

    /// Neither counts nor refreshes.
    pub(crate) fn time_left(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<TimeLeft>> {
        match self {
            Kept::Objects(objects) => Ok(objects.store.peek(key)?.map(|(_, left)| left)),
            Kept::Serialized(serialized) => Ok(serialized.cache.time_left(serialized::key_bytes(key)?)),
        }
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        match self {
            Kept::Objects(objects) => objects.store.clear(py),
            Kept::Serialized(serialized) => serialized.cache.clear(),
        };
    }

    /// What has expired does not count.
    pub(crate) fn stats(&self, py: Python<'_>) -> Stats {
        match self {
            Kept::Objects(objects) => {
                objects.store.reclaim(py);
                objects.store.stats()
            }
            Kept::Serialized(serialized) => {
                serialized.cache.run_pending();
                serialized.cache.stats()
            }
        }
    }

    /// What `weight` counts.
    pub(crate) fn measure(&self) -> Measure {
        match self {
            Kept::Objects(objects) => match objects.weigher {
                Weigher::Nothing => Measure::Nothing,
                Weigher::Bytes => Measure::Bytes,
                Weigher::Callable(_) => Measure::Other,
            },
            Kept::Serialized(_) => Measure::Bytes,
        }
    }

    pub(crate) fn size_in_bytes(&self, py: Python<'_>) -> u64 {
        let stats = self.stats(py);
        match self {
            Kept::Objects(objects) => objects.size_of(&stats),
            Kept::Serialized(_) => stats.bytes,
        }
    }

    pub(crate) fn walk(&self) -> Walk {
        match self {
            Kept::Objects(_) => Walk::Objects(RawWalk::begin()),
            Kept::Serialized(serialized) => Walk::Serialized(serialized.cache.iter()),
        }
    }

    /// The next entries of a walk; empty at the end. Values are made objects only if `with_values`; else they are `None`.
    pub(crate) fn next_piece(
        &self,
        py: Python<'_>,
        walk: &mut Walk,
        with_values: bool,
    ) -> PyResult<Vec<Seen>> {
        match (self, walk) {
            (Kept::Objects(objects), Walk::Objects(walk)) => {
                let piece = objects.store.walk(py, walk);
                let seen = piece.into_iter().map(|(key, value, _)| Seen {
                    key: key.object.into_py(),
                    value: value.into_py(),
                });
                Ok(seen.collect())
            }
            (Kept::Serialized(serialized), Walk::Serialized(iter)) => {
                let piece = iter.by_ref().take(PIECE);
                let seen = piece.map(|(key, entry)| {
                    let value = if with_values {
                        serialized.decode(py, &entry)?.unbind()
                    } else {
                        py.None()
                    };
                    let key = serialized::key_object(py, &key).unbind();
                    Ok(Seen { key, value })
                });
                seen.collect()
            }
            (Kept::Objects(_), Walk::Serialized(_)) | (Kept::Serialized(_), Walk::Objects(_)) => {
                Ok(Vec::new())
            }
        }
    }

    pub(crate) fn traverse(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        match self {
            Kept::Objects(objects) => objects.traverse(visit),
            Kept::Serialized(serialized) => serialized.traverse(visit),
        }
    }

    pub(crate) fn break_cycles(&self) {
        match self {
            Kept::Objects(objects) => objects.break_cycles(),
            Kept::Serialized(serialized) => serialized.break_cycles(),
        }
    }
}
