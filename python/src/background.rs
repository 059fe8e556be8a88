//! The engine's background thread among Python's: it drops what has expired while it is attached to the interpreter, for a moment at a time, and never once that is about to end.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How long it stays attached at a time, so that other threads do not wait for it longer than for each other.
const TURN: Duration = Duration::from_millis(1);

/// Held while the thread is attached or about to be. `false` once the interpreter ends.
static MAY_ATTACH: Mutex<bool> = Mutex::new(true);

/// Reclaims, by `step`, until nothing is left.
pub(crate) fn attend(step: &mut dyn FnMut() -> bool) {
    loop {
        let may_attach = MAY_ATTACH.lock().unwrap_or_else(PoisonError::into_inner);
        if !*may_attach {
            return;
        }
        let more = Python::try_attach(|_| {
            let end = Instant::now() + TURN;
            loop {
                if !step() {
                    return false;
                }
                if Instant::now() >= end {
                    return true;
                }
            }
        });
        drop(may_attach);
        if more != Some(true) {
            return;
        }
        thread::yield_now();
    }
}

/// To be called before the interpreter ends: a thread that waits for it then is lost.
#[pyfunction]
fn _stop_background(py: Python<'_>) {
    py.detach(|| *MAY_ATTACH.lock().unwrap_or_else(PoisonError::into_inner) = false);
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let stop = wrap_pyfunction!(_stop_background, module)?;
    let atexit = module.py().import("atexit")?;
    atexit.call_method1("register", (stop,))?;
    Ok(())
}
