//! Reading a directory back: which files belong together, in which order they are replayed, and what becomes of those that are damaged.
//!
//! A generation is a snapshot and the journal that was begun before it was taken: `snapshot-g` has everything that was there when `journal-g` began, and perhaps
//! some of what that holds. So the state is the newest snapshot, then its journal, then those of all later generations. A journal whose
//! predecessor is missing cannot be put on top of anything older: what it does not mention might be stale.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::format::{Change, FILE_HEADER};
use super::journal::{Failure, failure, journal_path};
use super::replay::{FileReport, Sink, replay_journal_after, replay_snapshot};
use super::snapshot::snapshot_path;

/// What to do about damage that is found when a directory is opened.
///
/// ```
/// use rustcache::{Cache, Recover};
/// let builder = Cache::builder().dir("sessions").recover(Recover::Strict);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recover {
    /// Keep what is intact, set the damaged file aside, go on.
    #[default]
    Valid,
    /// Refuse to start.
    Strict,
}

/// What was found in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Each file that was replayed, in that order.
    pub files: Vec<(PathBuf, FileReport)>,
    /// Files of this project that belong to nothing: older generations, unfinished snapshots.
    pub stale: Vec<PathBuf>,
    /// Generations of which the journal is missing although a later one is there.
    pub missing: Vec<u64>,
    /// The highest generation of any file, or 0.
    pub newest: u64,
    /// Whether the newest file is a journal in which there is nothing.
    pub ends_empty: bool,
    /// How much could be read of the journal that the next one continues: the last, or if that is empty, the one before.
    pub follows: Option<u64>,
    /// Whether journals are there without the snapshot that they began with.
    pub lacks_snapshot: bool,
    /// Bytes of the journals that were replayed, beside their headers.
    pub journal_bytes: u64,
    /// Bytes of the snapshot that was loaded.
    pub snapshot_bytes: u64,
    /// The latest time that any file names, in Unix milliseconds: it cannot be earlier now, whatever the clock says.
    pub latest: u64,
}

impl Recovery {
    /// Entries and changes applied.
    pub fn applied(&self) -> u64 {
        self.files.iter().map(|(_, report)| report.applied).sum()
    }

    /// The journals that were replayed.
    pub fn journals(&self) -> impl Iterator<Item = &PathBuf> {
        let is_journal = |path: &&PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("journal-"))
        };
        self.files.iter().map(|(path, _)| path).filter(is_journal)
    }

    /// Records known to be lost.
    pub fn lost(&self) -> u64 {
        self.files.iter().map(|(_, report)| report.lost).sum()
    }

    /// Files with damage in them: not those that end in an unfinished write.
    pub fn damaged(&self) -> impl Iterator<Item = &PathBuf> {
        self.files
            .iter()
            .filter(|(_, report)| !report.damage.is_empty())
            .map(|(path, _)| path)
    }

    /// Whether anything was found that no crash explains.
    pub fn is_damaged(&self) -> bool {
        self.lacks_snapshot || !self.missing.is_empty() || self.damaged().next().is_some()
    }
}

/// Names each damage, a line for each.
impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lacks_snapshot {
            writeln!(
                f,
                "the snapshot that the oldest journal began with is missing: what was in it alone is lost"
            )?;
        }
        for generation in &self.missing {
            writeln!(
                f,
                "the journal of generation {generation} is missing: nothing older is kept"
            )?;
        }
        for (path, report) in &self.files {
            for damage in &report.damage {
                writeln!(f, "{}: damaged: {damage}", path.display())?;
            }
            if report.dropped_older {
                writeln!(
                    f,
                    "{}: nothing older is kept, since it might be stale",
                    path.display()
                )?;
            }
        }
        Ok(())
    }
}

/// The files of a directory, by kind.
#[derive(Debug, Default)]
pub struct Files {
    /// Generations and lengths of the snapshots, ascending.
    pub snapshots: Vec<(u64, u64)>,
    /// Generations and lengths of the journals, ascending.
    pub journals: Vec<(u64, u64)>,
    /// Snapshots that were not finished.
    pub unfinished: Vec<PathBuf>,
}

