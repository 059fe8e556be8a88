//! What is in a directory, for people: its files by generation, what is wrong with them, and what a start would make of them. Changes nothing.
//! How it is printed is not decided here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Clock, Tag};

use super::disk::Disk;
use super::format::{FILE_HEADER, FileHeader, FileKind};
use super::journal::{Failure, failure, journal_path};
pub use super::ledger::Totals;
use super::ledger::{Keep, Ledger, Length};
pub use super::reading::{Holder, Progress};
use super::reading::{Listed, ReadingDisk, holder, list, newest};
use super::recovery::{Files, Recovery, recover};
use super::replay::FileReport;
use super::snapshot::snapshot_path;

/// What was found in a directory.
#[derive(Debug)]
pub struct Inspection {
    /// Which directory.
    pub directory: PathBuf,
    /// The process that has it, if there is one: then what was found may have changed meanwhile.
    pub holder: Option<Holder>,
    /// Snapshots and journals, by generation, ascending; the snapshot before its journal.
    pub files: Vec<File>,
    /// Files that should be there and are not, and what that costs.
    pub missing: Vec<String>,
    /// Snapshots that were not finished, with their lengths; the next start removes them.
    pub unfinished: Vec<(PathBuf, u64)>,
    /// Copies of damaged files, with their lengths.
    pub set_aside: Vec<(PathBuf, u64)>,
    /// What does not belong to the cache.
    pub foreign: Vec<PathBuf>,
    /// What a start would give.
    pub totals: Totals,
    /// Records known to be lost.
    pub lost: u64,
    /// Times are compared with this one, in Unix milliseconds.
    pub now: u64,
    pub(super) newest: u64,
    pub(super) latest: u64,
}

/// A snapshot or a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// Which of the two.
    pub kind: FileKind,
    /// Of its name.
    pub generation: u64,
    /// Its length.
    pub bytes: u64,
    /// When it was begun, in Unix milliseconds, if that can be read.
    pub begun: Option<u64>,
    /// What a start reads in it; `None` if it does not, and removes it, because a later snapshot replaces it.
    pub read: Option<Content>,
}

/// What a start reads in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Entries of a snapshot, records of a journal.
    pub applied: u64,
    /// Records known to be lost.
    pub lost: u64,
    /// Each stretch that could not be read: where it begins, and what it is.
    pub damage: Vec<(u64, String)>,
    /// Where an unfinished write at the end begins: it was never acknowledged.
    pub torn_at: Option<u64>,
    /// Whether nothing older than this file is kept, since it might be stale.
    pub dropped_older: bool,
}

/// An entry that a start would give, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live<'l> {
    /// Its key.
    pub key: &'l [u8],
    /// What its value is.
    pub tag: Tag,
    /// How long its value is, in bytes.
    pub bytes: u64,
    /// How long it has to live, in milliseconds; `None` = for ever.
    pub left: Option<u64>,
}

impl Inspection {
    /// Whether anything was found that no crash explains.
    pub fn is_damaged(&self) -> bool {
        !self.missing.is_empty() || self.contents().any(|(_, content)| !content.damage.is_empty())
    }

    /// Files that a start reads.
    pub fn contents(&self) -> impl Iterator<Item = (&File, &Content)> {
        let files = self.files.iter();
        files.filter_map(|file| Some((file, file.read.as_ref()?)))
    }

    /// A line for each thing that is wrong; of each file at most `most` stretches.
    pub fn problems(&self, most: usize) -> Vec<String> {
        let mut lines = self.missing.clone();
        for (file, content) in self.contents() {
            let path = file.path.display();
            for (offset, what) in content.damage.iter().take(most) {
                lines.push(format!("{path}: damaged at offset {offset}: {what}"));
            }
            if content.damage.len() > most {
                let more = content.damage.len() - most;
                lines.push(format!("{path}: damaged in {more} more places"));
            }
            if content.dropped_older {
                lines.push(format!("{path}: nothing older is kept, since it might be stale"));
            }
        }
        lines
    }
}

