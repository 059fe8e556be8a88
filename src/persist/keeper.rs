//! What is done about a directory beside committing: snapshots, the removal of what they make superfluous, a sync every second on
//! a thread of its own. It does not know when a change is acknowledged; that is store.rs.
//!
//! The life of a generation: `snapshot-g` is begun, then `journal-g`; the snapshot is written from what is in memory, slice by slice, under the name
//! `.unfinished`; it is synced and renamed; then everything of the generations before goes. At each moment there is a snapshot and all journals since.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cache::{Cache, Clock};
use crate::{TimeLeft, log};

use super::deadline::unix_deadline;
use super::disk::Disk;
use super::format::SnapshotEntry;
use super::journal::{Failure, Journal, failure, journal_path, lock};
use super::lock::DirectoryLock;
use super::opening::Loading;
use super::recovery::Files;
use super::snapshot::{SnapshotWriter, snapshot_path};
use super::store::{SnapshotProgress, StoreOptions, StoreStats};

mod tidy;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) cache: Cache,
    pub(super) clock: Clock,
    pub(super) options: StoreOptions,
    pub(super) journal: Arc<Journal>,
    pub(super) orders: Mutex<Orders>,
    pub(super) ordered: Condvar,
    /// Held while a snapshot is written.
    pub(super) writing: Mutex<()>,
    /// The generation whose journal was begun for a snapshot that is not done.
    pub(super) begun: Mutex<Option<u64>>,
    pub(super) stats: Arc<Mutex<StoreStats>>,
    pub(super) loading: Arc<Loading>,
    pub(super) lock: Arc<DirectoryLock>,
}

/// How long after a failure, and after each attempt, a new snapshot is tried: when the disk has room again, writes go on by themselves.
const TRIES_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How often something that takes long is reported.
const REPORTS_EVERY: Duration = Duration::from_secs(1);
const SYNCS_EVERY: Duration = Duration::from_secs(1);

/// How long a snapshot may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Until the keeper is to stop.
    UntilStopped,
    Until(Instant),
    Endless,
}

/// What the keeper is to do.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) snapshot: bool,
    pub(super) stop: bool,
    /// The keeper is gone: nobody would answer.
    pub(super) ended: bool,
    pub(super) waiting: Vec<WhenWritten>,
}

/// Called when a snapshot is durable, or has failed.
pub(super) type WhenWritten = Box<dyn FnOnce(Result<(), Failure>) + Send>;

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Orders {{ snapshot: {}, stop: {} }}", self.snapshot, self.stop)
    }
}

impl Inner {
    /// Writes a snapshot and removes what it makes superfluous; or gives up: `false`, if that takes more than patience allows.
    pub(super) fn snapshot(&self, patience: Patience) -> Result<bool, Failure> {
        match self.write_snapshot(patience)? {
            Some(generation) => self.remove_older(generation).map(|()| true),
            None => Ok(false),
        }
    }

    /// As `snapshot`, but nothing is removed yet: large files take their time. Gives the generation. A panic is a failure, after which nothing is durable.
    fn write_snapshot(&self, patience: Patience) -> Result<Option<u64>, Failure> {
        let _writing = lock(&self.writing);
        if self.lock.is_released() {
            return Err(ending());
        }
        let written =
            catch_unwind(AssertUnwindSafe(|| self.write_one_snapshot(patience))).unwrap_or_else(|_| {
                let failure = panicked("writing a snapshot");
                self.journal.latch_now(failure.clone());
                Err(failure)
            });
        lock(&self.stats).snapshot = SnapshotProgress::default();
        written
    }

