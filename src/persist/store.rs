//! A cache that is kept in a directory: opens it, commits its changes, and decides when to write a snapshot.
//!
//! The life of a generation: `journal-g` is begun; `snapshot-g` is written beside it from what is in memory, slice by slice, under the name
//! `.unfinished`; it is synced and renamed; then everything of the generations before goes. At each moment there is a snapshot and all journals since.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cache::{Cache, Clock, Observed, Observer};
use crate::{BuildError, Builder, TimeLeft};

use super::disk::{Disk, SystemDisk};
use super::format::{Change, SnapshotEntry};
use super::journal::{Failure, Journal, JournalStats, Sync, failure, journal_path, lock};
use super::load::Loader;
use super::lock::{DirectoryLock, LockError};
use super::recovery::{Files, Recover, Recovery, recover};
use super::snapshot::{SnapshotWriter, snapshot_path};

/// What becomes of writes once something on the disk has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDiskError {
    /// They are refused; reads go on.
    #[default]
    Refuse,
    /// They are done in memory.
    Memory,
    /// The daemon ends.
    Exit,
}

/// How a directory is kept.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Where.
    pub directory: PathBuf,
    /// When what is acknowledged survives more than the death of the process.
    pub sync: Sync,
    /// What to do about damage when it is opened.
    pub recover: Recover,
    /// A snapshot is written once the journals are larger than this, in bytes, and than the last snapshot.
    pub snapshot_after: u64,
    /// And so often, if asked for.
    pub snapshot_every: Option<Duration>,
    /// The file system.
    pub disk: Arc<dyn Disk>,
}

impl StoreOptions {
    /// The defaults, for a directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        StoreOptions {
            directory: directory.into(),
            sync: Sync::default(),
            recover: Recover::default(),
            snapshot_after: 64 << 20,
            snapshot_every: None,
            disk: Arc::new(SystemDisk),
        }
    }
}

/// Why a directory could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The cache itself cannot be built.
    Build(BuildError),
    /// Another process has the directory.
    Locked {
        /// Which directory.
        directory: PathBuf,
        /// Who, if that could be read.
        pid: Option<u32>,
    },
    /// The system said no.
    Disk(Failure),
    /// There is damage, and it was asked not to go on then.
    Damaged(Box<Recovery>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Build(error) => error.fmt(f),
            OpenError::Locked {
                directory,
                pid: Some(pid),
            } => {
                write!(
                    f,
                    "the directory {} is in use by process {pid}: end that, or use another directory",
                    directory.display()
                )
            }
            OpenError::Locked { directory, pid: None } => {
                write!(
                    f,
                    "the directory {} is in use by another process: use another directory",
                    directory.display()
                )
            }
            OpenError::Disk(failure) => write!(f, "{}: {}", failure.what, failure.cause),
            OpenError::Damaged(recovery) => {
                write!(
                    f,
                    "there is damage: {}",
                    recovery.to_string().trim_end().replace('\n', "; ")
                )
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// What a store has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Of the journal.
    pub journal: JournalStats,
    /// Snapshots written since the start.
    pub snapshots: u64,
    /// When the last of them was finished, in Unix milliseconds; 0 = none yet.
    pub last_snapshot_at: u64,
    /// How long it took, in milliseconds.
    pub last_snapshot_millis: u64,
    /// Its length in bytes: that of the one that was loaded, if none was written since.
    pub last_snapshot_bytes: u64,
    /// Its entries.
    pub last_snapshot_entries: u64,
    /// Entries of the snapshot that is being written so far; 0 = none is.
    pub snapshot_progress: u64,
    /// Entries and changes applied when the directory was opened.
    pub recovered: u64,
    /// Records that were known to be lost then.
    pub dropped: u64,
    /// How long that took, in milliseconds.
    pub recovery_millis: u64,
    /// Whether something on the disk has failed since.
    pub failed: bool,
}

/// A cache in a directory.
#[derive(Debug)]
pub struct Store {
    inner: Arc<Inner>,
    keeper: Option<JoinHandle<()>>,
    recovery: Recovery,
}

#[derive(Debug)]
struct Inner {
    cache: Cache,
    clock: Clock,
    options: StoreOptions,
    journal: Arc<Journal>,
    orders: Mutex<Orders>,
    ordered: Condvar,
    /// Held while a snapshot is written.
    writing: Mutex<()>,
    stats: Mutex<StoreStats>,
    _lock: DirectoryLock,
}

/// What the keeper is to do.
#[derive(Default)]
struct Orders {
    snapshot: bool,
    stop: bool,
    waiting: Vec<WhenWritten>,
}

/// Called when a snapshot is durable, or has failed.
type WhenWritten = Box<dyn FnOnce(Result<(), Failure>) + Send>;

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Orders {{ snapshot: {}, stop: {} }}", self.snapshot, self.stop)
    }
}

