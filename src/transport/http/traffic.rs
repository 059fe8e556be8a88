//! What is counted of requests: how many of each kind, how long they took, how many were refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;

use crate::histogram::{Counts, Histogram};

/// What a request is about. What is counted is told by these names, and by nothing that a client chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Set,
    Remove,
    Batch,
    Keys,
    Clear,
    Increment,
    Transaction,
    Snapshot,
    Watch,
    Other,
}

pub(super) const KINDS: [(Kind, &str); 11] = [
    (Kind::Get, "get"),
    (Kind::Set, "set"),
    (Kind::Remove, "delete"),
    (Kind::Batch, "batch"),
    (Kind::Keys, "keys"),
    (Kind::Clear, "clear"),
    (Kind::Increment, "incr"),
    (Kind::Transaction, "transaction"),
    (Kind::Snapshot, "snapshot"),
    (Kind::Watch, "watch"),
    (Kind::Other, "other"),
];

#[derive(Debug)]
pub(super) struct Traffic {
    /// By kind, in the order of `KINDS`.
    latencies: Box<[Histogram]>,
    refused: AtomicU64,
    failed: AtomicU64,
    /// Nanoseconds, since it was last asked for.
    longest: AtomicU64,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Traffic {
            latencies: KINDS.iter().map(|_| Histogram::new()).collect(),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, kind: Kind, took: Duration, status: StatusCode) {
        self.latencies[kind as usize].record(took);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(nanos, Ordering::Relaxed);
        }
        if status.is_server_error() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else if status.is_client_error()
            && status != StatusCode::NOT_FOUND
            && status != StatusCode::PRECONDITION_FAILED
        {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn of(&self, kind: Kind) -> Counts {
        self.latencies[kind as usize].counts()
    }

    pub(super) fn all(&self) -> Counts {
        let mut all = Counts::none();
        self.latencies
            .iter()
            .for_each(|latencies| all.add(&latencies.counts()));
        all
    }

    /// Answered with 4xx, but for those that only say that something is not there, or not as expected.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Answered with 5xx.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// The longest since this was last called, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "a duration")]
    pub(super) fn take_longest(&self) -> f64 {
        self.longest.swap(0, Ordering::Relaxed) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_kinds_are_in_their_order() {
        for (at, (kind, _)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }

    #[test]
    fn a_key_that_is_not_there_is_no_error() {
        let traffic = Traffic::new();
        for status in [200, 304, 404, 412, 400, 429, 503] {
            let status = StatusCode::from_u16(status).expect("a status");
            traffic.record(Kind::Get, Duration::from_micros(3), status);
        }
        assert_eq!((traffic.refused(), traffic.failed()), (2, 1));
        assert_eq!(traffic.all().total(), 7);
    }
}
