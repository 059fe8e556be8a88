//! One holder for a directory: a lock file that the system gives up when its holder dies, with the holder's pid in it for people, and whether it is
//! about to end, for those who come next. All that are open are known here, so that a child process can be rid of its copies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError as TryLockMutexError};
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;

/// A holder that has just lost its parent may not have noticed yet.
const NOTICES_WITHIN: Duration = Duration::from_millis(300);
const LOOKS_EVERY: Duration = Duration::from_millis(10);

/// A fork waits so long for a thread that does something with a lock file. That takes a moment, but for ever where the file system stands still, as one of a network may.
const FORKS_WITHIN: Duration = Duration::from_secs(1);
const FORK_LOOKS_EVERY: Duration = Duration::from_millis(1);

/// The lock files that are open, whether or not they are locked yet. Held while anything is done with one of them, so that a fork, which holds it as well, finds nothing half done.
static FILES: Mutex<Files> = Mutex::new(Files {
    open: Vec::new(),
    last: 0,
});

/// Whether a thread that this process does not have will hold `FILES` for ever.
static ARE_LOST: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Files {
    open: Vec<(u64, File)>,
    /// The number that was given last.
    last: u64,
}

/// `None` if nobody will ever give them up.
fn files() -> Option<MutexGuard<'static, Files>> {
    let are_lost = ARE_LOST.load(Ordering::Relaxed);
    (!are_lost).then(|| FILES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Of those that are open, if nobody else has them just now.
fn files_at_once() -> Option<MutexGuard<'static, Files>> {
    match FILES.try_lock() {
        Ok(files) => Some(files),
        Err(TryLockMutexError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockMutexError::WouldBlock) => None,
    }
}

/// While there is one, no other thread of the process opens a directory, or gives one up; but for one whose file system stands still, which is not waited for.
#[derive(Debug)]
pub struct ForkedLocks(Option<MutexGuard<'static, Files>>);

impl ForkedLocks {
    /// To be called immediately before a fork; waits for a moment, and for a second at most.
    pub fn hold() -> Self {
        let began = Instant::now();
        loop {
            let files = files_at_once();
            let is_over = || ARE_LOST.load(Ordering::Relaxed) || began.elapsed() >= FORKS_WITHIN;
            if files.is_some() || is_over() {
                return ForkedLocks(files);
            }
            thread::sleep(FORK_LOOKS_EVERY);
        }
    }

    /// To be called in the child: closes its copies, with which the system would take the locks for held when the parent has ended. To let go of the locks themselves would take them from the parent. If the parent had one
    /// whose file system stood still, the child keeps the copies, and cannot open any directory.
    pub fn leave_to_parent(self) {
        match self.0.or_else(files_at_once) {
            Some(mut files) => files.open.clear(),
            None => ARE_LOST.store(true, Ordering::Relaxed),
        }
    }
}

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    /// Under which the file is among those that are open. It is not in a child process that has left it to its parent.
    number: u64,
    process: Process,
    is_released: AtomicBool,
}

/// Why a directory cannot be had.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has it; its pid, if it could be read.
    Held(Option<u32>),
    /// The lock file cannot be used.
    Io(io::Error),
}

impl DirectoryLock {
    /// Takes the lock at `path`, or says who has it. Waits up to `patience` for a holder that is ending.
    pub(super) fn take(path: &Path, patience: Duration) -> Result<Self, LockError> {
        let began = Instant::now();
        let lock = Self::open(path).map_err(LockError::Io)?;
        // `None` if somebody else has it, whose pid that is, and who may be ending.
        while let Some((pid, is_ending)) = lock.try_once().map_err(LockError::Io)? {
            let patience = match is_ending {
                true => patience,
                false => patience.min(NOTICES_WITHIN),
            };
            if began.elapsed() >= patience {
                return Err(LockError::Held(pid));
            }
            thread::sleep(LOOKS_EVERY);
        }
        lock.say("");
        Ok(lock)
    }

    fn open(path: &Path) -> io::Result<Self> {
        let mut files = files().ok_or_else(|| {
            io::Error::other(
                "this process was forked while its parent waited for a file system that stood still: open the directory in one that is not forked, or was forked later",
            )
        })?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        files.last += 1;
        let number = files.last;
        files.open.push((number, file));
        Ok(DirectoryLock {
            number,
            process: Process::this(),
            is_released: AtomicBool::new(false),
        })
    }

    /// Who has it, if it is not to be had.
    fn try_once(&self) -> io::Result<Option<(Option<u32>, bool)>> {
        let tried = self.with_file(|file| match file.try_lock() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder(file))),
            Err(TryLockError::Error(error)) => Err(error),
        });
        tried.unwrap_or(Ok(None))
    }

    /// Tells those who come for the lock that it is worth waiting for.
    pub(super) fn is_ending(&self) {
        self.say(" ending");
    }

    /// Gives it up before it is dropped.
    pub(super) fn release(&self) {
        self.is_released.store(true, Ordering::Release);
        // If the system does not do it now, it does when the file is closed.
        self.with_file(|file| {
            let _ = file.unlock();
        });
    }

    /// Closes the file. The lock is given up by that, but in a child process: there it stays the parent's.
    pub(super) fn close(&self) {
        let files = match self.process.is_another() {
            false => files(),
            // Of a fork that nobody was told of: it may be locked by a thread that is not here.
            true => files_at_once(),
        };
        if let Some(mut files) = files {
            files.open.retain(|(number, _)| *number != self.number);
        }
    }

    /// `None` if this process has left it to its parent.
    fn with_file<T>(&self, act: impl FnOnce(&mut File) -> T) -> Option<T> {
        let mut files = files()?;
        let (_, file) = files.open.iter_mut().find(|(number, _)| *number == self.number)?;
        Some(act(file))
    }

    pub(super) fn is_released(&self) -> bool {
        self.is_released.load(Ordering::Acquire)
    }

    /// The pid is for people and error texts; the lock itself is the system's, and needs no room on the disk.
    fn say(&self, more: &str) {
        let text = format!("{}{more}\n", std::process::id());
        self.with_file(|file| {
            // Over what is there: a full disk has room for that.
            let len = match file.write_all_at(text.as_bytes(), 0) {
                Ok(()) => text.len() as u64,
                // Better nobody's pid than that of a process that has gone.
                Err(_) => 0,
            };
            // It is a courtesy.
            let _ = file.set_len(len);
        });
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why the lock file at `path` cannot be used, and what to do about it.
pub(super) fn explain(path: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error.to_string();
    }
    let user = rustix::process::geteuid().as_raw();
    // Where it is not there, it is the directory that it cannot be made in.
    let owned = [Some(path), path.parent()]
        .into_iter()
        .flatten()
        .find_map(|path| Some((path, fs::metadata(path).ok()?.uid())));
    match owned {
        Some((path, owner)) if owner != user => format!(
            "{error}: {} belongs to user {owner}, and this is user {user}: run it as that user, make the directory and all in it this user's, or \
             choose another directory",
            path.display()
        ),
        _ => format!(
            "{error}: user {user} must be able to read and write it, and the directory: change their modes, or choose another directory"
        ),
    }
}

/// What the holder has written: its pid, and whether it is ending.
fn holder(file: &mut File) -> (Option<u32>, bool) {
    let mut text = String::new();
    // Who cannot be read is not named.
    let _ = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_string(&mut text));
    let mut words = text.split_whitespace();
    (
        words.next().and_then(|pid| pid.parse().ok()),
        words.next() == Some("ending"),
    )
}
