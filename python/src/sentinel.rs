//! Values that stand for something else ("nothing is there", "the default TTL"): one object of each, which stays that one when it is copied or pickled.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

macro_rules! sentinel {
    ($class:ident, $name:literal, $instance:ident, $text:literal, $module_name:literal) => {
        #[doc = concat!("The type of `", $module_name, "`, of which there is one.")]
        #[pyclass(frozen, module = "rustcache", name = $name)]
        #[derive(Debug)]
        pub(crate) struct $class;

        static $instance: PyOnceLock<Py<$class>> = PyOnceLock::new();

        impl $class {
            /// The one that there is.
            #[inline]
            pub(crate) fn get(py: Python<'_>) -> PyResult<&Py<$class>> {
                match $instance.get(py) {
                    Some(instance) => Ok(instance),
                    None => $instance.get_or_try_init(py, || Py::new(py, $class)),
                }
            }
        }

        #[pymethods]
        impl $class {
            #[new]
            fn new(py: Python<'_>) -> PyResult<Py<$class>> {
                Ok(Self::get(py)?.clone_ref(py))
            }

            fn __repr__(&self) -> &'static str {
                $text
            }

            fn __reduce__(&self) -> &'static str {
                $module_name
            }
        }
    };
}

sentinel!(
    CacheMiss,
    "CacheMissSentinel",
    CACHE_MISS,
    "<CacheMiss>",
    "CACHE_MISS"
);
sentinel!(
    DefaultTtl,
    "DefaultTTLSentinel",
    DEFAULT_TTL,
    "<DefaultTTL>",
    "DEFAULT_TTL"
);
sentinel!(Missing, "_Missing", MISSING, "<missing>", "_core.MISSING");
