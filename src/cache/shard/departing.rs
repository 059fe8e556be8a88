//! Noting what leaves a shard, for a listener that is told when the lock has been let go; and what is left to do then.

use bytes::Bytes;

use super::super::cause::RemovalCause;
use super::super::departures::{Departure, Grave, Listener};
use super::super::entry::{Entry, TimeLeft};
use super::super::payload::{Draft, Large};
use super::super::policy::Policy;
use super::Shard;

impl<P: Policy> Shard<P> {
    pub(in crate::cache) fn listen(&mut self, listener: Option<Listener>) {
        self.listener = listener;
    }

    #[inline]
    pub(in crate::cache) fn has_graves(&self) -> bool {
        !self.graveyard.is_empty()
    }

    /// For the holder of the lock, once it has let go of it: see `Unsettled`.
    pub(in crate::cache) fn take_graves(&mut self) -> (Vec<Grave>, Option<Listener>) {
        (std::mem::take(&mut self.graveyard), self.listener.clone())
    }

    pub(super) fn bury(&mut self, large: Option<Box<Large>>) {
        self.graveyard.extend(large.map(Grave::Large));
    }

    /// A draft that is not written after all.
    pub(in crate::cache) fn abandon(&mut self, draft: Draft<'_>) {
        self.bury(draft.into_large());
    }

    /// To be called before an entry leaves its slot.
    #[inline]
    pub(super) fn depart(&mut self, slot: u32, cause: RemovalCause, now: u64) {
        if self.listener.is_some() {
            let departure = self.departure(slot, cause, now);
            self.graveyard.push(Grave::Departure(Box::new(departure)));
        }
    }

    fn departure(&self, slot: u32, cause: RemovalCause, now: u64) -> Departure {
        let entry = self.entry(slot, now);
        Departure {
            key: Bytes::copy_from_slice(entry.key()),
            entry: match cause {
                RemovalCause::Expired => Entry {
                    time_left: TimeLeft::Left(std::time::Duration::ZERO),
                    ..entry.to_entry()
                },
                _ => entry.to_entry(),
            },
            cause,
        }
    }

    /// Tells that everything has left, as of `now`. For a shard that was cleared and is nobody's any more: no lock is held.
    pub(in crate::cache) fn tell_all_departed(&self, now: u64) {
        let Some(listener) = &self.listener else {
            return;
        };
        let slots = 0..u32::try_from(self.payload.end()).unwrap_or(u32::MAX);
        listener.tell(slots.filter(|&slot| self.payload.is_occupied(slot)).map(|slot| {
            let is_expired = self.expiry.deadline(slot) <= now;
            let cause = if is_expired {
                RemovalCause::Expired
            } else {
                RemovalCause::Cleared
            };
            self.departure(slot, cause, now)
        }));
    }
}
