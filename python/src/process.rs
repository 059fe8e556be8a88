//! Whether this is still the process in which something was begun, for those who ask so often that a system call would matter. Nothing else lives here; the only unsafe code is that a fork is asked to be told of.

#![cfg_attr(unix, allow(unsafe_code))]

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

/// How many forks have led here since the module was loaded. Each child has one of its own, which differs from those of all that came before it.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The process, for `is_here`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    pub(crate) fn now() -> Self {
        Generation(GENERATION.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self == Generation::now()
    }
}

/// To be called before there is any `Generation`. Not by Python's own hooks, which a fork by other code than Python's does not run.
#[cfg(unix)]
pub(crate) fn register() -> PyResult<()> {
    use pyo3::sync::PyOnceLock;

    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }

    static IS_DONE: PyOnceLock<()> = PyOnceLock::new();
    Python::attach(|py| {
        IS_DONE.get_or_try_init(py, || {
            // SAFETY: What is called stays where it is for as long as the process lives, since extensions are never unloaded, and does nothing but what may be done after a fork.
            match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
                0 => Ok::<_, PyErr>(()),
                code => Err(std::io::Error::from_raw_os_error(code).into()),
            }
        })?;
        Ok(())
    })
}

/// There is no fork here.
#[cfg(not(unix))]
pub(crate) fn register() -> PyResult<()> {
    Ok(())
}
