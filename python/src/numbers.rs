//! What Python takes for a number.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// `numbers.Number`.
pub(crate) fn number(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static NUMBER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(NUMBER.import(py, "numbers", "Number")?.as_any())
}
