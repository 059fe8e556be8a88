//! `Table`: what the caches of `rustcache.cachetools` hold. It knows in which order entries were used, how often, what they measure and until when they are good; it never drops anything by itself: what goes, and
//! when, is decided by those caches, whose methods programs override.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use rustcache::{Expiry, RawWalk};

use crate::calling;
use crate::object::{Key, Object};
use crate::sentinel::Missing;
use crate::store::{Store, StoreOptions, Written};

/// One write of an entry.
#[pyclass(frozen, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Row {
    value: Py<PyAny>,
    /// What the value measures, as it was said: `None` is 1.
    size: Option<Py<PyAny>>,
    /// Until when it is good, by whatever clock.
    expires: Option<Py<PyAny>>,
    /// Tells it from all other writes.
    number: u64,
    /// Tells when the key came.
    came: u64,
    uses: AtomicU64,
    used: AtomicU64,
}

impl Row {
    /// Of a write in the place of another one, or none.
    fn new(
        value: Py<PyAny>,
        size: Option<Py<PyAny>>,
        expires: Option<Py<PyAny>>,
        number: u64,
        before: Option<&Row>,
    ) -> Self {
        Row {
            value,
            size,
            expires,
            number,
            came: before.map_or(number, |row| row.came),
            uses: AtomicU64::new(before.map_or(0, |row| row.uses.load(Ordering::Relaxed)) + 1),
            used: AtomicU64::new(number),
        }
    }

    fn note_use(&self, moment: u64) {
        self.uses.fetch_add(1, Ordering::Relaxed);
        self.used.store(moment, Ordering::Relaxed);
    }

    fn timed(&self, py: Python<'_>) -> Timed {
        (
            self.value.clone_ref(py),
            self.expires.as_ref().map(|expires| expires.clone_ref(py)),
        )
    }

    fn size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.size {
            Some(size) => Ok(size.bind(py).clone()),
            None => 1.into_bound_py_any(py),
        }
    }
}

#[pymethods]
impl Row {
    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.value)?;
        visit.call(&self.size)?;
        visit.call(&self.expires)
    }
}

/// A value, and until when it is good.
type Timed = (Py<PyAny>, Option<Py<PyAny>>);
/// Key, value, size, and until when it is good.
type Entry<'py> = (Bound<'py, PyAny>, Py<PyAny>, Bound<'py, PyAny>, Option<Py<PyAny>>);

/// What came of a write in one step; Python sees the numbers.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum One {
    Written = 0,
    /// Written, and something has to go: others have written as well.
    TooMany = 1,
    /// Not written: something has to go before.
    Full = 2,
    /// Not written: this takes more than one step.
    Unknown = 3,
}
/// Sizes beyond this, and sums beyond that, are odd: so no sum of what the store counts ever comes near its limit, however many threads write at a time.
const MOST_OF_ONE: u64 = 1 << 53;
const MOST_OF_ALL: u64 = 1 << 60;

/// Entries in the order of their use.
#[pyclass(frozen, module = "rustcache._core")]
#[derive(Debug)]
pub(crate) struct Table {
    store: Store,
    /// Writes and uses so far.
    moment: AtomicU64,
    /// A size, or the sum, was none of the numbers that the store can add up: from then on they are added up one by one.
    has_odd_sizes: AtomicBool,
}

