//! A part of the index: cells in the order of their hashes, with gaps. Knows nothing of the directory, nor of keys; the cells are bytes that are lent.
//!
//! Linear probing in which the cells of a run stay sorted (Amble and Knuth, "Ordered hash tables", 1974), and in which the place where a probe
//! begins grows with the hash. So the cells of a segment are sorted as a whole: a search for what is not there ends as early as one for what is,
//! which is why a segment may be 7/8 full; growing and splitting copy from left to right; and a walk in the order of hashes is a copy.
//!
//! ```text
//! bytes   0 u32, number of the segment u32 | home of the smallest hash … of the largest | some more, for runs that reach beyond the end | EMPTY
//! cell    slot u32 | hash u32, or EMPTY                                                                                             8 bytes
//! ```
//! Between the home of a cell's hash and the cell there is no gap.

use super::super::pages::LONGEST;

/// The sizes of segments, in bytes. Each is a size class of pages; most segments have one of the last nine.
const SIZES: [u16; 21] = [
    64, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1536, 1792, 2048, 2304, 2560, 2816, 3072, 3328, 3584,
    3840, 4096,
];
const LARGEST: u16 = SIZES[SIZES.len() - 1];
const _: () = assert!(LARGEST as usize == LONGEST);
/// Not a cell: no slot has this number.
const EMPTY: u64 = u64::MAX;
type Cell = [u8; 8];

/// What is known of a segment beside its cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Bytes.
    pub(super) size: u16,
    /// Probes begin at one of so many cells.
    homes: u16,
    pub(super) len: u16,
    /// The hashes here have this many first bits in common.
    pub(super) depth: u8,
}

impl Shape {
    /// The smallest that holds so many and a few more, and is not smaller than given.
    pub(super) fn new(len: usize, least: u16, depth: u8) -> Self {
        let fits = |&size: &u16| size >= least && (len + 1) * 8 <= usize::from(homes(size)) * 7;
        let size = SIZES.into_iter().find(fits).unwrap_or(LARGEST);
        Shape {
            size,
            homes: homes(size),
            len: 0,
            depth,
        }
    }

    /// The next larger one.
    pub(super) fn grown(self) -> Self {
        Self::new(0, self.size + 1, self.depth)
    }

    pub(super) const fn is_largest(self) -> bool {
        self.size == LARGEST
    }

    /// Whether it has become so empty that a smaller one would do.
    pub(super) const fn is_sparse(self) -> bool {
        self.size > SIZES[0] && (self.len as usize + 2) * 16 < self.size as usize
    }

    /// Where a probe for a hash begins: the bits after those that all hashes here share, as a part of all homes. It never falls as the hash rises.
    #[inline]
    fn home(self, hash: u32) -> usize {
        ((u64::from(hash << self.depth) * u64::from(self.homes)) >> u32::BITS) as usize
    }

    /// Makes cells of what is in a place.
    pub(super) fn clear(self, bytes: &mut [u8], number: u32) {
        bytes.fill(0xFF);
        bytes[..4].fill(0);
        bytes[4..8].copy_from_slice(&number.to_le_bytes());
    }

    /// The byte at which a search for this hash begins.
    #[inline]
    pub(super) fn first_byte(self, hash: u32) -> usize {
        (1 + self.home(hash)) * size_of::<Cell>()
    }

