//! Time that stands still for a cache: nothing expires meanwhile. For whoever fills it with what happened before, in order: an entry whose deadline passes
//! on the way may be given another by what comes next.

use std::sync::atomic::Ordering;

use super::Inner;
use super::clock::NEVER;

/// Ends when it is dropped. No time has passed meanwhile by which an entry could be idle. Whoever has it must hold no lock of the cache then.
pub(crate) struct Standstill<'c> {
    inner: &'c Inner,
    /// The time at which it stands.
    pub(crate) now: u64,
}

impl<'c> Standstill<'c> {
    pub(super) fn new(inner: &'c Inner) -> Self {
        let now = inner.clock.now();
        inner.standstill.store(now, Ordering::Relaxed);
        Standstill { inner, now }
    }
}

impl Drop for Standstill<'_> {
    fn drop(&mut self) {
        if self.inner.settings.time_to_idle != NEVER {
            for shard in &self.inner.shards {
                shard.hold().use_all(self.inner.clock.now());
            }
        }
        self.inner.standstill.store(NEVER, Ordering::Relaxed);
    }
}
