//! Time to idle: an entry goes when it was not used for that long, or at the deadline that it was given, whichever comes first. The tree has the earlier
//! of the two; the one that was given is kept here. Using an entry makes its deadline later.
//!
//! ```text
//! fixed[slot]   u64, NEVER if it was given none     8 bytes, absent until the first one on that page of slots
//! ```

use super::super::clock::{NEVER, later};
use super::super::paged::Paged;
use super::super::payload::{DEADLINE_OVERHEAD, FIXED_OVERHEAD};
use super::Expiry;

#[derive(Debug)]
pub(super) struct Idle {
    /// Nanoseconds.
    after: u64,
    fixed: Paged<u64>,
}

impl Idle {
    pub(super) fn new(time_to_idle: u64) -> Option<Box<Self>> {
        (time_to_idle != NEVER).then(|| {
            Box::new(Idle {
                after: time_to_idle,
                fixed: Paged::new(),
            })
        })
    }

    fn fixed(&self, slot: u32) -> u64 {
        self.fixed.get(slot).copied().unwrap_or(NEVER)
    }

    /// When an entry goes that is used now.
    fn deadline(&self, fixed: u64, now: u64) -> u64 {
        later(now, self.after).min(fixed)
    }
}

impl Expiry {
    pub(in crate::cache) fn time_to_idle(&self) -> u64 {
        self.idle.as_ref().map_or(NEVER, |idle| idle.after)
    }

    /// Gives the entry of `slot` a deadline, or takes it away with `NEVER`. It is used now.
    #[inline]
    pub(in crate::cache) fn give(&mut self, slot: u32, fixed: u64, now: u64) {
        let Some(idle) = &mut self.idle else {
            return self.set(slot, fixed);
        };
        if idle.fixed(slot) != fixed {
            idle.fixed.put(slot, fixed, &NEVER);
        }
        let deadline = idle.deadline(fixed, now);
        self.set(slot, deadline);
    }

    /// The entry of `slot`, which expires at `deadline`, is used now. Gives the deadline that it was given.
    #[inline]
    pub(in crate::cache) fn used(&mut self, slot: u32, deadline: u64, now: u64) -> u64 {
        match &self.idle {
            None => deadline,
            Some(idle) => {
                let fixed = idle.fixed(slot);
                let deadline = idle.deadline(fixed, now);
                self.set(slot, deadline);
                fixed
            }
        }
    }

    /// The deadline that the entry of `slot` was given, or `NEVER`.
    #[inline]
    pub(in crate::cache) fn fixed(&self, slot: u32) -> u64 {
        match &self.idle {
            None => self.deadline(slot),
            Some(idle) => idle.fixed(slot),
        }
    }

    /// Bytes charged for the deadlines of `slot`.
    #[inline]
    pub(in crate::cache) fn charge(&self, slot: u32) -> u64 {
        self.charge_for(self.fixed(slot))
    }

    /// Bytes that will be charged for those of an entry that is given this one.
    #[inline]
    pub(in crate::cache) fn charge_for(&self, fixed: u64) -> u64 {
        let is_given = u64::from(fixed != NEVER);
        match &self.idle {
            None => is_given * DEADLINE_OVERHEAD,
            Some(_) => DEADLINE_OVERHEAD + is_given * FIXED_OVERHEAD,
        }
    }

    /// Forgets what is kept here for a slot whose deadline was taken out of the tree, and gives what was charged for both.
    pub(in crate::cache) fn forget_taken(&mut self, slot: u32) -> u64 {
        let Some(idle) = &mut self.idle else {
            return DEADLINE_OVERHEAD;
        };
        let is_given = idle.fixed(slot) != NEVER;
        if is_given {
            idle.fixed[slot] = NEVER;
        }
        DEADLINE_OVERHEAD + u64::from(is_given) * FIXED_OVERHEAD
    }

    /// All entries are used now, those with a deadline in the past as well. Takes time in proportion to the slots.
    pub(in crate::cache) fn use_all(&mut self, now: u64) {
        for slot in 0..u32::try_from(self.deadlines.end()).unwrap_or(u32::MAX) {
            let deadline = self.deadline(slot);
            if deadline != NEVER {
                self.used(slot, deadline, now);
            }
        }
    }

    pub(super) fn relocate_fixed(&mut self, from: u32, to: u32) {
        if let Some(idle) = &mut self.idle {
            let fixed = idle.fixed(from);
            if fixed != NEVER {
                idle.fixed[from] = NEVER;
                idle.fixed.put(to, fixed, &NEVER);
            }
        }
    }

    pub(super) fn truncate_fixed(&mut self, end: usize) {
        if let Some(idle) = &mut self.idle {
            idle.fixed.truncate(end);
        }
    }

    pub(super) fn validate_fixed(&self) {
        let Some(idle) = &self.idle else {
            return;
        };
        for slot in
            0..u32::try_from(idle.fixed.end().max(self.deadlines.end())).expect("fewer than MAX_SLOTS")
        {
            let (fixed, deadline) = (idle.fixed(slot), self.deadline(slot));
            assert!(
                if deadline == NEVER {
                    fixed == NEVER
                } else {
                    deadline <= fixed
                },
                "slot {slot} was given {fixed} and expires at {deadline}"
            );
        }
    }
}
