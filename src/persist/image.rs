//! A snapshot of a cache that is kept in no directory: to any `Write`, from any `Read`. The format is that of a directory's snapshots, so that either can be
//! read as the other; nothing here knows of files.

mod restoring;
#[cfg(test)]
mod tests;
mod writing;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Write};

use super::deadline::unix_deadline;
use super::format::SnapshotEntry;
use crate::{BuildError, Builder, Cache, Error, TimeLeft};
use restoring::Restoring;
use writing::Writer;

/// It belongs to no directory, where they count from 1.
const GENERATION: u64 = 0;
/// A block is written once it has this many bytes.
const BLOCK: usize = 64 * 1024;

/// What [`Cache::restore`] does about a snapshot that is damaged or not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDamage {
    /// Ends with an error that says where.
    #[default]
    Fail,
    /// Passes over what is damaged, and restores the rest.
    Skip,
}

/// What [`Cache::restore`] found.
///
/// ```
/// use rustcache::{Cache, OnDamage};
///
/// let mut snapshot = Vec::new();
/// Cache::builder().build()?.snapshot(&mut snapshot)?;
/// let found = Cache::builder().build()?.restore(&snapshot[..], OnDamage::Skip)?;
/// assert!(found.is_complete && found.entries == 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Entries that were written to the cache. With limits smaller than they were, those that were used longest ago have been evicted again.
    pub entries: u64,
    /// Entries that had expired by now.
    pub expired: u64,
    /// Entries that this cache cannot hold: longer or heavier than its limits.
    pub refused: u64,
    /// Bytes that were passed over because they are damaged.
    pub damaged_bytes: u64,
    /// Where the first of them is.
    pub first_damage: Option<u64>,
    /// Whether nothing is damaged, and the end of the snapshot was there.
    pub is_complete: bool,
}

/// Why a snapshot was not written.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Another snapshot of this cache is being written, by this function or to its directory.
    Busy,
    /// It could not be written.
    Write {
        /// Bytes that were written before.
        bytes: u64,
        /// What went wrong.
        error: io::Error,
    },
}

/// Why a snapshot was not restored.
#[derive(Debug)]
#[non_exhaustive]
pub enum RestoreError {
    /// It could not be read.
    Read {
        /// How far it was read, in bytes.
        offset: u64,
        /// What went wrong.
        error: io::Error,
    },
    /// It is damaged, or it is no snapshot.
    Damaged {
        /// Where, in bytes from the beginning.
        offset: u64,
        /// In words for people.
        what: String,
    },
    /// The cache that it was to be restored to could not be built.
    Build(BuildError),
    /// The cache, which is kept in a directory, takes no writes, or could not keep one.
    Refused(Error),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Busy => {
                f.write_str("another snapshot of this cache is being written: wait until it is done")
            }
            SnapshotError::Write { bytes, error } => {
                write!(f, "writing the snapshot failed after {bytes} bytes: {error}")
            }
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SnapshotError::Busy => None,
            SnapshotError::Write { error, .. } => Some(error),
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Read { offset, error } => {
                write!(f, "reading the snapshot failed at offset {offset}: {error}")
            }
            RestoreError::Damaged { offset, what } => {
                write!(f, "the snapshot is damaged at offset {offset}: {what}")
            }
            RestoreError::Build(error) => error.fmt(f),
            RestoreError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RestoreError::Read { error, .. } => Some(error),
            RestoreError::Damaged { .. } => None,
            RestoreError::Build(error) => error.source(),
            RestoreError::Refused(error) => error.source(),
        }
    }
}

