//! One daemon for a directory: a lock file that the system gives up when its holder dies, with the holder's pid in it for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
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
    /// Takes the lock at `path`, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(LockError::Held(pid.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // The pid is for people and error texts; the lock itself is the system's.
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(LockError::Io)?;
        Ok(DirectoryLock { _file: file })
    }
}
