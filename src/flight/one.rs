//! One flight: for which key, who waits for it, and what they are told. Whether others may join it is the table's.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::seat::Seat;
use crate::sync::{Mutex, lock};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// One load of one key. Whoever has the last of it drops the key, which is never done under a lock: the leader has it for longer than any table.
pub(crate) struct Flight<K, V> {
    pub(super) hash: u64,
    id: u64,
    /// Behind a lock, though the key never changes: so it need not be `Sync`.
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    key: K,
    waiters: Vec<Arc<Seat<End<V>>>>,
}

/// How a flight ended, for one who waited.
#[derive(Debug)]
pub(super) enum End<V> {
    Landed(V),
    Failed(Arc<dyn Any + Send + Sync>),
    /// Its loader panicked, or its future was dropped.
    Abandoned,
}

impl<K, V> Flight<K, V> {
    /// A flight that nobody knows of yet. `hash` is a good one, to the last bit.
    pub(crate) fn new(hash: u64, key: K) -> Self {
        let waiters = Vec::new();
        Flight {
            hash,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            state: Mutex::new(State { key, waiters }),
        }
    }

    /// What tells it from every other flight that there ever is: one that is over may still be known as what somebody waits for.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn is_for(&self, is_key: impl FnOnce(&K) -> bool) -> bool {
        is_key(&lock(&self.state).key)
    }

    /// A seat among those who are told. To be called while the flight is in a table.
    pub(super) fn wait(self: &Arc<Self>) -> Waiting<K, V> {
        let seat = Arc::new(Seat::new());
        lock(&self.state).waiters.push(Arc::clone(&seat));
        let flight = Arc::clone(self);
        Waiting { flight, seat }
    }

    /// Tells all who wait. To be called once it is in no table any more: nobody else will come.
    pub(super) fn end(&self, end: impl FnMut() -> End<V>) {
        let waiters = std::mem::take(&mut lock(&self.state).waiters);
        let mut untold = Untold(waiters);
        untold.tell(end);
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn waiters(&self) -> usize {
        lock(&self.state).waiters.len()
    }
}

/// Those who have not been told yet. If that is interrupted by a panic, in the clone of a value, they are told of an abandoned flight.
struct Untold<V>(Vec<Arc<Seat<End<V>>>>);

impl<V> Untold<V> {
    fn tell(&mut self, mut end: impl FnMut() -> End<V>) {
        while !self.0.is_empty() {
            let end = end();
            if let Some(waiter) = self.0.pop() {
                waiter.tell(end);
            }
        }
    }
}

impl<V> Drop for Untold<V> {
    fn drop(&mut self) {
        self.tell(|| End::Abandoned);
    }
}

/// One who waits for the end of a flight; not any more when it is dropped.
pub(crate) struct Waiting<K, V> {
    flight: Arc<Flight<K, V>>,
    seat: Arc<Seat<End<V>>>,
}

impl<K, V> Waiting<K, V> {
    pub(super) fn flight(&self) -> u64 {
        self.flight.id()
    }

    pub(super) fn end(&self) -> End<V> {
        self.seat.wait()
    }

    #[cfg(feature = "async")]
    pub(super) async fn end_async(&self) -> End<V> {
        std::future::poll_fn(|context| self.seat.poll(context)).await
    }
}

impl<K, V> Drop for Waiting<K, V> {
    fn drop(&mut self) {
        let mut state = lock(&self.flight.state);
        let at = state
            .waiters
            .iter()
            .position(|seat| Arc::ptr_eq(seat, &self.seat));
        // What it has been told, if anything, is dropped with the seat, after the lock.
        let seat = at.map(|at| state.waiters.swap_remove(at));
        drop(state);
        drop(seat);
    }
}

impl<K, V> fmt::Debug for Flight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for Waiting<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}
