//! What is done about a directory beside committing: snapshots, the removal of what they make superfluous, a sync every second. It does not know when a
//! change is acknowledged; that is store.rs.
//!
//! The life of a generation: `journal-g` is begun; `snapshot-g` is written beside it from what is in memory, slice by slice, under the name
//! `.unfinished`; it is synced and renamed; then everything of the generations before goes. At each moment there is a snapshot and all journals since.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::TimeLeft;
use crate::cache::{Cache, Clock};

use super::disk::Disk;
use super::format::SnapshotEntry;
use super::journal::{Failure, Journal, Sync, failure, journal_path, lock};
use super::lock::DirectoryLock;
use super::recovery::{Files, Recovery};
use super::scribe::unix_deadline;
use super::snapshot::{SnapshotWriter, snapshot_path};
use super::store::{StoreOptions, StoreStats};

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
    pub(super) stats: Mutex<StoreStats>,
    pub(super) lock: DirectoryLock,
}

/// How long after a failure, and after each attempt, a new snapshot is tried: when the disk has room again, writes go on by themselves.
const TRIES_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How often something that takes long is reported.
const REPORTS_EVERY: Duration = Duration::from_secs(1);

/// What the keeper is to do.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) snapshot: bool,
    pub(super) stop: bool,
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
    /// Cuts unfinished writes off, sets damaged files aside once what was in them is in a snapshot, and removes what belongs to nothing. If the clock was set
    /// back, there is a new snapshot as well: files from the future would make what is written from now on seem to have expired.
    pub(super) fn tidy(&self, recovery: &Recovery, is_set_back: bool) -> Result<(), Failure> {
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
        if recovery.is_damaged() || cut || is_set_back {
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

    /// Writes a snapshot and removes what it makes superfluous; or gives up: `false`, if it would take longer than until `by`, or without that limit, when
    /// the keeper is to stop.
    pub(super) fn snapshot(&self, by: Option<Instant>) -> Result<bool, Failure> {
        match self.write_snapshot(by)? {
            Some(generation) => self.remove_older(generation).map(|()| true),
            None => Ok(false),
        }
    }

    /// As `snapshot`, but nothing is removed yet: large files take their time. Gives the generation.
    fn write_snapshot(&self, by: Option<Instant>) -> Result<Option<u64>, Failure> {
        let _writing = lock(&self.writing);
        let began = Instant::now();
        let StoreOptions { directory, disk, .. } = &self.options;
        let generation = self.journal.rotate(self.clock.unix_millis())?;
        let mut writer =
            SnapshotWriter::begin(Arc::clone(disk), directory, generation, self.clock.unix_millis())?;
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
                    lock(&self.stats).snapshot_progress = writer.entries().max(1);
                    if reported.elapsed() >= REPORTS_EVERY {
                        reported = Instant::now();
                        tracing::info!(
                            generation,
                            entries = writer.entries(),
                            of = self.cache.stats().items,
                            "writing a snapshot"
                        );
                    }
                    if self.options.sync == Sync::EverySecond {
                        self.journal.sync_if_older(Duration::from_secs(1));
                    }
                    if !goes_on {
                        has_failed = true;
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
        if swept.is_break() && !has_failed {
            writer.abandon();
            return Ok(None);
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
        Ok(Some(generation))
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
    pub(super) fn keep(&self) {
        step_back();
        let mut last_snapshot = Instant::now();
        let mut last_failed = false;
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
            let journal = self.journal.stats().bytes_since_snapshot;
            let due = self
                .options
                .snapshot_every
                .is_some_and(|every| journal > 0 && last_snapshot.elapsed() >= every);
            let large = journal
                > self
                    .options
                    .snapshot_after
                    .max(lock(&self.stats).last_snapshot_bytes);
            // One that fails is not tried again every second: each attempt begins files.
            let rested = last_snapshot.elapsed() >= TRIES_AGAIN_AFTER;
            let large = large && (rested || !last_failed);
            let again = rested && self.journal.has_failed();
            if due || large || again || !waiting.is_empty() {
                last_snapshot = Instant::now();
                let result = self.write_snapshot(None);
                last_failed = result.is_err();
                if let Err(failure) = &result {
                    tracing::error!(%failure, "no snapshot could be written");
                }
                let done = result.clone().and_then(|generation| match generation {
                    Some(_) => Ok(()),
                    None => Err(Failure {
                        what: "writing a snapshot".to_owned(),
                        cause: "the daemon is ending".to_owned(),
                    }),
                });
                for tell in waiting {
                    tell(done.clone());
                }
                if let Ok(Some(generation)) = result
                    && let Err(failure) = self.remove_older(generation)
                {
                    tracing::warn!(%failure, "an older generation could not be removed; the next snapshot tries again");
                }
            }
        }
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
