//! Telling a listener which entries left the cache, and why. They are noted under the lock that is held when they leave, and told after it was let go,
//! by the thread that held it. Nothing here decides what leaves.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use bytes::Bytes;

use super::cause::RemovalCause;
use super::entry::Entry;
use super::payload::Large;
use super::{Error, Observer, telling};

/// Whom to tell.
#[derive(Clone)]
pub(super) struct Listener(Arc<dyn Fn(Bytes, Entry, RemovalCause) + Send + Sync>);

/// An entry that has left.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) key: Bytes,
    pub(super) entry: Entry,
    pub(super) cause: RemovalCause,
}

/// What is left to do for whoever has let go of a lock.
#[derive(Debug)]
pub(super) enum Grave {
    /// To be freed: for many MiB, that takes a while.
    Large(Box<Large>),
    /// To be told. Boxed, so that the others take no more memory for it.
    Departure(Box<Departure>),
}

impl Listener {
    pub(super) fn new(listener: impl Fn(Bytes, Entry, RemovalCause) + Send + Sync + 'static) -> Self {
        Listener(Arc::new(listener))
    }

    /// Tells of departures, in order: see telling.rs.
    pub(super) fn tell(&self, departures: impl IntoIterator<Item = Departure>) {
        let Listener(listener) = self.clone();
        telling::tell(departures, &move |Departure { key, entry, cause }| {
            listener(key, entry, cause);
        });
    }
}

/// What a holder of a lock has left to do once it has let go of it.
#[derive(Debug)]
#[must_use = "the cache may be kept, and somebody may be waiting to be told"]
pub(super) struct Unsettled {
    /// Who is to keep what was changed, if anybody.
    keeper: Option<Arc<dyn Observer>>,
    graves: Vec<Grave>,
    listener: Option<Listener>,
}

impl Unsettled {
    pub(super) fn new(
        keeper: Option<Arc<dyn Observer>>,
        graves: Vec<Grave>,
        listener: Option<Listener>,
    ) -> Self {
        Unsettled {
            keeper,
            graves,
            listener,
        }
    }

    /// Frees what nobody is told of. What remains may wait for more if it is to be kept.
    pub(super) fn free(&mut self) {
        if self.listener.is_none() {
            self.graves = Vec::new();
        }
    }

    pub(super) fn is_to_be_kept(&self) -> bool {
        self.keeper.is_some()
    }

    pub(super) fn is_to_be_told(&self) -> bool {
        self.listener.is_some() && !self.graves.is_empty()
    }

    /// With what is left of the same cache after it.
    pub(super) fn and_then(mut self, after: Unsettled) -> Self {
        self.keeper = self.keeper.or(after.keeper);
        self.graves.extend(after.graves);
        self
    }

    /// Has the changes kept, then tells of what has left, and says whether the changes could be kept.
    pub(super) fn settle(self) -> Result<(), Error> {
        let kept = self.keeper.map_or(Ok(()), |keeper| keeper.settle());
        match self.listener {
            None => drop(self.graves),
            Some(listener) => listener.tell(self.graves.into_iter().filter_map(|grave| match grave {
                Grave::Large(large) => {
                    drop(large);
                    None
                }
                Grave::Departure(departure) => Some(*departure),
            })),
        }
        kept
    }

    /// For whoever cannot tell that changes could not be kept: that stays, and is told by what can, and when it is asked for.
    pub(super) fn settle_silently(self) {
        let _ = self.settle();
    }
}

// Its panics end in `telling`, so that whoever has a cache or a builder need not know of it.
impl UnwindSafe for Listener {}
impl RefUnwindSafe for Listener {}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
