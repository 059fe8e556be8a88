//! The connections that there are, and which of them goes when there are too many: one that waits for its first request, else one that is idle, else one that
//! is slow to send or to read, else one that watches. None goes that is at work; who comes then gets one of a few spare places, to ask whether the daemon lives.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::budget::FREE;
use super::pace::Pace;

/// Places beside the others, for when those are all at work.
const SPARE: usize = 8;
/// How far a body may be behind, and how long a client take nothing of an answer, before his place may be another's: in microseconds.
const SLOW_AFTER: u64 = 1_000_000;
const STUCK_AFTER: u64 = 5_000_000;
/// Less than so many bytes of a body in a second are slow.
const SLOW: u64 = 16 * 1024;
/// How far somebody may be behind, before the memory that he holds may be another's: in microseconds.
const HOLDS_UP_AFTER: u64 = 5_000_000;
/// In so many seconds the longest answer is to be read, if others wait for the memory that it takes.
const LONGEST_READ: u64 = 120;
/// After nobody was found who holds up others, it is not looked again for so many microseconds.
const LOOK_AGAIN: u64 = 20_000;

/// The places for connections.
#[derive(Debug)]
pub(super) struct Seats {
    max: usize,
    began: Instant,
    taken: Mutex<Taken>,
    /// Connections that were turned away, or ended to make room.
    shed: AtomicU64,
    /// Until then nobody is looked for who holds up others.
    next_look: AtomicU64,
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
    /// At which a body comes, and how much of it has come.
    receiving: Pace,
    received: AtomicU64,
    /// At which an answer is read that takes of the memory for answers.
    reading: Pace,
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

/// While this lives, others may wait for the memory that an answer takes.
#[derive(Debug)]
pub(super) struct Reading {
    seat: Arc<Seat>,
}

impl Seats {
    pub(super) fn new(max: usize) -> Self {
        Seats {
            max: max.max(1),
            began: Instant::now(),
            taken: Mutex::default(),
            shed: AtomicU64::new(0),
            next_look: AtomicU64::new(0),
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
            receiving: Pace::default(),
            received: AtomicU64::new(0),
            reading: Pace::default(),
            stuck_since: AtomicU64::new(0),
            leave: Notify::new(),
        });
        taken.seats.insert(number, Arc::clone(&seat));
        Some(seat)
    }

    /// Ends the connection that holds memory and is the furthest behind; `false` if none is that.
    pub(super) fn end_who_holds_up(&self) -> bool {
        self.end_who_holds_up_at(micros(self.began))
    }

    fn end_who_holds_up_at(&self, now: u64) -> bool {
        if now < self.next_look.load(Ordering::Relaxed) {
            return false;
        }
        let mut taken = self.lock();
        let behind = |seat: &Arc<Seat>| Some((seat.holds_up(now)?, seat.number));
        let furthest = taken.seats.values().filter_map(behind).max();
        let Some(seat) = furthest.and_then(|(_, number)| taken.remove(number)) else {
            self.next_look.store(now + LOOK_AGAIN, Ordering::Relaxed);
            return false;
        };
        drop(taken);
        self.shed.fetch_add(1, Ordering::Relaxed);
        seat.leave.notify_one();
        true
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
        // What was watched has ended, if there is another request.
        seat.is_watching.store(false, Ordering::Relaxed);
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
    /// A body is behind by so much.
    Slow(Reverse<u64>),
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
        let behind = self.receiving.behind(now).filter(|&behind| behind > SLOW_AFTER);
        if let Some(behind) = behind {
            return Some(Rank::Slow(Reverse(behind)));
        }
        let stuck = of(&self.stuck_since);
        if stuck != 0 && now.saturating_sub(stuck) > STUCK_AFTER {
            return Some(Rank::Stuck(stuck));
        }
        self.is_watching.load(Ordering::Relaxed).then_some(Rank::Watching)
    }

    /// How far it is behind with what it holds memory for now, if that is far.
    fn holds_up(&self, now: u64) -> Option<u64> {
        let is_free = self.received.load(Ordering::Relaxed) <= FREE as u64;
        let receiving = self.receiving.behind_in_hand(now).filter(|_| !is_free);
        let behind = receiving.max(self.reading.behind_in_hand(now));
        behind.filter(|&behind| behind > HOLDS_UP_AFTER)
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
        self.receiving.begin(SLOW, micros(self.began));
        Receiving { seat: self }
    }