    /// Begins a snapshot and its journal, if there is none from an attempt that failed: a disk without room is not to be filled with journals.
    fn begin_snapshot(&self) -> Result<(u64, SnapshotWriter), Failure> {
        let begin = |generation| {
            let StoreOptions { directory, disk, .. } = &self.options;
            SnapshotWriter::begin(Arc::clone(disk), directory, generation, self.clock.unix_millis())
        };
        let begun = lock(&self.begun).filter(|&begun| self.journal.unused_generation() == Some(begun));
        if let Some(generation) = begun {
            return Ok((generation, begin(generation)?));
        }
        // The snapshot first: that there is no room shows before the journal is left behind.
        let writer = begin(self.journal.next_generation())?;
        match self.journal.rotate(self.clock.unix_millis()) {
            Ok(generation) => {
                *lock(&self.begun) = Some(generation);
                Ok((generation, writer))
            }
            Err(failure) => {
                writer.abandon();
                Err(failure)
            }
        }
    }

    fn write_one_snapshot(&self, patience: Patience) -> Result<Option<u64>, Failure> {
        let began = Instant::now();
        let of = self.cache.stats().items;
        lock(&self.stats).snapshot = SnapshotProgress {
            is_under_way: true,
            of,
            ..SnapshotProgress::default()
        };
        let (generation, mut writer) = self.begin_snapshot()?;
        let mut has_failed = false;
        let mut reported = began;
        let swept = {
            let writer = std::cell::RefCell::new(&mut writer);
            let mut large = Vec::new();
            let large = std::cell::RefCell::new(&mut large);
            self.cache.sweep(
                |entry| {
                    let deadline = match entry.time_left {
                        TimeLeft::Forever => None,
                        TimeLeft::Left(left) => Some(unix_deadline(&self.clock, left, entry.now)),
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
                    let mut goes_on = writer.write_full_block();
                    for (key, value, tag, deadline) in large.borrow_mut().drain(..) {
                        writer.add(&SnapshotEntry {
                            key: &key,
                            value: &value,
                            tag,
                            deadline,
                        });
                        goes_on = goes_on && writer.write_full_block();
                    }
                    {
                        let snapshot = &mut lock(&self.stats).snapshot;
                        snapshot.entries = writer.entries();
                        snapshot.bytes = writer.bytes();
                    }
                    if reported.elapsed() >= REPORTS_EVERY {
                        reported = Instant::now();
                        log::info!(
                            generation,
                            entries = writer.entries(),
                            of,
                            bytes = writer.bytes(),
                            "writing a snapshot"
                        );
                    }
                    if !goes_on {
                        has_failed = true;
                        return ControlFlow::Break(());
                    }
                    let enough = match patience {
                        Patience::UntilStopped => lock(&self.orders).stop,
                        Patience::Until(by) => Instant::now() >= by,
                        Patience::Endless => false,
                    };
                    if enough {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            )
        };
        if swept.is_break() && !has_failed {
            writer.abandon();
            return Ok(None);
        }
        let (entries, bytes) = writer.finish()?;
        *lock(&self.begun) = None;
        self.journal.snapshot_is_done();
        {
            let mut stats = lock(&self.stats);
            stats.snapshots += 1;
            stats.last_snapshot_at = self.clock.unix_millis();
            stats.last_snapshot_millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            stats.last_snapshot_entries = entries;
            stats.last_snapshot_bytes = bytes;
        }
        log::info!(
            generation,
            entries,
            bytes,
            millis = began.elapsed().as_millis(),
            "snapshot written"
        );
        Ok(Some(generation))
    }

    fn remove_older(&self, generation: u64) -> Result<(), Failure> {
        let StoreOptions { directory, disk, .. } = &self.options;
        let files = Files::list(&**disk, directory)?;
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
        // Left by a panic. Names of generations are of one length, so they come in their order.
        let this = snapshot_path(directory, generation);
        for path in files.unfinished.iter().filter(|&path| *path < this) {
            remove(&**disk, path)?;
        }
        Ok(())
    }

    /// What the keeper does until it is told to stop: it writes snapshots when one is due. A panic ends neither it nor those who wait for it.
    pub(super) fn keep(&self) {
        step_back();
        let mut last = LastAttempt {
            at: Instant::now(),
            failed: false,
        };
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.keep_once(&mut last))) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(_) => {
                    self.journal.latch_now(panicked("keeping a directory"));
                    last.at = Instant::now();
                    last.failed = true;
                }
            }
        }
        let waiting = {
            let mut orders = lock(&self.orders);
            orders.ended = true;
            std::mem::take(&mut orders.waiting)
        };
        tell(waiting, &Err(ending()));
    }

    fn keep_once(&self, last: &mut LastAttempt) -> ControlFlow<()> {
        let waiting = {
            let idle = |orders: &mut Orders| !orders.snapshot && !orders.stop;
            let (mut orders, _) = self
                .ordered
                .wait_timeout_while(lock(&self.orders), Duration::from_secs(1), idle)
                .unwrap_or_else(PoisonError::into_inner);
            if orders.stop && !orders.snapshot {
                return ControlFlow::Break(());
            }
            orders.snapshot = false;
            std::mem::take(&mut orders.waiting)
        };
        if waiting.is_empty() && !self.is_due(last) {
            return ControlFlow::Continue(());
        }
        last.at = Instant::now();
        let result = self.write_snapshot(Patience::UntilStopped);
        last.failed = result.is_err();
        if let Err(failure) = &result {
            log::error!(%failure, "no snapshot could be written");
        }
        let done = result
            .clone()
            .and_then(|generation| generation.ok_or_else(ending));
        tell(waiting, &done.map(|_| ()));
        if let Ok(Some(generation)) = result
            && let Err(failure) = self.remove_older(generation)
        {
            log::warn!(%failure, "an older generation could not be removed; the next snapshot tries again");
        }
        ControlFlow::Continue(())
    }

    fn is_due(&self, last: &LastAttempt) -> bool {
        let options = &self.options;
        let journal = self.journal.stats().bytes_since_snapshot;
        let is_time = options
            .snapshot_every
            .is_some_and(|every| journal > 0 && last.at.elapsed() >= every);
        let is_large = journal > options.snapshot_after.max(lock(&self.stats).last_snapshot_bytes);
        let has_rested = last.at.elapsed() >= TRIES_AGAIN_AFTER;
        // One that fails is not tried again every second.
        is_time || is_large && (has_rested || !last.failed) || has_rested && self.journal.has_failed()
    }

    /// What another thread does until it is told to stop, so that no snapshot delays it: it syncs the journal once a second.
    pub(super) fn keep_synced(&self) {
        loop {
            let (orders, _) = self
                .ordered
                .wait_timeout_while(lock(&self.orders), SYNCS_EVERY, |orders| !orders.stop)
                .unwrap_or_else(PoisonError::into_inner);
            if orders.stop {
                return;
            }
            drop(orders);
            if catch_unwind(AssertUnwindSafe(|| self.journal.sync_written())).is_err() {
                self.journal.latch_now(panicked("syncing the journal"));
            }
        }
    }
}

