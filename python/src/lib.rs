//! `rustcache._core`: the engine for Python. Each class has a file of its own; what they are made of lies below: `store.rs` (objects), `object.rs`, `fast.rs`, `calling.rs`, `descriptor.rs` and `process.rs` (all unsafe code), `background.rs` (the thread).

mod arguments;
mod background;
mod cache;
mod callable;
mod calling;
mod codec;
mod config;
mod counter;
mod descriptor;
mod directory;
mod failure;
mod fast;
mod few;
mod flight;
mod instance;
mod iterate;
mod kept;
mod kv_store;
mod listener;
mod made;
mod memo;
mod method;
mod numbers;
mod object;
mod objects;
mod process;
mod ready;
mod repr;
mod results;
mod scatter;
mod sentinel;
mod serialized;
mod shown;
mod state;
mod stats;
mod storage;
mod store;
mod string_cache;
mod table;

/// What Python programs import as `rustcache._core`.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::cache::Cache;
    #[pymodule_export]
    use crate::directory::DirectoryStats;
    #[pymodule_export]
    use crate::flight::Flight;
    #[pymodule_export]
    use crate::instance::OfInstance;
    #[pymodule_export]
    use crate::iterate::EntryIterator;
    #[pymodule_export]
    use crate::kv_store::KvStore;
    #[pymodule_export]
    use crate::memo::Memo;
    #[pymodule_export]
    use crate::method::Method;
    #[pymodule_export]
    use crate::ready::Ready;
    #[pymodule_export]
    use crate::results::Results;
    #[pymodule_export]
    use crate::sentinel::{CacheMiss, DefaultTtl};
    #[pymodule_export]
    use crate::stats::Stats;
    #[pymodule_export]
    use crate::storage::Storage;
    #[pymodule_export]
    use crate::table::Table;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::process::register()?;
        module.add("CACHE_MISS", CacheMiss::get(py)?)?;
        module.add("DEFAULT_TTL", DefaultTtl::get(py)?)?;
        // Two classes may not have one name in a module.
        module.add("StringCache", py.get_type::<crate::string_cache::StringCache>())?;
        module.add("MISSING", crate::sentinel::Missing::get(py)?)?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
        crate::fast::add_methods(py)?;
        module.add_function(wrap_pyfunction!(crate::codec::encode_arguments, module)?)?;
        module.add_function(wrap_pyfunction!(crate::descriptor::as_method_descriptor, module)?)?;
        crate::background::register(module)?;
        crate::directory::register(module)
    }
}
