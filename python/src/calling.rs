//! Calls from which a thread may not come back. What runs Python code for long, or as part of a loop of the program's, is called by these: a function below `@cached`, callables of the user's, `__hash__`, `__eq__`.
//! Nothing is decided here.
//!
//! CPython before 3.14 ends a daemon thread that wants the interpreter once that is about to end, by `pthread_exit`, which glibc does by unwinding the stack. Frames of Rust cannot be unwound by that: the process would
//! abort. So the thread stays where it is, as it does from 3.14 on, and ends with the process. No lock is held around these calls, and nothing is owed to anybody by then.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::hint::black_box;
use std::mem::{forget, transmute};
use std::thread;

use pyo3::ffi::{self, Py_hash_t, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

// As those of `pyo3::ffi`, which are declared as never unwinding.
type Call = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
type Hash = unsafe extern "C-unwind" fn(*mut PyObject) -> Py_hash_t;
type Compare = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, c_int) -> *mut PyObject;

/// Keeps a thread for ever that is being ended. No panic of Rust's comes here: none goes through CPython.
struct Keep;

impl Drop for Keep {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

#[inline]
fn keeping<T>(call: impl FnOnce() -> T) -> T {
    let keep = Keep;
    let result = call();
    forget(keep);
    result
}

/// `callable(*args, **kwargs)`.
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), |kwargs| kwargs.as_ptr());
    // SAFETY: the same function, but for what it says of unwinding. `black_box` hides that from the optimizer, which would take the word of the other declaration.
    let call: Call = black_box(unsafe { transmute::<*const (), Call>(ffi::PyObject_Call as *const ()) });
    // SAFETY: all three are alive, `kwargs` may be null; the result is a new reference, or an exception is set.
    unsafe {
        let result = keeping(|| call(callable.as_ptr(), args.as_ptr(), kwargs));
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// `hash(object)`.
#[inline]
pub(crate) fn hash(object: &Bound<'_, PyAny>) -> PyResult<isize> {
    // No Python code is run by theirs.
    if object.is_exact_instance_of::<PyString>() || object.is_exact_instance_of::<PyInt>() {
        return object.hash();
    }
    hash_of_any(object)
}

fn hash_of_any(object: &Bound<'_, PyAny>) -> PyResult<isize> {
    // SAFETY: as in `call`.
    let hash: Hash = black_box(unsafe { transmute::<*const (), Hash>(ffi::PyObject_Hash as *const ()) });
    // SAFETY: the object is alive.
    match keeping(|| unsafe { hash(object.as_ptr()) }) {
        -1 => Err(PyErr::fetch(object.py())),
        hash => Ok(hash),
    }
}

/// `bool(a == b)`.
pub(crate) fn eq(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: as in `call`.
    let compare: Compare =
        black_box(unsafe { transmute::<*const (), Compare>(ffi::PyObject_RichCompare as *const ()) });
    // SAFETY: both are alive; the result is a new reference, or an exception is set.
    let equal = unsafe {
        let equal = keeping(|| compare(a.as_ptr(), b.as_ptr(), ffi::Py_EQ));
        Bound::from_owned_ptr_or_err(a.py(), equal)?
    };
    equal.is_truthy()
}
