//! The connections that there are, and which of them goes when there are too many: one that waits for its first request, else one that is idle, else one that
//! is slow to send or to read, else one that watches. None goes that is at work; who comes then gets one of a few spare places, to ask whether the daemon lives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Places beside the others, for when those are all at work.
const SPARE: usize = 8;
/// How long a body may be slow, and a client take nothing of an answer, before his place may be another's: in microseconds.
const SLOW_AFTER: u64 = 1_000_000;
const STUCK_AFTER: u64 = 5_000_000;
/// Less than so many bytes of a body in a second are slow.
const SLOW: u64 = 16 * 1024;

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
    /// Those of them that are spare.
    spare: usize,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    pub(super) is_spare: bool,
    /// When the server began. Moments are microseconds since then.
    began: Instant,
    /// Requests and answers that are under way.
    under_way: AtomicUsize,
    /// Whether some of an answer waits to be written.
    is_unwritten: AtomicBool,
    idle_since: AtomicU64,
    has_asked: AtomicBool,
    is_watching: AtomicBool,
    /// Since when a body is awaited, and how much of it has come; 0 if none is.
    receiving_since: AtomicU64,
    received: AtomicU64,
    /// Since when the client has taken nothing of what there is for him; 0 if there is nothing.
    stuck_since: AtomicU64,
    /// Told when the connection is to end.
    pub(super) leave: Notify,
}

/// While this lives, the connection is not idle.
#[derive(Debug)]
pub(super) struct AtWork {
    seat: Arc<Seat>,
}

/// While this lives, a body is awaited.
#[derive(Debug)]
pub(super) struct Receiving<'s> {
    seat: &'s Seat,
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

    /// A place, if need be that of another connection; `None` if all are at work, the spare ones too.
    pub(super) fn take(&self) -> Option<Arc<Seat>> {
        self.take_at(micros(self.began))
    }

    fn take_at(&self, now: u64) -> Option<Arc<Seat>> {
        let mut taken = self.lock();
        let mut is_spare = false;
        if taken.seats.len() - taken.spare >= self.max {
            self.shed.fetch_add(1, Ordering::Relaxed);
            if !taken.make_room(false, now) {
                is_spare = true;
                if taken.spare >= SPARE && !taken.make_room(true, now) {
                    return None;
                }
            }
        }
        let number = taken.next;
        taken.next += 1;
        taken.spare += usize::from(is_spare);
        let seat = Arc::new(Seat {
            number,
            is_spare,
            began: self.began,
            under_way: AtomicUsize::new(0),
            is_unwritten: AtomicBool::new(false),
            idle_since: AtomicU64::new(now),
            has_asked: AtomicBool::new(false),
            is_watching: AtomicBool::new(false),
            receiving_since: AtomicU64::new(0),
            received: AtomicU64::new(0),
            stuck_since: AtomicU64::new(0),
            leave: Notify::new(),
        });
        taken.seats.insert(number, Arc::clone(&seat));
        Some(seat)
    }

    pub(super) fn give_back(&self, seat: &Seat) {
        self.lock().remove(seat.number);
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
        }
    }
}

impl Taken {
    /// Ends the one that is missed the least, if there is one; spare ones make room for spare ones alone.
    fn make_room(&mut self, is_spare: bool, now: u64) -> bool {
        let seats = self.seats.values().filter(|seat| seat.is_spare == is_spare);
        let ranked = seats.filter_map(|seat| Some((seat.rank(now)?, seat.number)));
        let Some((_, number)) = ranked.min() else {
            return false;
        };
        if let Some(seat) = self.remove(number) {
            seat.leave.notify_one();
        }
        true
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Seat>> {
        let seat = self.seats.remove(&number)?;
        self.spare -= usize::from(seat.is_spare);
        Some(seat)
    }
}

/// Who goes first, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It has never asked anything, since then.
    Silent(u64),
    /// It is idle, since then.
    Idle(u64),
    /// So many bytes of a body come in a second.
    Slow(u64),
    /// It has read nothing since then.
    Stuck(u64),
    Watching,
}

impl Seat {
    /// `None` if it is at work.
    fn rank(&self, now: u64) -> Option<Rank> {
        let of = |moment: &AtomicU64| moment.load(Ordering::Relaxed);
        if self.under_way.load(Ordering::Acquire) == 0 && !self.is_unwritten.load(Ordering::Relaxed) {
            return Some(match self.has_asked.load(Ordering::Relaxed) {
                false => Rank::Silent(of(&self.idle_since)),
                true => Rank::Idle(of(&self.idle_since)),
            });
        }
        let (receiving, stuck) = (of(&self.receiving_since), of(&self.stuck_since));
        let time = now.saturating_sub(receiving);
        if receiving != 0 && time > SLOW_AFTER {
            let rate = of(&self.received).saturating_mul(1_000_000) / time;
            if rate < SLOW {
                return Some(Rank::Slow(rate));
            }
        }
        if stuck != 0 && now.saturating_sub(stuck) > STUCK_AFTER {
            return Some(Rank::Stuck(stuck));
        }
        self.is_watching.load(Ordering::Relaxed).then_some(Rank::Watching)
    }

