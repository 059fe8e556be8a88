//! The system's disk without syncs, with a word of the test's before each operation: it can fail, wait, panic, or tell that it has come.

use std::fmt;
use std::io::{self, IoSlice, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::persist::disk::{Disk, DiskFile, SystemDisk};

/// Called with the operation and the name of the file.
type Hook = Arc<dyn Fn(&str, &str) -> io::Result<()> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct HookedDisk(Hook);

struct HookedFile {
    file: Arc<dyn DiskFile>,
    name: String,
    hook: Hook,
}

impl HookedDisk {
    pub(crate) fn new(hook: impl Fn(&str, &str) -> io::Result<()> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(HookedDisk(Arc::new(hook)))
    }

    fn word(&self, operation: &str, path: &Path) -> io::Result<()> {
        (self.0)(operation, &name(path))
    }

    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HookedFile {
            file,
            name: name(path),
            hook: Arc::clone(&self.0),
        })
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

pub(crate) fn no_room() -> io::Result<()> {
    Err(io::Error::from_raw_os_error(28))
}

impl fmt::Debug for HookedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedDisk").finish_non_exhaustive()
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookedFile({})", self.name)
    }
}

impl Disk for HookedDisk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.make_directory(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.word("create", path)?;
        Ok(self.file(path, SystemDisk.create(path)?))
    }
    fn append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.word("append", path)?;
        Ok(self.file(path, SystemDisk.append(path)?))
    }
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        SystemDisk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.word("rename", from)?;
        SystemDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.word("remove", path)?;
        SystemDisk.remove(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.word("sync directory", path)
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.word("copy", from)?;
        SystemDisk.copy(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.word("link", from)?;
        SystemDisk.link(from, to)
    }
    fn newest(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.newest(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        SystemDisk.list(path)
    }
}

impl DiskFile for HookedFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (self.hook)("write", &self.name)?;
        self.file.write(slices)
    }
    fn sync(&self) -> io::Result<()> {
        (self.hook)("sync", &self.name)
    }
}
