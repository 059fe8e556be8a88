//! What the moment of a fork needs, whoever forks: what all caches of the process share is locked by no thread that the child does not have, and the child knows that it is one. What takes longer is done by hooks of
//! Python's, in background.rs. The only unsafe code is that a fork is asked to be told of.

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

/// Asks to be told of forks; before there is any `Generation`. Not by Python's own hooks: a fork by other code than Python's does not run them, and those of other packages, which run between ours and the fork, may wait
/// for threads that use caches.
#[cfg(unix)]
pub(crate) fn register() -> PyResult<()> {
    use pyo3::sync::PyOnceLock;

    static IS_DONE: PyOnceLock<()> = PyOnceLock::new();
    Python::attach(|py| {
        IS_DONE.get_or_try_init(py, || {
            // SAFETY: What is called stays where it is for as long as the process lives, since extensions are never unloaded; it locks and unlocks, and closes files, which may be done around a fork.
            match unsafe {
                libc::pthread_atfork(
                    Some(moment::before),
                    Some(moment::in_parent),
                    Some(moment::in_child),
                )
            } {
                0 => Ok::<_, PyErr>(()),
                code => Err(std::io::Error::from_raw_os_error(code).into()),
            }
        })?;
        Ok(())
    })
}

/// The moment of the fork. Nothing here waits for the interpreter, which the thread that forks may have.
#[cfg(unix)]
mod moment {
    use std::cell::Cell;
    use std::sync::atomic::Ordering;

    use rustcache::{ForkedLocks, ForkedRounds};

    use super::GENERATION;

    thread_local! {
        /// Of the thread that forks.
        static HELD: Cell<Option<(ForkedLocks, ForkedRounds)>> = const { Cell::new(None) };
    }

    pub(super) extern "C" fn before() {
        // Not in a thread that is ending.
        let _ = HELD.try_with(|held| held.set(Some((ForkedLocks::hold(), ForkedRounds::hold()))));
    }

    fn held() -> Option<(ForkedLocks, ForkedRounds)> {
        HELD.try_with(Cell::take).ok().flatten()
    }

    pub(super) extern "C" fn in_parent() {
        drop(held());
    }

    pub(super) extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        if let Some((locks, _)) = held() {
            locks.leave_to_parent();
        }
    }
}

/// There is no fork here.
#[cfg(not(unix))]
pub(crate) fn register() -> PyResult<()> {
    Ok(())
}
