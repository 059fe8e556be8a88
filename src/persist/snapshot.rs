//! Writing a snapshot: blocks of entries to a file under a name of its own, which becomes the snapshot's only when all is durable. One thread gathers
//! them, another writes: the disk does not wait for the cache, nor the cache for the disk.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use super::disk::{Disk, DiskFile, create_anew, write_all};
use super::format::{
    BLOCK_HEADER, FILE_HEADER, FileHeader, FileKind, SnapshotEntry, block_header, push_entry,
};
use super::journal::{Failure, failure};

/// A block is written once it has this many bytes.
const BLOCK: usize = 64 * 1024;
/// The disk gets work so often, in bytes, and is waited for so often, so that it is never flooded and the journal's syncs do not wait behind.
const WRITE_BACK_EVERY: u64 = 1 << 20;
const SYNC_EVERY: u64 = 32 << 20;

pub(super) fn snapshot_path(directory: &Path, generation: u64) -> PathBuf {
    directory.join(format!("snapshot-{generation:020}"))
}

/// Blocks that may wait to be written: enough to even out what either side takes now and then.
const WAITING: usize = 16;
/// One of so many bytes, because of a large value, is waited for: several of them would be much memory.
const LARGE: usize = 1 << 20;

/// A snapshot that is being written. Dropped before `finish`, it leaves a file that the next start removes.
#[derive(Debug)]
pub(super) struct SnapshotWriter {
    block: Vec<u8>,
    count: u32,
    entries: u64,
    bytes: u64,
    full: SyncSender<Block>,
    /// Memory of blocks that have been written.
    spare: Receiver<Vec<u8>>,
    /// Blocks that have not been, as far as is known.
    waiting: usize,
    writing: JoinHandle<Written>,
}

/// Entries, and how many.
type Block = (Vec<u8>, u32);
type Written = (SnapshotFile, Result<(), Failure>);

impl SnapshotWriter {
    /// Begins the snapshot of a generation, whose journal must have begun before the first entry is added.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        directory: &Path,
        generation: u64,
        now: u64,
    ) -> Result<Self, Failure> {
        let mut file = SnapshotFile::begin(disk, directory, generation, now)?;
        let (full, blocks) = sync_channel::<Block>(WAITING);
        let (emptied, spare) = channel();
        let path = file.path.clone();
        let write = move || {
            let written = blocks.into_iter().try_for_each(|(mut block, count)| {
                file.write_block(&block, count)?;
                block.clear();
                block.shrink_to(2 * BLOCK);
                // Who does not want it back is not there any more.
                let _ = emptied.send(block);
                Ok(())
            });
            (file, written)
        };
        let writing = thread::Builder::new()
            .name("rustcache-snapshot".into())
            .spawn(write)
            .map_err(|error| failure("starting a thread for", &path, &error))?;
        Ok(SnapshotWriter {
            block: Vec::with_capacity(2 * BLOCK),
            count: 0,
            entries: 0,
            bytes: FILE_HEADER as u64,
            full,
            spare,
            waiting: 0,
            writing,
        })
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

    /// Entries written so far, or about to be.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// The same in bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has what was added written, if it is a block's worth. `false` if there is no use in going on: `finish` says why.
    pub(super) fn write_full_block(&mut self) -> bool {
        !self.is_block() || self.write_block()
    }

    /// Makes it the snapshot, and gives the number of its entries and bytes.
    pub(super) fn finish(mut self) -> Result<(u64, u64), Failure> {
        if self.count > 0 {
            self.write_block();
        }
        // The block without entries that says that this is all.
        self.write_block();
        let entries = self.entries;
        let (mut file, written) = self.stop();
        match written.and_then(|()| file.finish()) {
            Ok(()) => Ok((entries, file.bytes)),
            Err(failure) => {
                // Where there is no room, what is left of it must not take any.
                file.abandon();
                Err(failure)
            }
        }
    }

    /// Gives up, and removes what was written.
    pub(super) fn abandon(self) {
        self.stop().0.abandon();
    }

    fn write_block(&mut self) -> bool {
        let mut empty = None;
        for block in self.spare.try_iter() {
            self.waiting -= 1;
            empty = Some(block);
        }
        let empty = empty.unwrap_or_else(|| Vec::with_capacity(2 * BLOCK));
        let block = std::mem::replace(&mut self.block, empty);
        let is_large = block.len() >= LARGE;
        let count = std::mem::take(&mut self.count);
        self.entries += u64::from(count);
        self.bytes += (BLOCK_HEADER + block.len()) as u64;
        self.waiting += 1;
        if self.full.send((block, count)).is_err() {
            return false;
        }
        while is_large && self.waiting > 0 {
            match self.spare.recv() {
                Ok(_) => self.waiting -= 1,
                Err(_) => return false,
            }
        }
        true
    }

    /// Panics if the thread that writes has panicked: whoever watches over this one sees it.
    fn stop(self) -> Written {
        drop(self.full);
        match self.writing.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The file of a snapshot, and how far it has come.
#[derive(Debug)]
struct SnapshotFile {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    generation: u64,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    sequence: u32,
    bytes: u64,
    unsynced: u64,
    /// Bytes from the beginning that the disk has been given.
    given: u64,
}

impl SnapshotFile {
    fn begin(disk: Arc<dyn Disk>, directory: &Path, generation: u64, now: u64) -> Result<Self, Failure> {
        let path = snapshot_path(directory, generation).with_extension("unfinished");
        let file =
            create_anew(&*disk, &path).map_err(|error| failure("creating the snapshot", &path, &error))?;
        let mut file = SnapshotFile {
            disk,
            directory: directory.to_owned(),
            generation,
            file,
            path,
            sequence: 0,
            bytes: 0,
            unsynced: 0,
            given: 0,
        };
        let header = FileHeader {
            generation,
            created: now,
        }
        .encode(FileKind::Snapshot);
        match file.write(&header, &[]) {
            Ok(()) => Ok(file),
            Err(failure) => {
                file.abandon();
                Err(failure)
            }
        }
    }

    fn write_block(&mut self, block: &[u8], count: u32) -> Result<(), Failure> {
        let header = block_header(self.generation, self.sequence, count, block);
        self.write(&header, block)?;
        self.sequence += 1;
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

    fn finish(&mut self) -> Result<(), Failure> {
        self.sync()?;
        let path = snapshot_path(&self.directory, self.generation);
        self.disk
            .rename(&self.path, &path)
            .and_then(|()| self.disk.sync_directory(&self.directory))
            .map_err(|error| failure("finishing the snapshot", &path, &error))
    }

    fn abandon(self) {
        // The next start removes it, if this fails.
        let _ = self.disk.remove(&self.path);
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
