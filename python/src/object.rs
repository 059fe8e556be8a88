//! Python objects as keys and values of the engine, and what can be said of two of them without running any Python code. See docs/python.md for what else is unsafe.
//!
//! The engine clones keys and values, and asks for the likeness of keys, while it holds a lock: none of that may run Python code, let another thread in, or allocate a Python object (which may start the garbage
//! collector). It drops them without a lock, on threads that are attached.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::slice;

use pyo3::ffi;
use pyo3::prelude::*;
use rustcache::Likeness;

use crate::background;

/// Tuples within tuples are looked into so deep; deeper ones are compared by their `==`.
const DEPTH: u32 = 4;

/// A reference to an object. Only threads that are attached to the interpreter may clone it: all that gives one to the engine takes a `Python` token.
#[derive(Debug)]
pub(crate) struct Object(ManuallyDrop<Py<PyAny>>);

impl Object {
    #[inline]
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> Self {
        Object(ManuallyDrop::new(object.clone().unbind()))
    }

    #[inline]
    pub(crate) fn py(&self) -> &Py<PyAny> {
        &self.0
    }

    #[inline]
    pub(crate) fn into_py(self) -> Py<PyAny> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so that nobody takes it again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }

    /// Nobody else's, as long as this is there.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    pub(crate) fn is(&self, other: &Object) -> bool {
        self.0.is(&*other.0)
    }
}

impl Clone for Object {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the engine clones in the calls of `Store` alone, which have a token.
        let py = unsafe { Python::assume_attached() };
        Object(ManuallyDrop::new(self.0.clone_ref(py)))
    }
}

impl Drop for Object {
    /// `Py` would ask whether this thread came here by PyO3, and put its object aside if not; but most come by fast.rs.
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is the end of `self`.
        let object = unsafe { ManuallyDrop::take(&mut self.0) };
        if background::is_attached() {
            // SAFETY: as it says.
            let py = unsafe { Python::assume_attached() };
            if is_shared(&object) {
                object.drop_ref(py);
            } else {
                let_go(object, py);
            }
        } else {
            drop(object);
        }
    }
}

/// Whether others refer to the object, so that nothing ends when this reference goes. (If others let go of it at the same time, that is not noticed; each thread nests by itself.)
#[inline]
fn is_shared(object: &Py<PyAny>) -> bool {
    // SAFETY: the reference keeps the object alive.
    let count = unsafe { ffi::Py_REFCNT(object.as_ptr()) };
    // From 3.14 on, flags are above the count.
    count & 0xFFFF_FFFF > 1
}

/// So deep may caches be nested in one another before their ends are put off.
const DEPTH_OF_ENDS: u32 = 50;

thread_local! {
    /// How many objects this thread is just letting go of, each in the end of the one before.
    static ENDING: Cell<u32> = const { Cell::new(0) };
    static PUT_OFF: RefCell<Vec<Py<PyAny>>> = const { RefCell::new(Vec::new()) };
}

/// Drops a reference. If that ends a cache that holds a cache that holds a cache…, they end one after the other, and not each within the one before: the stack would not have room for that. (Python's own
/// containers do the same.)
#[inline]
fn let_go(object: Py<PyAny>, py: Python<'_>) {
    let depth = ENDING.get();
    if depth >= DEPTH_OF_ENDS {
        return put_off(object, py);
    }
    ENDING.set(depth + 1);
    object.drop_ref(py);
    if depth == 0 {
        while let Some(object) = next_put_off() {
            object.drop_ref(py);
        }
    }
    ENDING.set(depth);
}

#[cold]
fn put_off(object: Py<PyAny>, py: Python<'_>) {
    let mut object = Some(object);
    let _ = PUT_OFF.try_with(|list| list.borrow_mut().extend(object.take()));
    // The thread ends, and has no list any more.
    if let Some(object) = object {
        object.drop_ref(py);
    }
}

fn next_put_off() -> Option<Py<PyAny>> {
    PUT_OFF.try_with(|list| list.borrow_mut().pop()).ok().flatten()
}

