//! A file seen through a window that moves forward: as much of it in memory as somebody looks at.

use std::io::{self, Read};

/// Bytes that are asked of the file at once.
const CHUNK: usize = 1 << 20;

pub(super) struct Window<'r> {
    file: Box<dyn Read + 'r>,
    /// The bytes in the window are `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
    /// Where in the file the window begins.
    offset: u64,
    at_end: bool,
}

impl<'r> Window<'r> {
    pub(super) fn new(file: Box<dyn Read + 'r>) -> Self {
        Window {
            file,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            at_end: false,
        }
    }

    /// Where in the file the window begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes: at least `want` of them, or all that are left. Memory grows with what is there, not with what is wanted.
    pub(super) fn look(&mut self, want: usize) -> io::Result<&[u8]> {
        while !self.at_end && self.buffer.len() - self.start < want {
            if self.start >= CHUNK {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let count = (&mut self.file)
                .take(CHUNK as u64)
                .read_to_end(&mut self.buffer)?;
            self.at_end = count == 0;
        }
        Ok(&self.buffer[self.start..])
    }

    /// Moves forward by `count` bytes of those that were looked at.
    pub(super) fn advance(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }
}