/// Writes what the cache shows into the journal.
#[derive(Debug)]
struct Scribe {
    journal: Arc<Journal>,
    clock: Clock,
}

impl Observer for Scribe {
    fn changed(&self, change: &Observed<'_>) {
        let deadline = |time_left: TimeLeft| match time_left {
            TimeLeft::Forever => None,
            TimeLeft::Left(left) => Some(unix_deadline(&self.clock, left)),
        };
        let (change, shared) = match *change {
            Observed::Set {
                key,
                value,
                shared,
                tag,
                time_left,
            } => (
                Change::Set {
                    key,
                    value,
                    tag,
                    deadline: deadline(time_left),
                },
                shared,
            ),
            Observed::Remove { key } => (Change::Remove { key }, None),
            Observed::Deadline { key, time_left } => (
                Change::Deadline {
                    key,
                    deadline: deadline(time_left),
                },
                None,
            ),
            Observed::Clear { prefix } => (Change::Clear { prefix }, None),
        };
        self.journal.append(&change, shared);
    }
}

fn unix_deadline(clock: &Clock, left: Duration) -> u64 {
    clock
        .unix_millis()
        .saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

impl Store {
    /// Opens a directory, which is made if it is not there, and fills a cache with what is in it.
    ///
    /// # Errors
    /// See [`OpenError`]. Damage is no error, unless [`Recover::Strict`] is asked for: what is intact is kept, and [`recovery`](Self::recovery) tells the
    /// rest.
    pub fn open(options: StoreOptions, builder: Builder) -> Result<Self, OpenError> {
        let began = Instant::now();
        let cache = builder.build().map_err(OpenError::Build)?;
        let clock = cache.clock().clone();
        let directory = options.directory.as_path();
        let disk = Arc::clone(&options.disk);
        let lock = lock_directory(&*disk, directory)?;

        // The clock may have been set back since the last file was written.
        let created = disk.newest(directory).unwrap_or(0);
        let now = clock.unix_millis().max(created);
        let recovery = recover(&*disk, directory, &mut Loader::new(&cache, now), |path| {
            tracing::debug!(path = %path.display(), "reading");
        })
        .map_err(OpenError::Disk)?;
        if recovery.is_damaged() && options.recover == Recover::Strict {
            return Err(OpenError::Damaged(Box::new(recovery)));
        }
        let journal = Journal::begin(
            Arc::clone(&disk),
            directory,
            options.sync,
            recovery.newest + 1,
            now,
            recovery.journal_bytes,
        )
        .map_err(OpenError::Disk)?;
        let journal = Arc::new(journal);
        let scribe = Scribe {
            journal: Arc::clone(&journal),
            clock: clock.clone(),
        };
        cache.observe(Some(&(Arc::new(scribe) as Arc<dyn Observer>)));

        let stats = StoreStats {
            last_snapshot_bytes: recovery.snapshot_bytes,
            recovered: recovery.applied(),
            dropped: recovery.lost(),
            recovery_millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..StoreStats::default()
        };
        let inner = Arc::new(Inner {
            cache,
            clock,
            options,
            journal,
            orders: Mutex::default(),
            ordered: Condvar::new(),
            writing: Mutex::new(()),
            stats: Mutex::new(stats),
            _lock: lock,
        });
        inner.tidy(&recovery).map_err(OpenError::Disk)?;
        let keeper = {
            let inner = Arc::clone(&inner);
            thread::Builder::new()
                .name("rustcache-keeper".into())
                .spawn(move || inner.keep())
        };
        let keeper = keeper.map_err(|error| {
            OpenError::Disk(failure("starting a thread for", &inner.options.directory, &error))
        })?;
        Ok(Store {
            inner,
            keeper: Some(keeper),
            recovery,
        })
    }

    /// The cache. What is changed in it is durable once [`commit`](Self::commit) has returned.
    pub fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    /// What was found when the directory was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Writes all changes made before the call to the journal, and syncs it if that is asked for. To be called before they are acknowledged.
    ///
    /// # Errors
    /// The first failure since the last complete snapshot: it stays.
    pub fn commit(&self) -> Result<(), Failure> {
        self.inner.journal.commit()
    }

    /// What has failed, if anything has since the last complete snapshot.
    pub fn failure(&self) -> Option<Failure> {
        self.inner.journal.failure()
    }

    /// Writes a snapshot now.
    ///
    /// # Errors
    /// What failed; the journal goes on.
    pub fn snapshot(&self) -> Result<(), Failure> {
        self.inner.snapshot(None).map(|_| ())
    }

    /// Asks for a snapshot; `done` is called on another thread once it is durable, or has failed.
    pub fn request_snapshot(&self, done: impl FnOnce(Result<(), Failure>) + Send + 'static) {
        let mut orders = lock(&self.inner.orders);
        orders.waiting.push(Box::new(done));
        orders.snapshot = true;
        self.inner.ordered.notify_one();
    }

    /// What was done.
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            journal: self.inner.journal.stats(),
            failed: self.failure().is_some(),
            ..lock(&self.inner.stats).clone()
        }
    }

    /// Ends: writes a snapshot if that takes no longer than `within`, and otherwise leaves it at the journal, which is enough.
    ///
    /// # Errors
    /// When what was changed is not on the disk.
    pub fn close(mut self, within: Duration) -> Result<(), Failure> {
        self.stop_keeper();
        let committed = self.commit();
        self.inner.journal.sync_written();
        if self.inner.journal.stats().bytes_since_snapshot > 0 {
            // It makes the next start fast; that it fails, or takes too long, loses nothing.
            let _ = self.inner.snapshot(Some(Instant::now() + within));
        }
        committed
    }

    /// Ends as the death of the process would: what was not committed is not written.
    #[cfg(test)]
    pub(super) fn crash(mut self) {
        self.inner.cache.observe(None);
        self.inner.journal.forget_pending();
        self.stop_keeper();
    }

    fn stop_keeper(&mut self) {
        lock(&self.inner.orders).stop = true;
        self.inner.ordered.notify_one();
        if let Some(keeper) = self.keeper.take() {
            // It has nothing to tell.
            let _ = keeper.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.inner.cache.observe(None);
        let _ = self.commit();
        self.stop_keeper();
    }
}

