//! Loads by loaders that are futures. Nothing here depends on an executor: who waits is woken by the waker that it was polled with.

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;

use super::{Call, Join, Lead, LoadError, Stopped, landed, nesting};

/// As [`get`](super::get).
pub(crate) async fn get_async<C, F, L>(call: &C, loader: F) -> C::Value
where
    C: Call,
    F: FnOnce() -> L,
    L: Future<Output = C::Brought>,
{
    let loader = || async { Ok::<_, Infallible>(loader().await) };
    match load_async(call, loader).await {
        Ok(value) => value,
        Err(Stopped::Failed(never)) => match *never {},
        Err(Stopped::Reentrant(loader)) => match loader().await {
            Ok(brought) => call.unkept(brought),
            Err(never) => match never {},
        },
    }
}

/// As [`try_get`](super::try_get).
pub(crate) async fn try_get_async<C, E, F, L>(call: &C, loader: F) -> Result<C::Value, LoadError<E>>
where
    C: Call,
    E: Any + Send + Sync,
    F: FnOnce() -> L,
    L: Future<Output = Result<C::Brought, E>>,
{
    load_async(call, loader).await.map_err(LoadError::from)
}

/// As [`load`](super::load). Dropped while its loader runs, it abandons the flight: one of those who wait loads instead.
pub(super) async fn load_async<C, E, F, L>(call: &C, loader: F) -> Result<C::Value, Stopped<E, F>>
where
    C: Call,
    E: Any + Send + Sync,
    F: FnOnce() -> L,
    L: Future<Output = Result<C::Brought, E>>,
{
    loop {
        match call.join() {
            Join::Present(value) => return Ok(value),
            Join::Lead(flight) => {
                let lead = Lead::new(call, flight);
                let brought = run(lead.flight.id(), loader).await;
                return lead.land(brought).map_err(Stopped::Failed);
            }
            Join::Wait(waiting) => {
                let Ok(_waits) = nesting::wait_for(waiting.flight()) else {
                    return Err(Stopped::Reentrant(loader));
                };
                if let Some(landed) = landed(waiting.end_async().await) {
                    return landed.map_err(Stopped::Failed);
                }
            }
        }
    }
}

/// Runs the loader of a flight; each time that it is polled, the thread is in it.
async fn run<F, L>(flight: u64, loader: F) -> L::Output
where
    F: FnOnce() -> L,
    L: Future,
{
    let inside = nesting::enter(flight);
    let future = loader();
    drop(inside);
    let mut future = pin!(future);
    poll_fn(|context| {
        let _inside = nesting::enter(flight);
        future.as_mut().poll(context)
    })
    .await
}
