//! Walks over a shard: in slices, ordered by hash, for callers; and over everything, to see that it is sound.

use super::super::cause::RemovalCause;
use super::super::clock::NEVER;
use super::super::entry::EntryRef;
use super::super::observer::Observed;
use super::super::policy::Policy;
use super::super::sweep::Sweep;
use super::{Shard, known};

/// Whether a walk goes on after an entry that was shown; if not, whether that entry is to be shown again first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum Walk {
    On,
    StopAfter,
    StopBefore,
}

impl<P: Policy> Shard<P> {
    /// Removes the live entries under a prefix among `count` or a few more, in the order of their hashes from `from` on. Gives the number removed, and
    /// where to go on, or `None` if there are no more.
    pub(in crate::cache) fn clear_slice(
        &mut self,
        from: u32,
        count: usize,
        prefix: &[u8],
        now: u64,
    ) -> (u64, Option<u32>) {
        self.outdate_loads(prefix);
        let before = self.stats.removals;
        let mut found = Vec::new();
        let mut next = Some(from);
        let mut looked_at = 0;
        while let Some(hash) = next.filter(|_| looked_at < count) {
            next = self.index.walk(hash, &mut found);
            looked_at += 1 + found.len();
            for &(hash, slot) in &found {
                if !self.payload.key(slot).starts_with(prefix) {
                    continue;
                }
                if self.expiry.deadline(slot) <= now {
                    self.depart(slot, RemovalCause::Expired, now);
                    self.stats.expirations += 1;
                } else {
                    self.depart(slot, RemovalCause::Cleared, now);
                    self.stats.removals += 1;
                    self.tell(&Observed::Remove {
                        key: self.payload.key(slot),
                    });
                }
                self.discard_hashed(slot, hash);
            }
        }
        self.compact();
        (self.stats.removals - before, next)
    }

    /// Begins to show everything: see `sweep_slice`. A policy has one walk at a time: a sweep that is under way goes on by the hashes.
    pub(in crate::cache) fn begin_sweep(&mut self, id: u64) {
        self.sweeps.iter_mut().for_each(|sweep| sweep.left = 0);
        self.policy.begin_walk();
        self.sweeps.push(Sweep::new(id, self.payload.len()));
    }

    #[cfg(test)]
    pub(in crate::cache) fn sweeps(&self) -> usize {
        self.sweeps.len()
    }

    /// Does nothing if it has come to its end.
    pub(in crate::cache) fn end_sweep(&mut self, id: u64) {
        self.sweeps.retain(|sweep| sweep.id != id);
    }

