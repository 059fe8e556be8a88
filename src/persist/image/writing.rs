//! Writing a snapshot to anything that takes bytes: entries are gathered under a lock, and written without one.

use std::io::{self, Write};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::super::format::{FileHeader, FileKind, SnapshotEntry, block_header, push_entry};
use super::{BLOCK, GENERATION, SnapshotError};
use crate::Tag;

/// How far it has come.
pub(super) struct Writer<W> {
    to: W,
    created: u64,
    block: Vec<u8>,
    count: u32,
    sequence: u32,
    /// Gathered by reference, to be copied without a lock.
    large: Option<(Vec<u8>, Bytes, Tag, Option<u64>)>,
    entries: u64,
    bytes: u64,
    failed: Option<io::Error>,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(to: W, created: u64) -> Self {
        Writer {
            to,
            created,
            block: Vec::with_capacity(2 * BLOCK),
            count: 0,
            sequence: 0,
            large: None,
            entries: 0,
            bytes: 0,
            failed: None,
        }
    }

    /// Takes an entry, under a lock; `true` if it is to be let go.
    pub(super) fn gather(&mut self, entry: &SnapshotEntry<'_>, shared: Option<Bytes>) -> bool {
        self.entries += 1;
        match shared {
            Some(value) => self.large = Some((entry.key.to_vec(), value, entry.tag, entry.deadline)),
            None => self.add(entry),
        }
        self.large.is_some() || self.block.len() >= BLOCK
    }

    fn add(&mut self, entry: &SnapshotEntry<'_>) {
        push_entry(entry, &mut self.block);
        self.count += 1;
    }

    pub(super) fn write_gathered(&mut self) -> ControlFlow<()> {
        if let Some((key, value, tag, deadline)) = self.large.take() {
            self.add(&SnapshotEntry {
                key: &key,
                value: &value,
                tag,
                deadline,
            });
        }
        if self.block.len() >= BLOCK {
            self.write_block();
        }
        match self.failed {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }

    fn write_block(&mut self) {
        if self.sequence == 0 {
            let header = FileHeader {
                generation: GENERATION,
                created: self.created,
            };
            self.write(&header.encode(FileKind::Snapshot));
        }
        let header = block_header(GENERATION, self.sequence, self.count, &self.block);
        let block = std::mem::take(&mut self.block);
        self.write(&header);
        self.write(&block);
        self.block = block;
        self.block.clear();
        self.block.shrink_to(2 * BLOCK);
        self.count = 0;
        self.sequence += 1;
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            match self.to.write_all(bytes) {
                Ok(()) => self.bytes += bytes.len() as u64,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<u64, SnapshotError> {
        if self.count > 0 {
            self.write_block();
        }
        // The block without entries that says that this is all.
        self.write_block();
        match self.failed {
            None => Ok(self.entries),
            Some(error) => Err(SnapshotError::Write {
                bytes: self.bytes,
                error,
            }),
        }
    }
}
