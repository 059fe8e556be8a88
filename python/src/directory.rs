//! A `Cache` in a directory: its options, how it is opened, in which process it may be used, and how it is closed. What is written there, and when, is the engine's affair.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use rustcache::{Cache, DiskError, OnDiskError, OpenError, PersistentBuilder, Recover, SyncMode, WeakCache};

use crate::arguments::{positive_seconds, seconds, whole};
use crate::failure;
use crate::process::Generation;

/// Those options of `Cache` that only matter in a directory.
#[derive(Debug, Default)]
pub(crate) struct DirectoryOptions<'a, 'py> {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) sync: Option<&'a str>,
    pub(crate) recover: Option<&'a str>,
    pub(crate) on_disk_error: Option<&'a str>,
    pub(crate) snapshot_after: Option<&'a Bound<'py, PyAny>>,
    pub(crate) snapshot_every: Option<&'a Bound<'py, PyAny>>,
    pub(crate) last_snapshot_within: Option<&'a Bound<'py, PyAny>>,
    pub(crate) lock_patience: Option<&'a Bound<'py, PyAny>>,
}

/// What is waited for a lock, unless something else is asked for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// And between two looks at signals: longer than the engine waits for somebody who is not ending (`PersistentBuilder::lock_patience`).
const PIECE: Duration = Duration::from_millis(400);

/// The directory that a cache has, and the process in which it has it.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// For error texts.
    process: u32,
    generation: Generation,
    /// Whether it is no error that something could not be written.
    does_without: bool,
}

/// All that are open, for the end of the interpreter and for children. Held for a moment, by threads that are attached.
static OPEN: Mutex<Vec<WeakCache>> = Mutex::new(Vec::new());

impl DirectoryOptions<'_, '_> {
    /// Opens the directory, if one was given. The interpreter is free meanwhile.
    pub(crate) fn open(
        self,
        py: Python<'_>,
        builder: rustcache::Builder,
    ) -> PyResult<(Cache, Option<Place>)> {
        let Some(path) = self.dir.clone() else {
            self.refuse_without_directory()?;
            let cache = builder.build();
            let cache = cache.map_err(|error| PyValueError::new_err(error.to_string()))?;
            return Ok((cache, None));
        };
        // What a program changes to later must not matter, for error texts either.
        let path = std::path::absolute(&path).unwrap_or(path);
        let on_disk_error = match self.on_disk_error {
            None | Some("refuse") => OnDiskError::Refuse,
            Some("memory") => OnDiskError::Memory,
            Some(other) => return Err(unknown("on_disk_error", other, "refuse or memory")),
        };
        let mut builder = builder
            .dir(&path)
            .on_disk_error(on_disk_error)
            .sync(match self.sync {
                None | Some("everysec") => SyncMode::EverySecond,
                Some("always") => SyncMode::Always,
                Some("never") => SyncMode::Never,
                Some(other) => return Err(unknown("sync", other, "always, everysec or never")),
            })
            .recover(match self.recover {
                None | Some("valid") => Recover::Valid,
                Some("strict") => Recover::Strict,
                Some(other) => return Err(unknown("recover", other, "valid or strict")),
            });
        if let Some(bytes) = self.snapshot_after {
            let bytes = whole("snapshot_after", bytes)?;
            let bytes = u64::try_from(bytes).map_err(|_| {
                PyValueError::new_err(format!("snapshot_after cannot be negative, and is {bytes}"))
            })?;
            builder = builder.snapshot_after(bytes);
        }
        if let Some(every) = self.snapshot_every {
            builder = builder.snapshot_every(positive_seconds("snapshot_every", every)?);
        }
        if let Some(limit) = self.last_snapshot_within {
            builder = builder.last_snapshot_within(seconds("last_snapshot_within", limit)?);
        }
        let patience = match self.lock_patience {
            Some(patience) => seconds("lock_patience", patience)?,
            None => LOCK_PATIENCE,
        };
        let generation = Generation::now();
        let opened = open_interruptibly(py, &builder, patience)?;
        let cache = opened.map_err(|error| failure::not_opened(py, &path, &error))?;
        remember(py, &cache);
        let place = Place {
            path,
            process: process::id(),
            generation,
            does_without: on_disk_error == OnDiskError::Memory,
        };
        tell_of_damage(py, &cache, &place.path)?;
        Ok((cache, Some(place)))
    }

