//! The system's disk, but nothing is ever synced: a thousand times as fast, and as good as long as the machine stays up.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use crate::persist::disk::wrapped::WrappedDisk;
use crate::persist::disk::{Disk, DiskFile};

#[derive(Debug)]
struct QuickFile(Arc<dyn DiskFile>);

pub(crate) fn quick_disk() -> Arc<dyn Disk> {
    Arc::new(WrappedDisk::new(|_: &Path, file| -> Arc<dyn DiskFile> {
        Arc::new(QuickFile(file))
    }))
}

impl DiskFile for QuickFile {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
