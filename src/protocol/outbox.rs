//! Bytes that wait to be written: small ones gathered into one run, large shared values in between, uncopied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// A run is closed at this size, so that growing it never copies much and its memory can be given back in parts.
const RUN: usize = 256 * 1024;

#[derive(Debug)]
enum Segment {
    Run(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Segment::Run(run) => run,
            Segment::Shared(bytes) => bytes,
        }
    }
}

/// Bytes in the order in which they are to be written.
#[derive(Debug, Default)]
pub struct Outbox {
    closed: VecDeque<Segment>,
    /// The run that grows.
    open: Vec<u8>,
    /// Bytes of the first segment that have been written already.
    written: usize,
    len: usize,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes, copied.
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_parts([bytes]);
    }

    /// Adds bytes that lie in several places, copied.
    #[inline]
    pub fn push_parts<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let len = parts.iter().map(|part| part.len()).sum();
        if !self.open.is_empty() && self.open.len() + len > RUN {
            self.close_run();
        }
        self.open.reserve(len);
        for part in parts {
            self.open.extend_from_slice(part);
        }
        self.len += len;
    }

    /// Adds bytes without copying them.
    pub fn push_shared(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.close_run();
        self.len += bytes.len();
        self.closed.push_back(Segment::Shared(bytes));
    }

    /// Adds what waits in another, of which nothing has been written yet.
    pub fn append(&mut self, other: Outbox) {
        debug_assert_eq!(
            other.written, 0,
            "an outbox that is appended is not being written"
        );
        if other.closed.is_empty() {
            self.push(&other.open);
            return;
        }
        self.close_run();
        self.len += other.len;
        self.closed.extend(other.closed);
        self.open = other.open;
    }

    /// The bytes to write next, as up to `at_most` slices.
    pub fn slices(&self, at_most: usize) -> Vec<IoSlice<'_>> {
        let mut skip = self.written;
        self.closed
            .iter()
            .map(Segment::bytes)
            .chain(std::iter::once(self.open.as_slice()))
            .map(|bytes| {
                let rest = &bytes[skip..];
                skip = 0;
                rest
            })
            .filter(|rest| !rest.is_empty())
            .take(at_most)
            .map(IoSlice::new)
            .collect()
    }

    /// The bytes to write next that lie together.
    pub fn front(&self) -> &[u8] {
        let first = self.closed.front().map_or(self.open.as_slice(), Segment::bytes);
        &first[self.written..]
    }

    /// Forgets the next `count` bytes: they have been written.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len, "{count} bytes written of {}", self.len);
        self.len -= count;
        self.written += count;
        while let Some(first) = self.closed.front() {
            let first_len = first.bytes().len();
            if self.written < first_len {
                return;
            }
            self.written -= first_len;
            self.closed.pop_front();
        }
        if self.len == 0 {
            self.open.clear();
            self.written = 0;
            if self.open.capacity() > RUN {
                self.open = Vec::new();
            }
        }
    }

    fn close_run(&mut self) {
        if !self.open.is_empty() {
            self.closed
                .push_back(Segment::Run(std::mem::take(&mut self.open)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_they_came(
            pushes in prop::collection::vec((any::<bool>(), 0usize..300), 0..40),
            takes in prop::collection::vec(1usize..200, 0..60),
        ) {
            let mut outbox = Outbox::new();
            let mut expected = Vec::new();
            let mut got = Vec::new();
            let mut next = 0u8;
            let mut takes = takes.into_iter();
            for (shared, len) in pushes {
                let bytes: Vec<u8> = (0..len).map(|_| { next = next.wrapping_add(1); next }).collect();
                expected.extend_from_slice(&bytes);
                if shared { outbox.push_shared(bytes.into()); } else { outbox.push(&bytes); }
                if let Some(take) = takes.next() {
                    let all: Vec<u8> = outbox.slices(usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect();
                    prop_assert_eq!(all.len(), outbox.len());
                    prop_assert!(all.starts_with(outbox.front()));
                    let take = take.min(all.len());
                    got.extend_from_slice(&all[..take]);
                    outbox.consume(take);
                }
            }
            got.extend(outbox.slices(usize::MAX).iter().flat_map(|slice| slice.to_vec()));
            prop_assert_eq!(got, expected);
            let len = outbox.len();
            outbox.consume(len);
            prop_assert!(outbox.is_empty() && outbox.front().is_empty());
        }
    }
}