    fn refuse_without_directory(&self) -> PyResult<()> {
        let given = [
            ("sync", self.sync.is_some()),
            ("recover", self.recover.is_some()),
            ("on_disk_error", self.on_disk_error.is_some()),
            ("snapshot_after", self.snapshot_after.is_some()),
            ("snapshot_every", self.snapshot_every.is_some()),
            ("last_snapshot_within", self.last_snapshot_within.is_some()),
            ("lock_patience", self.lock_patience.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((name, _)) => Err(PyValueError::new_err(format!(
                "{name} is about a directory, and there is none: give dir as well"
            ))),
        }
    }
}

/// Waits for the lock by small pieces, between which signals are seen to: Ctrl-C ends the wait.
fn open_interruptibly(
    py: Python<'_>,
    builder: &PersistentBuilder,
    mut patience: Duration,
) -> PyResult<Result<Cache, OpenError>> {
    loop {
        let piece = patience.min(PIECE);
        let began = Instant::now();
        let opened = py.detach(|| builder.clone().lock_patience(piece).open());
        // Who has it and is not ending is not waited for as long as that.
        let is_to_wait = matches!(opened, Err(OpenError::InUse { .. })) && began.elapsed() >= piece;
        patience -= piece;
        if !is_to_wait || patience.is_zero() {
            return Ok(opened);
        }
        py.check_signals()?;
    }
}

fn remember(py: Python<'_>, cache: &Cache) {
    // Dropped without the lock, and detached: one may be the last handle by then.
    let mut others = Vec::new();
    {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| one.upgrade().map(|other| others.push(other)).is_some());
        open.push(cache.downgrade());
    }
    py.detach(|| drop(others));
}

fn unknown(name: &str, given: &str, known: &str) -> PyErr {
    PyValueError::new_err(format!("{name} is {given:?}, and has to be {known}"))
}

/// By Python's log, as the daemon does by its own.
fn tell_of_damage(py: Python<'_>, cache: &Cache, path: &Path) -> PyResult<()> {
    let Some(report) = cache.directory().map(rustcache::Directory::recovery) else {
        return Ok(());
    };
    let report = report.to_string();
    if report.is_empty() {
        return Ok(());
    }
    let log = py.import("logging")?.call_method1("getLogger", ("rustcache",))?;
    let text = "opening %s: %s";
    log.call_method1("warning", (text, path, report.trim_end().replace('\n', "; ")))?;
    Ok(())
}

impl Place {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.generation.is_here()
    }

    /// Raises in a child process, where the locks of the cache may be held for ever by threads that are not there.
    #[inline]
    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_here() {
            return Ok(());
        }
        Err(failure::forked(py, &self.path, self.process))
    }

    /// Raises of what was done in memory and did not come to the disk, unless that does not matter.
    pub(crate) fn complain(&self, py: Python<'_>, failure: &DiskError) -> PyResult<()> {
        if self.does_without {
            return Ok(());
        }
        let text = format!("this was done in memory and could not be written to the disk: {failure}");
        Err(failure::disk_failed(py, &self.path, failure, &text, true))
    }
}

/// Lets go of a cache: closes its directory, if this was the last of its handles, without keeping other threads from the interpreter meanwhile; in a child process, nothing may be done about it, so that what
/// it takes is not given back.
pub(crate) fn let_go(cache: Cache, place: Option<&Place>) {
    match place {
        None => drop(cache),
        Some(place) if !place.is_here() => std::mem::forget(cache),
        Some(_) => {
            let mut cache = Some(cache);
            Python::try_attach(|py| py.detach(|| drop(cache.take())));
        }
    }
}

/// What a cache found in its directory when it was opened, and what it has done there since.
#[pyclass(frozen, eq, get_all, module = "rustcache", name = "DirectoryStats")]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DirectoryStats {
    /// Entries and changes that were read when it was opened.
    recovered: u64,
    /// Records known to be lost. What a crash left unfinished does not count.
    dropped_records: u64,
    /// Files in which damage was found.
    damaged_files: Vec<PathBuf>,
    /// Each damage in words, a line for each; empty if there was none.
    report: String,
    /// Changes written since it was opened.
    journal_records: u64,
    /// Bytes that they took.
    journal_bytes: u64,
    /// Bytes of journals that the next opening would have to read.
    journal_bytes_since_snapshot: u64,
    /// Times that the journal was synced.
    journal_syncs: u64,
    /// Snapshots written since it was opened.
    snapshots: u64,
    /// Bytes of the last snapshot, which may have been there before.
    last_snapshot_bytes: u64,
    /// Entries of the last snapshot that was written.
    last_snapshot_entries: u64,
    /// What has failed, if anything has since the last complete snapshot: what is written then is not on the disk. That it was closed is none.
    failure: Option<String>,
}

