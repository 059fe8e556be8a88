//! `KvStore`: objects by reference, a capacity, `put` and `get`, for programs that were written for a store like that.

use pyo3::prelude::*;
use rustcache::Expiry;

use crate::arguments::{self, expiry_of};
use crate::made::Made;
use crate::object::Object;
use crate::store::{Store, StoreOptions};

/// Up to `capacity` objects, of which the one that was used least recently goes first.
#[pyclass(frozen, subclass, weakref, module = "rustcache")]
#[derive(Debug)]
pub(crate) struct KvStore {
    store: Store,
    capacity: u64,
    made: Made,
}

#[pymethods]
impl KvStore {
    #[new]
    fn new(capacity: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capacity = arguments::capacity(capacity)?;
        let store = Store::new(StoreOptions {
            max_items: Some(capacity),
            ..StoreOptions::default()
        })?;
        Ok(KvStore {
            store,
            capacity,
            made: Made::now(),
        })
    }

    /// Writes a value. `ttl` is in seconds: `None` is for ever, 0 expires at once.
    #[pyo3(signature = (key, value, ttl=None))]
    fn put(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let expiry = ttl.map_or(Ok(Expiry::Never), expiry_of)?;
        self.store.set(key, Object::new(value), 1, expiry)?;
        Ok(())
    }

    /// The value under a key; `None` if there is none or it has expired.
    fn get(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.store.get(key)?.map(Object::into_py))
    }

    /// Removes an entry; whether there was one.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.store.remove(key)?.is_some())
    }

    /// The most entries that there can be.
    #[getter]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.store.reclaim(py);
        Ok(usize::try_from(self.store.stats().items)?)
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.store.peek(key)?.is_some())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "<KvStore: {} of {} items>",
            self.__len__(py)?,
            self.capacity
        ))
    }

    /// A copy has the capacity, and none of the entries.
    fn __getnewargs__(&self) -> (u64,) {
        (self.capacity,)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        if !self.made.is_made() {
            return Ok(());
        }
        self.store.traverse(visit)
    }

    fn __clear__(&self) {
        self.store.break_cycles();
    }
}
