//! Work that takes long: on threads of its own, out of the way of requests that do not, and not more of it at once than gets on.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Reading, comparing or copying so many bytes takes about as long as a few requests.
const LONG: usize = 256 * 1024;

/// Whether something about so many bytes takes long.
pub(super) fn is_long(bytes: usize) -> bool {
    bytes > LONG
}

/// Turns for it, in the order in which they are asked for. Each thread that has done some keeps several MiB for good, so there are few.
#[derive(Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many as threads serve, and not one alone: all would wait for what takes longest.
    pub(super) fn count(threads: usize) -> usize {
        threads.max(2)
    }

    pub(super) fn new(threads: usize) -> Self {
        Turns(Arc::new(Semaphore::new(Self::count(threads))))
    }

    /// Does something about so many bytes: if they are many, elsewhere and in its turn.
    pub(super) async fn about<R, W>(&self, bytes: usize, work: W) -> R
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static,
    {
        if is_long(bytes) {
            self.always(work).await
        } else {
            work()
        }
    }

    /// Does something that may take long, whatever it is about.
    pub(super) async fn always<R, W>(&self, work: W) -> R
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static,
    {
        // Whoever is gone before his turn does not have it; what has begun keeps it to the end.
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let done = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        match done.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panic)) => resume_unwind(panic),
            // It was not begun, since the server has ended, and nobody is answered any more.
            Err(Err(_)) => pending().await,
        }
    }
}
