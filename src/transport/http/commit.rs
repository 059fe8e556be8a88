//! Commits that take as long as a disk takes, on a thread of their own: those who wait for one do not keep an executor waiting, and share it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::persist::{Failure, Store};

type Waiter = oneshot::Sender<Result<(), Failure>>;

/// A thread that commits when it is asked to.
#[derive(Debug)]
pub(super) struct Committer {
    store: Arc<Store>,
    queue: Arc<Queue>,
    /// Whether there is a thread: if none could be started, whoever asks waits for the disk.
    is_running: bool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    waiters: Vec<Waiter>,
    is_over: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait, once there are any; none when it is over.
    fn take(&self) -> Vec<Waiter> {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| waiting.waiters.is_empty() && !waiting.is_over;
        let mut waiting = self
            .asked
            .wait_while(waiting, idle)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut waiting.waiters)
    }
}

impl Committer {
    pub(super) fn new(store: Arc<Store>) -> Self {
        let queue = Arc::new(Queue::default());
        let (work, orders) = (Arc::clone(&store), Arc::clone(&queue));
        let run = move || {
            loop {
                let waiters = orders.take();
                if waiters.is_empty() {
                    break;
                }
                let committed = work.commit();
                for waiter in waiters {
                    // Whoever asked may have gone.
                    let _ = waiter.send(committed.clone());
                }
            }
        };
        let started = thread::Builder::new().name("rustcache-commit".into()).spawn(run);
        Committer {
            store,
            queue,
            is_running: started.is_ok(),
        }
    }

    /// Commits all that was changed before the call.
    pub(super) async fn commit(&self) -> Result<(), Failure> {
        if !self.is_running {
            return self.store.commit();
        }
        let (done, committed) = oneshot::channel();
        self.queue.lock().waiters.push(done);
        self.queue.asked.notify_one();
        match committed.await {
            Ok(committed) => committed,
            // The thread has died, which it never should.
            Err(_) => self.store.commit(),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.lock().is_over = true;
        self.queue.asked.notify_one();
    }
}
