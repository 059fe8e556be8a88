//! Writing a snapshot: blocks of entries to a file under a name of its own, which becomes the snapshot's only when all is durable.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, write_all};
use super::format::{FileHeader, FileKind, SnapshotEntry, block_header, push_entry};
use super::journal::{Failure, failure};

/// A block is written once it has this many bytes.
const BLOCK: usize = 64 * 1024;
/// The disk gets work so often, in bytes, and is waited for so often, so that it is never flooded and the journal's syncs do not wait behind.
const WRITE_BACK_EVERY: u64 = 1 << 20;
const SYNC_EVERY: u64 = 32 << 20;

pub(super) fn snapshot_path(directory: &Path, generation: u64) -> PathBuf {
    directory.join(format!("snapshot-{generation:020}"))
}

/// A snapshot that is being written. Dropped before `finish`, it leaves a file that the next start removes.
#[derive(Debug)]
pub(super) struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    generation: u64,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    block: Vec<u8>,
    count: u32,
    sequence: u32,
    entries: u64,
    bytes: u64,
    unsynced: u64,
    /// Bytes from the beginning that the disk has been given.
    given: u64,
}

impl SnapshotWriter {
    /// Begins the snapshot of a generation, whose journal must have begun.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        directory: &Path,
        generation: u64,
        now: u64,
    ) -> Result<Self, Failure> {
        let path = snapshot_path(directory, generation).with_extension("unfinished");
        let file = disk
            .create(&path)
            .map_err(|error| failure("creating the snapshot", &path, &error))?;
        let mut writer = SnapshotWriter {
            disk,
            directory: directory.to_owned(),
            generation,
            file,
            path,
            block: Vec::with_capacity(2 * BLOCK),
            count: 0,
            sequence: 0,
            entries: 0,
            bytes: 0,
            unsynced: 0,
            given: 0,
        };
        let header = FileHeader {
            generation,
            created: now,
        }
        .encode(FileKind::Snapshot);
        match writer.write(&header, &[]) {
            Ok(()) => Ok(writer),
            Err(failure) => {
                writer.abandon();
                Err(failure)
            }
        }
    }

    /// Adds an entry, coldest first. Nothing is written yet.
    pub(super) fn add(&mut self, entry: &SnapshotEntry<'_>) {
        push_entry(entry, &mut self.block);
        self.count += 1;
    }

    /// Whether what was added is a block's worth.
    pub(super) fn is_block(&self) -> bool {
        self.block.len() >= BLOCK
    }

    /// Entries written so far.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Writes what was added, if it is a block's worth.
    pub(super) fn write_full_block(&mut self) -> Result<(), Failure> {
        if self.is_block() {
            self.write_block()
        } else {
            Ok(())
        }
    }

    /// Makes it the snapshot, and gives the number of its entries and bytes.
    pub(super) fn finish(mut self) -> Result<(u64, u64), Failure> {
        let finished = self.write_end();
        if finished.is_err() {
            // Where there is no room, what is left of it must not take any.
            self.abandon();
        }
        finished
    }

    fn write_end(&mut self) -> Result<(u64, u64), Failure> {
        if self.count > 0 {
            self.write_block()?;
        }
        // The block without entries that says that this is all.
        self.write_block()?;
        self.sync()?;
        let path = snapshot_path(&self.directory, self.generation);
        self.disk
            .rename(&self.path, &path)
            .and_then(|()| self.disk.sync_directory(&self.directory))
            .map_err(|error| failure("finishing the snapshot", &path, &error))?;
        Ok((self.entries, self.bytes))
    }

    /// Gives up, and removes what was written.
    pub(super) fn abandon(self) {
        // The next start removes it, if this fails.
        let _ = self.disk.remove(&self.path);
    }

    fn write_block(&mut self) -> Result<(), Failure> {
        let block = std::mem::take(&mut self.block);
        let header = block_header(self.generation, self.sequence, self.count, &block);
        self.write(&header, &block)?;
        self.entries += u64::from(self.count);
        self.sequence += 1;
        self.count = 0;
        self.block = block;
        self.block.clear();
        self.block.shrink_to(2 * BLOCK);
        if self.bytes - self.given >= WRITE_BACK_EVERY {
            self.file.begin_write_back(self.given, self.bytes);
            self.given = self.bytes;
        }
        if self.unsynced >= SYNC_EVERY {
            self.sync()
        } else {
            Ok(())
        }
    }

    fn write(&mut self, header: &[u8], block: &[u8]) -> Result<(), Failure> {
        let len = (header.len() + block.len()) as u64;
        write_all(&*self.file, &mut [IoSlice::new(header), IoSlice::new(block)])
            .map_err(|error| failure("writing the snapshot", &self.path, &error))?;
        self.bytes += len;
        self.unsynced += len;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        self.unsynced = 0;
        self.file
            .sync()
            .map_err(|error| failure("syncing the snapshot", &self.path, &error))
    }
}