    /// Begins to be sent so many bytes that others could use the memory of.
    pub(super) fn reading(self: &Arc<Self>, bytes: usize) -> Reading {
        let slowest = SLOW.max(bytes as u64 / LONGEST_READ);
        self.reading.begin(slowest, micros(self.began));
        Reading {
            seat: Arc::clone(self),
        }
    }

    /// The client has taken so many bytes.
    pub(super) fn has_taken(&self, bytes: usize) {
        self.reading.add(bytes as u64, micros(self.began));
    }
}

impl Receiving<'_> {
    /// So many bytes of it have come.
    pub(super) fn add(&self, bytes: usize) {
        self.add_at(bytes, micros(self.seat.began));
    }

    fn add_at(&self, bytes: usize, now: u64) {
        self.seat.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.seat.receiving.add(bytes as u64, now);
    }

    /// Until `resume` it is not the client who is waited for.
    pub(super) fn pause(&self) {
        self.seat.receiving.end(micros(self.seat.began));
    }

    pub(super) fn resume(&self) {
        self.seat.receiving.resume(SLOW, micros(self.seat.began));
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.seat.reading.end(micros(self.seat.began));
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.seat.receiving.end(micros(self.seat.began));
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
        let at_once = micros(seats.began);
        let later = at_once + STUCK_AFTER + SLOW_AFTER;
        receiving_too.add_at(1 << 30, later);
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
    fn who_has_watched_and_asks_something_else_is_at_work_as_others_are() {
        let seats = Seats::new(2);
        let (seat, watches) = worker(&seats);
        seat.is_watching();
        assert_eq!(seat.rank(0), Some(Rank::Watching));
        drop(watches);
        seat.is_written();
        let _asks = seats.at_work(&seat);
        assert_eq!(seat.rank(0), None);
    }

    #[test]
    fn who_is_late_with_a_short_body_again_and_again_is_slow() {
        let seats = Seats::new(2);
        let (seat, _at_work) = worker(&seats);
        for round in 0..3 {
            let receiving = seat.receiving();
            receiving.add_at(2, micros(seats.began) + (round + 1) * 900_000);
        }
        let _receiving = seat.receiving();
        assert!(matches!(
            seat.rank(micros(seats.began) + 2_700_000),
            Some(Rank::Slow(_))
        ));
    }

    #[test]
    fn who_holds_memory_and_is_behind_makes_room_and_nobody_else() {
        let seats = Seats::new(10);
        let [reading, quick, sending, little, idle] = std::array::from_fn(|_| worker(&seats));
        let now = micros(seats.began);
        let later = now + 60_000_000;
        let (_reads, _reads_too) = (reading.0.reading(1 << 20), quick.0.reading(64 << 20));
        quick.0.reading.add(64 << 20, later);
        let (sends, sends_little) = (sending.0.receiving(), little.0.receiving());
        sends.add_at(100_000, now + 10_000_000);
        sends_little.add_at(1000, now);
        assert!(!seats.end_who_holds_up_at(now));
        for goes in [&reading.0, &sending.0] {
            assert!(!is_gone(&seats, goes));
            assert!(seats.end_who_holds_up_at(later));
            assert!(is_gone(&seats, goes));
        }
        assert!(!seats.end_who_holds_up_at(later));
        assert!(
            [&quick, &little, &idle]
                .iter()
                .all(|(seat, _)| !is_gone(&seats, seat))
        );
        assert_eq!(seats.shed(), 2);
    }

    #[test]
    fn who_was_slow_with_what_is_over_is_not_ended_for_it() {
        let seats = Seats::new(1);
        let (seat, _at_work) = worker(&seats);
        let now = micros(seats.began);
        let quick = now + 3_600_000_000;
        drop(seat.receiving());
        seat.receiving.begin(SLOW, now);
        seat.receiving.begin(SLOW, quick);
        seat.received.store(100_000, Ordering::Relaxed);
        assert!(matches!(seat.rank(quick), Some(Rank::Slow(_))));
        assert_eq!(seat.holds_up(quick + 800_000), None);
        assert!(seat.holds_up(quick + 5_100_000).is_some());
    }

    #[test]
    fn a_long_answer_is_to_be_read_in_two_minutes_if_others_wait() {
        let seats = Seats::new(1);
        let (seat, _at_work) = worker(&seats);
        let now = micros(seats.began);
        let _reading = seat.reading(120 << 20);
        for second in 1..20 {
            seat.reading.add(100 << 10, now + second * 1_000_000);
        }
        assert!(seat.holds_up(now + 20_000_000).is_some());
        seat.reading.add(120 << 20, now + 20_000_000);
        assert!(seat.holds_up(now + 20_000_000).is_none());
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
