//! How long a request waits for somebody else: for its body to come, or for memory that others hold. The daemon could not be any faster then.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task_local;

task_local! {
    static WAITED: Cell<Duration>;
}

/// What is done for one request, with its own count.
pub(super) fn counted<T>(request: impl Future<Output = T>) -> impl Future<Output = T> {
    WAITED.scope(Cell::new(Duration::ZERO), request)
}

/// Something that others have to do before the request can go on.
pub(super) async fn for_others<T>(event: impl Future<Output = T>) -> T {
    let _waiting = Waiting(Instant::now());
    event.await
}

/// Since then, until this is dropped: also if the event has not come when it is given up.
struct Waiting(Instant);

impl Drop for Waiting {
    fn drop(&mut self) {
        // Outside of requests nobody asks.
        let _ = WAITED.try_with(|waited| waited.set(waited.get() + self.0.elapsed()));
    }
}

/// By the request that is under way, until now.
pub(super) fn so_far() -> Duration {
    WAITED.try_with(Cell::get).unwrap_or_default()
}
