//! Which files of cache_ro a cache has taken over: doing it again must not bring back what was removed since. A file is known by what is in it, wherever it is. The list is kept in
//! the directory of the cache; of one that is in memory alone, in memory.
//!
//! ```text
//! migrated     for each file a line: CRC32C (8 hexadecimal digits), length
//! ```

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::CacheConfig;

/// A file, by what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Content {
    crc: u32,
    len: u64,
}

impl Content {
    pub(super) fn of(mut file: impl Read) -> io::Result<Self> {
        let (mut crc, mut len) = (0, 0);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Content { crc, len }),
                Ok(count) => {
                    crc = crc32c::crc32c_append(crc, &buffer[..count]);
                    len += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `None` for what a crash has torn.
    fn read(line: &str) -> Option<Self> {
        let (crc, len) = line.split_once(' ')?;
        Some(Content {
            crc: u32::from_str_radix(crc, 16).ok().filter(|_| crc.len() == 8)?,
            len: len.parse().ok()?,
        })
    }
}

/// The files that a cache has taken over.
pub(super) struct Taken {
    directory: Option<PathBuf>,
    /// For one that has no directory.
    in_memory: Mutex<HashSet<Content>>,
}

impl Taken {
    pub(super) fn of(config: &CacheConfig) -> Self {
        Taken {
            // What it is relative to may change.
            directory: config.persistent.then(|| {
                std::path::absolute(&config.dir_path).unwrap_or_else(|_| PathBuf::from(&config.dir_path))
            }),
            in_memory: Mutex::default(),
        }
    }

    pub(super) fn all(&self) -> io::Result<HashSet<Content>> {
        let Some(directory) = &self.directory else {
            return Ok(self
                .in_memory
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone());
        };
        match fs::read_to_string(list(directory)) {
            Ok(text) => Ok(text.lines().filter_map(Content::read).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashSet::new()),
            Err(error) => Err(explained(directory, &error)),
        }
    }

    /// To be called when all that was taken of the file is on the disk.
    pub(super) fn add(&self, content: Content) -> io::Result<()> {
        let Some(directory) = &self.directory else {
            self.in_memory
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(content);
            return Ok(());
        };
        let add = || {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(list(directory))?;
            // The line before may be torn.
            write!(file, "\n{:08x} {}\n", content.crc, content.len)?;
            file.sync_all()?;
            File::open(directory)?.sync_all()
        };
        add().map_err(|error| explained(directory, &error))
    }
}

fn list(directory: &Path) -> PathBuf {
    directory.join("migrated")
}

fn explained(directory: &Path, error: &io::Error) -> io::Error {
    let list = list(directory);
    let text = format!(
        "the list of what was taken over before, {}: {error}",
        list.display()
    );
    io::Error::new(error.kind(), text)
}
