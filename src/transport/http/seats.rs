//! The connections that there are, and which of them goes when there are too many: one that waits for its first request, else one that is idle, else one that
//! is slow to send or to read, else one that watches. None goes that is at work; who comes then gets one of a few spare places, to ask whether the daemon lives.
//! And which go when others wait for the memory that they hold.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::seat::{Holds, Seat, micros};

/// Places beside the others, for when those are all at work.
const SPARE: usize = 8;
/// After those who hold up others were found to hold too little, it is not looked again for so many microseconds.
const LOOK_AGAIN: u64 = 20_000;

/// The places for connections.
#[derive(Debug)]
pub(super) struct Seats {
    max: usize,
    began: Instant,
    taken: Mutex<Taken>,
    /// Connections that were turned away, or ended to make room for others.
    shed: AtomicU64,
    /// Those that were ended for the memory that they held.
    shed_for_memory: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    /// Those of them that are spare.
    spare: usize,
    /// Those who were told to end, for as long as they are not gone, and what is given back then.
    leaving: Vec<(Weak<Seat>, usize)>,
    /// Those who are behind do not hold so much; until when that is taken for granted.
    not_held: usize,
    next_look: u64,
}

impl Seats {
    pub(super) fn new(max: usize) -> Self {
        Seats {
            max: max.max(1),
            began: Instant::now(),
            taken: Mutex::default(),
            shed: AtomicU64::new(0),
            shed_for_memory: AtomicU64::new(0),
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
        let seat = Arc::new(Seat::new(number, is_spare, self.began, now));
        taken.seats.insert(number, Arc::clone(&seat));
        Some(seat)
    }

    /// Ends those who are the furthest behind with what they hold memory for, so many that they give back what is needed; `false`, and nobody is ended, if they do
    /// not hold as much.
    pub(super) fn end_those_who_hold_up(&self, needed: usize) -> bool {
        self.end_those_who_hold_up_at(needed, micros(self.began))
    }

    fn end_those_who_hold_up_at(&self, needed: usize, now: u64) -> bool {
        let mut taken = self.lock();
        if now < taken.next_look && needed >= taken.not_held {
            return false;
        }
        taken.leaving.retain(|(seat, _)| seat.strong_count() > 0);
        let coming: usize = taken.leaving.iter().map(|(_, bytes)| bytes).sum();
        if coming >= needed {
            return true;
        }
        let behind = |seat: &Arc<Seat>| Some((Reverse(seat.holds_up(now)?), seat.number));
        let mut behind: Vec<_> = taken.seats.values().filter_map(behind).collect();
        behind.sort_unstable();
        let mut freed = Freed::default();
        for (_, number) in behind {
            if freed.bytes >= needed - coming {
                break;
            }
            if let Some(seat) = taken.seats.get(&number) {
                freed.add(number, seat.holds());
            }
        }
        if freed.bytes < needed - coming {
            (taken.not_held, taken.next_look) = (needed, now + LOOK_AGAIN);
            return false;
        }
        for (number, bytes) in freed.by {
            if let Some(seat) = taken.remove(number) {
                self.shed_for_memory.fetch_add(1, Ordering::Relaxed);
                seat.leave.notify_one();
                taken.leaving.push((Arc::downgrade(&seat), bytes));
            }
        }
        true
    }

    pub(super) fn give_back(&self, seat: &Seat) {
        self.lock().remove(seat.number);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().seats.len()
    }

    pub(super) fn shed_by_cause(&self) -> [(&'static str, u64); 2] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("connections", of(&self.shed)),
            ("memory", of(&self.shed_for_memory)),
        ]
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

/// What is given back when some connections end, and by which of them: what several have is given back by the last.
#[derive(Debug, Default)]
struct Freed {
    bytes: usize,
    by: HashMap<u64, usize>,
    /// What others have as well, by where it is, and those who give it up.
    shared: HashMap<usize, Vec<u64>>,
}

impl Freed {
    fn add(&mut self, number: u64, holds: Holds) {
        if holds.own > 0 {
            self.count(number, holds.own);
        }
        for (place, bytes, readers) in holds.shared {
            let given_up = self.shared.entry(place).or_default();
            given_up.push(number);
            if given_up.len() >= readers {
                let mut given_up = std::mem::take(given_up);
                let last = given_up.pop();
                given_up.into_iter().for_each(|number| self.count(number, 0));
                last.into_iter().for_each(|number| self.count(number, bytes));
            }
        }
    }

    fn count(&mut self, number: u64, bytes: usize) {
        self.bytes += bytes;
        *self.by.entry(number).or_default() += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::super::seat::{AtWork, Holding, Rank, SLOW_AFTER, STUCK_AFTER};
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// What takes so much of the memory for answers, and nobody else has.
    fn own(budget: &Arc<Budget>, bytes: usize) -> Holding {
        let mut held = budget.hold_nothing();
        held.settle_at(bytes);
        Holding::Own(held)
    }

    fn shed(seats: &Seats) -> [u64; 2] {
        seats.shed_by_cause().map(|(_, count)| count)
    }

    /// Whether it was told to leave.
    fn is_gone(seats: &Seats, seat: &Seat) -> bool {
        !seats.lock().seats.contains_key(&seat.number)
    }

    /// One more, which is at work.
    fn worker(seats: &Seats) -> (Arc<Seat>, AtWork) {
        let seat = seats.take().expect("room");
        let at_work = seat.at_work();
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
        assert_eq!((seats.count(), shed(&seats)), (3, [2, 0]));
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
            std::mem::forget(next.at_work());
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
        let _asks = seat.at_work();
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
        let (seats, budget) = (Seats::new(10), Budget::new(1 << 30));
        let [reading, quick, sending, little, idle] = std::array::from_fn(|_| worker(&seats));
        let now = micros(seats.began);
        let later = now + 60 * SECOND;
        let _reads = reading.0.reading(own(&budget, 1 << 20));
        let _reads_too = quick.0.reading(own(&budget, 64 << 20));
        quick.0.has_taken_at(64 << 20, later);
        let (sends, _sends_little) = (sending.0.receiving(), little.0.receiving());
        sends.holds(200_000);
        sends.add_at(100_000, now + 10 * SECOND);
        assert!(!seats.end_those_who_hold_up_at(1, now));
        assert!(seats.end_those_who_hold_up_at(1, later));
        assert!(is_gone(&seats, &reading.0) && !is_gone(&seats, &sending.0));
        // For as long as that one is not gone, what it holds is as good as given back.
        assert!(seats.end_those_who_hold_up_at(1 << 20, later));
        assert!(!is_gone(&seats, &sending.0));
        assert!(seats.end_those_who_hold_up_at((1 << 20) + 1, later));
        assert!(is_gone(&seats, &sending.0));
        assert!(!seats.end_those_who_hold_up_at(2 << 20, later));
        assert!(
            [&quick, &little, &idle]
                .iter()
                .all(|(seat, _)| !is_gone(&seats, seat))
        );
        assert_eq!(shed(&seats), [0, 2]);
    }

    #[test]
    fn nobody_is_ended_where_that_is_not_enough() {
        let (seats, budget) = (Seats::new(10), Budget::new(1 << 30));
        let [one, other, quick] = std::array::from_fn(|_| worker(&seats));
        let later = micros(seats.began) + 10 * SECOND;
        let [_reads, _reads_too, _reads_quickly] =
            [&one, &other, &quick].map(|(seat, _)| seat.reading(own(&budget, 1 << 20)));
        quick.0.has_taken_at(1 << 20, later);
        assert!(!seats.end_those_who_hold_up_at((2 << 20) + 1, later));
        assert_eq!(shed(&seats), [0, 0]);
        assert!(
            seats.end_those_who_hold_up_at(2 << 20, later),
            "one who needs less"
        );
        assert!(is_gone(&seats, &one.0) && is_gone(&seats, &other.0) && !is_gone(&seats, &quick.0));
    }

    #[test]
    fn what_many_read_is_given_back_when_all_of_them_are_ended() {
        let (seats, budget) = (Seats::new(10), Budget::new(1 << 30));
        let value = bytes::Bytes::from(vec![0; 1 << 20]);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let shared = || {
            let held = runtime.block_on(budget.hold_answer(&value, false, |_| false));
            Holding::Shared(held.expect("room"))
        };
        let [one, other, quick] = std::array::from_fn(|_| worker(&seats));
        let later = micros(seats.began) + 10 * SECOND;
        let [_reads, _reads_too] = [&one, &other].map(|(seat, _)| seat.reading(shared()));
        let reads_quickly = quick.0.reading(shared());
        quick.0.has_taken_at(1 << 20, later);
        assert!(!seats.end_those_who_hold_up_at(1, later));
        assert_eq!(shed(&seats), [0, 0]);
        drop(reads_quickly);
        quick.0.is_written();
        assert!(seats.end_those_who_hold_up_at(1, later + LOOK_AGAIN));
        assert!(is_gone(&seats, &one.0) && is_gone(&seats, &other.0));
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
            std::mem::forget(seat.at_work());
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
        assert_eq!(shed(&seats), [0, 0]);
    }
}