impl Table {
    fn next(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn row<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Row>>> {
        self.row_hashed(key, calling::hash(key)?)
    }

    fn row_hashed<'py>(&self, key: &Bound<'py, PyAny>, hash: isize) -> PyResult<Option<Bound<'py, Row>>> {
        Ok(self
            .store
            .peek_hashed(key, hash)?
            .and_then(|(object, _)| row(object, key.py())))
    }

    /// The entry, if it is still that of this write.
    fn written<'py>(&self, key: &Bound<'py, PyAny>, number: u64) -> PyResult<Option<Bound<'py, Row>>> {
        Ok(self.row(key)?.filter(|row| row.get().number == number))
    }

    /// Writes an entry in the place of what was seen there; `false` if something else is there by now.
    fn replace(
        &self,
        key: (&Bound<'_, PyAny>, isize),
        row: Row,
        weight: u64,
        seen: Option<&Bound<'_, Row>>,
    ) -> PyResult<bool> {
        let row = Bound::new(key.0.py(), row)?;
        let is_as_seen = |now: Option<&Object>| match (now, seen) {
            (None, None) => true,
            (Some(now), Some(seen)) => now.py().is(seen),
            _ => false,
        };
        let object = Object::new(row.as_any());
        let written = self
            .store
            .set_if_hashed(key, object, weight, Expiry::Never, is_as_seen)?;
        Ok(written == Written::Stored)
    }

    /// A size as the store can add it up.
    fn countable(&self, size: &Bound<'_, PyAny>) -> Option<u64> {
        let weight = size.extract().ok().filter(|&weight: &u64| weight <= MOST_OF_ONE);
        if weight.is_none() {
            self.has_odd_sizes.store(true, Ordering::Relaxed);
        }
        weight.filter(|_| !self.has_odd_sizes.load(Ordering::Relaxed))
    }

    /// Whether a value of this size fits in, in the place of what is there.
    #[expect(clippy::cast_precision_loss, reason = "beyond 2⁵³ nobody counts")]
    fn has_room<'py>(
        &self,
        size: &Bound<'py, PyAny>,
        weight: Option<u64>,
        there: Option<&Bound<'py, Row>>,
        maxsize: &Bound<'py, PyAny>,
    ) -> PyResult<bool> {
        let py = size.py();
        let before = there.map(|row| row.get().size(py)).transpose()?;
        if let (Some(weight), Ok(maxsize), false) = (
            weight,
            maxsize.extract::<f64>(),
            self.has_odd_sizes.load(Ordering::Relaxed),
        ) {
            let before: u64 = before.as_ref().map_or(Ok(0), |before| before.extract())?;
            let sum = self
                .store
                .stats()
                .bytes
                .saturating_sub(before)
                .saturating_add(weight);
            if sum <= MOST_OF_ALL {
                return Ok(sum as f64 <= maxsize);
            }
            self.has_odd_sizes.store(true, Ordering::Relaxed);
        }
        let mut sum = self.size(py)?.add(size)?;
        if let Some(before) = before {
            sum = sum.sub(before)?;
        }
        sum.le(maxsize)
    }

    /// All entries.
    fn all<'py>(&self, py: Python<'py>) -> Vec<(Key, Bound<'py, Row>)> {
        let mut walk = RawWalk::begin();
        let mut rows = Vec::new();
        loop {
            let piece = self.store.walk(py, &mut walk);
            if piece.is_empty() {
                break;
            }
            rows.extend(
                piece
                    .into_iter()
                    .filter_map(|(key, object, _)| Some((key, row(object, py)?))),
            );
        }
        rows
    }

    /// All entries, in the order in which they came.
    fn rows<'py>(&self, py: Python<'py>) -> Vec<(Key, Bound<'py, Row>)> {
        let mut rows = self.all(py);
        rows.sort_by_key(|(_, row)| row.get().came);
        rows
    }
}

