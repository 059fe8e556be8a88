//! Looking at a directory and leaving no trace: nothing is written or locked, and where the system allows it not even the time of the last
//! access changes. Knows no format; counts the bytes that were read, for those who wait.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use super::disk::{Disk, DiskFile, is_dated};
use super::journal::lock;

/// How far something that takes long has come.
#[derive(Debug, Default)]
pub struct Progress {
    what: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    pub(super) fn begin(&self, what: &'static str, total: u64) {
        *lock(&self.what) = what;
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How much is done, and of how much, in bytes.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (
            self.done.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        )
    }

    /// What is being done, and how much of it is done in percent.
    pub fn percent(&self) -> (&'static str, u64) {
        let total = self.total.load(Ordering::Relaxed).max(1);
        let done = self.done.load(Ordering::Relaxed).min(total);
        let percent = u128::from(done) * 100 / u128::from(total);
        (*lock(&self.what), u64::try_from(percent).unwrap_or(100))
    }
}

/// A file or directory in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    pub(super) is_file: bool,
    pub(super) bytes: u64,
    /// When it was written last, in Unix milliseconds.
    pub(super) written: u64,
}

/// What is in a directory, by name.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in rustix::fs::Dir::new(open_quietly(directory)?)? {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let path = directory.join(name);
        let metadata = match fs::symlink_metadata(&path) {
            // A daemon has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let written = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        listed.push(Listed {
            path,
            is_file: metadata.is_file(),
            bytes: metadata.len(),
            written: u64::try_from(written.as_millis()).unwrap_or(0),
        });
    }
    listed.sort();
    Ok(listed)
}

/// When the journal or snapshot among them that was written last was written: as [`Disk::newest`] tells a start.
pub(super) fn newest(listed: &[Listed]) -> u64 {
    let dated = listed
        .iter()
        .filter(|file| file.path.file_name().is_some_and(is_dated));
    dated.map(|file| file.written).max().unwrap_or(0)
}

/// Opens a file or directory without changing the time of its last access, if it is ours.
pub(super) fn open_quietly(path: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOATIME.bits().cast_signed();
        match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            // Only the owner may ask for that.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => return other,
        }
    }
    OpenOptions::new().read(true).open(path)
}

/// A disk of which everything can be read and nothing changed.
#[derive(Debug, Clone)]
pub(super) struct ReadingDisk(pub(super) Arc<Progress>);

impl Disk for ReadingDisk {
    fn make_directory(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }
    fn append(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        Ok(Counted::boxed(open_quietly(path)?, &self.0))
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn copy(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn newest(&self, path: &Path) -> io::Result<u64> {
        Ok(newest(&list(path)?))
    }
    fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        let files = list(path)?.into_iter().filter(|file| file.is_file);
        Ok(files.map(|file| (file.path, file.bytes)).collect())
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

/// A file of which is told how much of it was read.
pub(super) struct Counted<R>(R, Arc<Progress>);

impl<R: Read + 'static> Counted<R> {
    pub(super) fn boxed(file: R, progress: &Arc<Progress>) -> Box<dyn Read> {
        Box::new(Counted(file, Arc::clone(progress)))
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(bytes)?;
        self.1.add(count);
        Ok(count)
    }
}

/// Who has a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The process, if that can be told.
    pub pid: Option<u32>,
}

/// Who holds the lock file, found out without taking it: a daemon that starts at this moment must not find it taken.
pub(super) fn holder(lock_file: &Path) -> Option<Holder> {
    let mut file = open_quietly(lock_file).ok()?;
    let mut text = String::new();
    // Who cannot be read is not named.
    let _ = file.read_to_string(&mut text);
    let named = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
    #[cfg(target_os = "linux")]
    let held = listed_as_held(&file, named).unwrap_or_else(|| is_locked(&file));
    #[cfg(not(target_os = "linux"))]
    let held = is_locked(&file);
    held.then_some(Holder { pid: named })
}

/// What the kernel's list of locks says; `None` if there is none.
#[cfg(target_os = "linux")]
fn listed_as_held(file: &File, named: Option<u32>) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let metadata = file.metadata().ok()?;
    let (dev, inode) = (metadata.dev(), metadata.ino());
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else {
            continue;
        };
        let place: Vec<&str> = place.split(':').collect();
        let [major, minor, found] = place[..] else {
            continue;
        };
        if found.parse() != Ok(inode) {
            continue;
        }
        let same_device = u32::from_str_radix(major, 16) == Ok(rustix::fs::major(dev))
            && u32::from_str_radix(minor, 16) == Ok(rustix::fs::minor(dev));
        // Some file systems show another device to those who ask for a file's; then the process tells.
        if same_device || (named.is_some() && pid.parse().ok() == named) {
            return Some(true);
        }
    }
    Some(false)
}

/// For systems without such a list: tries for an instant to share the lock.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}