impl DirectoryStats {
    pub(crate) fn of(cache: &Cache) -> Option<Self> {
        let directory = cache.directory()?;
        let (stats, recovery) = (directory.stats(), directory.recovery());
        Some(DirectoryStats {
            recovered: recovery.recovered(),
            dropped_records: recovery.lost(),
            damaged_files: recovery.damaged_files().map(Path::to_owned).collect(),
            report: recovery.to_string(),
            journal_records: stats.journal_records,
            journal_bytes: stats.journal_bytes,
            journal_bytes_since_snapshot: stats.journal_bytes_since_snapshot,
            journal_syncs: stats.syncs,
            snapshots: stats.snapshots,
            last_snapshot_bytes: stats.last_snapshot_bytes,
            last_snapshot_entries: stats.last_snapshot_entries,
            failure: directory
                .failure_before_the_end()
                .map(|failure| failure.to_string()),
        })
    }

    fn numbers(&self) -> [(&'static str, u64); 9] {
        [
            ("recovered", self.recovered),
            ("dropped_records", self.dropped_records),
            ("journal_records", self.journal_records),
            ("journal_bytes", self.journal_bytes),
            ("journal_bytes_since_snapshot", self.journal_bytes_since_snapshot),
            ("journal_syncs", self.journal_syncs),
            ("snapshots", self.snapshots),
            ("last_snapshot_bytes", self.last_snapshot_bytes),
            ("last_snapshot_entries", self.last_snapshot_entries),
        ]
    }
}

#[pymethods]
impl DirectoryStats {
    /// All of it, by name.
    pub(crate) fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, number) in self.numbers() {
            dict.set_item(name, number)?;
        }
        dict.set_item("damaged_files", self.damaged_files.clone())?;
        dict.set_item("report", &self.report)?;
        dict.set_item("failure", &self.failure)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        let numbers = self.numbers().map(|(name, number)| format!("{name}={number}"));
        format!(
            "DirectoryStats({}, damaged_files={}, failure={})",
            numbers.join(", "),
            self.damaged_files.len(),
            self.failure
                .as_deref()
                .map_or_else(|| "None".to_owned(), |failure| format!("{failure:?}"))
        )
    }
}

/// Before the interpreter ends: closes what is still open, so that all is synced and the next start is fast. What was written is on the disk without it.
#[pyfunction]
fn _close_directories(py: Python<'_>) {
    for cache in open_now() {
        let closed = py.detach(|| cache.close());
        if let (Err(failure), Some(directory)) = (closed, cache.directory()) {
            let text = format!("closing {}: {failure}", directory.path().display());
            failure::disk_failed(py, directory.path(), &failure, &text, true).write_unraisable(py, None);
        }
        py.detach(|| drop(cache));
    }
}

/// In a child process: the caches are the parent's. (Their locks were left to it by process.rs.)
pub(crate) fn leave_to_parent() {
    let open = match OPEN.try_lock() {
        Ok(mut open) => std::mem::take(&mut *open),
        // Only where threads run without a global lock. They are the parent's without it.
        Err(_) => return,
    };
    for cache in open.iter().filter_map(WeakCache::upgrade) {
        // Never dropped here, whatever becomes of the objects of Python's.
        std::mem::forget(cache);
    }
    std::mem::forget(open);
}

fn open_now() -> Vec<Cache> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.iter().filter_map(WeakCache::upgrade).collect()
}

/// Once for the process, as the hooks of background.rs.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    static IS_DONE: PyOnceLock<()> = PyOnceLock::new();
    let py = module.py();
    IS_DONE.get_or_try_init(py, || {
        let close = wrap_pyfunction!(_close_directories, module)?;
        py.import("atexit")?.call_method1("register", (close,))?;
        Ok::<_, PyErr>(())
    })?;
    Ok(())
}