fn row(object: Object, py: Python<'_>) -> Option<Bound<'_, Row>> {
    object.into_py().into_bound(py).cast_into_exact().ok()
}

fn missing(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(Missing::get(py)?.clone_ref(py).into_any())
}

#[pymethods]
impl Table {
    #[new]
    fn new() -> PyResult<Self> {
        let options = StoreOptions {
            weighs: true,
            is_one_order: true,
            ..StoreOptions::default()
        };
        Ok(Table {
            store: Store::new(options)?,
            moment: AtomicU64::new(0),
            has_odd_sizes: AtomicBool::new(false),
        })
    }

    /// A value, whose entry becomes the most recently used one; or `MISSING`.
    fn get(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = key.py();
        match self.store.get(key)?.and_then(|object| row(object, py)) {
            Some(row) => {
                row.get().note_use(self.next());
                Ok(row.get().value.clone_ref(py))
            }
            None => missing(py),
        }
    }

    /// As `get`, with the moment until when it is good; `None` if nothing is there.
    fn get_timed(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Timed>> {
        let py = key.py();
        let found = self.store.get(key)?.and_then(|object| row(object, py));
        Ok(found.map(|row| row.get().timed(py)))
    }

    /// A value, or `MISSING`; its place in the order stays.
    fn peek(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.row(key)? {
            Some(row) => Ok(row.get().value.clone_ref(key.py())),
            None => missing(key.py()),
        }
    }

    /// As `peek`, with the moment until when it is good; `None` if nothing is there.
    fn peek_timed(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Timed>> {
        Ok(self.row(key)?.map(|row| row.get().timed(key.py())))
    }

    /// As `peek_timed`, if it is still what that write has brought.
    fn peek_written(&self, key: &Bound<'_, PyAny>, number: u64) -> PyResult<Option<Timed>> {
        Ok(self.written(key, number)?.map(|row| row.get().timed(key.py())))
    }

    fn is_written(&self, key: &Bound<'_, PyAny>, number: u64) -> PyResult<bool> {
        Ok(self.written(key, number)?.is_some())
    }

    /// How often the entry of that write was used, and when last; `None` if it is not there any more.
    fn uses(&self, key: &Bound<'_, PyAny>, number: u64) -> PyResult<Option<(u64, u64)>> {
        let row = self.written(key, number)?;
        Ok(row.map(|row| {
            (
                row.get().uses.load(Ordering::Relaxed),
                row.get().used.load(Ordering::Relaxed),
            )
        }))
    }

    /// Writes an entry, the most recently used one then, and gives the number of the write; 0 if it was there and was not to be. `None` if all values would measure more than `maxsize` then: nothing is written.
    fn put<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        value: Py<PyAny>,
        size: &Bound<'py, PyAny>,
        expires: Option<Py<PyAny>>,
        only_new: bool,
        maxsize: &Bound<'py, PyAny>,
    ) -> PyResult<Option<u64>> {
        let py = key.py();
        let weight = self.countable(size);
        let hash = calling::hash(key)?;
        loop {
            let there = self.row_hashed(key, hash)?;
            if only_new && there.is_some() {
                return Ok(Some(0));
            }
            if !self.has_room(size, weight, there.as_ref(), maxsize)? {
                return Ok(None);
            }
            let number = self.next();
            let row = Row::new(
                value.clone_ref(py),
                (weight != Some(1)).then(|| size.clone().unbind()),
                expires.as_ref().map(|expires| expires.clone_ref(py)),
                number,
                there.as_ref().map(Bound::get),
            );
            if self.replace((key, hash), row, weight.unwrap_or(0), there.as_ref())? {
                return Ok(Some(number));
            }
        }
    }

    /// As `put`, of a value that measures 1 and does not expire, as far as that is one step. See `One` for what came of it.
    fn put_one(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        maxsize: &Bound<'_, PyAny>,
    ) -> PyResult<u8> {
        if self.has_odd_sizes.load(Ordering::Relaxed) || !maxsize.is_exact_instance_of::<PyInt>() {
            return Ok(One::Unknown as u8);
        }
        let hash = calling::hash(key)?;
        let there = self.row_hashed(key, hash)?;
        let before = there.as_ref().map(Bound::get);
        // One of the same size in its place leaves the sum as it is.
        let grows = before.is_none_or(|row| row.size.is_some());
        let Ok(limit) = (if grows { maxsize.extract() } else { Ok(u64::MAX) }) else {
            return Ok(One::Unknown as u8);
        };
        if grows && before.is_some() {
            return Ok(One::Unknown as u8);
        }
        if grows && self.store.stats().bytes >= limit {
            return Ok(One::Full as u8);
        }
        let row = Row::new(value.clone().unbind(), None, None, self.next(), before);
        if !self.replace((key, hash), row, 1, there.as_ref())? {
            return Ok(One::Unknown as u8);
        }
        let fits = !grows || self.store.stats().bytes <= limit;
        Ok(if fits { One::Written } else { One::TooMany } as u8)
    }

    /// Removes an entry and gives its value, or `MISSING`.
    fn take(&self, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.take_timed(key)? {
            Some((value, _)) => Ok(value),
            None => missing(key.py()),
        }
    }

    /// As `take`, with the moment until when it was good; `None` if nothing was there.
    fn take_timed(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Timed>> {
        let py = key.py();
        let taken = self.store.remove(key)?.and_then(|object| row(object, py));
        Ok(taken.map(|row| row.get().timed(py)))
    }

    /// As `take`, if it is still what that write has brought.
    fn take_written(&self, key: &Bound<'_, PyAny>, number: u64) -> PyResult<Py<PyAny>> {
        let py = key.py();
        if self.written(key, number)?.is_none() {
            return missing(py);
        }
        let Some(taken) = self.store.remove(key)?.and_then(|object| row(object, py)) else {
            return missing(py);
        };
        if taken.get().number == number {
            return Ok(taken.get().value.clone_ref(py));
        }
        // It was written in between: back with it, unless it was written once more.
        let weight = self.countable(&taken.get().size(py)?).unwrap_or(0);
        self.store
            .set_if(key, Object::new(taken.as_any()), weight, Expiry::Never, |there| {
                there.is_none()
            })?;
        missing(py)
    }

    /// Key and value of the entry that was used least recently; `None` if there is none.
    fn coldest(&self, py: Python<'_>) -> Option<(Py<PyAny>, Py<PyAny>)> {
        let (key, object) = self.store.coldest(py)?;
        let row = row(object, py)?;
        Some((key.object.into_py(), row.get().value.clone_ref(py)))
    }

    /// What all values together measure.
    fn size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if !self.has_odd_sizes.load(Ordering::Relaxed) {
            return self.store.stats().bytes.into_bound_py_any(py);
        }
        let mut sum = 0.into_bound_py_any(py)?;
        for (_, row) in self.all(py) {
            sum = sum.add(row.get().size(py)?)?;
        }
        Ok(sum)
    }

    /// Keys and values, in the order in which the keys came.
    fn items<'py>(&self, py: Python<'py>) -> Vec<(Py<PyAny>, Py<PyAny>)> {
        let rows = self.rows(py).into_iter();
        rows.map(|(key, row)| (key.object.into_py(), row.get().value.clone_ref(py)))
            .collect()
    }

    /// Keys, values, sizes and moments, in the order in which the keys came.
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Vec<Entry<'py>>> {
        let entry = |(key, row): (Key, Bound<'py, Row>)| {
            let (value, expires) = row.get().timed(py);
            Ok((
                key.object.into_py().into_bound(py),
                value,
                row.get().size(py)?,
                expires,
            ))
        };
        self.rows(py).into_iter().map(entry).collect()
    }

    fn clear(&self, py: Python<'_>) {
        self.store.clear(py);
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.store.stats().items).unwrap_or(usize::MAX)
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.row(key)?.is_some())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.store.traverse(visit)
    }

    fn __clear__(&self) {
        self.store.break_cycles();
    }
}
