//! How far a client is behind the slowest pace at which bytes may come or go. Whose bytes they are, and what becomes of who is behind, is not known here; nor is
//! there a clock: moments are microseconds since whenever the caller likes.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nobody is taken for further behind than this: who goes on at last need not make up for an hour.
const MOST: u64 = 6_000_000;

/// It is told of what is in hand, and of all that a client sends or reads: there a second behind in little steps is one as well, and what he is not waited for makes up
/// for as much of it.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_awaited: bool,
    /// Since when that is so, or when the others were told last.
    at: u64,
    over_all: u64,
    in_hand: u64,
    /// Bytes in a second.
    slowest: u64,
}

impl Pace {
    /// From now on bytes of something else are awaited, so many a second at the slowest.
    pub(super) fn begin(&self, slowest: u64, now: u64) {
        self.resume(slowest, now);
        self.lock().in_hand = 0;
    }

    /// The same of what is in hand, of which none were awaited for a time or of which there is more.
    pub(super) fn resume(&self, slowest: u64, now: u64) {
        let mut state = self.lock();
        state.advance(now);
        state.is_awaited = true;
        state.slowest = slowest.max(1);
    }

    /// Some have come.
    pub(super) fn add(&self, bytes: u64, now: u64) {
        let mut state = self.lock();
        state.advance(now);
        let worth = bytes.saturating_mul(1_000_000) / state.slowest.max(1);
        state.over_all = state.over_all.saturating_sub(worth);
        state.in_hand = state.in_hand.saturating_sub(worth);
    }

    /// None are awaited for the time being.
    pub(super) fn end(&self, now: u64) {
        let mut state = self.lock();
        state.advance(now);
        state.is_awaited = false;
    }

    /// Over all, in microseconds; `None` if nothing is awaited.
    pub(super) fn behind(&self, now: u64) -> Option<u64> {
        let mut state = self.lock();
        state.advance(now);
        state.is_awaited.then_some(state.over_all)
    }

    /// The same of what is in hand.
    pub(super) fn behind_in_hand(&self, now: u64) -> Option<u64> {
        let mut state = self.lock();
        state.advance(now);
        state.is_awaited.then_some(state.in_hand)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn advance(&mut self, now: u64) {
        // Another thread may have told a later moment already.
        let time = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        if self.is_awaited {
            self.over_all = self.over_all.saturating_add(time).min(MOST);
            self.in_hand = self.in_hand.saturating_add(time).min(MOST);
        } else {
            self.over_all = self.over_all.saturating_sub(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn bytes_make_up_for_time_and_more_than_that_is_not_kept() {
        let pace = Pace::default();
        assert_eq!(pace.behind(5 * SECOND), None);
        pace.begin(1000, 5 * SECOND);
        assert_eq!(pace.behind(7 * SECOND), Some(2 * SECOND));
        pace.add(500, 7 * SECOND);
        assert_eq!(pace.behind(7 * SECOND), Some(3 * SECOND / 2));
        pace.add(1 << 40, 7 * SECOND);
        assert_eq!(pace.behind(8 * SECOND), Some(SECOND));
        pace.end(8 * SECOND);
        assert_eq!(pace.behind(8 * SECOND), None);
    }

    #[test]
    fn who_is_late_a_little_again_and_again_falls_behind_and_who_is_not_waited_for_catches_up() {
        let pace = Pace::default();
        for round in 0..10 {
            let now = round * SECOND;
            pace.begin(1000, now);
            pace.add(2, now + 900_000);
            pace.end(now + 900_000);
        }
        pace.begin(1000, 10 * SECOND);
        assert!(pace.behind(10 * SECOND) > Some(5 * SECOND));
        pace.end(10 * SECOND);
        pace.begin(1000, 30 * SECOND);
        assert_eq!(pace.behind(30 * SECOND), Some(0));
    }

    #[test]
    fn what_is_in_hand_is_not_behind_for_what_came_before_it_and_nobody_is_behind_without_end() {
        let pace = Pace::default();
        pace.begin(1000, 0);
        pace.end(3600 * SECOND);
        pace.begin(1000, 3600 * SECOND);
        assert_eq!(pace.behind(3600 * SECOND), Some(MOST));
        assert_eq!(pace.behind_in_hand(3600 * SECOND), Some(0));
        pace.end(3601 * SECOND);
        pace.resume(1000, 3602 * SECOND);
        assert_eq!(pace.behind_in_hand(3603 * SECOND), Some(2 * SECOND));
        pace.add(2000, 3603 * SECOND);
        assert_eq!(pace.behind_in_hand(3603 * SECOND), Some(0));
        assert_eq!(pace.behind(3603 * SECOND), Some(MOST - 2 * SECOND));
    }
}