impl Files {
    /// Lists a directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(disk: &dyn Disk, directory: &Path) -> Result<Self, Failure> {
        Self::listed(disk, directory).map_err(|error| failure("reading the directory", directory, &error))
    }

    fn listed(disk: &dyn Disk, directory: &Path) -> io::Result<Self> {
        let mut files = Files::default();
        for (path, len) in disk.list(directory)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if let Some(generation) = generation(name, "snapshot-") {
                files.snapshots.push((generation, len));
            } else if let Some(generation) = generation(name, "journal-") {
                files.journals.push((generation, len));
            } else if name
                .strip_suffix(".unfinished")
                .is_some_and(|name| generation(name, "snapshot-").is_some())
            {
                files.unfinished.push(path);
            }
        }
        files.snapshots.sort_unstable();
        files.journals.sort_unstable();
        Ok(files)
    }

    /// Bytes of those that [`recover`] reads.
    pub(super) fn bytes_to_read(&self) -> u64 {
        let (base, snapshot) = self.snapshots.last().copied().unwrap_or((0, 0));
        let journals = self
            .journals
            .iter()
            .filter(|&&(generation, _)| generation >= base);
        snapshot + journals.map(|(_, len)| len).sum::<u64>()
    }
}

/// The generation in a name that we have given: 20 digits. All other names belong to somebody else. There is always a next one.
fn generation(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&generation| generation < u64::MAX)
}

/// Replays the files of a directory into `sink`. Changes nothing on the disk. `watched` is given each file before it is read, and gives what is read.
///
/// # Errors
/// When a file cannot be read. Damage is no error.
pub fn recover(
    disk: &dyn Disk,
    directory: &Path,
    files: Files,
    sink: &mut impl Sink,
    mut watched: impl FnMut(&Path, Box<dyn Read>) -> Box<dyn Read>,
) -> Result<Recovery, Failure> {
    let mut recovery = Recovery {
        stale: files.unfinished,
        ..Recovery::default()
    };
    let snapshot = files.snapshots.last().copied();
    let base = snapshot.map_or(0, |(generation, _)| generation);
    for &(generation, _) in &files.snapshots[..files.snapshots.len().saturating_sub(1)] {
        recovery.stale.push(snapshot_path(directory, generation));
    }
    // A cache begins with generation 1, and each later one with a snapshot.
    recovery.lacks_snapshot = snapshot.is_none()
        && files
            .journals
            .first()
            .is_some_and(|&(generation, _)| generation > 1);
    let mut next = None;
    let mut former = None;
    if let Some((generation, len)) = snapshot {
        let path = snapshot_path(directory, generation);
        let file = disk
            .read(&path)
            .map_err(|error| failure("reading the snapshot", &path, &error))?;
        let report = replay_snapshot(watched(&path, file), generation, sink)
            .map_err(|error| failure("reading the snapshot", &path, &error))?;
        recovery.snapshot_bytes = len;
        recovery.saw(path, report, generation);
        next = Some(generation);
    }
    for (generation, len) in files.journals {
        let path = journal_path(directory, generation);
        if generation < base {
            recovery.stale.push(path);
            continue;
        }
        if let Some(expected) = next.filter(|&expected| expected < generation) {
            recovery.missing.extend(expected..generation.min(expected + 100));
            sink.change(&Change::Clear { prefix: &[] });
            former = None;
        }
        next = Some(generation + 1);
        let file = disk
            .read(&path)
            .map_err(|error| failure("reading the journal", &path, &error))?;
        let report = replay_journal_after(former, watched(&path, file), generation, sink)
            .map_err(|error| failure("reading the journal", &path, &error))?;
        recovery.journal_bytes += len.saturating_sub(FILE_HEADER as u64);
        recovery.ends_empty =
            len == FILE_HEADER as u64 && report.damage.is_empty() && report.torn_at.is_none();
        // Also when the one before is empty too: each kill between the beginning of a journal and its first record leaves one.
        recovery.follows = match recovery.ends_empty {
            true => former,
            false => Some(report.end),
        };
        former = Some(report.end);
        recovery.saw(path, report, generation);
    }
    // A journal is begun before its snapshot: if there is none, what the snapshot holds may be stale.
    if let Some(expected) = next.filter(|&next| next == base && snapshot.is_some()) {
        recovery.missing.push(expected);
        sink.change(&Change::Clear { prefix: &[] });
    }
    Ok(recovery)
}

impl Recovery {
    fn saw(&mut self, path: PathBuf, report: FileReport, generation: u64) {
        self.newest = self.newest.max(generation);
        self.latest = self.latest.max(report.created.unwrap_or(0));
        self.files.push((path, report));
    }
}
