//! Which process opened a directory. A child that was forked has a copy of all that its parent holds, but neither the directory nor the threads that keep it.

use std::process;

/// The process in which this was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    pub(super) fn this() -> Self {
        Process(process::id())
    }

    /// Whether this runs in another one.
    pub(super) fn is_another(self) -> bool {
        process::id() != self.0
    }
}
