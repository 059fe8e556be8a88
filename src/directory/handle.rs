//! The directory of a cache, as its handles see it. It lives as long as any of them, and what happens when it is dropped is in here.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Keep;
use crate::log;
use crate::persist::{Recovery, Store};

use super::DiskError;

/// The directory in which a [`Cache`](crate::Cache) keeps itself: see [`Cache::directory`](crate::Cache::directory).
///
/// ```
/// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-directory-{}", std::process::id()));
/// use rustcache::{Cache, SetOptions};
///
/// let cache = Cache::builder().dir(&scratch).open()?;
/// cache.set("a", "1", SetOptions::default())?;
/// let directory = cache.directory().unwrap();
/// directory.snapshot()?;
/// assert_eq!(directory.stats().last_snapshot_entries, 1);
/// assert_eq!(directory.failure(), None);
/// # drop(cache);
/// # std::fs::remove_dir_all(scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    store: Store,
    last_snapshot: Duration,
}

impl Directory {
    pub(super) fn new(path: PathBuf, store: Store, last_snapshot: Duration) -> Arc<Self> {
        Arc::new(Directory {
            path,
            store,
            last_snapshot,
        })
    }

    /// Where it is.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-path-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// assert_eq!(cache.directory().unwrap().path(), scratch);
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a snapshot now, beside all other work, and removes what it makes superfluous. If the disk has failed, one that succeeds ends that.
    ///
    /// # Errors
    /// What failed. The journal goes on.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-snapshot-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// let directory = cache.directory().unwrap();
    /// directory.snapshot()?;
    /// assert_eq!(directory.stats().journal_bytes_since_snapshot, 0);
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Result<(), DiskError> {
        self.store.snapshot()
    }

    /// What has failed since the last complete snapshot: as long as there is something, what is written is not on the disk.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-failure-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// if let Some(failure) = cache.directory().unwrap().failure() {
    ///     eprintln!("what is written is not kept: {failure}");
    /// }
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failure(&self) -> Option<DiskError> {
        self.store.failure()
    }

    /// As `failure`; but not that the cache was closed.
    #[doc(hidden)]
    pub fn failure_before_the_end(&self) -> Option<DiskError> {
        self.store.failure_before_the_end()
    }

    /// What was found when the directory was opened.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-recovery-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// let report = cache.directory().unwrap().recovery();
    /// if report.is_damaged() {
    ///     eprint!("{report}");
    /// }
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recovery(&self) -> RecoveryReport {
        RecoveryReport(Box::new(self.store.recovery().clone()))
    }

    /// What was done since.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-directory-stats-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// assert_eq!(cache.directory().unwrap().stats().journal_records, 1);
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> DirectoryStats {
        let stats = self.store.stats();
        DirectoryStats {
            journal_records: stats.journal.records,
            journal_bytes: stats.journal.bytes,
            journal_bytes_since_snapshot: stats.journal.bytes_since_snapshot,
            syncs: stats.journal.syncs,
            snapshots: stats.snapshots,
            last_snapshot_bytes: stats.last_snapshot_bytes,
            last_snapshot_entries: stats.last_snapshot_entries,
        }
    }

    pub(super) fn flush(&self) -> Result<(), DiskError> {
        self.store.flush()
    }

    pub(super) fn close(&self) -> Result<(), DiskError> {
        self.store.end(self.last_snapshot)
    }
}

impl Drop for Directory {
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, reason = "there to be told of")
    )]
    fn drop(&mut self) {
        if let Err(failure) = self.close() {
            log::error!(%failure, "what was written last may not be on the disk");
        }
    }
}

impl Keep for Directory {}

// A panic while a file is written latches as a failure of the disk; no other leaves anything half done.
impl UnwindSafe for Directory {}
impl RefUnwindSafe for Directory {}

/// What the keeping of a cache has done since it was opened.
///
/// ```
/// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-stats-{}", std::process::id()));
/// let cache = rustcache::Cache::builder().dir(&scratch).open()?;
/// cache.set("a", "1", rustcache::SetOptions::default())?;
/// assert_eq!(cache.directory().unwrap().stats().journal_records, 1);
/// # drop(cache);
/// # std::fs::remove_dir_all(scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryStats {
    /// Changes taken note of.
    pub journal_records: u64,
    /// Bytes written to the journal.
    pub journal_bytes: u64,
    /// Bytes of journals that the next opening would have to replay.
    pub journal_bytes_since_snapshot: u64,
    /// Times that the journal was synced: fewer than writes, where threads share one.
    pub syncs: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Bytes of the last snapshot, which may have been there before.
    pub last_snapshot_bytes: u64,
    /// Entries of the last snapshot that was written.
    pub last_snapshot_entries: u64,
}

/// What was found in a directory when it was opened. Its [`Display`](fmt::Display) names each damage, a line for each; nothing if there is none.
///
/// ```
/// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-report-{}", std::process::id()));
/// let cache = rustcache::Cache::builder().dir(&scratch).open()?;
/// let report = cache.directory().unwrap().recovery();
/// assert!(!report.is_damaged(), "{report}");
/// assert_eq!((report.recovered(), report.lost()), (0, 0));
/// # drop(cache);
/// # std::fs::remove_dir_all(scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport(pub(super) Box<Recovery>);

impl RecoveryReport {
    /// Entries and changes that were read.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-recovered-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// drop(cache);
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// assert_eq!(cache.directory().unwrap().recovery().recovered(), 1);
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recovered(&self) -> u64 {
        self.0.applied()
    }

    /// Records known to be lost. What a crash has left unfinished at the end of the journal was never acknowledged and does not count.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-lost-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// assert_eq!(cache.directory().unwrap().recovery().lost(), 0);
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lost(&self) -> u64 {
        self.0.lost()
    }

    /// Whether anything was found that no crash explains.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-is-damaged-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// assert!(!cache.directory().unwrap().recovery().is_damaged());
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_damaged(&self) -> bool {
        self.0.is_damaged()
    }

    /// The files with damage in them, by the names that they had: what they held is set aside under the same name with `damaged-` before it.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-damaged-files-{}", std::process::id()));
    /// # use rustcache::{Cache, SetOptions};
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// assert_eq!(cache.directory().unwrap().recovery().damaged_files().count(), 0);
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn damaged_files(&self) -> impl Iterator<Item = &Path> {
        self.0.damaged().map(PathBuf::as_path)
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
