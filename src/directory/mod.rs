//! A cache that keeps itself in a directory: what programs that use the crate see of `persist/`. How it is opened, how the handle leads to it, and
//! nothing of files or formats.

mod error;
mod handle;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use crate::persist::{Store, StoreOptions};
use crate::{Builder, Cache};

pub use crate::persist::Failure as DiskError;
pub use crate::persist::{OnDiskError, Recover, Sync as SyncMode};
pub use error::OpenError;
pub use handle::{Directory, DirectoryStats, RecoveryReport};

/// How long the last snapshot may take, unless something else is asked for.
const LAST_SNAPSHOT: Duration = Duration::from_secs(2);

/// Opens a [`Cache`] that keeps itself in a directory. Made by [`Builder::dir`].
///
/// ```
/// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-builder-{}", std::process::id()));
/// use rustcache::{Cache, OnDiskError, Recover, SetOptions, SyncMode};
///
/// let cache = Cache::builder()
///     .max_bytes(64 << 20)
///     .dir(&scratch)
///     .sync(SyncMode::Always)
///     .recover(Recover::Valid)
///     .on_disk_error(OnDiskError::Refuse)
///     .open()?;
/// cache.set("session:1", "Ada", SetOptions::default())?; // on the disk when this returns
/// cache.close()?;
///
/// let cache = Cache::builder().dir(&scratch).open()?;
/// assert_eq!(cache.get("session:1").unwrap().value, "Ada");
/// # cache.close()?;
/// # std::fs::remove_dir_all(scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "call open() to get a cache"]
pub struct PersistentBuilder {
    builder: Builder,
    options: StoreOptions,
    last_snapshot: Duration,
}

impl Builder {
    /// Has the cache keep itself in a directory, which is made if it is not there. What [`set`](Cache::set) and the other writes have returned from is there
    /// after `kill -9`; see [`SyncMode`] for what a power cut leaves. One cache at a time can have a directory; a process can have many.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-dir-{}", std::process::id()));
    /// use rustcache::{Cache, Expiry};
    ///
    /// for day in 1..=3 {
    ///     let cache = Cache::builder().max_items(10_000).dir(&scratch).open()?;
    ///     assert_eq!(cache.increment("days", 1, Expiry::Never)?, day);
    /// } // closed when the last handle is dropped
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dir(self, directory: impl Into<PathBuf>) -> PersistentBuilder {
        PersistentBuilder {
            builder: self,
            options: StoreOptions {
                settles: true,
                ..StoreOptions::new(directory)
            },
            last_snapshot: LAST_SNAPSHOT,
        }
    }
}

impl PersistentBuilder {
    /// When a write that has returned survives more than the death of the process. Default: [`SyncMode::EverySecond`].
    ///
    /// ```
    /// use rustcache::{Cache, SyncMode};
    /// let builder = Cache::builder().dir("sessions").sync(SyncMode::Always);
    /// ```
    pub fn sync(mut self, sync: SyncMode) -> Self {
        self.options.sync = sync;
        self
    }

    /// What to do about damage that is found when the directory is opened. Default: [`Recover::Valid`], which keeps what is intact.
    ///
    /// ```
    /// use rustcache::{Cache, Recover};
    /// let builder = Cache::builder().dir("sessions").recover(Recover::Strict);
    /// ```
    pub fn recover(mut self, recover: Recover) -> Self {
        self.options.recover = recover;
        self
    }

    /// What becomes of writes once the disk has failed. Default: [`OnDiskError::Refuse`].
    ///
    /// ```
    /// use rustcache::{Cache, OnDiskError};
    /// let builder = Cache::builder().dir("sessions").on_disk_error(OnDiskError::Memory);
    /// ```
    pub fn on_disk_error(mut self, on_disk_error: OnDiskError) -> Self {
        self.options.on_disk_error = on_disk_error;
        self
    }

    /// A snapshot is written in the background once the journal is larger than this, in bytes, and than the last snapshot. Default: 64 MiB. A small one makes
    /// for a fast start and for more to write.
    ///
    /// ```
    /// let builder = rustcache::Cache::builder().dir("sessions").snapshot_after(16 << 20);
    /// ```
    pub fn snapshot_after(mut self, journal_bytes: u64) -> Self {
        self.options.snapshot_after = journal_bytes;
        self
    }

