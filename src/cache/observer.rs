//! The seam to whoever keeps the cache somewhere else: a look at each change, under the lock of its shard, and if it is asked for, a word before whoever
//! has made changes tells anybody.
//!
//! Changes of one key are shown in the order in which they are made. What goes by itself (evicted, expired) is not shown; so once anything was
//! evicted, or never put here, the removal of a key that is absent here is shown as well: it may still be there elsewhere.

use std::any::Any;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use bytes::Bytes;

use super::entry::{Tag, TimeLeft};
use super::{Cache, Error};

/// Sees changes.
pub(crate) trait Observer: std::fmt::Debug + Send + Sync {
    /// Called under a lock: only take note, do not call the cache, be quick.
    fn changed(&self, change: &Observed<'_>);

    /// Keeps all changes that were shown before the call, for as long as that takes. Called without a lock, by whoever has made some of them, if the cache is
    /// [kept](Cache::keep).
    fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether it keeps the cache in another process, of which this one is a child: threads that are not here may have left anything locked.
    fn is_of_another_process(&self) -> bool {
        false
    }

    /// Why no write can be taken, if none can. Called without a lock.
    fn refusal(&self) -> Option<Error> {
        None
    }
}

/// Something that lives as long as any handle of a cache that is kept.
pub(crate) trait Keep: Any + std::fmt::Debug + Send + Sync + UnwindSafe + RefUnwindSafe {}

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
            shard.hold().observe(observer.cloned(), false);
        }
    }

    /// From now on and for good, shows changes to an observer; whoever makes some, however it is done, has them settled when it has let go of the lock.
    pub(crate) fn keep(&self, observer: &Arc<dyn Observer>) {
        for shard in &self.inner.shards {
            shard.hold().observe(Some(Arc::clone(observer)), true);
        }
        // Once for each cache.
        let _ = self.inner.kept.set(Arc::clone(observer));
    }

    /// This handle, and all that are made from it, with something that is dropped after the last of them.
    pub(crate) fn kept_by(self, keep: Arc<dyn Keep>) -> Self {
        Cache {
            keep: Some(keep),
            ..self
        }
    }

    /// What was given to [`kept_by`](Self::kept_by).
    pub(crate) fn keeper<K: Keep>(&self) -> Option<&K> {
        let keep: &dyn Any = &**self.keep.as_ref()?;
        keep.downcast_ref()
    }

    /// Whoever observes may keep entries that are not here, though none was evicted: from now on the removal of any key is shown.
    pub(crate) fn note_entries_elsewhere(&self) {
        for shard in &self.inner.shards {
            shard.hold().note_entries_elsewhere();
        }
    }
}
