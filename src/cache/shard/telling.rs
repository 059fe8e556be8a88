//! Showing changes to an observer, and remembering that it has to settle them.

use std::sync::Arc;

use super::super::observer::{Observed, Observer};
use super::super::policy::Policy;
use super::Shard;

impl<P: Policy> Shard<P> {
    #[inline]
    pub(in crate::cache) fn is_unsettled(&self) -> bool {
        self.unsettled.get()
    }

    /// Who is to settle what was shown since this was last asked, if anything was: for the holder of the lock, once it has let go of it.
    pub(in crate::cache) fn take_unsettled(&mut self) -> Option<Arc<dyn Observer>> {
        self.unsettled.take().then(|| self.observer.clone()).flatten()
    }

    pub(in crate::cache) fn observe(&mut self, observer: Option<Arc<dyn Observer>>, settles: bool) {
        self.observer = observer;
        self.settles = settles;
    }

    /// Tells the observer, if there is one.
    pub(in crate::cache) fn tell(&self, change: &Observed<'_>) {
        if let Some(observer) = &self.observer {
            self.unsettled.set(self.settles);
            observer.changed(change);
        }
    }

    pub(in crate::cache) fn note_entries_elsewhere(&mut self) {
        self.others_elsewhere = true;
    }

    /// Tells of a removal, also of a key that is absent here if it may be there elsewhere.
    pub(super) fn tell_removal(&self, key: &[u8], found: bool) {
        let has_evicted = self.stats.evictions_by_items + self.stats.evictions_by_bytes > 0;
        if found || has_evicted || self.others_elsewhere {
            self.tell(&Observed::Remove { key });
        }
    }
}
