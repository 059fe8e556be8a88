//! Iterators over keys, values and items. An entry that is there throughout is given once, whatever is written or removed meanwhile; none of it refreshes or counts.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::kept::{Seen, Walk};
use crate::storage::Storage;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Keys,
    Values,
    Items,
}

/// Goes through a cache; see its methods `keys`, `values` and `items`.
#[pyclass(frozen, module = "rustcache", name = "EntryIterator")]
#[derive(Debug)]
pub(crate) struct EntryIterator {
    storage: Py<Storage>,
    what: What,
    /// Held for a moment, and never while Python code runs.
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// `None` while the next piece is fetched, and at the end.
    walk: Option<Walk>,
    /// The last one is given next.
    piece: Vec<Seen>,
}

impl EntryIterator {
    pub(crate) fn new(storage: &Bound<'_, Storage>, what: What) -> PyResult<Self> {
        Ok(EntryIterator {
            storage: storage.clone().unbind(),
            what,
            progress: Mutex::new(Progress {
                walk: Some(storage.get().state()?.kept.walk(storage.py())?),
                piece: Vec::new(),
            }),
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_seen(&self, py: Python<'_>) -> PyResult<Option<Seen>> {
        loop {
            let mut walk = {
                let mut progress = self.progress();
                if let Some(seen) = progress.piece.pop() {
                    return Ok(Some(seen));
                }
                match progress.walk.take() {
                    Some(walk) => walk,
                    None => return Ok(None),
                }
            };
            let kept = &self.storage.get().state()?.kept;
            let mut piece = kept.next_piece(py, &mut walk, self.what != What::Keys)?;
            if piece.is_empty() {
                return Ok(None);
            }
            piece.reverse();
            let mut progress = self.progress();
            progress.walk = Some(walk);
            piece.append(&mut progress.piece);
            progress.piece = piece;
        }
    }
}

#[pymethods]
impl EntryIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(Seen { key, value }) = self.next_seen(py)? else {
            return Ok(None);
        };
        Ok(Some(match self.what {
            What::Keys => key.into_bound(py),
            What::Values => value?.into_bound(py),
            What::Items => (key, value?).into_pyobject(py)?.into_any(),
        }))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.storage)?;
        if let Ok(progress) = self.progress.try_lock() {
            for Seen { key, value } in &progress.piece {
                visit.call(key)?;
                if let Ok(value) = value {
                    visit.call(value)?;
                }
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let piece = match self.progress.try_lock() {
            Ok(mut progress) => std::mem::take(&mut progress.piece),
            Err(_) => Vec::new(),
        };
        drop(piece);
    }
}
