//! Time that stands still for a cache: nothing expires meanwhile. For whoever fills it with what happened before, in order: an entry whose deadline passes
//! on the way may be given another by what comes next.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::NEVER;

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Standstill<'c> {
    latest: &'c AtomicU64,
    /// The time at which it stands.
    pub(crate) now: u64,
}

impl<'c> Standstill<'c> {
    pub(super) fn new(latest: &'c AtomicU64, now: u64) -> Self {
        latest.store(now, Ordering::Relaxed);
        Standstill { latest, now }
    }
}

impl Drop for Standstill<'_> {
    fn drop(&mut self) {
        self.latest.store(NEVER, Ordering::Relaxed);
    }
}
