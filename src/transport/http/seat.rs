//! The place of one connection: what is under way there, how quickly its client sends and reads, and what memory that keeps from others. Which places there are is in
//! `seats.rs`.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::budget::{Held, HeldAnswer};
use super::pace::Pace;

/// How far a body may be behind, and how long a client take nothing of an answer, before his place may be another's: in microseconds.
pub(super) const SLOW_AFTER: u64 = 1_000_000;
pub(super) const STUCK_AFTER: u64 = 5_000_000;
/// Less than so many bytes of a body in a second are slow.
const SLOW: u64 = 16 * 1024;
/// How far somebody may be behind, before the memory that he holds may be another's: in microseconds. Who reads steadily is seen to do so whenever he has taken some
/// 100 KiB, if he is on the same machine, and about 20 KiB else.
const HOLDS_UP_AFTER: u64 = 2_000_000;
/// How quickly answers are to be read, if others wait for the memory that they take: so many bytes in a second, and the longest in so many seconds.
const SLOW_READ: u64 = 64 * 1024;
const LONGEST_READ: u64 = 120;

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) number: u64,
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
    /// At which a body comes, and what memory there is for it.
    receiving: Pace,
    received: AtomicUsize,
    /// At which answers are read that take of the memory for them, and those answers, until they are written.
    reading: Pace,
    answers: Mutex<Vec<Kept>>,
    keeps: AtomicBool,
    /// Since when the client has taken nothing of what there is for him; 0 if there is nothing.
    stuck_since: AtomicU64,
    /// Told when the connection is to end.
    pub(super) leave: Notify,
}

/// What an answer takes of the memory for them.
#[derive(Debug)]
pub(super) enum Holding {
    Own(Held),
    /// Of bytes that others may be sent as well.
    Shared(HeldAnswer),
}

#[derive(Debug)]
struct Kept {
    holding: Holding,
    /// Nothing more of it comes, but it may wait to be written.
    is_handed_out: bool,
}

/// Memory that is given back when a connection ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    pub(super) own: usize,
    /// What others may have as well: where it is, how much, and how many have it.
    pub(super) shared: Vec<(usize, usize, usize)>,
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

/// While this lives, there is more of an answer that takes memory.
#[derive(Debug)]
pub(super) struct Reading {
    seat: Arc<Seat>,
}

