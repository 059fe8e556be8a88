//! The lock of a shard of a typed cache. Knows nothing of what it guards.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use super::super::watch::Waiting;

/// How long those who wait for a lock are let in, at most. Not for long: if there is always somebody, the work must get done all the same.
const PAUSES: u32 = 3;
const PAUSE: Duration = Duration::from_micros(50);

/// On cache lines of its own: threads that use neighbouring shards must not wait for each other's writes. (Two lines, since they come in pairs.)
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Locked<T> {
    guarded: Mutex<T>,
    waiting: Waiting,
}

impl<T> Locked<T> {
    pub(super) fn new(guarded: T) -> Self {
        Locked {
            guarded: Mutex::new(guarded),
            waiting: Waiting::new(),
        }
    }

    #[inline]
    pub(super) fn hold(&self) -> MutexGuard<'_, T> {
        match self.guarded.try_lock() {
            Ok(guard) => guard,
            // Whoever panicked did so before anything was changed: see shard.rs.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => self.wait(),
        }
    }

    /// `None` if somebody has it.
    pub(super) fn try_hold(&self) -> Option<MutexGuard<'_, T>> {
        match self.guarded.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    #[cold]
    fn wait(&self) -> MutexGuard<'_, T> {
        let wait = || self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.during(wait)
    }

    /// Waits a little while others wait for the lock: it is not fair, so that who takes it again and again must let them in.
    pub(super) fn let_others_in(&self) {
        for _ in 0..PAUSES {
            if !self.waiting.is_anybody() {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}
