//! Where a journal begins: its number, its file, and what it continues. What is written to it is journal.rs.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::disk::{Disk, DiskFile, create_anew, write_all};
use super::super::format::{FILE_HEADER, FileHeader, FileKind};
use super::super::recovery::Recovery;
use super::{Failure, failure};

/// Where a journal begins.
#[derive(Debug)]
pub(in crate::persist) struct Beginning {
    pub(in crate::persist) generation: u64,
    /// When, in Unix milliseconds, for a new file; `None` for one that is there and empty.
    pub(super) begun: Option<u64>,
    /// Bytes of journals that are there already.
    pub(super) bytes_since_snapshot: u64,
    /// The journals that it continues.
    pub(super) former: Vec<PathBuf>,
    /// How long the last of them is, in bytes.
    pub(super) follows: Option<u64>,
}

impl Beginning {
    /// After what was found in a directory. A start that was followed by no change leaves nothing behind: the next one goes on where it would have.
    pub(in crate::persist) fn after(recovery: &Recovery, now: u64) -> Self {
        let (generation, begun) = match recovery.ends_empty {
            true => (recovery.newest, None),
            false => (recovery.newest + 1, Some(now)),
        };
        Beginning {
            generation,
            begun,
            bytes_since_snapshot: recovery.journal_bytes,
            former: recovery.journals().cloned().collect(),
            follows: recovery.follows,
        }
    }
}

pub(in crate::persist) fn journal_path(directory: &Path, generation: u64) -> PathBuf {
    directory.join(format!("journal-{generation:020}"))
}

/// In the place of a file that could not be had.
#[derive(Debug)]
pub(super) struct NoFile;

impl DiskFile for NoFile {
    fn write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
}

pub(super) fn create(
    disk: &dyn Disk,
    directory: &Path,
    generation: u64,
    now: u64,
) -> Result<(PathBuf, Arc<dyn DiskFile>), Failure> {
    let path = journal_path(directory, generation);
    let header: [u8; FILE_HEADER] = FileHeader {
        generation,
        created: now,
    }
    .encode(FileKind::Journal);
    let file = create_anew(disk, &path).map_err(|error| failure("creating the journal", &path, &error))?;
    let begun = write_all(&*file, &mut [IoSlice::new(&header)])
        .map_err(|error| failure("writing the journal", &path, &error))
        .and_then(|()| {
            file.sync()
                .and_then(|()| disk.sync_directory(directory))
                .map_err(|error| failure("syncing the journal", &path, &error))
        });
    match begun {
        Ok(()) => Ok((path, file)),
        Err(failure) => {
            // The next attempt does it again, if this fails.
            let _ = disk.remove(&path);
            Err(failure)
        }
    }
}
