//! The seam to whoever keeps the cache somewhere else: a look at each change, under the lock of its shard.
//!
//! Changes of one key are shown in the order in which they are made. What goes by itself (evicted, expired) is not shown; so once anything was
//! evicted, or never put here, the removal of a key that is absent here is shown as well: it may still be there elsewhere.

use std::sync::Arc;

use bytes::Bytes;

use super::Cache;
use super::entry::{Tag, TimeLeft};

/// Sees changes. Called under a lock: only take note, do not call the cache, be quick.
pub(crate) trait Observer: std::fmt::Debug + Send + Sync {
    fn changed(&self, change: &Observed<'_>);
}

/// A change that has been made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Observed<'a> {
    Set {
        key: &'a [u8],
        value: &'a [u8],
        shared: Option<&'a Bytes>,
        tag: Tag,
        time_left: TimeLeft,
        /// The moment from which that counts, by the monotonic clock: a little while ago.
        now: u64,
    },
    Remove {
        key: &'a [u8],
    },
    Deadline {
        key: &'a [u8],
        time_left: TimeLeft,
        /// The moment from which that counts, by the monotonic clock: a little while ago.
        now: u64,
    },
    /// Everything under a prefix; empty is everything.
    Clear {
        prefix: &'a [u8],
    },
}

impl Cache {
    /// From now on, shows changes to an observer.
    pub(crate) fn observe(&self, observer: Option<&Arc<dyn Observer>>) {
        for shard in &self.inner.shards {
            shard.hold().observe(observer.cloned());
        }
    }

    /// Whoever observes may keep entries that are not here, though none was evicted: from now on the removal of any key is shown.
    pub(crate) fn note_entries_elsewhere(&self) {
        for shard in &self.inner.shards {
            shard.hold().note_entries_elsewhere();
        }
    }
}
