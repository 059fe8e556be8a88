//! What a start does about what it has found: it says what is damaged, sets that aside, and has it superseded by a new snapshot. What is found is
//! recovery.rs's business.

use std::io::{self, IoSlice, Read};
use std::path::Path;

use crate::log;
use crate::persist::disk::{Disk, create_anew, write_all};
use crate::persist::journal::{Failure, failure};
use crate::persist::recovery::Recovery;
use crate::persist::replay::FileReport;

use super::{Inner, Patience, remove};

/// Bytes that are copied at once.
const CHUNK: u64 = 64 * 1024;

impl Inner {
    /// Reports damage and unfinished writes, and sets them aside once what is intact is in a snapshot; removes what belongs to nothing. If the clock was
    /// set back, there is a new snapshot as well: files from the future would make what is written from now on seem to have expired.
    ///
    /// # Errors
    /// When that snapshot could not be written. What only takes room in vain is no error.
    pub(in crate::persist) fn tidy(&self, recovery: &Recovery, is_set_back: bool) -> Result<(), Failure> {
        let disk = &*self.options.disk;
        for path in &recovery.stale {
            if let Err(failure) = remove(disk, path) {
                log::warn!(%failure, "a file that belongs to nothing could not be removed; the next snapshot tries again");
            }
        }
        let mut is_torn = false;
        for (path, report) in &recovery.files {
            for damage in &report.damage {
                log::error!(path = %path.display(), %damage, "damage was found; what is intact is kept");
            }
            if let Some(offset) = report.torn_at {
                log::warn!(path = %path.display(), offset, "an unfinished write at the end was dropped");
                is_torn = true;
            }
        }
        if !recovery.is_damaged() && !is_torn && !is_set_back {
            return Ok(());
        }
        // What was read goes to a new snapshot before any old file is removed.
        for (path, report) in &recovery.files {
            if let Err(failure) = set_aside(disk, &self.options.directory, path, report) {
                log::warn!(%failure, "what is damaged could not be set aside; a new snapshot supersedes it all the same");
            }
        }
        self.snapshot(Patience::UntilStopped).map(|_| ())
    }
}

/// Keeps what a start cannot use, for people: a damaged file, or what was not finished at the end of a journal.
fn set_aside(disk: &dyn Disk, directory: &Path, path: &Path, report: &FileReport) -> Result<(), Failure> {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else {
        return Ok(());
    };
    match (report.damage.is_empty(), report.torn_at) {
        (false, _) => {
            let aside = directory.join(format!("damaged-{name}"));
            // No room is needed for a second name.
            disk.link(path, &aside)
                .or_else(|_| disk.copy(path, &aside))
                .map_err(|error| failure("copying to", &aside, &error))
        }
        (true, Some(offset)) => {
            let aside = directory.join(format!("torn-{name}"));
            copy_from(disk, path, offset, &aside).map_err(|error| {
                // A part of it would only mislead, and take room; nobody reads it, if this fails.
                let _ = disk.remove(&aside);
                failure("copying to", &aside, &error)
            })
        }
        (true, None) => Ok(()),
    }
}

fn copy_from(disk: &dyn Disk, path: &Path, offset: u64, to: &Path) -> io::Result<()> {
    let mut from = disk.read_from(path, offset)?;
    let to = create_anew(disk, to)?;
    let mut chunk = Vec::new();
    while (&mut from).take(CHUNK).read_to_end(&mut chunk)? > 0 {
        write_all(&*to, &mut [IoSlice::new(&chunk)])?;
        chunk.clear();
    }
    Ok(())
}