impl Cache {
    /// Writes everything that is in the cache, and gives the number of entries. The cache may be used meanwhile: what is there throughout, and not overwritten, is written; of what is written,
    /// removed or overwritten meanwhile, some may be and some not. Those that were used longest ago come first, so that restoring brings the order of eviction back: that of one shard exactly
    /// with exact LRU, otherwise about.
    ///
    /// Times are by the wall clock and absolute: an entry expires when it would have, wherever it is restored. Every block has a checksum. `to` is called without any lock, about
    /// 64 KiB at a time, and needs no buffer; it is not flushed. It may take its time: nobody waits for it, nor do a snapshot to the directory of the cache and closing that. What is left when such a
    /// snapshot begins comes in any order. Memory: two blocks, and the largest value.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] with what `to` said; and [`SnapshotError::Busy`] while another snapshot of this cache is being written, by this function or to its directory.
    ///
    /// ```
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().build()?;
    /// cache.set("user:1", "Ada", SetOptions::default())?;
    /// let mut snapshot = Vec::new();
    /// assert_eq!(cache.snapshot(&mut snapshot)?, 1);
    ///
    /// let restored = Cache::builder().max_bytes(1 << 20).restore(&snapshot[..])?;
    /// assert_eq!(restored.get("user:1").unwrap().value, "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self, to: impl Write) -> Result<u64, SnapshotError> {
        let writer = RefCell::new(Writer::begin(to, self.clock().unix_millis()));
        let swept = self.try_sweep(
            |entry| {
                let deadline = match entry.time_left {
                    TimeLeft::Forever => None,
                    TimeLeft::Left(left) => Some(unix_deadline(self.clock(), left, entry.now)),
                };
                writer.borrow_mut().gather(
                    &SnapshotEntry {
                        key: entry.key(),
                        value: entry.value(),
                        tag: entry.tag(),
                        deadline,
                    },
                    entry.shared_value(),
                )
            },
            || writer.borrow_mut().write_gathered(),
        );
        match swept {
            None => Err(SnapshotError::Busy),
            Some(_) => writer.into_inner().finish(),
        }
    }

    /// Writes what is in a snapshot to this cache, over what is there. A snapshot of a directory (`docs/persistence.md`) can be restored as well.
    ///
    /// It is read a block at a time, and what a length in it claims takes no memory before it is there. `from` is called without any lock, and needs no buffer; it may be read
    /// beyond the end of the snapshot. Restored entries count as just used; those that have expired are left out.
    ///
    /// # Errors
    /// [`RestoreError::Damaged`] says where, and [`RestoreError::Read`] what `from` said. What was restored until then stays. With [`OnDamage::Skip`], what is damaged is
    /// passed over and told in the result; what begins as a whole file of another kind, or of a newer format, is an error in any case.
    ///
    /// ```
    /// # use rustcache::{Cache, OnDamage, RestoreError, SetOptions};
    /// let cache = Cache::builder().build()?;
    /// cache.set("k", "v", SetOptions::default())?;
    /// let mut snapshot = Vec::new();
    /// cache.snapshot(&mut snapshot)?;
    /// snapshot.pop();
    ///
    /// let cache = Cache::builder().build()?;
    /// assert!(matches!(cache.restore(&snapshot[..], OnDamage::Fail), Err(RestoreError::Damaged { .. })));
    /// let found = cache.restore(&snapshot[..], OnDamage::Skip)?;
    /// assert!(found.entries == 1 && !found.is_complete);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restore(&self, from: impl Read, on_damage: OnDamage) -> Result<Restored, RestoreError> {
        let mut restoring = Restoring::new(self, from, on_damage);
        restoring.run()?;
        Ok(restoring.found)
    }
}

impl Builder {
    /// Builds the cache with what is in a snapshot. If that is damaged, there is no cache: see [`Cache::restore`] for what can be done about it.
    ///
    /// # Errors
    /// As for [`build`](Self::build) and [`Cache::restore`].
    ///
    /// ```
    /// # use rustcache::Cache;
    /// let mut snapshot = Vec::new();
    /// Cache::builder().build()?.snapshot(&mut snapshot)?;
    /// let cache = Cache::builder().max_items(1000).restore(&snapshot[..])?;
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restore(self, from: impl Read) -> Result<Cache, RestoreError> {
        let cache = self.build().map_err(RestoreError::Build)?;
        cache.restore(from, OnDamage::Fail)?;
        Ok(cache)
    }
}
