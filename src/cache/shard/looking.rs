//! Looks at an entry that neither count nor refresh it. One that is met past its deadline is removed all the same.

use super::super::entry::{EntryRef, TimeLeft};
use super::super::policy::Policy;
use super::{Hashed, Shard, find};

impl<P: Policy> Shard<P> {
    /// What it shows has the time that is left of its TTL.
    pub(in crate::cache) fn peek<R>(
        &mut self,
        key: Hashed<'_>,
        now: u64,
        seen: impl FnOnce(EntryRef<'_>) -> R,
    ) -> Option<R> {
        let (slot, held) = find(&self.index, &self.payload, key)?;
        let deadline = self.expiry.deadline(slot);
        if deadline > now {
            let fixed = self.expiry.fixed(slot);
            return Some(seen(EntryRef::new(held.view(), now, fixed)));
        }
        self.expire(slot, key.hash);
        None
    }

    /// How long an entry has to live, be it for its TTL or until it has been idle for too long.
    pub(in crate::cache) fn time_left(&mut self, key: Hashed<'_>, now: u64) -> Option<TimeLeft> {
        let (slot, _) = find(&self.index, &self.payload, key)?;
        let deadline = self.expiry.deadline(slot);
        if deadline > now {
            return Some(TimeLeft::between(now, deadline));
        }
        self.expire(slot, key.hash);
        None
    }
}
