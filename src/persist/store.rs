//! A cache that is kept in a directory: opens it, commits its changes, ends. What happens beside that is keeper.rs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cache::{Cache, Observer};
use crate::{BuildError, Builder, log};

use super::disk::{Disk, SystemDisk};
use super::journal::{Beginning, Failure, Journal, Sync, failure, lock};
use super::keeper::{Inner, Patience, ending};
use super::load::Loader;
use super::lock::{DirectoryLock, LockError, explain};
use super::opening::Loading;
use super::process::Process;
use super::reading::Counted;
use super::recovery::{Files, Recover, Recovery, recover};
use super::scribe::Scribe;
use ahead::Ahead;
pub use stats::{SnapshotProgress, StoreStats};

mod ahead;
mod stats;

/// What becomes of writes once something on the disk has failed. Only a complete new snapshot ends that state; one is tried every 30 seconds.
///
/// ```
/// use rustcache::{Cache, OnDiskError};
/// let builder = Cache::builder().dir("sessions").on_disk_error(OnDiskError::Memory);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDiskError {
    /// They are refused; reads go on.
    #[default]
    Refuse,
    /// They are done in memory.
    Memory,
    /// The daemon ends; for a cache in a program, a directory that cannot be written is not opened, and later writes are refused.
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
    /// What becomes of writes once the disk has failed. The store only keeps it, for those who answer them.
    pub on_disk_error: OnDiskError,
    /// How long to wait for another process that is about to give the directory up.
    pub lock_patience: Duration,
    /// Whether whoever changes something has it committed before it is told that it is done. Otherwise [`Store::commit`] is to be called.
    pub settles: bool,
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
            on_disk_error: OnDiskError::default(),
            lock_patience: Duration::from_secs(5),
            settles: false,
            disk: Arc::new(SystemDisk),
        }
    }
}

/// Why a directory could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
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
                    "the directory {} is in use by another process, which `fuser {1}` or `lsof {1}` names: end that, or use another directory",
                    directory.display(),
                    directory.join("lock").display()
                )
            }
            OpenError::Disk(failure) => match remedy(failure.kind) {
                Some(remedy) => write!(f, "{failure}: {remedy}"),
                None => failure.fmt(f),
            },
            OpenError::Damaged(recovery) => {
                let directory = recovery.files.first().and_then(|(path, _)| path.parent());
                write!(
                    f,
                    "there is damage: {}: `--recover valid` keeps what is intact, `rustcache repair {}` writes a clean copy of it",
                    recovery.to_string().trim_end().replace('\n', "; "),
                    directory.unwrap_or(Path::new("DIR")).display()
                )
            }
        }
    }
}

impl std::error::Error for OpenError {}

pub(crate) fn remedy(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room there, or choose another directory")
        }
        io::ErrorKind::ReadOnlyFilesystem => Some("mount it writable, or choose another directory"),
        io::ErrorKind::PermissionDenied => Some(
            "make the directory and all in it belong to the user who runs this, or choose another directory",
        ),
        _ => None,
    }
}

/// A cache in a directory.
#[derive(Debug)]
pub struct Store {
    inner: Arc<Inner>,
    /// What goes on beside: they end once they are told to stop.
    threads: Mutex<Vec<JoinHandle<()>>>,
    recovery: Recovery,
    process: Process,
}

impl Store {
    /// Opens a directory, which is made if it is not there, and fills a cache with what is in it.
    ///
    /// # Errors
    /// See [`OpenError`]. Damage is no error, unless [`Recover::Strict`] is asked for: what is intact is kept, and [`recovery`](Self::recovery) tells the
    /// rest.
    pub fn open(options: StoreOptions, builder: Builder) -> Result<Self, OpenError> {
        let cache = builder.build().map_err(OpenError::Build)?;
        Self::open_telling(options, cache, &Arc::default())
    }

