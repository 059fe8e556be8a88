//! Writes what recovery keeps of a directory into a new one, as one clean generation. The old files are only read. How that is told to people is not
//! decided here.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, write_all};
use super::format::{Change, FileHeader, FileKind, SnapshotEntry};
use super::inspect::{Inspection, look};
use super::journal::{Failure, failure, journal_path};
use super::ledger::Held;
use super::lock::{DirectoryLock, LockError};
use super::reading::{Progress, list};
use super::replay::{Sink, replay_snapshot};
use super::snapshot::{SnapshotWriter, snapshot_path};

/// How long to wait for a daemon that is about to give the directory up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nothing was repaired.
#[derive(Debug)]
pub enum RepairError {
    /// A daemon has the directory.
    Locked {
        /// Which directory.
        directory: PathBuf,
        /// Who, if that could be read.
        pid: Option<u32>,
    },
    /// There is nothing of a cache in the directory.
    Nothing(PathBuf),
    /// There is something already where the new files should go.
    Occupied(PathBuf),
    /// The highest generation that can be written is there already.
    LastGeneration(PathBuf),
    /// The system said no.
    Disk(Failure),
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepairError::Locked { directory, pid } => {
                let directory = directory.display();
                match pid {
                    Some(pid) => write!(
                        f,
                        "the directory {directory} is in use by process {pid}: end that first"
                    ),
                    None => write!(
                        f,
                        "the directory {directory} is in use by another process: end that first"
                    ),
                }
            }
            RepairError::Nothing(directory) => {
                let directory = directory.display();
                write!(
                    f,
                    "there is no snapshot and no journal in {directory}: name the directory of a cache"
                )
            }
            RepairError::Occupied(path) => {
                let path = path.display();
                write!(
                    f,
                    "{path} is there already: remove it, or name another directory with --to"
                )
            }
            RepairError::LastGeneration(directory) => {
                let (directory, last) = (directory.display(), u64::MAX);
                write!(
                    f,
                    "{directory} has a file of generation {last}, which no cache writes: move it away"
                )
            }
            RepairError::Disk(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for RepairError {}

/// What was written.
#[derive(Debug)]
pub struct Repaired {
    /// What was found in the old directory.
    pub found: Inspection,
    /// The new directory.
    pub directory: PathBuf,
    /// Its snapshot.
    pub snapshot: PathBuf,
    /// The entries in it.
    pub entries: u64,
    /// Its length.
    pub bytes: u64,
}

/// Where the new files go if nothing else is asked for: beside the old directory.
fn beside(directory: &Path) -> io::Result<PathBuf> {
    // A name such as `.` has to be looked up.
    let directory = match directory.file_name() {
        Some(_) => directory.to_owned(),
        None => directory.canonicalize()?,
    };
    let mut name = OsString::from(directory.file_name().unwrap_or_default());
    name.push(".repaired");
    Ok(directory.with_file_name(name))
}

/// Writes what can be read of `directory` to `to`, or beside it. Everything is in memory meanwhile.
///
/// # Errors
/// See [`RepairError`]. What was written until then is removed again.
pub fn repair(
    directory: &Path,
    to: Option<&Path>,
    disk: &Arc<dyn Disk>,
    progress: &Arc<Progress>,
) -> Result<Repaired, RepairError> {
    let unreadable =
        |error: io::Error| RepairError::Disk(failure("reading the directory", directory, &error));
    // Taking the lock would make a file in a directory that is not one of ours.
    list(directory).map_err(unreadable)?;
    let to = match to {
        Some(to) => to.to_owned(),
        None => beside(directory).map_err(unreadable)?,
    };
    let is_new = is_free(&to)?;
    let _lock = lock(directory)?;
    let (found, ledger) = look::<Box<[u8]>>(directory, progress).map_err(RepairError::Disk)?;
    if found.contents().next().is_none() {
        return Err(RepairError::Nothing(directory.to_owned()));
    }
    let Some(generation) = found.newest.checked_add(1) else {
        return Err(RepairError::LastGeneration(directory.to_owned()));
    };
    let live = ledger.live(found.now);
    progress.begin("writing", found.totals.key_bytes + found.totals.value_bytes);
    let created = found.now.max(found.latest);
    let written = disk
        .make_directory(&to)
        .map_err(|error| failure("making the directory", &to, &error))
        .and_then(|()| write(disk, &to, generation, created, &live, progress))
        .and_then(|written| verify(disk, &to, generation, &live).map(|()| written));
    let (entries, bytes) = written.map_err(|failure| {
        take_back(&to, generation, is_new);
        RepairError::Disk(failure)
    })?;
    Ok(Repaired {
        snapshot: snapshot_path(&to, generation),
        directory: to,
        found,
        entries,
        bytes,
    })
}

/// Whether a directory is still to be made; an empty one will do.
fn is_free(to: &Path) -> Result<bool, RepairError> {
    match list(to) {
        Ok(files) if files.is_empty() => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::NotADirectory => {
            Err(RepairError::Disk(failure("reading the directory", to, &error)))
        }
        _ => Err(RepairError::Occupied(to.to_owned())),
    }
}

/// Held so that no daemon changes the directory meanwhile.
#[derive(Debug)]
enum Exclusive {
    Named(#[expect(dead_code, reason = "it is held")] DirectoryLock),
    Unnamed(#[expect(dead_code, reason = "it is held")] fs::File),
    /// There is no lock file, and none can be made.
    Nobody,
}

fn lock(directory: &Path) -> Result<Exclusive, RepairError> {
    let path = directory.join("lock");
    let taken_by = |pid| RepairError::Locked {
        directory: directory.to_owned(),
        pid,
    };
    let cannot = |error: &io::Error| RepairError::Disk(failure("locking", &path, error));
    match DirectoryLock::take(&path, PATIENCE) {
        Ok(lock) => Ok(Exclusive::Named(lock)),
        Err(LockError::Held(pid)) => Err(taken_by(pid)),
        // A full disk has no room for our pid, which is only for people: the lock itself needs none.
        Err(LockError::Io(error)) if has_no_room(&error) => match fs::File::open(&path) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(Exclusive::Unnamed(file)),
                Err(fs::TryLockError::WouldBlock) => Err(taken_by(None)),
                Err(fs::TryLockError::Error(error)) => Err(cannot(&error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Exclusive::Nobody),
            Err(error) => Err(cannot(&error)),
        },
        Err(LockError::Io(error)) => Err(cannot(&error)),
    }
}

fn has_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    )
}

type Live<'l> = [(&'l [u8], &'l Held<Box<[u8]>>)];

fn as_entry<'l>((key, held): &(&'l [u8], &'l Held<Box<[u8]>>)) -> SnapshotEntry<'l> {
    SnapshotEntry {
        key,
        value: &held.value,
        tag: held.tag,
        deadline: held.deadline,
    }
}

/// The journal first, as in the life of each generation. Gives the entries and bytes of the snapshot.
fn write(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    generation: u64,
    created: u64,
    live: &Live<'_>,
    progress: &Progress,
) -> Result<(u64, u64), Failure> {
    let path = journal_path(directory, generation);
    let header = FileHeader { generation, created }.encode(FileKind::Journal);
    disk.create(&path)
        .and_then(|file| {
            write_all(&*file, &mut [IoSlice::new(&header)])?;
            file.sync()
        })
        .map_err(|error| failure("writing the journal", &path, &error))?;
    let mut writer = SnapshotWriter::begin(Arc::clone(disk), directory, generation, created)?;
    for entry in live {
        let entry = as_entry(entry);
        writer.add(&entry);
        if !writer.write_full_block() {
            break;
        }
        progress.add(entry.key.len() + entry.value.len());
    }
    let written = writer.finish()?;
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_directory(parent)
            .map_err(|error| failure("syncing the directory", parent, &error))?;
    }
    Ok(written)
}

/// Reads back what was written: whoever repairs is about to throw the old files away.
fn verify(disk: &Arc<dyn Disk>, directory: &Path, generation: u64, live: &Live<'_>) -> Result<(), Failure> {
    let path = snapshot_path(directory, generation);
    let unread = |error| failure("reading back", &path, &error);
    let mut sink = Compare { live, is_same: true };
    let report = disk
        .read(&path)
        .and_then(|file| replay_snapshot(file, generation, &mut sink))
        .map_err(unread)?;
    if sink.is_same && sink.live.is_empty() && report.damage.is_empty() && report.torn_at.is_none() {
        return Ok(());
    }
    let cause = "it is not what was written: the disk, or the memory, is at fault";
    Err(unread(io::Error::other(cause)))
}

/// What is still to come.
struct Compare<'c, 'l> {
    live: &'c Live<'l>,
    is_same: bool,
}

impl Sink for Compare<'_, '_> {
    fn entry(&mut self, entry: &SnapshotEntry<'_>) {
        match self.live.split_first() {
            Some((first, rest)) => {
                self.is_same &= as_entry(first) == *entry;
                self.live = rest;
            }
            None => self.is_same = false,
        }
    }
    fn change(&mut self, _: &Change<'_>) {
        self.is_same = false;
    }
    fn forget(&mut self, _: u32) {
        self.is_same = false;
    }
}

/// Removes what an attempt that failed has written: half of it must not be taken for all.
fn take_back(directory: &Path, generation: u64, is_new: bool) {
    let snapshot = snapshot_path(directory, generation);
    // What is still there then is named by the failure.
    for path in [
        snapshot.with_extension("unfinished"),
        snapshot,
        journal_path(directory, generation),
    ] {
        let _ = fs::remove_file(path);
    }
    if is_new {
        let _ = fs::remove_dir(directory);
    }
}

#[cfg(test)]
mod tests;
