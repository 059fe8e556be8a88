//! For tests: the system's disk, with something of the test's around each file that is written, or read. What that does is decided there.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile, SystemDisk};

/// What is around files that are written, and around those that are read. Directories are not synced: no test pulls the plug.
pub(crate) struct WrappedDisk<W, R = fn(Box<dyn Read>) -> Box<dyn Read>>(pub(crate) W, pub(crate) R);

impl<W> WrappedDisk<W> {
    /// With nothing around a file that is read.
    pub(crate) fn new(written: W) -> Self {
        WrappedDisk(written, |file| file)
    }
}

impl<W, R> fmt::Debug for WrappedDisk<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedDisk").finish_non_exhaustive()
    }
}

impl<W, R> Disk for WrappedDisk<W, R>
where
    R: Fn(Box<dyn Read>) -> Box<dyn Read> + Send + Sync,
    W: Fn(&Path, Arc<dyn DiskFile>) -> Arc<dyn DiskFile> + Send + Sync,
{
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.make_directory(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok((self.0)(path, SystemDisk.create(path)?))
    }
    fn append(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok((self.0)(path, SystemDisk.append(path)?))
    }
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        SystemDisk.read(path).map(&self.1)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.copy(from, to)
    }
    fn newest(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.newest(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        SystemDisk.list(path)
    }
}
