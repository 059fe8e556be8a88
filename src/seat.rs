//! Where one waits, a thread or a task, until told how it goes on: a message for one, sent once. Who tells it, and what, is `flight`'s and `key_lock`'s.
//!
//! No code of anybody else's runs under its lock: wakers are cloned before, and woken and dropped after.

use std::sync::PoisonError;
#[cfg(feature = "async")]
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::sync::{Condvar, Mutex, lock};

/// A place for one to wait in.
#[derive(Debug)]
pub(crate) struct Seat<T> {
    state: Mutex<State<T>>,
    told: Condvar,
}

#[derive(Debug)]
struct State<T> {
    message: Option<T>,
    /// Of the task that waits.
    #[cfg(feature = "async")]
    waker: Option<Waker>,
}

impl<T> Seat<T> {
    pub(crate) fn new() -> Self {
        Seat {
            state: Mutex::new(State {
                message: None,
                #[cfg(feature = "async")]
                waker: None,
            }),
            told: Condvar::new(),
        }
    }

    /// Tells the one who waits, or will. A waker that panics is not to keep others from being told: its executor has to live with that.
    pub(crate) fn tell(&self, message: T) {
        let mut state = lock(&self.state);
        state.message = Some(message);
        #[cfg(feature = "async")]
        let waker = state.waker.take();
        drop(state);
        self.told.notify_one();
        #[cfg(feature = "async")]
        if let Some(waker) = waker {
            let wake = std::panic::AssertUnwindSafe(|| waker.wake());
            let _ = std::panic::catch_unwind(wake);
        }
    }

    /// Waits, for ever if need be.
    pub(crate) fn wait(&self) -> T {
        let mut state = lock(&self.state);
        loop {
            if let Some(message) = state.message.take() {
                return message;
            }
            state = self.told.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until then at most.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if let Some(message) = state.message.take() {
                return Some(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.told.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits as a future does.
    #[cfg(feature = "async")]
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<T> {
        let waker = context.waker().clone();
        let mut state = lock(&self.state);
        if let Some(message) = state.message.take() {
            drop(state);
            return Poll::Ready(message);
        }
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}