    /// The slot with this hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(self, bytes: &[u8], hash: u32, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let cells = cells(bytes);
        self.position(cells, hash, is_it)
            .map(|at| slot_of(read(cells, at)))
    }

    /// Adds a slot; `false` if that takes a larger segment, or several.
    pub(super) fn insert(&mut self, bytes: &mut [u8], hash: u32, slot: u32) -> bool {
        // Beyond seven eighths, runs get long.
        if (usize::from(self.len) + 1) * 8 > usize::from(self.homes) * 7 {
            return false;
        }
        let cells = cells_mut(bytes);
        let mut at = self.home(hash);
        while at < cells.len() && read(cells, at) != EMPTY && hash_of(read(cells, at)) <= hash {
            at += 1;
        }
        let mut gap = at;
        while gap < cells.len() && read(cells, gap) != EMPTY {
            gap += 1;
        }
        // The last one stays empty.
        if gap + 1 >= cells.len() {
            return false;
        }
        cells.copy_within(at..gap, at + 1);
        cells[at] = cell(hash, slot).to_le_bytes();
        self.len += 1;
        true
    }

    /// Takes a slot out; `false` if it was not there.
    pub(super) fn remove(&mut self, bytes: &mut [u8], hash: u32, slot: u32) -> bool {
        let cells = cells_mut(bytes);
        let Some(at) = self.position(cells, hash, |other| other == slot) else {
            return false;
        };
        let mut end = at + 1;
        while read(cells, end) != EMPTY && self.home(hash_of(read(cells, end))) < end {
            end += 1;
        }
        cells.copy_within(at + 1..end, at);
        cells[end - 1] = EMPTY.to_le_bytes();
        self.len -= 1;
        true
    }

    /// Puts another slot in the place of one; `false` if that was not there.
    pub(super) fn relocate(self, bytes: &mut [u8], hash: u32, from: u32, to: u32) -> bool {
        let cells = cells_mut(bytes);
        let found = self.position(cells, hash, |other| other == from);
        if let Some(at) = found {
            cells[at] = cell(hash, to).to_le_bytes();
        }
        found.is_some()
    }

    #[inline]
    fn position(self, cells: &[Cell], hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let cell = u64::from_le_bytes(*cells.get(at)?);
            if cell == EMPTY || hash_of(cell) > hash {
                return None;
            }
            if hash_of(cell) == hash && is_it(slot_of(cell)) {
                return Some(at);
            }
            at += 1;
        }
    }

    /// Fills cells that are empty from others that are sorted. Those for which there is no room are given back.
    pub(super) fn fill(&mut self, bytes: &mut [u8], sorted: &[(u32, u32)]) -> usize {
        let cells = cells_mut(bytes);
        let mut next = 0;
        for (done, &(hash, slot)) in sorted.iter().enumerate() {
            let at = self.home(hash).max(next);
            next = at + 1;
            if next >= cells.len() {
                return done;
            }
            cells[at] = cell(hash, slot).to_le_bytes();
            self.len += 1;
        }
        sorted.len()
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(self, bytes: &[u8], number: u32) {
        assert_eq!(bytes.len(), usize::from(self.size), "size of segment {number}");
        assert_eq!(bytes[..4], [0; 4]);
        assert_eq!(bytes[4..8], number.to_le_bytes());
        assert_eq!(iter(bytes).count(), usize::from(self.len), "cells");
        let cells = cells(bytes);
        assert_eq!(read(cells, cells.len() - 1), EMPTY, "the last cell");
        let mut last = 0;
        let mut run = 0;
        for at in 0..cells.len() {
            let cell = read(cells, at);
            if cell == EMPTY {
                run = at + 1;
                continue;
            }
            assert!(hash_of(cell) >= last, "hash {} follows {last}", hash_of(cell));
            last = hash_of(cell);
            assert!(
                (run..=at).contains(&self.home(last)),
                "hash {last} is not reached from its home"
            );
        }
    }
}

/// Hashes and slots of a segment, in the order of the hashes.
pub(super) fn iter(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let cells = cells(bytes).iter().map(|cell| u64::from_le_bytes(*cell));
    cells
        .filter(|&cell| cell != EMPTY)
        .map(|cell| (hash_of(cell), slot_of(cell)))
}

/// The number that `clear` was given.
pub(super) fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])
}

/// How many cells of a segment of so many bytes are homes: the rest is the number, and for runs that reach beyond the last of them.
const fn homes(size: u16) -> u16 {
    let cells = size / 8 - 1;
    cells - cells / 32 - 2
}

#[inline]
fn cells(bytes: &[u8]) -> &[Cell] {
    &bytes.as_chunks().0[1..]
}

fn cells_mut(bytes: &mut [u8]) -> &mut [Cell] {
    &mut bytes.as_chunks_mut().0[1..]
}

#[inline]
fn read(cells: &[Cell], at: usize) -> u64 {
    u64::from_le_bytes(cells[at])
}

const fn cell(hash: u32, slot: u32) -> u64 {
    (hash as u64) << 32 | slot as u64
}

#[inline]
const fn hash_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn slot_of(cell: u64) -> u32 {
    cell as u32
}
