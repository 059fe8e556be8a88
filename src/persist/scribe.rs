//! Between the cache and the journal: what the cache shows becomes records. Called under the lock of a shard, so it only appends to memory; what was
//! appended is written by whoever settles it, without that lock.

use std::sync::Arc;

use crate::cache::{Clock, Observed, Observer};
use crate::{Error, TimeLeft};

use super::deadline::unix_deadline;
use super::format::Change;
use super::journal::Journal;
use super::process::Process;
use super::store::OnDiskError;

/// Writes what the cache shows into the journal.
#[derive(Debug)]
pub(super) struct Scribe {
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Clock,
    pub(super) on_disk_error: OnDiskError,
    pub(super) process: Process,
}

impl Observer for Scribe {
    fn changed(&self, change: &Observed<'_>) {
        let deadline = |time_left: TimeLeft, now: u64| match time_left {
            TimeLeft::Forever => None,
            TimeLeft::Left(left) => Some(unix_deadline(&self.clock, left, now)),
        };
        let (change, shared) = match *change {
            Observed::Set {
                key,
                value,
                shared,
                tag,
                time_left,
                now,
            } => (
                Change::Set {
                    key,
                    value,
                    tag,
                    deadline: deadline(time_left, now),
                },
                shared,
            ),
            Observed::Remove { key } => (Change::Remove { key }, None),
            Observed::Deadline { key, time_left, now } => (
                Change::Deadline {
                    key,
                    deadline: deadline(time_left, now),
                },
                None,
            ),
            Observed::Clear { prefix } => (Change::Clear { prefix }, None),
        };
        self.journal.append(&change, shared);
    }

    fn settle(&self) -> Result<(), Error> {
        if self.process.is_another() {
            return Err(Error::NotDurable {
                cause: "the directory is the parent process's: open another one in this process".to_owned(),
            });
        }
        match self.journal.commit() {
            Err(_) if self.on_disk_error == OnDiskError::Memory && !self.journal.is_ending() => Ok(()),
            Err(failure) => Err(Error::NotDurable {
                cause: failure.to_string(),
            }),
            Ok(()) => Ok(()),
        }
    }

    fn is_of_another_process(&self) -> bool {
        self.process.is_another()
    }

    fn refusal(&self) -> Option<Error> {
        if self.journal.is_ending() {
            return Some(Error::Closed);
        }
        if !self.journal.has_failed() || self.on_disk_error == OnDiskError::Memory {
            return None;
        }
        let cause = self.journal.failure()?.to_string();
        Some(Error::DiskFailed { cause })
    }
}
