//! Single flight: one loader for each key, and who asks for what is being loaded waits for that load. Knows nothing of caches: what it asks of one is a
//! [`Call`], and [`Flights`] is what that one keeps behind the lock of its entries.
//!
//! ```text
//! join ── there is a value ──────────────────────────────► that
//!  │ ▲
//!  │ ├── there is a flight ── wait ── it landed ───────────► its value, or its error
//!  │ └──────────────────────────────┴ it was abandoned
//!  └──── there is none ── take off ── run the loader ── land ─► keep the value, tell who waits
//!                         (`table.rs`)                 └── a panic, a dropped future: abandon, tell who waits
//! ```
//! A flight has one loader from beginning to end. When it is abandoned, all who wait join anew, and one of them takes off: nothing is handed over that
//! could be lost on the way. A flight that is not in the table any more when it lands was outdated by a write: what it brings is not kept.

#[cfg(feature = "async")]
mod asynchronous;
mod error;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(test)]
mod model;
mod nesting;
mod one;
mod table;
#[cfg(all(test, not(loom)))]
mod tests;

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "async")]
pub(crate) use asynchronous::{get_async, try_get_async};
pub use error::LoadError;
pub(crate) use one::{Flight, Waiting};
pub(crate) use table::Flights;

use one::End;

/// What a caller found.
#[derive(Debug)]
pub(crate) enum Join<K, V> {
    /// The value is there.
    Present(V),
    /// Somebody loads it.
    Wait(Waiting<K, V>),
    /// Nobody does: this is the caller's own flight.
    Lead(Arc<Flight<K, V>>),
}

/// One call that asks for the value of one key, and where it would be kept.
pub(crate) trait Call {
    type Key;
    /// What callers get.
    type Value: Clone;
    /// What a loader brings.
    type Brought;

    /// Looks for the value and, if it is not there, joins the flight of the key or takes off: both under one hold of the lock of the entries.
    fn join(&self) -> Join<Self::Key, Self::Value>;

    /// Keeps what was brought if [`Flights::end`] allows it, under the same hold.
    fn land(&self, flight: &Arc<Flight<Self::Key, Self::Value>>, brought: Self::Brought) -> Self::Value;

    /// What a loader brought that ran without a flight.
    fn unkept(&self, brought: Self::Brought) -> Self::Value;

    /// Nothing was brought: ends the flight. Does nothing if it has ended already.
    fn abandon(&self, flight: &Arc<Flight<Self::Key, Self::Value>>);
}

/// Why a call got no value.
enum Stopped<E, F> {
    /// The loader failed: this caller's, or that of the flight which it waited for.
    Failed(Arc<E>),
    /// It would have waited for itself. Here is its loader again, which has not run.
    Reentrant(F),
}

impl<E: fmt::Debug, F> fmt::Debug for Stopped<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Stopped::Reentrant(_) => f.write_str("Reentrant"),
        }
    }
}

/// Gives the value, by this loader if need be. Where it would wait for itself, it runs without a flight.
pub(crate) fn get<C: Call>(call: &C, loader: impl FnOnce() -> C::Brought) -> C::Value {
    match load(call, || Ok::<_, Infallible>(loader())) {
        Ok(value) => value,
        Err(Stopped::Failed(never)) => match *never {},
        Err(Stopped::Reentrant(loader)) => match loader() {
            Ok(brought) => call.unkept(brought),
            Err(never) => match never {},
        },
    }
}

/// As `get`, by a loader that may fail.
pub(crate) fn try_get<C: Call, E: Any + Send + Sync>(
    call: &C,
    loader: impl FnOnce() -> Result<C::Brought, E>,
) -> Result<C::Value, LoadError<E>> {
    load(call, loader).map_err(LoadError::from)
}

/// Gives the value, by this loader if need be. No lock is held while that runs.
fn load<C, E, F>(call: &C, loader: F) -> Result<C::Value, Stopped<E, F>>
where
    C: Call,
    E: Any + Send + Sync,
    F: FnOnce() -> Result<C::Brought, E>,
{
    loop {
        match call.join() {
            Join::Present(value) => return Ok(value),
            Join::Lead(flight) => {
                let lead = Lead::new(call, flight);
                let inside = nesting::enter(lead.flight.id());
                let brought = loader();
                drop(inside);
                return lead.land(brought).map_err(Stopped::Failed);
            }
            Join::Wait(waiting) => {
                let Ok(_waits) = nesting::wait_for(waiting.flight()) else {
                    return Err(Stopped::Reentrant(loader));
                };
                if let Some(landed) = landed(waiting.end()) {
                    return landed.map_err(Stopped::Failed);
                }
            }
        }
    }
}

/// What a flight that has ended means to one who waited; `None` if nothing: it was abandoned, or failed with an error of another type than this one expects.
fn landed<V, E: Any + Send + Sync>(end: End<V>) -> Option<Result<V, Arc<E>>> {
    match end {
        End::Landed(value) => Some(Ok(value)),
        End::Failed(error) => error.downcast().ok().map(Err),
        End::Abandoned => None,
    }
}

/// The one who loads. Dropped before it has landed, by a panic or with a future, it abandons the flight.
struct Lead<'c, C: Call> {
    call: &'c C,
    flight: Arc<Flight<C::Key, C::Value>>,
    is_over: bool,
}

impl<'c, C: Call> Lead<'c, C> {
    fn new(call: &'c C, flight: Arc<Flight<C::Key, C::Value>>) -> Self {
        let is_over = false;
        Lead {
            call,
            flight,
            is_over,
        }
    }

    fn land<E: Any + Send + Sync>(mut self, brought: Result<C::Brought, E>) -> Result<C::Value, Arc<E>> {
        let landed = match brought {
            Ok(brought) => Ok(self.call.land(&self.flight, brought)),
            Err(error) => {
                self.call.abandon(&self.flight);
                Err(Arc::new(error))
            }
        };
        self.flight.end(|| match &landed {
            Ok(value) => End::Landed(value.clone()),
            Err(error) => End::Failed(Arc::clone(error) as _),
        });
        self.is_over = true;
        landed
    }
}

impl<C: Call> Drop for Lead<'_, C> {
    fn drop(&mut self) {
        if !self.is_over {
            self.call.abandon(&self.flight);
            self.flight.end(|| End::Abandoned);
        }
    }
}
