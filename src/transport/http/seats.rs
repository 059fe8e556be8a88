//! The connections that there are, and which of them goes when there are too many: one that waits for its first request, else one that is idle. None goes
//! that is at work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The places for connections.
#[derive(Debug)]
pub(super) struct Seats {
    max: usize,
    began: Instant,
    taken: Mutex<Taken>,
    /// Connections that were turned away, or ended to make room.
    shed: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    /// Requests and answers that are under way.
    under_way: AtomicUsize,
    /// Microseconds since the server began.
    idle_since: AtomicU64,
    has_asked: AtomicBool,
    /// Told when the connection is to end.
    pub(super) leave: Notify,
}

/// While this lives, the connection is not idle.
#[derive(Debug)]
pub(super) struct AtWork {
    seat: Arc<Seat>,
    began: Instant,
}

impl Seats {
    pub(super) fn new(max: usize) -> Self {
        Seats {
            max: max.max(1),
            began: Instant::now(),
            taken: Mutex::default(),
            shed: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if need be that of another connection; `None` if all are at work.
    pub(super) fn take(&self) -> Option<Arc<Seat>> {
        let mut taken = self.lock();
        if taken.seats.len() >= self.max {
            self.shed.fetch_add(1, Ordering::Relaxed);
            let idle = taken.seats.values().filter(|seat| !seat.is_at_work());
            let first = idle.min_by_key(|seat| {
                let asked = seat.has_asked.load(Ordering::Relaxed);
                (asked, seat.idle_since.load(Ordering::Relaxed))
            });
            let number = first?.number;
            if let Some(seat) = taken.seats.remove(&number) {
                seat.leave.notify_one();
            }
        }
        let number = taken.next;
        taken.next += 1;
        let seat = Arc::new(Seat {
            number,
            under_way: AtomicUsize::new(0),
            idle_since: AtomicU64::new(micros(self.began)),
            has_asked: AtomicBool::new(false),
            leave: Notify::new(),
        });
        taken.seats.insert(number, Arc::clone(&seat));
        Some(seat)
    }

    pub(super) fn give_back(&self, seat: &Seat) {
        self.lock().seats.remove(&seat.number);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().seats.len()
    }

    pub(super) fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    pub(super) fn at_work(&self, seat: &Arc<Seat>) -> AtWork {
        seat.under_way.fetch_add(1, Ordering::Relaxed);
        seat.has_asked.store(true, Ordering::Relaxed);
        AtWork {
            seat: Arc::clone(seat),
            began: self.began,
        }
    }
}

impl Seat {
    fn is_at_work(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.seat.idle_since.store(micros(self.began), Ordering::Relaxed);
        self.seat.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it was told to leave.
    fn is_gone(seats: &Seats, seat: &Seat) -> bool {
        !seats.lock().seats.contains_key(&seat.number)
    }

    #[test]
    fn who_has_never_asked_goes_first_then_who_is_idle_the_longest_and_nobody_who_is_at_work() {
        let seats = Seats::new(3);
        let working = seats.take().expect("room");
        let at_work = seats.at_work(&working);
        let idle = seats.take().expect("room");
        drop(seats.at_work(&idle));
        let silent = seats.take().expect("room");
        let next = seats.take().expect("the silent one goes");
        assert!(is_gone(&seats, &silent) && !is_gone(&seats, &idle));
        let _next_works = seats.at_work(&next);
        let last = seats.take().expect("the idle one goes");
        let _last_works = seats.at_work(&last);
        assert!(is_gone(&seats, &idle));
        assert!(seats.take().is_none(), "all are at work");
        assert_eq!((seats.count(), seats.shed()), (3, 3));
        drop(at_work);
        assert!(seats.take().is_some());
        assert!(is_gone(&seats, &working));
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let seats = Seats::new(1);
        let seat = seats.take().expect("room");
        seats.give_back(&seat);
        assert_eq!(seats.count(), 0);
        assert!(seats.take().is_some());
        assert_eq!(seats.shed(), 0);
    }
}
