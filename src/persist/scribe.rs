//! Between the cache and the journal: what the cache shows becomes records. Called under the lock of a shard, so it only appends to memory.

use std::sync::Arc;
use std::time::Duration;

use crate::TimeLeft;
use crate::cache::{Clock, Observed, Observer};

use super::format::Change;
use super::journal::Journal;

/// Writes what the cache shows into the journal.
#[derive(Debug)]
pub(super) struct Scribe {
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Clock,
}

impl Observer for Scribe {
    fn changed(&self, change: &Observed<'_>) {
        let deadline = |time_left: TimeLeft, now: u64| match time_left {
            TimeLeft::Forever => None,
            TimeLeft::Left(left) => Some(unix_deadline(&self.clock, left, now)),
        };
        let (change, shared) = match *change {
            Observed::Set {
                key,
                value,
                shared,
                tag,
                time_left,
                now,
            } => (
                Change::Set {
                    key,
                    value,
                    tag,
                    deadline: deadline(time_left, now),
                },
                shared,
            ),
            Observed::Remove { key } => (Change::Remove { key }, None),
            Observed::Deadline { key, time_left, now } => (
                Change::Deadline {
                    key,
                    deadline: deadline(time_left, now),
                },
                None,
            ),
            Observed::Clear { prefix } => (Change::Clear { prefix }, None),
        };
        self.journal.append(&change, shared);
    }
}

/// When that much time is over, in Unix milliseconds, rounded down: what is read back never outlives its deadline, and goes up to 1 ms early. It counts from
/// `now`, which may be a while ago: a thread can lose its processor at any point, and no TTL may grow by that.
pub(super) fn unix_deadline(clock: &Clock, left: Duration, now: u64) -> u64 {
    clock.both().to_unix_millis(now, left)
}
