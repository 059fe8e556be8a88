//! A directory for a test, on the disk that holds the build and not in memory, and what its files tell.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Removed with what is in it, unless the test fails.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("crash-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).expect("a new directory");
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// What the names of the files say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Generations {
    /// The newest of the journals and of the snapshots, 0 without one.
    pub(crate) journal: u64,
    pub(crate) snapshot: u64,
    /// Whether there is an unfinished snapshot.
    pub(crate) is_unfinished: bool,
}

impl Generations {
    pub(crate) fn of(directory: &Path) -> Self {
        let mut found = Generations::default();
        for entry in fs::read_dir(directory).expect("it is there") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_str().expect("text");
            let generation = |kind: &str| name.strip_prefix(kind)?.parse::<u64>().ok();
            if let Some(generation) = generation("journal-") {
                found.journal = found.journal.max(generation);
            } else if let Some(generation) = generation("snapshot-") {
                found.snapshot = found.snapshot.max(generation);
            }
            found.is_unfinished |= name.ends_with(".unfinished");
        }
        found
    }
}
