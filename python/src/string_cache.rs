//! `rust_cache.Cache`: text under text, a capacity, and methods where others have properties, for programs that were written for the module of that name.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustcache::SetOptions;

use crate::arguments;

/// Up to `capacity` pairs of text, of which the one that was used least recently goes first.
#[pyclass(frozen, subclass, weakref, module = "rust_cache", name = "Cache")]
#[derive(Debug)]
pub(crate) struct StringCache {
    cache: rustcache::Cache,
    capacity: u64,
}

#[pymethods]
impl StringCache {
    #[new]
    fn new(capacity: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capacity = arguments::capacity(capacity)?;
        let built = rustcache::Cache::builder()
            .max_items(capacity)
            .max_key_bytes(MOST_BYTES)
            .max_value_bytes(MOST_BYTES)
            .shards(1)
            .build();
        let cache = built.map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(StringCache { cache, capacity })
    }

    /// The value under a key, which becomes the most recently used one; `None` if there is none.
    fn get(&self, key: &str) -> PyResult<Option<String>> {
        let entry = self.cache.get(key);
        let text = entry.map(|entry| String::from_utf8(entry.value.as_slice().to_vec()));
        Ok(text.transpose()?)
    }

    /// Writes a value, which becomes the most recently used one.
    fn put(&self, key: &str, value: &str) -> PyResult<()> {
        let written = self.cache.set(key, value, SetOptions::default());
        written.map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(())
    }

    /// Entries held now.
    fn len(&self) -> u64 {
        self.cache.len()
    }

    /// The most entries that there can be.
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.cache.len())?)
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __contains__(&self, key: &str) -> bool {
        self.cache.contains(key)
    }

    fn __repr__(&self) -> String {
        format!(
            "<rust_cache.Cache: {} of {} items>",
            self.cache.len(),
            self.capacity
        )
    }

    /// A copy has the capacity, and none of the entries.
    fn __getnewargs__(&self) -> (u64,) {
        (self.capacity,)
    }
}

/// What the engine can hold at most.
const MOST_BYTES: usize = 1 << 30;