    /// Whether there was a request.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// All that was answered so far has been written.
    pub(super) fn is_written(&self) {
        if self.is_unwritten.load(Ordering::Relaxed) {
            self.idle_since.store(micros(self.began), Ordering::Relaxed);
            self.is_unwritten.store(false, Ordering::Relaxed);
        }
    }

    /// The client does not read, or reads again.
    pub(super) fn is_stuck(&self, is: bool) {
        let since = if is { micros(self.began).max(1) } else { 0 };
        self.stuck_since.store(since, Ordering::Relaxed);
    }

    /// What it is answered has no end.
    pub(super) fn is_watching(&self) {
        self.is_watching.store(true, Ordering::Relaxed);
    }

    pub(super) fn receiving(&self) -> Receiving<'_> {
        self.received.store(0, Ordering::Relaxed);
        self.receiving_since
            .store(micros(self.began).max(1), Ordering::Relaxed);
        Receiving { seat: self }
    }
}

impl Receiving<'_> {
    /// So many bytes of it have come.
    pub(super) fn add(&self, bytes: usize) {
        self.seat.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.seat.receiving_since.store(0, Ordering::Relaxed);
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        // What was handed out is in a buffer: whoever sees no work any more has to see that.
        self.seat.is_unwritten.store(true, Ordering::Relaxed);
        self.seat.under_way.fetch_sub(1, Ordering::Release);
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

    /// One more, which is at work.
    fn worker(seats: &Seats) -> (Arc<Seat>, AtWork) {
        let seat = seats.take().expect("room");
        let at_work = seats.at_work(&seat);
        (seat, at_work)
    }

    #[test]
    fn who_has_never_asked_goes_first_then_who_is_idle_the_longest_and_nobody_who_is_at_work() {
        let seats = Seats::new(3);
        let (working, at_work) = worker(&seats);
        let (idle, asking) = worker(&seats);
        drop(asking);
        assert_eq!(idle.rank(0), None, "the answer is not written yet");
        idle.is_written();
        let silent = seats.take().expect("room");
        let (_next, _next_works) = worker(&seats);
        assert!(is_gone(&seats, &silent) && !is_gone(&seats, &idle));
        let (last, _last_works) = worker(&seats);
        assert!(is_gone(&seats, &idle) && !last.is_spare);
        assert_eq!((seats.count(), seats.shed()), (3, 2));
        assert!(seats.take().expect("a spare one").is_spare, "all are at work");
        drop(at_work);
        assert!(
            seats.take().expect("a spare one").is_spare,
            "nothing is written yet"
        );
        working.is_written();
        assert!(!seats.take().expect("the idle one goes").is_spare);
        assert!(is_gone(&seats, &working));
    }

    #[test]
    fn who_sends_or_reads_slowly_goes_before_who_watches_and_both_before_anybody_is_turned_away() {
        let seats = Seats::new(4);
        let (watching, _watches) = worker(&seats);
        watching.is_watching();
        let (stuck, _reads) = worker(&seats);
        stuck.is_stuck(true);
        let ((slow, _sends), (quick, _sends_too)) = (worker(&seats), worker(&seats));
        let (receiving, receiving_too) = (slow.receiving(), quick.receiving());
        receiving.add(1000);
        receiving_too.add(1 << 30);
        let at_once = micros(seats.began);
        let later = at_once + STUCK_AFTER + SLOW_AFTER;
        assert_eq!(slow.rank(at_once), None);
        for goes in [&slow, &stuck, &watching] {
            assert!(!is_gone(&seats, goes));
            let next = seats.take_at(later).expect("room");
            assert!(is_gone(&seats, goes) && !next.is_spare);
            std::mem::forget(seats.at_work(&next));
        }
        assert!(!is_gone(&seats, &quick));
        assert!(seats.take_at(later).expect("room").is_spare);
    }

    #[test]
    fn spare_places_are_for_those_who_come_anew() {
        let seats = Seats::new(1);
        let (_seat, _at_work) = worker(&seats);
        let spare: Vec<_> = (0..SPARE).map(|_| seats.take().expect("a spare one")).collect();
        assert!(spare.iter().all(|seat| seat.is_spare && !is_gone(&seats, seat)));
        let _next = seats.take().expect("the first of them goes");
        assert!(is_gone(&seats, &spare[0]) && !is_gone(&seats, &spare[1]));
        assert_eq!(seats.count(), 1 + SPARE);
        for seat in seats.lock().seats.values() {
            std::mem::forget(seats.at_work(seat));
        }
        assert!(seats.take().is_none());
        seats.give_back(&spare[1]);
        assert!(seats.take().is_some_and(|seat| seat.is_spare));
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let seats = Seats::new(1);
        let seat = seats.take().expect("room");
        seats.give_back(&seat);
        assert_eq!(seats.count(), 0);
        assert!(seats.take().is_some_and(|seat| !seat.is_spare));
        assert_eq!(seats.shed(), 0);
    }
}
