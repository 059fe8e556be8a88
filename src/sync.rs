//! What threads share, from the standard library or, with `--cfg loom`, from loom, which tries each order of steps (`.ci/run`, step "loom"). For `seat`,
//! `flight` and `key_lock`: their loom tests run the very code that programs run.

#[cfg(all(test, loom))]
pub(crate) use loom::{
    sync::{Condvar, Mutex, MutexGuard},
    thread::{self, ThreadId},
};
use std::sync::PoisonError;
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread::{self, ThreadId},
};

/// Locks. Nothing that may panic half-way through a change runs under any of these locks, so that a panic leaves nothing to be afraid of.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `loom::model` for three threads: all orders in which one of them loses its processor more often than this would take minutes.
#[cfg(all(test, loom))]
pub(crate) fn model_of_three(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// An executor for the loom tests: one future, one thread.
#[cfg(all(test, loom, feature = "async"))]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
