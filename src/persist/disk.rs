//! The few things that persistence asks of a file system, behind a trait so that tests can make each of them fail.

#[cfg(test)]
pub(crate) mod gated;
#[cfg(test)]
pub(crate) mod wrapped;

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Only the owner may read what is cached.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A file system.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a directory that only the owner can enter, unless it is there.
    ///
    /// # Errors
    /// As the system says; so for all methods.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a new file; one of that name must not be there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there, to be written at its end.
    fn append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file to be read from the beginning.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>>;
    /// Opens a file to be read from so many bytes on.
    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read>> {
        let mut file = self.read(path)?;
        io::copy(&mut (&mut file).take(offset), &mut io::sink())?;
        Ok(file)
    }
    /// Gives a file another name, in the place of one that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Copies a file to a new name; one of that name is replaced.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which takes no room; one of that name is replaced. Not every file system can.
    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// When the journal or snapshot in the directory that was written last was written, in Unix milliseconds.
    fn newest(&self, path: &Path) -> io::Result<u64>;
    /// The files in a directory, with their lengths in bytes.
    fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, u64)>>;
}

/// A file that grows at its end.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Writes some of the bytes, and says how many.
    ///
    /// # Errors
    /// As the system says.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Makes what was written durable.
    ///
    /// # Errors
    /// As the system says. What was not durable then may never become so, whatever a second call says.
    fn sync(&self) -> io::Result<()>;
    /// Bytes `from..to` were written: the system may begin to write them to the device, so that the next `sync` has less to wait for.
    fn begin_write_back(&self, _from: u64, _to: u64) {}
}

/// Writes all of the slices.
pub(super) fn write_all(file: &dyn DiskFile, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        // writev takes 1024 slices at most.
        let some = slices.len().min(1024);
        match file.write(&slices[..some]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a new file, in the place of one that an attempt has left that failed.
pub(super) fn create_anew(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    disk.create(path).or_else(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        disk.remove(path)?;
        disk.create(path)
    })
}

/// Whether the time of a file of that name counts as a time at which we wrote: see [`Disk::newest`].
pub(super) fn is_dated(name: &OsStr) -> bool {
    let is_kept = |kind: &str| name.to_str().is_some_and(|name| name.starts_with(kind));
    is_kept("journal-") || is_kept("snapshot-")
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(AheadReader {
            file: File::open(path)?,
            at: 0,
            asked_to: 0,
        }))
    }

    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::copy(from, to).map(|_| ())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(to)?;
                fs::hard_link(from, to)
            }
            result => result,
        }
    }

    fn newest(&self, path: &Path) -> io::Result<u64> {
        let mut newest = 0;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if !is_dated(&entry.file_name()) {
                continue;
            }
            let modified = entry
                .metadata()?
                .modified()?
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            newest = newest.max(u64::try_from(modified.as_millis()).unwrap_or(0));
        }
        Ok(newest)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                files.push((entry.path(), metadata.len()));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// How much the system is asked to fetch beforehand, in bytes. Its own guess is a fraction of that, and leaves the device idle while we work on what was read.
const AHEAD: u64 = 32 << 20;

/// A file that is read from its beginning to its end.
#[derive(Debug)]
struct AheadReader {
    file: File,
    at: u64,
    asked_to: u64,
}

impl Read for AheadReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at + AHEAD / 2 >= self.asked_to {
            advise(&self.file, self.asked_to, self.asked_to + AHEAD, Advice::WillNeed);
            self.asked_to += AHEAD;
        }
        let count = self.file.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Tells the system what will become of a part of a file. It may do as it likes.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn advise(file: &File, from: u64, to: u64, advice: Advice) {
    let _ = rustix::fs::fadvise(file, from, std::num::NonZeroU64::new(to - from), advice);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::Advice;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
enum Advice {
    WillNeed,
    DontNeed,
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn advise(_: &File, _: u64, _: u64, _: Advice) {}

#[derive(Debug)]
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(slices)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn begin_write_back(&self, from: u64, to: u64) {
        // On Linux "not needed" first begins to write what is dirty, and does not wait; what is under way then stays in memory.
        advise(&self.0, from, to, Advice::DontNeed);
    }
}
