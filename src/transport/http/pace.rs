//! How far a client is behind the slowest pace at which bytes may come or go. Whose bytes they are, and what becomes of who is behind, is not known here; nor is
//! there a clock: moments are microseconds since whenever the caller likes.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// It goes on over all that a client sends or reads: a second behind in little steps is one as well. What he is not waited for makes up for as much of it.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_awaited: bool,
    /// Since when that is so, or when `behind` was told last.
    at: u64,
    behind: u64,
    /// Bytes in a second.
    slowest: u64,
}

impl Pace {
    /// From now on bytes are awaited, so many a second at the slowest.
    pub(super) fn begin(&self, slowest: u64, now: u64) {
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
        state.behind = state.behind.saturating_sub(worth);
    }

    /// None are awaited for the time being.
    pub(super) fn end(&self, now: u64) {
        let mut state = self.lock();
        state.advance(now);
        state.is_awaited = false;
    }

    /// In microseconds; `None` if nothing is awaited.
    pub(super) fn behind(&self, now: u64) -> Option<u64> {
        let mut state = self.lock();
        state.advance(now);
        state.is_awaited.then_some(state.behind)
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
        self.behind = match self.is_awaited {
            true => self.behind.saturating_add(time),
            false => self.behind.saturating_sub(time),
        };
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
        assert!(pace.behind(10 * SECOND) > Some(7 * SECOND));
        pace.end(10 * SECOND);
        pace.begin(1000, 30 * SECOND);
        assert_eq!(pace.behind(30 * SECOND), Some(0));
    }
}