    /// As `open`, into a cache that is empty, and tells meanwhile how far it has come.
    pub(super) fn open_telling(
        options: StoreOptions,
        cache: Cache,
        loading: &Arc<Loading>,
    ) -> Result<Self, OpenError> {
        let began = Instant::now();
        let clock = cache.clock().clone();
        let directory = options.directory.as_path();
        let disk = Arc::clone(&options.disk);
        let directory_lock = Arc::new(lock_directory(&*disk, directory, options.lock_patience)?);

        // The clock may have been set back since the last file was written.
        let created = disk.newest(directory).unwrap_or(0);
        let files = Files::list(&*disk, directory).map_err(OpenError::Disk)?;
        loading.begin(&directory_lock, files.bytes_to_read());
        let by_clock = clock.unix_millis();
        let now = by_clock.max(created);
        let is_set_back = now > by_clock;
        let mut sink = Ahead::new(Loader::new(&cache, now, loading), by_clock, now);
        let recovery = recover(&*disk, directory, files, &mut sink, |path, file| {
            log::debug!(path = %path.display(), "reading");
            Counted::boxed(file, loading.bytes())
        })
        .map_err(OpenError::Disk)?;
        sink.report(directory);
        drop(sink);
        if recovery.is_damaged() && options.recover == Recover::Strict {
            return Err(OpenError::Damaged(Box::new(recovery)));
        }
        let beginning = Beginning::after(&recovery, now);
        let begun = Journal::begin(Arc::clone(&disk), directory, options.sync, &beginning);
        let journal = begun.or_else(|failure| match options.on_disk_error {
            OnDiskError::Exit => Err(OpenError::Disk(failure)),
            // All of it can be read, and the keeper goes on trying.
            OnDiskError::Refuse | OnDiskError::Memory => Ok(Journal::begin_failed(
                Arc::clone(&disk),
                directory,
                options.sync,
                &beginning,
                failure,
            )),
        })?;
        let journal = Arc::new(journal);
        let scribe: Arc<dyn Observer> = Arc::new(Scribe {
            journal: Arc::clone(&journal),
            clock: clock.clone(),
            on_disk_error: options.on_disk_error,
            process: Process::this(),
        });
        match options.settles {
            true => cache.keep(&scribe),
            false => cache.observe(Some(&scribe)),
        }

        let stats = Arc::clone(loading.store_stats());
        *lock(&stats) = StoreStats {
            last_snapshot_bytes: recovery.snapshot_bytes,
            recovered: recovery.applied(),
            dropped: recovery.lost(),
            damaged_files: recovery.damaged().count() as u64,
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
            begun: Mutex::new(None),
            stats,
            loading: Arc::clone(loading),
            lock: directory_lock,
        });
        if let Err(failure) = inner.tidy(&recovery, is_set_back) {
            if inner.options.on_disk_error == OnDiskError::Exit {
                return Err(OpenError::Disk(failure));
            }
            inner.journal.latch_now(failure);
        }
        if let Some(failure) = inner.journal.failure() {
            log::error!(
                %failure,
                remedy = remedy(failure.kind).unwrap_or("a snapshot that succeeds ends this"),
                "the directory is loaded and cannot be written: {}; a snapshot is tried every 30 seconds, and when one is asked for",
                match inner.options.on_disk_error {
                    OnDiskError::Memory => "writes are done in memory alone",
                    OnDiskError::Refuse | OnDiskError::Exit => "writes are refused",
                }
            );
        }
        log::info!(
            directory = %inner.options.directory.display(),
            recovered = recovery.applied(),
            lost = recovery.lost(),
            items = inner.cache.stats().items,
            millis = began.elapsed().as_millis(),
            "the directory is loaded"
        );
        let store = Store {
            inner,
            threads: Mutex::default(),
            recovery,
            process: Process::this(),
        };
        store.start("rustcache-keeper", Inner::keep)?;
        if store.sync() == Sync::EverySecond {
            store.start("rustcache-sync", Inner::keep_synced)?;
        }
        loading.end();
        Ok(store)
    }

    fn start(&self, name: &str, work: fn(&Inner)) -> Result<(), OpenError> {
        let inner = Arc::clone(&self.inner);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&inner))
            .map_err(|error| {
                OpenError::Disk(failure(
                    "starting a thread for",
                    &self.inner.options.directory,
                    &error,
                ))
            })?;
        lock(&self.threads).push(thread);
        Ok(())
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

    /// As [`commit`](Self::commit), and syncs, whatever is asked for otherwise.
    ///
    /// # Errors
    /// As `commit`.
    pub fn flush(&self) -> Result<(), Failure> {
        self.commit()?;
        self.inner.journal.sync_written();
        self.failure().map_or(Ok(()), Err)
    }

    /// Whether anything has failed since the last complete snapshot. Costs nothing.
    pub fn has_failed(&self) -> bool {
        self.inner.journal.has_failed()
    }

    /// When what is acknowledged survives more than the death of the process.
    pub fn sync(&self) -> Sync {
        self.inner.options.sync
    }

    /// What becomes of writes once the disk has failed.
    pub fn on_disk_error(&self) -> OnDiskError {
        self.inner.options.on_disk_error
    }

    /// What has failed, if anything has since the last complete snapshot.
    pub fn failure(&self) -> Option<Failure> {
        self.inner.journal.failure()
    }

    /// As `failure`; but not that the store has ended.
    pub fn failure_before_the_end(&self) -> Option<Failure> {
        self.inner.journal.failure_before_the_end()
    }

    /// Writes a snapshot now.
    ///
    /// # Errors
    /// What failed; the journal goes on.
    pub fn snapshot(&self) -> Result<(), Failure> {
        self.inner.snapshot(Patience::UntilStopped).map(|_| ())
    }

    /// Asks for a snapshot; `done` is called on another thread once it is durable, or has failed; at once, if the store is ending.
    pub fn request_snapshot(&self, done: impl FnOnce(Result<(), Failure>) + Send + 'static) {
        let mut orders = lock(&self.inner.orders);
        if orders.ended {
            drop(orders);
            return done(Err(ending()));
        }
        orders.waiting.push(Box::new(done));
        orders.snapshot = true;
        self.inner.ordered.notify_all();
    }

    /// What was done.
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            journal: self.inner.journal.stats(),
            failed: self.failure().is_some(),
            load: self.inner.loading.stats(),
            ..lock(&self.inner.stats).clone()
        }
    }

    /// Ends: writes the journal, and a snapshot if that takes no longer than `within`; otherwise the journal is enough. What is still under way then is
    /// waited for when the store is dropped; the end of the process may cut it off.
    ///
    /// # Errors
    /// When what was changed is not on the disk.
    pub fn close(&self, within: Duration) -> Result<(), Failure> {
        // None: as long as it takes.
        let by = Instant::now().checked_add(within);
        let Inner { journal, .. } = &*self.inner;
        self.inner.lock.is_ending();
        self.tell_to_stop();
        // This is what counts, however long it takes. What failed before was told then.
        let had_failed = self.has_failed();
        let committed = match journal.has_pending() {
            true => self.commit(),
            false => Ok(()),
        };
        journal.sync_written();
        let saved = committed.and_then(|()| match self.failure() {
            Some(failure) if !had_failed => Err(failure),
            _ => Ok(()),
        });
        let (ended, end) = channel();
        let inner = Arc::clone(&self.inner);
        let threads = std::mem::take(&mut *lock(&self.threads));
        let last = move || {
            join(threads);
            // It makes the next start fast; that it fails, or takes too long, loses nothing.
            let is_wanted = inner.journal.stats().bytes_since_snapshot > 0 || inner.journal.has_failed();
            let written = is_wanted
                && by.is_none_or(|by| Instant::now() < by)
                && matches!(
                    inner.snapshot(by.map_or(Patience::Endless, Patience::Until)),
                    Ok(true)
                );
            // Nobody waits any more, if it took too long.
            let _ = ended.send(written);
        };
        match thread::Builder::new().name("rustcache-end".into()).spawn(last) {
            Ok(thread) => lock(&self.threads).push(thread),
            // The next start replays the journal.
            Err(error) => log::warn!(%error, "no thread could be started for the last snapshot"),
        }
        let ended = match by {
            Some(by) => end
                .recv_timeout(by.saturating_duration_since(Instant::now()))
                .ok(),
            None => end.recv().ok(),
        };
        match ended {
            // Whatever has failed before: all is in there.
            Some(true) => Ok(()),
            Some(false) => saved,
            None => {
                log::info!("the last snapshot would take too long; the journal is enough");
                saved
            }
        }
    }

    /// Ends as the death of the process would: what was not committed is not written.
    #[cfg(test)]
    pub(super) fn crash(self) {
        self.inner.cache.observe(None);
        self.inner.journal.forget_pending();
        self.stop();
    }

    /// As [`close`](Self::close), and gives the directory up: nothing is written there any more, whatever the handles of the cache are used for.
    ///
    /// # Errors
    /// When what was changed is not on the disk, whatever was told before.
    pub fn end(&self, within: Duration) -> Result<(), Failure> {
        if self.process.is_another() || self.inner.lock.is_released() {
            return Ok(());
        }
        self.inner.journal.is_to_end();
        let closed = self.close(within);
        // What failed before may have come into the last snapshot.
        self.stop();
        let failed = self.failure();
        self.give_up();
        closed.and(failed.map_or(Ok(()), Err))
    }

    fn give_up(&self) {
        self.stop();
        // No snapshot is begun after this one.
        let _writing = lock(&self.inner.writing);
        self.inner.journal.end();
        self.inner.lock.release();
    }

    fn tell_to_stop(&self) {
        lock(&self.inner.orders).stop = true;
        self.inner.ordered.notify_all();
    }

    fn stop(&self) {
        self.tell_to_stop();
        join(std::mem::take(&mut *lock(&self.threads)));
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // They have nothing to tell.
        let _ = thread.join();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.process.is_another() {
            // Those threads are not here: nobody can wait for them, nor let go of what they had locked.
            if let Ok(mut threads) = self.threads.try_lock() {
                std::mem::forget(std::mem::take(&mut *threads));
            }
            return self.inner.lock.close();
        }
        if self.inner.options.settles {
            // Handles that are left are told that nothing is kept any more.
            self.inner.journal.is_to_end();
            return self.give_up();
        }
        self.inner.cache.observe(None);
        let _ = self.commit();
        self.stop();
    }
}

