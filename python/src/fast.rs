//! `Storage.get` and `Storage.set` as CPython calls them, without what PyO3 does around a method: parsing arguments that need none, and noting that the thread is attached. That is half of what a hit takes
//! otherwise. See docs/python.md for what else is unsafe.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::sentinel::CacheMiss;
use crate::storage::Storage;

const GET: &CStr = c"get($self, key, default=...)
--

The value under a key, which becomes the most recently used one; `CACHE_MISS`, or the default, if there is none or it has expired.";

const SET: &CStr = c"set($self, key, value, ttl=...)
--

Writes a value, which becomes the most recently used one. `ttl` is in seconds: `None` is for ever, 0 expires at once, `DEFAULT_TTL` is the default of this cache. What can never fit is not stored, and what the key held is gone.";

/// What CPython passes to a method of the kind `METH_FASTCALL | METH_KEYWORDS`.
type Method = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// Makes them methods of `Storage`.
pub(crate) fn add_methods(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<Storage>();
    let methods: [(&CStr, &CStr, Method); 2] = [(c"get", GET, get), (c"set", SET, set)];
    for (name, documentation, method) in methods {
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: method,
            },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: documentation.as_ptr(),
        }));
        // SAFETY: the class is a type, and the definition lives for ever. The descriptor checks that `self` is of the class.
        let descriptor = unsafe {
            let descriptor = ffi::PyDescr_NewMethod(class.as_ptr().cast(), definition);
            Bound::from_owned_ptr_or_err(py, descriptor)?
        };
        class.setattr(PyString::new(py, &name.to_string_lossy()), descriptor)?;
    }
    Ok(())
}

unsafe extern "C" fn get(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this as `Method` says.
    unsafe {
        called(
            this,
            args,
            count,
            names,
            ["key", "default"],
            1,
            |storage, [key, default]| {
                let Some(key) = key else {
                    return Err(missing(storage, "get", "key"));
                };
                let py = key.py();
                match (storage.get().get(&key)?, default) {
                    (Some(value), _) => Ok(value.into_ptr()),
                    (None, Some(default)) => Ok(default.to_owned().into_ptr()),
                    (None, None) => Ok(CacheMiss::get(py)?.clone_ref(py).into_ptr()),
                }
            },
        )
    }
}

unsafe extern "C" fn set(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this as `Method` says.
    unsafe {
        called(
            this,
            args,
            count,
            names,
            ["key", "value", "ttl"],
            2,
            |storage, [key, value, ttl]| {
                let (Some(key), Some(value)) = (key, value) else {
                    let name = if key.is_none() { "key" } else { "value" };
                    return Err(missing(storage, "set", name));
                };
                storage.get().set(&key, &value, ttl.as_deref())?;
                Ok(key.py().None().into_ptr())
            },
        )
    }
}

fn missing(storage: &Bound<'_, Storage>, method: &str, argument: &str) -> PyErr {
    let name = storage.get_type().name();
    let name = name.map_or_else(|_| "Storage".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "{name}.{method}() missing required argument: '{argument}'"
    ))
}

/// Hands a call of CPython's to `work`, with each argument in the place of its name.
///
/// # Safety
/// `this` is a `Storage`; the rest is as CPython passes it to a `Method`, on a thread that is attached.
#[inline(always)]
unsafe fn called<const N: usize>(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
    parameters: [&'static str; N],
    required: usize,
    work: impl for<'a, 'py> FnOnce(
        &'a Bound<'py, Storage>,
        [Option<Borrowed<'a, 'py, PyAny>>; N],
    ) -> PyResult<*mut ffi::PyObject>,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller promises. The arguments are borrowed for the time of the call, and `args` may be null if there are none.
    let (py, storage, positional) = unsafe {
        let py = Python::assume_attached();
        let count = count.unsigned_abs();
        let positional: &[*mut ffi::PyObject] = if count == 0 {
            &[]
        } else {
            slice::from_raw_parts(args, count)
        };
        (
            py,
            Borrowed::from_ptr(py, this).cast_unchecked::<Storage>(),
            positional,
        )
    };
    let mut given = [None; N];
    let result = catch_unwind(AssertUnwindSafe(|| {
        if names.is_null() && (required..=N).contains(&positional.len()) {
            for (place, &object) in given.iter_mut().zip(positional) {
                // SAFETY: an argument.
                *place = Some(unsafe { Borrowed::from_ptr(py, object) });
            }
        } else {
            // SAFETY: `names` is null or a tuple, and so many arguments come after the positional ones.
            unsafe { bind(py, positional, args, names, &parameters, &mut given)? };
        }
        work(&storage, given)
    }));
    match result {
        Ok(Ok(object)) => object,
        Ok(Err(error)) => raise(error),
        Err(_) => raise(PyRuntimeError::new_err(
            "a fault in rustcache itself: please report it",
        )),
    }
}

/// Sets an exception, as a thread of which PyO3 knows that it is attached: references that it drops while it does not know that, as those of errors, are put aside until it does.
#[cold]
fn raise(error: PyErr) -> *mut ffi::PyObject {
    Python::attach(|py| error.restore(py));
    std::ptr::null_mut()
}

/// Puts arguments into the places of their names.
///
/// # Safety
/// `names` is null or a tuple of text, and `args` has as many arguments behind the positional ones.
#[cold]
unsafe fn bind<'a, 'py>(
    py: Python<'py>,
    positional: &[*mut ffi::PyObject],
    args: *const *mut ffi::PyObject,
    names: *mut ffi::PyObject,
    parameters: &[&'static str],
    given: &mut [Option<Borrowed<'a, 'py, PyAny>>],
) -> PyResult<()> {
    if positional.len() > given.len() {
        return Err(PyTypeError::new_err(format!(
            "{}() takes at most {} arguments, and {} were given",
            if parameters.contains(&"value") {
                "set"
            } else {
                "get"
            },
            given.len(),
            positional.len()
        )));
    }
    for (place, &object) in given.iter_mut().zip(positional) {
        // SAFETY: an argument.
        *place = Some(unsafe { Borrowed::from_ptr(py, object) });
    }
    if names.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    let names = unsafe { Borrowed::from_ptr(py, names).cast_unchecked::<PyTuple>() };
    for (at, name) in names.iter_borrowed().enumerate() {
        let name = name.cast::<PyString>()?;
        let place = parameters.iter().position(|parameter| name == *parameter);
        let Some(place) = place else {
            return Err(PyTypeError::new_err(format!(
                "unexpected keyword argument {}",
                name.repr()?
            )));
        };
        // SAFETY: the arguments that have names come after the others.
        let object = unsafe { Borrowed::from_ptr(py, *args.add(positional.len() + at)) };
        if given[place].replace(object).is_some() {
            return Err(PyTypeError::new_err(format!(
                "multiple values for argument {}",
                name.repr()?
            )));
        }
    }
    Ok(())
}