    /// Shows live entries, about coldest first, until it has looked at `count` of them and a few more or `show` says that it has enough;
    /// `false` when there are no more.
    ///
    /// Each entry that is there from the beginning to the end of the sweep and is not overwritten is shown: first those met on the way from the
    /// cold end, then, by their hashes, those that changed their place meanwhile and so escaped the walk.
    pub(in crate::cache) fn sweep_slice(
        &mut self,
        id: u64,
        count: u32,
        now: u64,
        mut show: impl FnMut(EntryRef<'_>) -> bool,
    ) -> bool {
        let Some(at) = self.sweeps.iter().position(|sweep| sweep.id == id) else {
            return false;
        };
        let mut sweep = self.sweeps.swap_remove(at);
        let mut show_once = |sweep: &mut Sweep, slot| {
            let deadline = self.expiry.deadline(slot);
            let fixed = self.expiry.fixed(slot);
            sweep.mark(slot) && deadline > now && show(EntryRef::new(self.payload.view(slot), now, fixed))
        };
        for _ in 0..count {
            if sweep.left == 0 {
                break;
            }
            sweep.left -= 1;
            match self.policy.next_in_walk() {
                Some(slot) if show_once(&mut sweep, slot) => break,
                Some(_) => {}
                None => {
                    sweep.left = 0;
                    if self.policy.walk_is_complete() {
                        // There is nothing left that was not shown.
                        sweep.from = None;
                    }
                }
            }
        }
        if sweep.left == 0 {
            let Some(from) = sweep.from else {
                return false;
            };
            let mut found = Vec::new();
            sweep.from = self.index.walk(from, &mut found);
            for (hash, slot) in found {
                if show_once(&mut sweep, slot) {
                    // Those of this hash that have been shown already are marked.
                    sweep.from = Some(hash);
                    break;
                }
            }
        }
        self.sweeps.push(sweep);
        true
    }

    /// Shows the live entries under a prefix among `count` or a few more, in the order of their hashes from `from` on, until told to stop. Gives
    /// where to go on, or `None` if there are no more.
    ///
    /// A key's hash never changes, so a walk over all hashes meets each entry that is there throughout exactly once, whatever slot it is in. Entries whose
    /// hashes are equal are not to be parted: `show` is told when one has the hash of the one before, and must not stop before it.
    pub(in crate::cache) fn scan_slice(
        &self,
        from: u32,
        count: usize,
        prefix: &[u8],
        now: u64,
        mut show: impl FnMut(EntryRef<'_>, bool) -> Walk,
    ) -> Option<u32> {
        let mut found = Vec::new();
        let mut next = Some(from);
        let mut looked_at = 0;
        while let Some(from) = next.filter(|_| looked_at < count) {
            next = self.index.walk(from, &mut found);
            looked_at += 1 + found.len();
            let mut shown = None;
            let mut stop = false;
            for &(hash, slot) in &found {
                let inseparable = shown == Some(hash);
                if stop && !inseparable {
                    return Some(hash);
                }
                if !self.payload.key(slot).starts_with(prefix) || self.expiry.deadline(slot) <= now {
                    continue;
                }
                match show(self.entry(slot, now), inseparable) {
                    Walk::On => {}
                    Walk::StopAfter => stop = true,
                    Walk::StopBefore => return Some(hash),
                }
                shown = Some(hash);
            }
            if stop {
                return next;
            }
        }
        next
    }

    /// Everything is used now, as far as being idle goes.
    pub(in crate::cache) fn use_all(&mut self, now: u64) {
        self.expiry.use_all(now);
    }

    /// The keys of the live entries, in the order in which they would be evicted.
    #[cfg(test)]
    pub(in crate::cache) fn coldest_first(&self, now: u64) -> Vec<Vec<u8>> {
        let mut slots = self.policy.coldest_first();
        slots.retain(|&slot| self.expiry.deadline(slot) > now);
        slots
            .into_iter()
            .map(|slot| self.payload.key(slot).to_vec())
            .collect()
    }

    /// Bytes of the pages in which entries lie.
    #[cfg(test)]
    pub(in crate::cache) fn memory(&self) -> usize {
        self.payload.memory()
    }

    /// Panics if the four parts contradict each other or a limit is broken. For tests and fuzzers.
    pub(in crate::cache) fn validate(&self) {
        let mut occupied = 0;
        let mut bytes = 0;
        let mut with_deadline = 0;
        for slot in 0..u32::try_from(self.payload.end()).expect("fewer than MAX_SLOTS") {
            let deadline = self.expiry.deadline(slot);
            if !self.payload.is_occupied(slot) {
                assert_eq!(deadline, NEVER, "vacant slot {slot} has a deadline");
                continue;
            }
            occupied += 1;
            bytes += self.weight(slot);
            with_deadline += usize::from(deadline != NEVER);
            assert!(
                deadline != NEVER || self.expiry.time_to_idle() == NEVER,
                "slot {slot} may be idle for ever"
            );
            let hash = self.hash_of(self.payload.key(slot));
            assert_eq!(
                self.index.find(hash, |other| other == slot),
                Some(slot),
                "index of slot {slot}"
            );
        }
        assert_eq!(occupied, self.payload.len(), "occupied slots");
        assert_eq!(occupied, self.index.len(), "slots in the index");
        assert_eq!(with_deadline, self.expiry.len(), "slots with a deadline");
        assert_eq!(bytes, self.stats.bytes, "bytes charged");
        let mut order = self.policy.coldest_first();
        assert_eq!(order.len(), occupied, "slots known to the policy");
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), occupied, "slots known twice to the policy");
        assert!(
            order.iter().all(|&slot| self.payload.is_occupied(slot)),
            "the policy knows a vacant slot"
        );
        assert!(occupied as u64 <= self.limits.items, "max_items is broken");
        assert!(bytes <= self.limits.bytes, "max_bytes is broken");
        self.policy
            .validate(&known(&self.payload, &self.hasher, self.limits));
        self.payload.validate();
        self.index.validate();
        self.expiry.validate();
    }
}
