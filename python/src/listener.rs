//! Telling a callable of each entry that leaves a cache, and why. What it raises ends that one call of it, and goes to `sys.unraisablehook`.

use std::sync::Arc;

use pyo3::prelude::*;
use rustcache::RemovalCause;

use crate::callable::Callable;
use crate::calling;

/// The argument `eviction_listener` of a constructor.
pub(crate) fn of(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Arc<Callable>>> {
    let listener = given.map(|given| Callable::new(given, "eviction_listener"));
    Ok(listener.transpose()?.map(Arc::new))
}

/// To be called without a lock, by a thread that is attached.
pub(crate) fn tell(
    listener: &Callable,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    cause: RemovalCause,
) {
    let py = key.py();
    let Some(callable) = listener.get(py) else {
        return;
    };
    let arguments = (key, value, name(cause)).into_pyobject(py);
    if let Err(error) = arguments.and_then(|arguments| calling::call(&callable, &arguments, None)) {
        error.write_unraisable(py, Some(&callable));
    }
}

/// What a cause is called in Python.
fn name(cause: RemovalCause) -> &'static str {
    match cause {
        RemovalCause::MaxItems => "max_items",
        RemovalCause::MaxWeight => "max_weight",
        RemovalCause::Expired => "expired",
        RemovalCause::Replaced => "replaced",
        RemovalCause::Removed => "removed",
        RemovalCause::Cleared => "cleared",
        _ => "other",
    }
}
