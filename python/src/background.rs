//! The engine's background thread among Python's: it drops what has expired while it is attached to the interpreter, for a moment at a time, and never once that is about to end.

use std::cell::{Cell, RefCell};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustcache::Pause;

/// How long it stays attached at a time, so that other threads do not wait for it longer than for each other.
const TURN: Duration = Duration::from_millis(1);

/// Held while the thread is attached or about to be. `false` once the interpreter ends.
static MAY_ATTACH: Mutex<bool> = Mutex::new(true);

thread_local! {
    /// Whether this is the engine's thread, and it is attached.
    static IS_ATTENDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread, which has to do with objects, is attached: all are that do, but the engine's own, when it happens to be the last that holds a cache.
#[inline]
pub(crate) fn is_attached() -> bool {
    !rustcache::is_background_thread() || IS_ATTENDED.get()
}

/// Reclaims, by `step`, until nothing is left.
pub(crate) fn attend(step: &mut dyn FnMut() -> bool) {
    loop {
        let may_attach = MAY_ATTACH.lock().unwrap_or_else(PoisonError::into_inner);
        if !*may_attach {
            return;
        }
        let more = Python::try_attach(|_| {
            IS_ATTENDED.set(true);
            let more = reclaim_for(TURN, step);
            IS_ATTENDED.set(false);
            more
        });
        drop(may_attach);
        if more != Some(true) {
            return;
        }
        thread::yield_now();
    }
}

/// Whether there is more after this time.
fn reclaim_for(turn: Duration, step: &mut dyn FnMut() -> bool) -> bool {
    let end = Instant::now() + turn;
    while step() {
        if Instant::now() >= end {
            return true;
        }
    }
    false
}

/// Attached, whatever thread this is; nothing is done once the interpreter ends.
pub(crate) fn attached(work: impl FnOnce(Python<'_>)) {
    // Every other thread that comes here came from Python.
    let may_attach =
        rustcache::is_background_thread().then(|| MAY_ATTACH.lock().unwrap_or_else(PoisonError::into_inner));
    if may_attach.as_deref() != Some(&false) {
        Python::try_attach(work);
    }
}

/// To be called before the interpreter ends: a thread that waits for it then is lost.
#[pyfunction]
fn _stop_background(py: Python<'_>) {
    py.detach(|| *MAY_ATTACH.lock().unwrap_or_else(PoisonError::into_inner) = false);
}

thread_local! {
    /// Of the thread that is about to fork.
    static PAUSE: RefCell<Option<Pause>> = const { RefCell::new(None) };
}

/// Before `os.fork()`: the thread must have nothing in hand.
#[pyfunction]
fn _before_fork(py: Python<'_>) {
    // Detached, since the thread may wait for the interpreter; and what other attached threads wait for is locked only when this one is attached again.
    py.detach(|| PAUSE.with_borrow_mut(|pause| *pause = Some(Pause::begin())));
    PAUSE.with_borrow_mut(|pause| pause.as_mut().map(Pause::hold));
}

#[pyfunction]
fn _after_fork_in_parent() {
    drop(PAUSE.take());
}

/// What expires in the child as well is reclaimed there by a thread of its own.
#[pyfunction]
fn _after_fork_in_child() {
    if let Some(pause) = PAUSE.take() {
        pause.end_in_child();
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let stop = wrap_pyfunction!(_stop_background, module)?;
    py.import("atexit")?.call_method1("register", (stop,))?;
    let os = py.import("os")?;
    // There is no fork on Windows.
    if let Some(register) = os.getattr_opt("register_at_fork")? {
        let hooks = PyDict::new(py);
        hooks.set_item("before", wrap_pyfunction!(_before_fork, module)?)?;
        hooks.set_item(
            "after_in_parent",
            wrap_pyfunction!(_after_fork_in_parent, module)?,
        )?;
        hooks.set_item("after_in_child", wrap_pyfunction!(_after_fork_in_child, module)?)?;
        register.call((), Some(&hooks))?;
    }
    Ok(())
}