/// The entries that a start would give, without their values.
#[derive(Debug)]
pub struct Entries {
    ledger: Ledger<Length>,
    now: u64,
}

impl Entries {
    /// All that are live, coldest first.
    pub fn coldest_first(&self) -> impl Iterator<Item = Live<'_>> {
        let live = self.ledger.live(self.now).into_iter();
        live.map(|(key, held)| Live {
            key,
            tag: held.tag,
            bytes: held.value.bytes(),
            left: held.deadline.map(|deadline| deadline - self.now),
        })
    }
}

/// Looks into a directory.
///
/// # Errors
/// When the directory or a file in it cannot be read. Damage is no error.
pub fn inspect(directory: &Path, progress: &Arc<Progress>) -> Result<(Inspection, Entries), Failure> {
    progress.begin("reading", 0);
    // A daemon may replace files while they are read.
    let mut attempts = 5;
    loop {
        attempts -= 1;
        let holder = holder(&directory.join("lock"));
        let before = files_of(directory)?;
        let looked = look(directory, progress);
        let unchanged = holder.is_none() || names(&before) == names(&files_of(directory)?);
        if unchanged || attempts == 0 {
            let (inspection, ledger) = looked?;
            let now = inspection.now;
            return Ok((Inspection { holder, ..inspection }, Entries { ledger, now }));
        }
    }
}

fn files_of(directory: &Path) -> Result<Vec<Listed>, Failure> {
    list(directory).map_err(|error| failure("reading the directory", directory, &error))
}

fn names(files: &[Listed]) -> Vec<&Path> {
    files.iter().map(|file| file.path.as_path()).collect()
}

/// What is in a directory, and what a start would make of it. Does not ask who has it.
pub(super) fn look<V: Keep>(
    directory: &Path,
    progress: &Arc<Progress>,
) -> Result<(Inspection, Ledger<V>), Failure> {
    let listed = files_of(directory)?;
    let is_read = |file: &&Listed| is_named(file, &["journal-", "snapshot-"]);
    progress.begin(
        "reading",
        listed.iter().filter(is_read).map(|file| file.bytes).sum(),
    );
    let disk = ReadingDisk(Arc::clone(progress));
    let mut ledger = Ledger::new();
    let recovery = recover(
        &disk,
        directory,
        Files::list(&disk, directory)?,
        &mut ledger,
        |_, file| file,
    )?;
    // As a start does: the clock may have been set back.
    let now = Clock::system().unix_millis().max(newest(&listed));

    let mut files = Vec::new();
    let mut inspection = Inspection {
        directory: directory.to_owned(),
        holder: None,
        missing: missing(&recovery, directory),
        unfinished: Vec::new(),
        set_aside: Vec::new(),
        foreign: Vec::new(),
        totals: ledger.totals(now),
        lost: recovery.lost(),
        now,
        newest: recovery.newest,
        latest: recovery.latest,
        files: Vec::new(),
    };
    for file in listed {
        let report = recovery.files.iter().find(|(path, _)| *path == file.path);
        let is_stale = recovery.stale.contains(&file.path);
        match kind_of(&file.path) {
            Some((kind, generation)) if report.is_some() || is_stale => {
                files.push(describe(&disk, file, kind, generation, report));
            }
            _ if is_stale => inspection.unfinished.push((file.path, file.bytes)),
            _ if is_named(&file, &["damaged-", "torn-"]) => {
                inspection.set_aside.push((file.path, file.bytes));
            }
            _ if file.path.file_name().is_some_and(|name| name == "lock") => {}
            _ => inspection.foreign.push(file.path),
        }
    }
    files.sort_by_key(|file| (file.generation, file.kind == FileKind::Journal));
    inspection.files = files;
    Ok((inspection, ledger))
}

fn is_named(file: &Listed, prefixes: &[&str]) -> bool {
    let name = file.path.file_name().and_then(|name| name.to_str());
    file.is_file && name.is_some_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}

