//! Several changes at once, all or none of them, if what they depend on is still what it was when it was looked at. All locks that it takes are held together, taken
//! in the order of the shards; what is decided by a caller is decided without them, before.

use super::compute::holds;
use super::departures::Unsettled;
use super::locked::Held;
use super::payload::Draft;
use super::shard::Hashed;
use super::{Cache, Condition, Entry, Error, SetOptions, Shard};

/// A key, and what was there when it was [looked at](Cache::look).
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) seen: Option<Entry>,
}

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Get {
        key: &'a [u8],
    },
    /// In any case: what it may depend on is watched.
    Set {
        key: &'a [u8],
        value: &'a [u8],
        options: SetOptions,
    },
    Remove {
        key: &'a [u8],
    },
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    Got(Option<Entry>),
    Stored,
    Removed(bool),
}

impl Step<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Step::Get { key } | Step::Set { key, .. } | Step::Remove { key } => key,
        }
    }
}

impl Cache {
    /// Does all steps in order, seen by others as one; `None`, and nothing is done, if anything that is watched has changed. Room for what is written is made under the locks: keep it
    /// to a MiB or so.
    ///
    /// # Errors
    /// As for [`set`](Self::set), but that nothing changes, with [`Error::TooLarge`] neither. [`Error::NotDurable`]: all was done, in memory.
    pub(crate) fn transact(
        &self,
        watched: &[Watched<'_>],
        steps: &[Step<'_>],
    ) -> Result<Option<Vec<Stepped>>, Error> {
        let mut drafts = self.drafts(steps)?;
        let keys = watched.iter().map(|watched| watched.key);
        let numbers = keys
            .chain(steps.iter().map(Step::key))
            .map(|key| self.hashed(key).0);
        let mut numbers: Vec<usize> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        let held = numbers.iter().map(|&number| self.inner.shards[number].hold());
        let mut locks = Locks {
            cache: self,
            held: held.collect(),
            numbers,
        };
        let now = self.inner.now();
        let done = locks.perform_all(watched, steps, &mut drafts, now);
        // Before anything else: nobody is to be told, or waited for, while a lock is held.
        let settled = locks.let_go().map_or(Ok(()), Unsettled::settle);
        for step in steps {
            if let Step::Set { options, .. } = step {
                self.inner.watch_if_needed(options.expiry);
            }
        }
        let done = done?;
        settled.map(|()| done)
    }

    /// What is to be written, made before a lock is taken.
    fn drafts<'s>(&self, steps: &'s [Step<'_>]) -> Result<Vec<Option<Draft<'s>>>, Error> {
        let drafts = steps.iter().map(|step| match step {
            Step::Set { key, value, options } => {
                self.check(key, value)?;
                Ok(Some(Draft::new(key, value, options.tag)))
            }
            Step::Remove { key } => self.check(key, &[]).map(|()| None),
            Step::Get { .. } => Ok(None),
        });
        drafts.collect()
    }
}

/// All shards that a transaction is about.
struct Locks<'c> {
    cache: &'c Cache,
    held: Vec<Held<'c>>,
    /// Of those that are held, in order.
    numbers: Vec<usize>,
}

impl Locks<'_> {
    fn of<'k>(&mut self, key: &'k [u8]) -> (&mut Shard, Hashed<'k>) {
        let (number, key) = self.cache.hashed(key);
        let at = self.numbers.partition_point(|&other| other < number);
        (&mut self.held[at], key)
    }

    fn perform_all(
        &mut self,
        watched: &[Watched<'_>],
        steps: &[Step<'_>],
        drafts: &mut [Option<Draft<'_>>],
        now: u64,
    ) -> Result<Option<Vec<Stepped>>, Error> {
        let is_as_it_was = watched.iter().all(|watched| {
            let (shard, key) = self.of(watched.key);
            holds(shard, key, watched.seen.as_ref(), now)
        });
        if !is_as_it_was {
            return Ok(None);
        }
        for (step, draft) in steps.iter().zip(&*drafts) {
            if let (Step::Set { key, options, .. }, Some(draft)) = (step, draft) {
                let deadline = self.cache.inner.deadline(options.expiry, now);
                self.of(key).0.check_fits(draft, deadline)?;
            }
        }
        let steps = steps.iter().zip(drafts);
        let done = steps.map(|(step, draft)| self.perform(step, draft.take(), now));
        done.collect::<Result<Vec<Stepped>, Error>>().map(Some)
    }

    fn perform(&mut self, step: &Step<'_>, draft: Option<Draft<'_>>, now: u64) -> Result<Stepped, Error> {
        let inner = &self.cache.inner;
        let (shard, key) = self.of(step.key());
        Ok(match (step, draft) {
            (Step::Set { options, .. }, Some(draft)) => {
                let deadline = inner.deadline(options.expiry, now);
                shard.store(key.hash, draft, deadline, Condition::Always, now)?;
                Stepped::Stored
            }
            (Step::Remove { .. }, _) => Stepped::Removed(shard.remove(key, now, |_| ()).is_some()),
            (Step::Get { .. } | Step::Set { .. }, _) => {
                Stepped::Got(shard.read(key, now, |entry| entry.to_entry()))
            }
        })
    }

    /// Lets go of all, and leaves what there is to do afterwards to the caller.
    fn let_go(self) -> Option<Unsettled> {
        let mut all: Option<Unsettled> = None;
        for unsettled in self.held.into_iter().filter_map(Held::let_go) {
            all = Some(match all {
                None => unsettled,
                Some(before) => before.and_then(unsettled),
            });
        }
        all
    }
}
