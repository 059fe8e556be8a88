//! The engine's background thread among Python's: it drops what has expired while it is attached to the interpreter, for a moment at a time, and never once that is about to end.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use rustcache::{Outside, Pause};

/// How long it stays attached at a time, so that other threads do not wait for it longer than for each other.
const TURN: Duration = Duration::from_millis(1);
/// How long a fork waits for the program's code that runs there, which may wait for the thread that forks.
const PATIENCE: Duration = Duration::from_millis(100);

/// Whether the thread may attach, and whether it is at work. Locked for a moment at a time: what runs while it is at work is the program's own code, which may come back here.
#[derive(Debug)]
struct Gate {
    /// Not once the interpreter ends.
    is_open: bool,
    inside: usize,
}

static GATE: Mutex<Gate> = Mutex::new(Gate {
    is_open: true,
    inside: 0,
});
static HAS_LEFT: Condvar = Condvar::new();

fn gate() -> MutexGuard<'static, Gate> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread is attached, or about to be: the interpreter is not to end meanwhile.
struct Inside;

impl Inside {
    fn enter() -> Option<Self> {
        let mut gate = gate();
        gate.is_open.then(|| {
            gate.inside += 1;
            Inside
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        gate().inside -= 1;
        HAS_LEFT.notify_all();
    }
}

thread_local! {
    /// Whether this is the engine's thread, and it is attached.
    static IS_ATTENDED: Cell<bool> = const { Cell::new(false) };
}

/// Until this is dropped, `IS_ATTENDED`.
struct Attended;

impl Attended {
    fn begin() -> Self {
        IS_ATTENDED.set(true);
        Attended
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        IS_ATTENDED.set(false);
    }
}

/// Has the engine's thread do this, attached; `None` once the interpreter ends.
fn attach_for<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    if IS_ATTENDED.get() {
        return Python::try_attach(work);
    }
    let _inside = Inside::enter()?;
    // What has a lock of a cache has the interpreter's as well, and so has who forks; without a global one, a fork that has lost its patience may find a cache in the middle of a change.
    // Dropped first, and when this thread is detached again: it waits.
    let _outside = Outside::enter();
    Python::try_attach(|py| {
        let _attended = Attended::begin();
        work(py)
    })
}

/// Whether this thread, which has to do with objects, is attached: all are that do, but the engine's own, when it happens to be the last that holds a cache.
#[inline]
pub(crate) fn is_attached() -> bool {
    !rustcache::is_background_thread() || IS_ATTENDED.get()
}

/// Whether this is the engine's thread, and the end of the interpreter waits for it: it is to begin nothing then that may take long.
pub(crate) fn is_to_leave() -> bool {
    IS_ATTENDED.get() && !gate().is_open
}

/// Reclaims, by `step`, until nothing is left.
pub(crate) fn attend(step: &mut dyn FnMut() -> bool) {
    while attach_for(|_| reclaim_for(TURN, step)) == Some(true) {
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
    if rustcache::is_background_thread() {
        attach_for(work);
    } else {
        // It came from Python.
        Python::try_attach(work);
    }
}

/// To be called before the interpreter ends: a thread that waits for it then is lost.
#[pyfunction]
fn _stop_background(py: Python<'_>) {
    // It is this very thread in a child that a listener has forked: that does not wait for itself.
    let own = usize::from(IS_ATTENDED.get());
    gate().is_open = false;
    py.detach(|| {
        let mut gate = gate();
        while gate.inside > own {
            gate = HAS_LEFT.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    });
}

thread_local! {
    /// Of the thread that is about to fork.
    static PAUSE: Cell<Option<Pause>> = const { Cell::new(None) };
}

/// Before `os.fork()`: the thread must have nothing in hand, or be in code of the program's.
#[pyfunction]
fn _before_fork(py: Python<'_>) {
    // Detached, since the thread may wait for the interpreter.
    py.detach(|| PAUSE.set(Some(Pause::begin(PATIENCE))));
}

#[pyfunction]
fn _after_fork_in_parent() {
    drop(PAUSE.take());
}

/// What expires in the child as well is reclaimed there by a thread of its own.
#[pyfunction]
fn _after_fork_in_child() {
    // First, so that the thread finds nothing that was the parent's.
    crate::directory::leave_to_parent();
    // The thread that was inside is not here, unless it is this one.
    gate().inside = usize::from(IS_ATTENDED.get());
    if let Some(pause) = PAUSE.take() {
        pause.end_in_child();
    }
}

/// Once for the process: who imports the package anew gets another module, and the hooks of the first one go on.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    static IS_DONE: PyOnceLock<()> = PyOnceLock::new();
    IS_DONE.get_or_try_init(module.py(), || register_hooks(module))?;
    Ok(())
}

fn register_hooks(module: &Bound<'_, PyModule>) -> PyResult<()> {
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
