//! What makes `instance.method(…)` quick: CPython calls an object in a class with the instance in front of the arguments, without binding it first, if its class says that both are the same. Which memos that holds for is up to `memo.rs`
//! and `rustcache/_cached.py`; here are classes that say so, and who is an instance of what. See docs/python.md for what else is unsafe.
#![allow(unsafe_code)]

use std::ffi::{CString, c_uint};
use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};

/// A subclass that is its base in everything, but for saying that calling `object.__get__(instance)(…)` and `object(instance, …)` is the same. `name` is its name, with that of its module.
#[pyfunction]
#[pyo3(signature = (class_, name))]
pub(crate) fn as_method_descriptor<'py>(
    class_: &Bound<'py, PyType>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class_.py();
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR;
    let mut slots = [ffi::PyType_Slot {
        slot: 0,
        pfunc: null_mut(),
    }];
    let mut spec = ffi::PyType_Spec {
        // CPython before 3.11 goes on using it.
        name: CString::new(name)?.into_raw(),
        basicsize: 0,
        itemsize: 0,
        flags: c_uint::try_from(flags)?,
        slots: slots.as_mut_ptr(),
    };
    let bases = PyTuple::new(py, [class_])?;
    // SAFETY: the specification is complete, its slots end with a 0, and its name lives for ever; sizes of 0 are those of the base, and so is all that is not in a slot. The result is a new reference, or an
    // exception is set.
    unsafe {
        let made = ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr());
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// Whether the object is of a class that says so.
fn is_method_descriptor(object: &Bound<'_, PyAny>) -> bool {
    flags_of(object) & ffi::Py_TPFLAGS_METHOD_DESCRIPTOR != 0
}

fn flags_of(object: &Bound<'_, PyAny>) -> std::ffi::c_ulong {
    // SAFETY: the object is alive, and keeps its class alive.
    unsafe { ffi::PyType_GetFlags(ffi::Py_TYPE(object.as_ptr())) }
}

/// Whether an object is called for this instance, which comes first among its arguments. `owner` is the class in which it was defined.
#[inline]
pub(crate) fn is_called_for(
    object: &Bound<'_, PyAny>,
    instance: &Bound<'_, PyAny>,
    owner: &Bound<'_, PyType>,
) -> PyResult<bool> {
    // SAFETY: both are classes, and alive.
    let is_subtype = unsafe {
        let class = ffi::Py_TYPE(instance.as_ptr());
        class == owner.as_ptr().cast() || ffi::PyType_IsSubtype(class, owner.as_ptr().cast()) != 0
    };
    Ok(is_subtype || instance.is_instance(owner)? || is_lent(object, instance)?)
}

/// Whether the object was put into another class later, and is called by an instance of that.
fn is_lent(object: &Bound<'_, PyAny>, instance: &Bound<'_, PyAny>) -> PyResult<bool> {
    let is_defined_in_python = flags_of(instance) & ffi::Py_TPFLAGS_HEAPTYPE != 0;
    if !is_defined_in_python || !is_method_descriptor(object) {
        return Ok(false);
    }
    let py = instance.py();
    for class in instance.get_type().mro() {
        let dict = class.getattr(pyo3::intern!(py, "__dict__"))?;
        // A list of its own: other threads may change the class.
        let held = dict.call_method0(pyo3::intern!(py, "values"))?;
        let held = py.get_type::<PyList>().call1((held,))?;
        if held.cast::<PyList>()?.iter().any(|held| held.is(object)) {
            return Ok(true);
        }
    }
    Ok(false)
}