/// When the keeper has last tried to write a snapshot, and whether it failed.
struct LastAttempt {
    at: Instant,
    failed: bool,
}

/// Tells all, though some may panic.
fn tell(waiting: Vec<WhenWritten>, result: &Result<(), Failure>) {
    for tell in waiting {
        // The panic has been reported on stderr; whoever is told has nothing to do with the others.
        let _ = catch_unwind(AssertUnwindSafe(|| tell(result.clone())));
    }
}

/// Why a snapshot that was asked for is not written any more.
pub(super) fn ending() -> Failure {
    Failure {
        what: "writing a snapshot".to_owned(),
        cause: "the cache is being closed".to_owned(),
        kind: io::ErrorKind::Interrupted,
        os_code: None,
    }
}

pub(super) fn panicked(what: &str) -> Failure {
    Failure {
        what: what.to_owned(),
        cause: "the thread that does it has panicked: please report it, with what it said on stderr"
            .to_owned(),
        kind: io::ErrorKind::Other,
        os_code: None,
    }
}

/// Whoever answers requests goes first when there are fewer processors than work: a snapshot can wait, a client cannot.
fn step_back() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // On Linux this is about the calling thread alone. Where it is refused, a snapshot is a bit more of a nuisance.
    let _ = rustix::process::nice(KEEPER_NICE);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const KEEPER_NICE: i32 = 10;

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), Failure> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure("removing", path, &error)),
        _ => Ok(()),
    }
}