fn kind_of(path: &Path) -> Option<(FileKind, u64)> {
    let name = path.file_name()?.to_str()?;
    let (kind, number) = match name.strip_prefix("journal-") {
        Some(number) => (FileKind::Journal, number),
        None => (FileKind::Snapshot, name.strip_prefix("snapshot-")?),
    };
    Some((kind, number.parse().ok()?))
}

fn describe(
    disk: &ReadingDisk,
    file: Listed,
    kind: FileKind,
    generation: u64,
    report: Option<&(PathBuf, FileReport)>,
) -> File {
    let content = report.map(|(_, report)| content(kind, file.bytes, report));
    let begun = match report {
        Some((_, report)) => report.created,
        None => begun(disk, &file.path, kind),
    };
    File {
        path: file.path,
        kind,
        generation,
        bytes: file.bytes,
        begun,
        read: content,
    }
}

fn content(kind: FileKind, bytes: u64, report: &FileReport) -> Content {
    let mut content = Content {
        applied: report.applied,
        lost: report.lost,
        damage: report.damage.iter().map(|text| split(text)).collect(),
        torn_at: report.torn_at,
        dropped_older: report.dropped_older,
    };
    if kind == FileKind::Snapshot && content.torn_at.take().is_some() {
        // A snapshot gets its name when it is finished and synced: it is no unfinished write.
        let text =
            format!("the file has {bytes} bytes and its header {FILE_HEADER}: all its entries are lost");
        content.damage.push((0, text));
    }
    content
}

/// Where a damage lies, and what it is: its text names both. One that names no offset is about the header.
fn split(text: &str) -> (u64, String) {
    const BEFORE: &str = " at offset ";
    if let Some((what, rest)) = text.split_once(BEFORE) {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Ok(offset) = rest[..end].parse() {
            return (offset, format!("{what}{}", &rest[end..]));
        }
    }
    (0, text.to_owned())
}

/// When a file that is not replayed was begun.
fn begun(disk: &ReadingDisk, path: &Path, kind: FileKind) -> Option<u64> {
    use std::io::Read;
    let mut header = [0; FILE_HEADER];
    disk.read(path).ok()?.read_exact(&mut header).ok()?;
    let header = FileHeader::decode(kind, &header).ok()?;
    Some(header.created)
}

/// What should be there: a start creates the journal of a generation before its snapshot, and removes nothing before a snapshot replaces it.
fn missing(recovery: &Recovery, directory: &Path) -> Vec<String> {
    let read = |wanted| {
        let files = recovery.files.iter();
        files
            .filter_map(|(path, _)| kind_of(path))
            .filter(move |&(kind, _)| kind == wanted)
            .map(|(_, generation)| generation)
            .next()
    };
    let mut lines: Vec<String> = recovery
        .missing
        .iter()
        .map(|&generation| {
            format!(
                "{} is missing: nothing older is kept, since it might be stale",
                journal_path(directory, generation).display()
            )
        })
        .collect();
    match (read(FileKind::Snapshot), read(FileKind::Journal)) {
        (Some(generation), None) if lines.is_empty() => lines.push(format!(
            "{} is missing: what was changed after the snapshot is lost, and what the snapshot holds may be stale",
            journal_path(directory, generation).display()
        )),
        (None, Some(generation)) if generation > 1 => lines.push(format!(
            "{} is missing, or a later one: only what the journals hold is kept",
            snapshot_path(directory, generation).display()
        )),
        _ => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damage_is_split_into_where_and_what() {
        for (text, offset, what) in [
            ("12 bytes at offset 345, 6 records", 345, "12 bytes, 6 records"),
            ("12 bytes at offset 77", 77, "12 bytes"),
            (
                "the file ends at offset 9, before its last block",
                9,
                "the file ends, before its last block",
            ),
            (
                "the checksum of the file's header is wrong",
                0,
                "the checksum of the file's header is wrong",
            ),
        ] {
            assert_eq!(split(text), (offset, what.to_owned()));
        }
    }
}
