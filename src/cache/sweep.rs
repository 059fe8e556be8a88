//! A sweep over everything: its slices, and for each shard how far it has come and what it has shown (see `Shard::sweep_slice`).

use std::ops::ControlFlow;
use std::sync::{PoisonError, TryLockError};

use super::{Cache, EntryRef};

/// How many entries are shown under one hold of a lock.
const SWEEP_SLICE: u32 = 64;

impl Cache {
    /// Shows all live entries, about coldest first, to `show` under the lock: it says when it has seen enough for a while, and `pause` is called
    /// without the lock; when that says `Break`, this ends.
    ///
    /// Each entry that is there throughout and is not overwritten is shown. Waits while another sweep is under way.
    pub(crate) fn sweep(
        &self,
        show: impl FnMut(EntryRef<'_>) -> bool,
        pause: impl FnMut() -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let _alone = self.inner.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        self.sweep_alone(show, pause)
    }

    /// As `sweep`, but `None` if another one is under way.
    pub(crate) fn try_sweep(
        &self,
        show: impl FnMut(EntryRef<'_>) -> bool,
        pause: impl FnMut() -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        let _alone = match self.inner.sweeping.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(self.sweep_alone(show, pause))
    }

    fn sweep_alone(
        &self,
        mut show: impl FnMut(EntryRef<'_>) -> bool,
        mut pause: impl FnMut() -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for shard in &self.inner.shards {
            shard.hold().begin_sweep();
        }
        // In turns, so that the coldest of all come before the hottest of any.
        let mut under_way: Vec<_> = self.inner.shards.iter().collect();
        while !under_way.is_empty() {
            let mut remaining = Vec::with_capacity(under_way.len());
            for shard in under_way {
                let more = {
                    let mut held = shard.hold();
                    let now = self.inner.now();
                    held.sweep_slice(SWEEP_SLICE, now, &mut show)
                };
                pause()?;
                if more {
                    shard.let_others_in();
                    remaining.push(shard);
                }
            }
            under_way = remaining;
        }
        ControlFlow::Continue(())
    }
}

#[derive(Debug)]
pub(super) struct Sweep {
    /// Steps from the cold end that are left. Some more than there were entries at the beginning, but no more: those that go to the hot end faster than the
    /// sweep comes along must not keep it going for ever.
    pub(super) left: usize,
    /// If those steps were not enough: the hash from which to go on. `None` at the end.
    pub(super) from: Option<u32>,
    /// A bit for each slot whose entry has been shown. One that was written into such a slot later need not be shown: its writing was observed.
    shown: Vec<u64>,
}

impl Sweep {
    pub(super) fn new(entries: usize) -> Self {
        Sweep {
            left: entries + entries / 8,
            from: Some(0),
            shown: Vec::new(),
        }
    }

    /// Marks a slot; `false` if it was marked already.
    pub(super) fn mark(&mut self, slot: u32) -> bool {
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        if self.shown.len() <= word {
            self.shown.resize(word + 1, 0);
        }
        let is_new = self.shown[word] & bit == 0;
        self.shown[word] |= bit;
        is_new
    }

    /// The entry of a slot has moved to another.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let marked = self
            .shown
            .get(from as usize / 64)
            .is_some_and(|word| word >> (from % 64) & 1 == 1);
        if marked {
            self.mark(to);
        } else if let Some(word) = self.shown.get_mut(to as usize / 64) {
            *word &= !(1 << (to % 64));
        }
    }
}
