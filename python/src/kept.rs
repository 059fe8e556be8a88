//! What a `Storage` (objects) or a `Cache` (bytes) keeps, by one set of operations: each is a choice between the two and nothing more.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rustcache::{Expiry, Iter, RawWalk, Stats, TimeLeft};

use crate::directory::DirectoryStats;
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
    /// Or why there is none to be had.
    pub(crate) value: PyResult<Py<PyAny>>,
}

/// Where a walk goes on.
#[derive(Debug)]
pub(crate) enum Walk {
    Objects(RawWalk),
    Serialized(Iter),
}

/// Entries of bytes that are made objects at a time.
pub(crate) const PIECE: usize = 64;

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
            Kept::Serialized(serialized) => serialized.remove(key),
        }
    }

    pub(crate) fn touch(&self, key: &Bound<'_, PyAny>, expiry: Expiry) -> PyResult<bool> {
        match self {
            Kept::Objects(objects) => objects.store.touch(key, expiry),
            Kept::Serialized(serialized) => serialized.touch(key, expiry),
        }
    }

    /// Neither counts nor refreshes.
    pub(crate) fn time_left(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<TimeLeft>> {
        match self {
            Kept::Objects(objects) => Ok(objects.store.peek(key)?.map(|(_, left)| left)),
            Kept::Serialized(serialized) => serialized.time_left(key),
        }
    }

    /// Writes many entries, if that is better done together than one by one: see `PIECE`.
    pub(crate) fn set_many(
        &self,
        py: Python<'_>,
        entries: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)],
        expiry: Expiry,
    ) -> PyResult<()> {
        match self {
            Kept::Objects(objects) => entries.iter().try_for_each(|(key, value)| {
                objects.set(key, value, expiry, When::Always)?;
                Ok(())
            }),
            Kept::Serialized(serialized) => serialized.set_many(py, entries, expiry),
        }
    }

    pub(crate) fn is_in_directory(&self) -> bool {
        matches!(self, Kept::Serialized(serialized) if serialized.place.is_some())
    }

    /// The number that a text is, where others may have begun to count.
    pub(crate) fn counter(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
        match value.cast_exact::<PyString>() {
            Ok(text) if self.is_in_directory() => Ok(text.to_str()?.parse().ok()),
            _ => Ok(None),
        }
    }

    pub(crate) fn clear(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Kept::Objects(objects) => objects.store.clear(py),
            Kept::Serialized(serialized) => serialized.write_or_raise(py, rustcache::Cache::clear)?,
        };
        Ok(())
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Kept::Objects(_) => Ok(()),
            Kept::Serialized(serialized) => serialized.close(py),
        }
    }

    /// What has expired does not count.
    pub(crate) fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        match self {
            Kept::Objects(objects) => {
                objects.store.reclaim(py);
                Ok(objects.store.stats())
            }
            Kept::Serialized(serialized) => {
                let cache = serialized.cache(py)?;
                cache.run_pending();
                Ok(cache.stats())
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

    /// What was done about the directory, if there is one.
    pub(crate) fn directory_stats(&self, py: Python<'_>) -> PyResult<Option<DirectoryStats>> {
        match self {
            Kept::Objects(_) => Ok(None),
            Kept::Serialized(serialized) => {
                let cache = serialized.cache(py)?;
                Ok(py.detach(|| DirectoryStats::of(cache)))
            }
        }
    }

    pub(crate) fn size_in_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        let stats = self.stats(py)?;
        Ok(match self {
            Kept::Objects(objects) => objects.size_of(&stats),
            Kept::Serialized(_) => stats.bytes,
        })
    }

    pub(crate) fn walk(&self, py: Python<'_>) -> PyResult<Walk> {
        Ok(match self {
            Kept::Objects(_) => Walk::Objects(RawWalk::begin()),
            Kept::Serialized(serialized) => Walk::Serialized(serialized.cache(py)?.iter()),
        })
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
                    value: Ok(value.into_py()),
                });
                Ok(seen.collect())
            }
            (Kept::Serialized(serialized), Walk::Serialized(iter)) => {
                serialized.cache(py)?;
                let mut piece = Vec::new();
                // One after which nothing is left is the end, so that a piece of nothing but stale ones is none.
                while piece.is_empty() {
                    let mut is_end = true;
                    for (key, entry) in iter.by_ref().take(PIECE) {
                        is_end = false;
                        let value = match with_values {
                            true => serialized.decode(py, &entry).transpose(),
                            false => Some(Ok(py.None().into_bound(py))),
                        };
                        let key = serialized::key_object(py, &key).unbind();
                        piece.extend(value.map(|value| Seen {
                            key,
                            value: value.map(Bound::unbind),
                        }));
                    }
                    if is_end {
                        break;
                    }
                }
                Ok(piece)
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