/// Who goes first, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
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
    pub(super) fn new(number: u64, is_spare: bool, began: Instant, now: u64) -> Self {
        Seat {
            number,
            is_spare,
            began,
            under_way: AtomicUsize::new(0),
            is_unwritten: AtomicBool::new(false),
            idle_since: AtomicU64::new(now),
            has_asked: AtomicBool::new(false),
            is_watching: AtomicBool::new(false),
            receiving: Pace::default(),
            received: AtomicUsize::new(0),
            reading: Pace::default(),
            answers: Mutex::default(),
            keeps: AtomicBool::new(false),
            stuck_since: AtomicU64::new(0),
            leave: Notify::new(),
        }
    }

    /// `None` if it is at work.
    pub(super) fn rank(&self, now: u64) -> Option<Rank> {
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
    pub(super) fn holds_up(&self, now: u64) -> Option<u64> {
        let has_some = self.received.load(Ordering::Relaxed) > 0;
        let receiving = self.receiving.behind_in_hand(now).filter(|_| has_some);
        let behind = receiving.max(self.reading.behind_in_hand(now));
        behind.filter(|&behind| behind > HOLDS_UP_AFTER)
    }

    pub(super) fn holds(&self) -> Holds {
        let mut holds = Holds {
            own: self.received.load(Ordering::Relaxed),
            shared: Vec::new(),
        };
        for kept in &*self.answers() {
            match &kept.holding {
                Holding::Own(held) => holds.own += held.bytes(),
                Holding::Shared(answer) => holds.shared.push(answer.shares()),
            }
        }
        holds
    }

    pub(super) fn at_work(self: &Arc<Self>) -> AtWork {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.has_asked.store(true, Ordering::Relaxed);
        // What was watched has ended, if there is another request.
        self.is_watching.store(false, Ordering::Relaxed);
        AtWork {
            seat: Arc::clone(self),
        }
    }

    /// Whether there was a request.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// All that was handed out so far has been written.
    pub(super) fn is_written(&self) {
        if self.is_unwritten.load(Ordering::Relaxed) {
            self.idle_since.store(micros(self.began), Ordering::Relaxed);
            self.is_unwritten.store(false, Ordering::Relaxed);
        }
        if self.keeps.load(Ordering::Relaxed) {
            let mut answers = self.answers();
            let written: Vec<Kept> = answers.extract_if(.., |kept| kept.is_handed_out).collect();
            if answers.is_empty() {
                self.keeps.store(false, Ordering::Relaxed);
                self.reading.end(micros(self.began));
            }
            drop(answers);
            // Others may be told that there is room.
            drop(written);
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
        self.receiving.begin(SLOW, micros(self.began));
        Receiving { seat: self }
    }

    /// Begins to be sent what takes memory that others could use.
    pub(super) fn reading(self: &Arc<Self>, holding: Holding) -> Reading {
        let now = micros(self.began);
        let mut answers = self.answers();
        let is_first = answers.is_empty();
        answers.push(Kept {
            holding,
            is_handed_out: false,
        });
        let bytes: usize = answers.iter().map(|kept| kept.holding.bytes()).sum();
        let slowest = SLOW_READ.max(bytes as u64 / LONGEST_READ);
        match is_first {
            true => self.reading.begin(slowest, now),
            false => self.reading.resume(slowest, now),
        }
        self.keeps.store(true, Ordering::Relaxed);
        drop(answers);
        Reading {
            seat: Arc::clone(self),
        }
    }

    /// The client has taken so many bytes.
    pub(super) fn has_taken(&self, bytes: usize) {
        // Of most answers nobody asks it, and a clock takes time.
        if self.keeps.load(Ordering::Relaxed) {
            self.has_taken_at(bytes, micros(self.began));
        }
    }

    pub(super) fn has_taken_at(&self, bytes: usize, now: u64) {
        self.reading.add(bytes as u64, now);
    }

    fn answers(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    fn bytes(&self) -> usize {
        match self {
            Holding::Own(held) => held.bytes(),
            Holding::Shared(answer) => answer.shares().1,
        }
    }
}

impl Receiving<'_> {
    /// So many bytes of it have come.
    pub(super) fn add(&self, bytes: usize) {
        self.add_at(bytes, micros(self.seat.began));
    }

    pub(super) fn add_at(&self, bytes: usize, now: u64) {
        self.seat.receiving.add(bytes as u64, now);
    }

    /// There is room for so many.
    pub(super) fn holds(&self, bytes: usize) {
        self.seat.received.store(bytes, Ordering::Relaxed);
    }

    /// Until `resume` it is not the client who is waited for.
    pub(super) fn pause(&self) {
        self.seat.receiving.end(micros(self.seat.began));
    }

    pub(super) fn resume(&self) {
        self.seat.receiving.resume(SLOW, micros(self.seat.began));
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.seat.receiving.end(micros(self.seat.began));
        self.seat.received.store(0, Ordering::Relaxed);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Answers are handed out one after the other.
        self.seat
            .answers()
            .iter_mut()
            .for_each(|kept| kept.is_handed_out = true);
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        // What was handed out is in a buffer: whoever sees no work any more has to see that.
        self.seat.is_unwritten.store(true, Ordering::Relaxed);
        self.seat.under_way.fetch_sub(1, Ordering::Release);
    }
}

pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn seat() -> (Arc<Seat>, u64) {
        let began = Instant::now();
        let now = micros(began);
        (Arc::new(Seat::new(0, false, began, now)), now)
    }

    fn own(budget: &Arc<Budget>, bytes: usize) -> Holding {
        let mut held = budget.hold_nothing();
        held.settle_at(bytes);
        Holding::Own(held)
    }

    #[test]
    fn who_was_slow_with_what_is_over_is_not_ended_for_it() {
        let (seat, now) = seat();
        let quick = now + 3600 * SECOND;
        seat.receiving.begin(SLOW, now);
        seat.receiving.begin(SLOW, quick);
        seat.received.store(100_000, Ordering::Relaxed);
        seat.under_way.store(1, Ordering::Relaxed);
        assert!(matches!(seat.rank(quick), Some(Rank::Slow(_))));
        assert_eq!(seat.holds_up(quick + 800_000), None);
        assert!(seat.holds_up(quick + 2_100_000).is_some());
    }

    #[test]
    fn a_long_answer_is_to_be_read_in_two_minutes_if_others_wait() {
        let (seat, now) = seat();
        let _reading = seat.reading(own(&Budget::new(1 << 30), 120 << 20));
        for second in 1..20 {
            seat.has_taken_at(800 << 10, now + second * SECOND);
        }
        assert!(seat.holds_up(now + 20 * SECOND).is_some());
        seat.has_taken_at(120 << 20, now + 20 * SECOND);
        assert!(seat.holds_up(now + 20 * SECOND).is_none());
    }

    /// What he takes is seen in steps; on the same machine they are as long as here.
    #[test]
    fn who_reads_steadily_is_not_behind_between_two_looks_at_what_he_has_taken() {
        const STEP: usize = 128 * 1024;
        let (seat, now) = seat();
        let _reading = seat.reading(own(&Budget::new(1 << 30), 6 << 20));
        let mut moment = now;
        for _ in 0..48 {
            moment += STEP as u64 * SECOND / 80_000;
            assert_eq!(seat.holds_up(moment), None);
            seat.has_taken_at(STEP, moment);
        }
        assert_eq!(seat.holds_up(moment + HOLDS_UP_AFTER), None);
        assert!(seat.holds_up(moment + HOLDS_UP_AFTER + SECOND).is_some());
    }

    #[test]
    fn what_an_answer_takes_is_held_until_it_is_written() {
        let budget = Budget::new(100_000);
        let (seat, now) = seat();
        let is_free = || budget.hold_nothing().try_grow(90_000);
        let reading = seat.reading(own(&budget, 60_000));
        seat.is_written();
        assert!(!is_free(), "there is more of it");
        drop(reading);
        assert!(!is_free(), "it waits to be written");
        assert_eq!(seat.holds().own, 60_000);
        assert!(seat.holds_up(now + 10 * SECOND).is_some());
        seat.is_written();
        assert!(is_free() && seat.holds() == Holds::default());
        assert_eq!(seat.holds_up(now + 20 * SECOND), None);
    }
}
