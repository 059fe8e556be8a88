//! A sweep over everything: its slices, and for each shard how far it has come and what it has shown (see `Shard::sweep_slice`). Sweeps do not wait for each other: whoever
//! is shown what is there may be slow.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use super::{Cache, EntryRef};

/// How many entries are shown under one hold of a lock.
const SWEEP_SLICE: u32 = 64;

impl Cache {
    /// Shows all live entries, about coldest first, to `show` under the lock: it says when it has seen enough for a while, and `pause` is called
    /// without the lock; when that says `Break`, this ends.
    ///
    /// Each entry that is there throughout and is not overwritten is shown. Another sweep that is under way goes on in another order: that of the hashes.
    pub(crate) fn sweep(
        &self,
        show: impl FnMut(EntryRef<'_>) -> bool,
        pause: impl FnMut() -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.sweep_as(&UnderWay::begin(self), show, pause)
    }

    /// As `sweep`, but `None` if another one is under way.
    pub(crate) fn try_sweep(
        &self,
        show: impl FnMut(EntryRef<'_>) -> bool,
        pause: impl FnMut() -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        let alone = UnderWay::begin_alone(self)?;
        Some(self.sweep_as(&alone, show, pause))
    }

    fn sweep_as(
        &self,
        under_way: &UnderWay<'_>,
        mut show: impl FnMut(EntryRef<'_>) -> bool,
        mut pause: impl FnMut() -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for shard in &self.inner.shards {
            shard.hold().begin_sweep(under_way.id);
        }
        // In turns, so that the coldest of all come before the hottest of any.
        let mut left: Vec<_> = self.inner.shards.iter().collect();
        while !left.is_empty() {
            let mut remaining = Vec::with_capacity(left.len());
            for shard in left {
                let more = {
                    let mut held = shard.hold();
                    let now = self.inner.now();
                    held.sweep_slice(under_way.id, SWEEP_SLICE, now, &mut show)
                };
                pause()?;
                if more {
                    shard.let_others_in();
                    remaining.push(shard);
                }
            }
            left = remaining;
        }
        ControlFlow::Continue(())
    }
}

/// Which sweeps are under way.
#[derive(Debug, Default)]
pub(super) struct Sweeping {
    under_way: u32,
    begun: u64,
}

impl Sweeping {
    fn begin(&mut self) -> u64 {
        self.under_way += 1;
        self.begun += 1;
        self.begun
    }
}

/// A sweep that is under way, until it is dropped: at its end, when it breaks off, or with a panic of whoever is shown what is there.
struct UnderWay<'c> {
    cache: &'c Cache,
    id: u64,
}

impl<'c> UnderWay<'c> {
    fn begin(cache: &'c Cache) -> Self {
        let id = lock(&cache.inner.sweeping).begin();
        UnderWay { cache, id }
    }

    /// `None` if another sweep is under way.
    fn begin_alone(cache: &'c Cache) -> Option<Self> {
        let mut sweeping = lock(&cache.inner.sweeping);
        let is_alone = sweeping.under_way == 0;
        is_alone.then(|| {
            let id = sweeping.begin();
            UnderWay { cache, id }
        })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        for shard in &self.cache.inner.shards {
            shard.hold().end_sweep(self.id);
        }
        lock(&self.cache.inner.sweeping).under_way -= 1;
    }
}

fn lock(sweeping: &Mutex<Sweeping>) -> std::sync::MutexGuard<'_, Sweeping> {
    sweeping.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far a sweep has come in a shard.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) id: u64,
    /// Steps from the cold end that are left. Some more than there were entries at the beginning, but no more: those that go to the hot end faster than the
    /// sweep comes along must not keep it going for ever.
    pub(super) left: usize,
    /// If those steps were not enough: the hash from which to go on. `None` at the end.
    pub(super) from: Option<u32>,
    /// A bit for each slot whose entry has been shown. One that was written into such a slot later need not be shown: its writing was observed.
    shown: Vec<u64>,
}

impl Sweep {
    pub(super) fn new(id: u64, entries: usize) -> Self {
        Sweep {
            id,
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
