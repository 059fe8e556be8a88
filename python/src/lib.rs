//! `rustcache._core`: the engine for Python. Each class has a file of its own; what they are made of lies below: `store.rs` (objects), `object.rs` (all unsafe code), `background.rs` (the thread).

mod arguments;
mod background;
mod listener;
mod object;
mod scatter;
mod sentinel;
mod storage;
mod store;

/// What Python programs import as `rustcache._core`.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::sentinel::{CacheMiss, DefaultTtl};
    #[pymodule_export]
    use crate::storage::Storage;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("CACHE_MISS", CacheMiss::get(py)?)?;
        module.add("DEFAULT_TTL", DefaultTtl::get(py)?)?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
        crate::background::register(module)
    }
}
