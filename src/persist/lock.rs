//! One holder for a directory: a lock file that the system gives up when its holder dies, with the holder's pid in it for people, and whether it is
//! about to end, for those who come next.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A holder that has just lost its parent may not have noticed yet.
const NOTICES_WITHIN: Duration = Duration::from_millis(300);
const LOOKS_EVERY: Duration = Duration::from_millis(10);

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    /// `None` in a child process that has left it to its parent.
    file: Mutex<Option<File>>,
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
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockError::Io)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let (pid, is_ending) = holder(&mut file);
                    let patience = match is_ending {
                        true => patience,
                        false => patience.min(NOTICES_WITHIN),
                    };
                    if began.elapsed() >= patience {
                        return Err(LockError::Held(pid));
                    }
                    thread::sleep(LOOKS_EVERY);
                }
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
        }
        let lock = DirectoryLock {
            file: Mutex::new(Some(file)),
            is_released: AtomicBool::new(false),
        };
        lock.say("");
        Ok(lock)
    }

    /// Tells those who come for the lock that it is worth waiting for.
    pub(super) fn is_ending(&self) {
        self.say(" ending");
    }

    /// Gives it up before it is dropped.
    pub(super) fn release(&self) {
        self.is_released.store(true, Ordering::Release);
        // If the system does not do it now, it does when the file is closed.
        let _ = self.file().as_ref().map(File::unlock);
    }

    /// In a child process: closes the child's copy of the descriptor, with which the system would take the lock for held when the parent has ended. To let go of the lock itself would take it from the parent.
    pub(super) fn leave_to_parent(&self) {
        // One that another thread of the parent holds stays locked here.
        if let Ok(mut file) = self.file.try_lock() {
            *file = None;
        }
    }

    fn file(&self) -> MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_released(&self) -> bool {
        self.is_released.load(Ordering::Acquire)
    }

    /// The pid is for people and error texts; the lock itself is the system's, and needs no room on the disk.
    fn say(&self, more: &str) {
        let text = format!("{}{more}\n", std::process::id());
        let held = self.file();
        let Some(file) = &*held else {
            return;
        };
        // Over what is there: a full disk has room for that.
        let len = match file.write_all_at(text.as_bytes(), 0) {
            Ok(()) => text.len() as u64,
            // Better nobody's pid than that of a process that has gone.
            Err(_) => 0,
        };
        // It is a courtesy.
        let _ = file.set_len(len);
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