    /// A snapshot is written so often as well, if anything has changed. Default: not by time.
    ///
    /// ```
    /// use std::time::Duration;
    /// let builder = rustcache::Cache::builder().dir("sessions").snapshot_every(Duration::from_secs(600));
    /// ```
    pub fn snapshot_every(mut self, every: Duration) -> Self {
        self.options.snapshot_every = Some(every);
        self
    }

    /// How long the snapshot may take that is written when the cache is closed or its last handle is dropped. Default: 2 seconds. Nothing is lost
    /// if it takes longer, and none is written: the next start reads the journal instead.
    ///
    /// ```
    /// use std::time::Duration;
    /// let builder = rustcache::Cache::builder().dir("sessions").last_snapshot_within(Duration::ZERO);
    /// ```
    pub fn last_snapshot_within(mut self, limit: Duration) -> Self {
        self.last_snapshot = limit;
        self
    }

    /// How long to wait for a process that is about to give the directory up. Default: 5 seconds. One that is not ending is waited for 0.3 seconds at the most.
    ///
    /// ```
    /// use std::time::Duration;
    /// let builder = rustcache::Cache::builder().dir("sessions").lock_patience(Duration::from_secs(30));
    /// ```
    pub fn lock_patience(mut self, patience: Duration) -> Self {
        self.options.lock_patience = patience;
        self
    }

    /// Opens the directory and loads what is in it: some million entries a second.
    ///
    /// # Errors
    /// [`OpenError`] says whether an option is out of range, who else has the directory, what the system said, or what is damaged. Without
    /// [`Recover::Strict`] damage is no error: see [`Directory::recovery`].
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-open-{}", std::process::id()));
    /// use rustcache::{Cache, OpenError};
    ///
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// let second = Cache::builder().dir(&scratch).open();
    /// assert!(matches!(second, Err(OpenError::InUse { pid: Some(pid), .. }) if pid == std::process::id()));
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(self) -> Result<Cache, OpenError> {
        let path = self.options.directory.clone();
        let store = Store::open(self.options, self.builder)?;
        let cache = store.cache().clone();
        Ok(cache.kept_by(Directory::new(path, store, self.last_snapshot)))
    }
}

impl Cache {
    /// The directory in which the cache keeps itself, if it does.
    ///
    /// ```
    /// assert!(rustcache::Cache::builder().build()?.directory().is_none());
    /// # Ok::<(), rustcache::BuildError>(())
    /// ```
    pub fn directory(&self) -> Option<&Directory> {
        self.keeper()
    }

    /// Writes what has changed to the disk and syncs it, whatever the [`SyncMode`]. Without a directory this does nothing.
    ///
    /// It also tells what writes cannot tell that have no errors: whether a [`remove`](Cache::remove) or [`clear`](Cache::clear) has come to the disk.
    ///
    /// # Errors
    /// The first failure since the last complete snapshot, or that the cache was closed.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-flush-{}", std::process::id()));
    /// let cache = rustcache::Cache::builder().dir(&scratch).open()?;
    /// cache.remove("session:1");
    /// cache.flush()?; // gone for good, power cut or not
    /// # drop(cache);
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush(&self) -> Result<(), DiskError> {
        self.directory().map_or(Ok(()), Directory::flush)
    }

    /// Ends the keeping of the cache: everything is written and synced, a last snapshot makes the next start fast, and the directory is free when this returns.
    /// Without a directory, and the second time, this does nothing.
    ///
    /// From then on writes through any handle are [`Error::Closed`](crate::Error::Closed); reads go on, from memory, and what cannot say no (a
    /// [`remove`](Cache::remove)) is done in memory alone. Dropping the last handle closes as well, and tells nobody what failed.
    ///
    /// # Errors
    /// When what was changed is not on the disk.
    ///
    /// ```
    /// # let scratch = std::env::temp_dir().join(format!("rustcache-doc-close-{}", std::process::id()));
    /// use rustcache::{Cache, Error, SetOptions};
    ///
    /// let cache = Cache::builder().dir(&scratch).open()?;
    /// cache.set("a", "1", SetOptions::default())?;
    /// cache.close()?;
    /// assert_eq!(cache.set("a", "2", SetOptions::default()), Err(Error::Closed));
    /// assert_eq!(cache.get("a").unwrap().value, "1");
    /// # std::fs::remove_dir_all(scratch)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) -> Result<(), DiskError> {
        self.directory().map_or(Ok(()), Directory::close)
    }
}
