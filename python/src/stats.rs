//! What a cache has counted, as an object of Python: attributes, a short `repr`, and a table for notebooks.

use std::fmt::Write;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::Stats as Counted;

/// What was counted since the cache was made, and what it holds now.
#[pyclass(frozen, eq, module = "rustcache", name = "Stats")]
#[derive(Debug, PartialEq)]
pub(crate) struct Stats(Counted);

impl From<Counted> for Stats {
    fn from(counted: Counted) -> Self {
        Stats(counted)
    }
}

impl Stats {
    fn fields(&self) -> [(&'static str, u64); 12] {
        let stats = &self.0;
        [
            ("hits", stats.hits),
            ("misses", stats.misses),
            ("items", stats.items),
            ("items_with_deadline", stats.items_with_deadline),
            ("weight", stats.bytes),
            ("inserts", stats.inserts),
            ("updates", stats.updates),
            ("removals", stats.removals),
            ("evictions_by_items", stats.evictions_by_items),
            ("evictions_by_weight", stats.evictions_by_bytes),
            ("expirations", stats.expirations),
            ("refused", stats.refused),
        ]
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
                    self.0.$field
                }
            )+

            /// Hits over reads, from 0.0 to 1.0; 0.0 before the first read.
            #[getter]
            fn hit_ratio(&self) -> f64 {
                self.0.hit_ratio()
            }

            /// All of it, by name.
            fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let dict = PyDict::new(py);
                for (name, value) in self.fields() {
                    dict.set_item(name, value)?;
                }
                dict.set_item("hit_ratio", self.0.hit_ratio())?;
                Ok(dict)
            }

            fn __repr__(&self) -> String {
                let fields = self.fields().map(|(name, value)| format!("{name}={value}"));
                format!("Stats(hit_ratio={:.3}, {})", self.0.hit_ratio(), fields.join(", "))
            }

            /// A table, in Jupyter and the like.
            fn _repr_html_(&self) -> String {
                let mut rows = format!("<tr><th>hit_ratio</th><td>{:.3}</td></tr>", self.0.hit_ratio());
                for (name, value) in self.fields() {
                    let _ = write!(rows, "<tr><th>{name}</th><td>{value}</td></tr>");
                }
                format!("<table>{rows}</table>")
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
