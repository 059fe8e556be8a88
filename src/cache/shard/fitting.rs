//! Whether an entry can ever be held, asked before anything is changed for it.

use super::{Deadline, Error, Policy, Shard};
use crate::cache::clock::NEVER;
use crate::cache::payload::Draft;

impl<P: Policy> Shard<P> {
    /// As [`store`](Self::store) would say of one that is too large, and nothing changes. Where the deadline is that of the entry that is there, it is taken to have one.
    pub(in super::super) fn check_fits(&self, draft: &Draft<'_>, deadline: Deadline) -> Result<(), Error> {
        let charge = match deadline {
            Deadline::At(at) => self.expiry.charge_for(at),
            Deadline::KeepOr(_) => self.expiry.charge_for(NEVER - 1),
        };
        let weight = self.payload.weight_of(draft) + charge;
        match weight <= self.limits.bytes {
            true => Ok(()),
            false => Err(Error::TooLarge {
                weight,
                max: self.limits.bytes,
            }),
        }
    }
}
