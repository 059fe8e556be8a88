//! What a cache has counted, as an object of Python: attributes, a short `repr`, and a table for notebooks.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::Stats as Counted;

use crate::directory::DirectoryStats;
use crate::shown::{self, Limits};

/// What was counted since the cache was made, and what it holds now.
#[pyclass(frozen, eq, module = "rustcache", name = "Stats")]
#[derive(Debug, PartialEq)]
pub(crate) struct Stats {
    counted: Counted,
    limits: Limits,
    directory: Option<DirectoryStats>,
}

impl Stats {
    pub(crate) fn new(counted: Counted, limits: Limits, directory: Option<DirectoryStats>) -> Self {
        Stats {
            counted,
            limits,
            directory,
        }
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let stats = &self.counted;
        let reads = [("hits", stats.hits), ("misses", stats.misses)];
        let held = [("items", stats.items), ("weight", stats.bytes)];
        reads.into_iter().chain(held).chain(shown::events(stats))
    }
}

macro_rules! getters {
    ($($(#[doc = $doc:literal])+ $name:ident = $field:ident;)+) => {
        #[pymethods]
        impl Stats {
            $(
                $(#[doc = $doc])+
                #[getter]
                fn $name(&self) -> u64 {
                    self.counted.$field
                }
            )+

            /// Hits over reads, from 0.0 to 1.0; 0.0 before the first read.
            #[getter]
            fn hit_ratio(&self) -> f64 {
                self.counted.hit_ratio()
            }

            /// What was done about the directory; `None` if there is none.
            #[getter]
            fn directory(&self) -> Option<DirectoryStats> {
                self.directory.clone()
            }

            /// All of it, by name.
            fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let dict = PyDict::new(py);
                for (name, value) in self.fields() {
                    dict.set_item(name, value)?;
                }
                dict.set_item("hit_ratio", self.counted.hit_ratio())?;
                if let Some(directory) = &self.directory {
                    dict.set_item("directory", directory.as_dict(py)?)?;
                }
                Ok(dict)
            }

            /// The option `max_items` of the cache.
            #[getter]
            fn max_items(&self) -> Option<u64> {
                self.limits.items
            }

            /// What all entries may weigh, as `weight` counts it: the option `size_limit_in_bytes` or `max_weight`.
            #[getter]
            fn max_weight(&self) -> Option<u64> {
                self.limits.weight
            }

            /// What is not 0, with the limits.
            fn __repr__(&self) -> String {
                shown::line(&self.counted, self.limits)
            }

            /// A table, in Jupyter and the like.
            fn _repr_html_(&self) -> String {
                shown::table(&self.counted, self.limits)
            }
        }
    };
}

getters! {
    /// Reads that found an entry.
    hits = hits;
    /// Reads that did not.
    misses = misses;
    /// Entries held now.
    items = items;
    /// Entries with a deadline now.
    items_with_deadline = items_with_deadline;
    /// What all entries weigh now: in bytes, unless the weigher counts something else; without a limit on weight, 1 each.
    weight = bytes;
    /// Entries written under a key that was absent.
    inserts = inserts;
    /// Entries written over another.
    updates = updates;
    /// Entries removed by a call.
    removals = removals;
    /// Entries that went because of `max_items`.
    evictions_by_items = evictions_by_items;
    /// Entries that went because of the limit on bytes or weight.
    evictions_by_weight = evictions_by_bytes;
    /// Entries that went because their time was up.
    expirations = expirations;
    /// Writes that were refused because the entry can never fit.
    refused = refused;
}