fn lock_directory(disk: &dyn Disk, directory: &Path, patience: Duration) -> Result<DirectoryLock, OpenError> {
    if directory.as_os_str().is_empty() {
        return Err(OpenError::Disk(Failure {
            what: "opening the directory \"\"".to_owned(),
            cause: "an empty path names none: give the path of a directory, \".\" for the current one"
                .to_owned(),
            kind: io::ErrorKind::InvalidInput,
            os_code: None,
        }));
    }
    disk.make_directory(directory).map_err(|error| {
        let mut failure = failure("making the directory", directory, &error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failure.cause += ": this is a file and no directory: choose another path";
            }
            io::ErrorKind::NotADirectory => {
                failure.cause += ": a part of this path is a file: choose another path";
            }
            _ => {}
        }
        OpenError::Disk(failure)
    })?;
    let path = directory.join("lock");
    DirectoryLock::take(&path, patience).map_err(|error| match error {
        LockError::Held(pid) => OpenError::Locked {
            directory: directory.to_owned(),
            pid,
        },
        LockError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            OpenError::Disk(Failure {
                what: format!("locking {}", path.display()),
                cause: explain(&path, &error),
                // That says it all.
                kind: io::ErrorKind::Other,
                os_code: error.raw_os_error(),
            })
        }
        LockError::Io(error) => OpenError::Disk(failure("locking", &path, &error)),
    })
}