/// The `__dict__` of an instance, made if it is not there yet.
#[inline]
pub(crate) fn dict_of<'py>(instance: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the object is alive and the thread is attached; the result is a new reference, or an exception is set.
    unsafe {
        let dict = ffi::PyObject_GenericGetDict(instance.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(instance.py(), dict)
    }
}

/// A key, and its `hash()`.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) object: Object,
    pub(crate) hash: isize,
}

impl Key {
    /// Whether this is a key of that hash, as far as that can be told without Python code. A dict takes identical keys for equal, and those of different hashes for different, without asking them; so does this.
    #[inline]
    pub(crate) fn likeness(&self, object: &Bound<'_, PyAny>, hash: isize) -> Likeness {
        let (mine, other) = (self.object.0.as_ptr(), object.as_ptr());
        if mine == other {
            Likeness::Same
        } else if self.hash != hash {
            Likeness::Different
        } else {
            // SAFETY: both references keep their objects alive, and `object` shows that the thread is attached.
            unsafe { likeness(mine, other, DEPTH) }
        }
    }
}

fn of(equal: bool) -> Likeness {
    if equal {
        Likeness::Same
    } else {
        Likeness::Different
    }
}

/// # Safety
/// Both point to objects that are alive throughout, and the thread is attached.
unsafe fn likeness(a: *mut ffi::PyObject, b: *mut ffi::PyObject, depth: u32) -> Likeness {
    // SAFETY: as the caller promises; the calls are for objects of exactly these types, of which none runs other code, fails or allocates an object.
    unsafe {
        if ffi::Py_TYPE(a) != ffi::Py_TYPE(b) {
            return Likeness::Unknown;
        }
        if ffi::PyUnicode_CheckExact(a) != 0 {
            return of(ffi::PyUnicode_Compare(a, b) == 0);
        }
        if ffi::PyLong_CheckExact(a) != 0 {
            return match (small(a), small(b)) {
                (Some(a), Some(b)) => of(a == b),
                (None, None) => of(ffi::PyObject_RichCompareBool(a, b, ffi::Py_EQ) == 1),
                _ => Likeness::Different,
            };
        }
        if ffi::PyTuple_CheckExact(a) != 0 && depth > 0 {
            return tuples(a, b, depth - 1);
        }
        if ffi::PyBytes_CheckExact(a) != 0 {
            return of(bytes(a) == bytes(b));
        }
        if ffi::PyFloat_CheckExact(a) != 0 {
            #[expect(clippy::float_cmp, reason = "that is what == of Python does")]
            return of(ffi::PyFloat_AsDouble(a) == ffi::PyFloat_AsDouble(b));
        }
        Likeness::Unknown
    }
}

/// # Safety
/// An int that is alive; the thread is attached.
unsafe fn small(number: *mut ffi::PyObject) -> Option<i64> {
    let mut overflow: c_int = 0;
    // SAFETY: as the caller promises.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(number, &raw mut overflow) };
    (overflow == 0).then_some(value)
}

/// # Safety
/// Bytes that are alive throughout `'a`; the thread is attached.
unsafe fn bytes<'a>(object: *mut ffi::PyObject) -> &'a [u8] {
    // SAFETY: as the caller promises; bytes never change, and their length is never negative.
    unsafe {
        let begin = ffi::PyBytes_AsString(object).cast::<u8>();
        slice::from_raw_parts(begin, ffi::PyBytes_Size(object).unsigned_abs())
    }
}

/// # Safety
/// Tuples that are alive throughout; the thread is attached.
unsafe fn tuples(a: *mut ffi::PyObject, b: *mut ffi::PyObject, depth: u32) -> Likeness {
    // SAFETY: as the caller promises; a tuple keeps its elements, and never changes.
    unsafe {
        let length = ffi::PyTuple_Size(a);
        if length != ffi::PyTuple_Size(b) {
            return Likeness::Different;
        }
        let mut result = Likeness::Same;
        for at in 0..length {
            let (a, b) = (ffi::PyTuple_GetItem(a, at), ffi::PyTuple_GetItem(b, at));
            if a == b {
                continue;
            }
            match likeness(a, b, depth) {
                Likeness::Same => {}
                Likeness::Different => return Likeness::Different,
                Likeness::Unknown => result = Likeness::Unknown,
            }
        }
        result
    }
}
