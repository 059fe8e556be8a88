//! Deadlines as they are written: absolute, by the wall clock.

use std::time::Duration;

use crate::cache::Clock;

/// When that much time is over, in Unix milliseconds, rounded down: what is read back never outlives its deadline, and goes up to 1 ms early. It counts from
/// `now`, which may be a while ago: a thread can lose its processor at any point, and no TTL may grow by that.
pub(super) fn unix_deadline(clock: &Clock, left: Duration, now: u64) -> u64 {
    clock.both().to_unix_millis(now, left)
}
