//! How much a session has done, for other threads to read while it goes on.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a session, as of the end of its last round.
#[derive(Debug, Default)]
pub struct Traffic {
    commands: AtomicU64,
    refusals: AtomicU64,
}

impl Traffic {
    /// Commands answered.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Those of them that were answered with an error.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, commands: u64, refusals: u64) {
        self.commands.store(commands, Ordering::Relaxed);
        self.refusals.store(refusals, Ordering::Relaxed);
    }
}