impl Inner {
    /// Cuts unfinished writes off, sets damaged files aside once what was in them is in a snapshot, and removes what belongs to nothing.
    fn tidy(&self, recovery: &Recovery) -> Result<(), Failure> {
        let Inner {
            options: StoreOptions { directory, disk, .. },
            ..
        } = self;
        for path in &recovery.stale {
            remove(&**disk, path)?;
        }
        let mut cut = false;
        for (path, report) in &recovery.files {
            for damage in &report.damage {
                tracing::error!(path = %path.display(), %damage, "damage was found; what is intact is kept");
            }
            if let Some(offset) = report.torn_at {
                tracing::warn!(path = %path.display(), offset, "an unfinished write at the end was dropped");
                cut = true;
            }
        }
        if recovery.is_damaged() || cut {
            // What was read goes to a new snapshot before any old file is touched.
            for (path, report) in &recovery.files {
                let kind = match (report.damage.is_empty(), report.torn_at) {
                    (false, _) => "damaged",
                    (true, Some(_)) => "torn",
                    (true, None) => continue,
                };
                if let Some(name) = path.file_name() {
                    let aside = directory.join(format!("{kind}-{}", name.to_string_lossy()));
                    disk.copy(path, &aside)
                        .map_err(|error| failure("copying to", &aside, &error))?;
                }
            }
            self.snapshot(None)?;
        }
        Ok(())
    }

