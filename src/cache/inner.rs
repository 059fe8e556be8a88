//! What all handles of a cache share does by itself: time, deadlines, and giving back what has expired. What is the same for caches of objects is here for both.

use std::sync::atomic::Ordering;

use super::clock::{Clock, NEVER, later, nanos};
use super::shard::Deadline;
use super::{Expiry, Inner, RECLAIM_SLICE, STORM, Shard, Stats, TIDY_SLICE, housekeeper};

/// The time, where nothing has a deadline.
pub(super) const NO_MATTER: u64 = 0;

impl Expiry {
    /// What it means for an entry that is written now, in a cache with this TTL by default, in nanoseconds.
    #[inline]
    pub(super) fn deadline(self, default_ttl: u64, now: u64, clock: &Clock) -> Deadline {
        let by_default = later(now, default_ttl);
        Deadline::At(match self {
            Expiry::Default => by_default,
            Expiry::Never => NEVER,
            Expiry::After(ttl) => later(now, nanos(ttl)),
            // Not from `now`: that of a slice of a batch may be a while ago.
            Expiry::At(unix) => clock.both().to_monotonic(unix).unwrap_or(now),
            Expiry::Keep => return Deadline::KeepOr(by_default),
        })
    }

    /// Whether an entry may get a deadline by it.
    #[inline]
    pub(super) fn may_give_deadline(self, default_ttl: u64) -> bool {
        match self {
            Expiry::Never => false,
            Expiry::Default | Expiry::Keep => default_ttl != NEVER,
            Expiry::After(_) | Expiry::At(_) => true,
        }
    }
}

/// Whether so many have expired at once that most of what is left is likely to go soon.
pub(super) fn is_storm(before: &Stats, after: &Stats) -> bool {
    let expired = after.expirations - before.expirations;
    expired * STORM > before.items && after.items_with_deadline > 0
}

impl Inner {
    /// The time by which entries expire.
    pub(super) fn now(&self) -> u64 {
        let now = self.clock.now();
        now.min(self.standstill.load(Ordering::Relaxed))
    }

    /// The time for an operation on a shard that is held and that brings no deadline with it. Asking for the time costs as much as a good part of a read, and
    /// the processor begins nothing else before it is known.
    #[inline]
    pub(super) fn now_for(&self, held: &Shard) -> u64 {
        if held.has_deadlines() {
            self.now()
        } else {
            NO_MATTER
        }
    }

    pub(super) fn deadline(&self, expiry: Expiry, now: u64) -> Deadline {
        expiry.deadline(self.settings.default_ttl, now, &self.clock)
    }

    /// Whether an entry that is written with this may get a deadline by it.
    pub(super) fn may_expire(&self, expiry: Expiry) -> bool {
        expiry.may_give_deadline(self.settings.default_ttl) || self.settings.time_to_idle != NEVER
    }

    /// Asks the housekeeper to come by, if a deadline may just have been written and it does not yet. To be called after the write.
    pub(super) fn watch_if_needed(&self, expiry: Expiry) {
        if self.may_expire(expiry) {
            housekeeper::see_to(&self.watch, || self.itself.clone() as _);
        }
    }

    /// `tidies`: also if most of what is left is likely to go soon.
    pub(super) fn reclaim(&self, tidies: bool) {
        for shard in &self.shards {
            let now = self.now();
            let before = shard.hold().stats();
            while shard.hold().reclaim(RECLAIM_SLICE, now) {
                shard.let_others_in();
            }
            let after = shard.hold().stats();
            if is_storm(&before, &after) && !tidies && !shard.hold().is_loose() {
                continue;
            }
            while shard.hold().tidy(TIDY_SLICE) {
                shard.let_others_in();
            }
        }
    }
}

impl housekeeper::Watched for Inner {
    fn tick(&self) -> bool {
        // It would wait for a lock that nobody lets go of, and keep all other caches waiting.
        if self
            .kept
            .get()
            .is_some_and(|keeper| keeper.is_of_another_process())
        {
            return false;
        }
        self.reclaim(false);
        let is_any_left = || self.shards.iter().any(|shard| shard.hold().has_deadlines());
        self.watch.goes_on(is_any_left)
    }
}
