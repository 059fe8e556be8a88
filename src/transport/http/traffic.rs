//! What is counted of requests: how many of each kind, how long they took, how many were refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;

use super::code::Code;
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

/// Of what there was too much under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Connections,
    Memory,
    Watchers,
}

const CAUSES: [(Cause, &str); 3] = [
    (Cause::Connections, "connections"),
    (Cause::Memory, "memory"),
    (Cause::Watchers, "watchers"),
];

#[derive(Debug)]
pub(super) struct Traffic {
    /// By kind, in the order of `KINDS`.
    latencies: Box<[Histogram]>,
    /// Operations of batches and transactions.
    of_many: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    /// By cause, in the order of `CAUSES`.
    busy: [AtomicU64; CAUSES.len()],
    /// Nanoseconds, since it was last asked for.
    longest: AtomicU64,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Traffic {
            latencies: KINDS.iter().map(|_| Histogram::new()).collect(),
            of_many: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            busy: [const { AtomicU64::new(0) }; CAUSES.len()],
            longest: AtomicU64::new(0),
        }
    }

    /// Counts an answer, with its code if it is a problem.
    pub(super) fn record(&self, kind: Kind, took: Duration, status: StatusCode, code: Option<Code>) {
        self.latencies[kind as usize].record(took);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(nanos, Ordering::Relaxed);
        }
        let is_normal = match code {
            // A transaction whose conditions did not hold.
            None => status == StatusCode::CONFLICT,
            Some(Code::NotStored | Code::Loading | Code::Stopping) => true,
            // Whoever asks whether it is ready is answered.
            Some(Code::DiskFailed) => kind == Kind::Watch,
            Some(_) => false,
        };
        if is_normal {
            return;
        }
        if status.is_server_error() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else if status.is_client_error() && status != StatusCode::NOT_FOUND {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one that was refused because there is too much under way.
    pub(super) fn busy(&self, cause: Cause) {
        self.busy[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn busy_by_cause(&self) -> [(&'static str, u64); CAUSES.len()] {
        CAUSES.map(|(cause, name)| (name, self.busy[cause as usize].load(Ordering::Relaxed)))
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

    /// Some more operations, of one request.
    pub(super) fn many(&self, operations: usize) {
        self.of_many.fetch_add(operations as u64, Ordering::Relaxed);
    }

    /// What the cache was asked to do: each operation of a batch is one, and none is what is asked about the daemon.
    pub(super) fn operations(&self) -> u64 {
        let single = [
            Kind::Get,
            Kind::Set,
            Kind::Remove,
            Kind::Keys,
            Kind::Clear,
            Kind::Increment,
            Kind::Snapshot,
        ];
        let single = single.iter().map(|&kind| self.of(kind).total());
        single.sum::<u64>() + self.of_many.load(Ordering::Relaxed)
    }

    /// Answered with 4xx, but for those that only say that something is not there, or not as expected.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Answered with 5xx, but for those that say that the directory is being loaded, or that it ends.
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
    fn the_names_of_kinds_and_causes_are_in_their_order() {
        for (at, (kind, _)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
        for (at, (cause, _)) in CAUSES.iter().enumerate() {
            assert_eq!(*cause as usize, at);
        }
    }

    #[test]
    fn what_is_normal_is_no_error() {
        let traffic = Traffic::new();
        let record = |kind, status: StatusCode, code| {
            traffic.record(kind, Duration::from_micros(3), status, code);
            (traffic.refused(), traffic.failed())
        };
        for (kind, code) in [
            (Kind::Get, Code::Miss),
            (Kind::Set, Code::NotStored),
            (Kind::Get, Code::Loading),
            (Kind::Other, Code::NotFound),
            (Kind::Watch, Code::Stopping),
            (Kind::Watch, Code::DiskFailed),
        ] {
            assert_eq!(record(kind, code.status(), Some(code)), (0, 0), "{code:?}");
        }
        for status in [200, 204, 304, 404, 409] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(record(Kind::Transaction, status, None), (0, 0), "{status}");
        }
        let of = |code: Code| (code.status(), Some(code));
        let (status, code) = of(Code::BadRequest);
        assert_eq!(record(Kind::Get, status, code), (1, 0));
        let (status, code) = of(Code::NotAnInteger);
        assert_eq!(record(Kind::Increment, status, code), (2, 0));
        assert_eq!(record(Kind::Set, StatusCode::UNPROCESSABLE_ENTITY, None), (3, 0));
        let (status, code) = of(Code::DiskFailed);
        assert_eq!(record(Kind::Set, status, code), (3, 1));
        assert_eq!(traffic.all().total(), 15);
    }

    #[test]
    fn an_operation_is_what_the_cache_is_asked_for() {
        let traffic = Traffic::new();
        for (kind, _) in KINDS {
            traffic.record(kind, Duration::ZERO, StatusCode::OK, None);
        }
        traffic.many(100);
        assert_eq!(traffic.operations(), 107);
    }
}