    /// Writes a snapshot, or gives up: `false`, if it would take longer than until `by`, or without that limit, when the keeper is to stop.
    fn snapshot(&self, by: Option<Instant>) -> Result<bool, Failure> {
        let _writing = lock(&self.writing);
        let began = Instant::now();
        let StoreOptions { directory, disk, .. } = &self.options;
        let generation = self.journal.rotate(self.clock.unix_millis())?;
        let mut writer =
            SnapshotWriter::begin(Arc::clone(disk), directory, generation, self.clock.unix_millis())?;
        let mut failed = None;
        let swept = {
            let writer = std::cell::RefCell::new(&mut writer);
            let mut large = Vec::new();
            let large = std::cell::RefCell::new(&mut large);
            self.cache.sweep(
                |entry| {
                    let deadline = match entry.time_left {
                        TimeLeft::Forever => None,
                        TimeLeft::Left(left) => Some(unix_deadline(&self.clock, left)),
                    };
                    match entry.shared_value() {
                        // Copied without the lock.
                        Some(value) => {
                            large
                                .borrow_mut()
                                .push((entry.key().to_vec(), value, entry.tag(), deadline));
                        }
                        None => writer.borrow_mut().add(&SnapshotEntry {
                            key: entry.key(),
                            value: entry.value(),
                            tag: entry.tag(),
                            deadline,
                        }),
                    }
                    writer.borrow().is_block()
                },
                || {
                    let mut writer = writer.borrow_mut();
                    let mut result = writer.write_full_block();
                    for (key, value, tag, deadline) in large.borrow_mut().drain(..) {
                        result = result.and_then(|()| {
                            writer.add(&SnapshotEntry {
                                key: &key,
                                value: &value,
                                tag,
                                deadline,
                            });
                            writer.write_full_block()
                        });
                    }
                    lock(&self.stats).snapshot_progress = writer.entries().max(1);
                    if self.options.sync == Sync::EverySecond {
                        self.journal.sync_if_older(Duration::from_secs(1));
                    }
                    if let Err(failure) = result {
                        failed = Some(failure);
                        return ControlFlow::Break(());
                    }
                    let enough = by.map_or_else(|| lock(&self.orders).stop, |by| Instant::now() >= by);
                    if enough {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            )
        };
        lock(&self.stats).snapshot_progress = 0;
        if let Some(failure) = failed {
            writer.abandon();
            return Err(failure);
        }
        if swept.is_break() {
            writer.abandon();
            return Ok(false);
        }
        let (entries, bytes) = writer.finish()?;
        self.journal.snapshot_is_done();
        {
            let mut stats = lock(&self.stats);
            stats.snapshots += 1;
            stats.last_snapshot_at = self.clock.unix_millis();
            stats.last_snapshot_millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            stats.last_snapshot_entries = entries;
            stats.last_snapshot_bytes = bytes;
        }
        tracing::info!(
            generation,
            entries,
            bytes,
            millis = began.elapsed().as_millis(),
            "snapshot written"
        );
        self.remove_older(generation).map(|()| true)
    }

    fn remove_older(&self, generation: u64) -> Result<(), Failure> {
        let StoreOptions { directory, disk, .. } = &self.options;
        let files = Files::list(&**disk, directory)
            .map_err(|error| failure("reading the directory", directory, &error))?;
        let older = |files: &[(u64, u64)]| -> Vec<u64> {
            files
                .iter()
                .map(|&(found, _)| found)
                .filter(|&found| found < generation)
                .collect()
        };
        for found in older(&files.snapshots) {
            remove(&**disk, &snapshot_path(directory, found))?;
        }
        for found in older(&files.journals) {
            remove(&**disk, &journal_path(directory, found))?;
        }
        Ok(())
    }

    /// What the keeper does until it is told to stop: syncs once a second, and writes snapshots when one is due.
    fn keep(&self) {
        let mut last_snapshot = Instant::now();
        loop {
            let waiting = {
                let orders = lock(&self.orders);
                let mut orders = match orders.snapshot || orders.stop {
                    true => orders,
                    false => {
                        self.ordered
                            .wait_timeout(orders, Duration::from_secs(1))
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
                if orders.stop && !orders.snapshot {
                    return;
                }
                orders.snapshot = false;
                std::mem::take(&mut orders.waiting)
            };
            if self.options.sync == Sync::EverySecond {
                self.journal.sync_written();
            }
            let due = self
                .options
                .snapshot_every
                .is_some_and(|every| last_snapshot.elapsed() >= every);
            let journal = self.journal.stats().bytes_since_snapshot;
            let large = journal
                > self
                    .options
                    .snapshot_after
                    .max(lock(&self.stats).last_snapshot_bytes);
            if due || large || !waiting.is_empty() {
                last_snapshot = Instant::now();
                let result = self.snapshot(None);
                if let Err(failure) = &result {
                    tracing::error!(%failure, "no snapshot could be written");
                }
                let result = result.and_then(|complete| match complete {
                    true => Ok(()),
                    false => Err(Failure {
                        what: "writing a snapshot".to_owned(),
                        cause: "the daemon is ending".to_owned(),
                    }),
                });
                for done in waiting {
                    done(result.clone());
                }
            }
        }
    }
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure("removing", path, &error)),
        _ => Ok(()),
    }
}

fn lock_directory(disk: &dyn Disk, directory: &Path) -> Result<DirectoryLock, OpenError> {
    disk.make_directory(directory)
        .map_err(|error| OpenError::Disk(failure("making the directory", directory, &error)))?;
    let path = directory.join("lock");
    DirectoryLock::take(&path).map_err(|error| match error {
        LockError::Held(pid) => OpenError::Locked {
            directory: directory.to_owned(),
            pid,
        },
        LockError::Io(error) => OpenError::Disk(failure("locking", &path, &error)),
    })
}
