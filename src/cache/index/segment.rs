//! A part of the index: cells in the order of their hashes, with gaps. Knows nothing of the directory, nor of keys; the cells are bytes that are lent.
//!
//! Linear probing in which the cells of a run stay sorted (Amble and Knuth, "Ordered hash tables", 1974), and in which the place where a probe
//! begins grows with the hash. So the cells of a segment are sorted as a whole: a search for what is not there ends as early as one for what is,
//! which is why a segment may be 7/8 full; growing and splitting copy from left to right; and a walk in the order of hashes is a copy.
//!
//! ```text
//! bytes   head | home of the smallest hash … of the largest | some more, for runs that reach beyond the end | EMPTY
//! head    len u16 | 0 u16 | smallest hash that has its place here u32                                                    8 bytes
//! cell    slot u32 | hash u32, or EMPTY                                                                                  8 bytes
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

/// What is known of a segment beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Probes begin at one of so many cells.
    homes: u16,
    /// The hashes here have this many first bits in common.
    pub(super) depth: u8,
    /// Which of `SIZES` it has.
    class: u8,
}

impl Shape {
    /// The smallest that holds so many and a few more.
    pub(super) fn new(len: usize, depth: u8) -> Self {
        let fits = |&size: &u16| (len + 1) * 8 <= usize::from(homes(size)) * 7;
        let class = SIZES.iter().position(fits).unwrap_or(SIZES.len() - 1);
        Self::of_class(class, depth)
    }

    /// The next larger one.
    pub(super) fn grown(self) -> Self {
        Self::of_class(usize::from(self.class) + 1, self.depth)
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are few of them")]
    const fn of_class(class: usize, depth: u8) -> Self {
        Shape {
            homes: homes(SIZES[class]),
            depth,
            class: class as u8,
        }
    }

    /// Bytes.
    pub(super) const fn size(self) -> usize {
        SIZES[self.class as usize] as usize
    }

    pub(super) const fn is_largest(self) -> bool {
        self.class as usize == SIZES.len() - 1
    }

    /// Whether one with so many cells in use has become so empty that a smaller one would do.
    pub(super) const fn is_sparse(self, len: usize) -> bool {
        self.class > 0 && (len + 2) * 16 < self.size()
    }

    /// Where a probe for a hash begins: the bits after those that all hashes here share, as a part of all homes. It never falls as the hash rises.
    #[inline]
    fn home(self, hash: u32) -> usize {
        ((u64::from(hash << self.depth) * u64::from(self.homes)) >> u32::BITS) as usize
    }

    /// Makes cells of what is in a place.
    pub(super) fn clear(self, bytes: &mut [u8], first_hash: u32) {
        bytes.fill(0xFF);
        bytes[..4].fill(0);
        bytes[4..8].copy_from_slice(&first_hash.to_le_bytes());
    }

    /// The byte at which a search for this hash begins.
    #[inline]
    pub(super) fn first_byte(self, hash: u32) -> usize {
        (1 + self.home(hash)) * size_of::<Cell>()
    }

    /// The slots with this hash.
    #[inline(always)]
    pub(super) fn slots(self, bytes: &[u8], hash: u32) -> Slots<'_> {
        let (cells, _) = bytes.as_chunks();
        let next = 1 + self.home(hash);
        Slots { cells, next, hash }
    }

    /// Adds a slot; `false` if that takes a larger segment, or several.
    pub(super) fn insert(self, bytes: &mut [u8], hash: u32, slot: u32) -> bool {
        let len = len(bytes) + 1;
        // Beyond seven eighths, runs get long.
        if len * 8 > usize::from(self.homes) * 7 {
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
        set_len(bytes, len);
        true
    }

    /// Takes a slot out; `false` if it was not there.
    pub(super) fn remove(self, bytes: &mut [u8], hash: u32, slot: u32) -> bool {
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
        let len = len(bytes) - 1;
        set_len(bytes, len);
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
        let home = self.home(hash);
        let least = cell(hash, 0);
        for (at, bytes) in cells.get(home..)?.iter().enumerate() {
            let cell = u64::from_le_bytes(*bytes);
            if cell < least {
                continue;
            }
            if hash_of(cell) != hash || cell == EMPTY {
                return None;
            }
            if is_it(slot_of(cell)) {
                return Some(home + at);
            }
        }
        None
    }

    /// Fills cells that are empty from others that are sorted. Those for which there is no room are given back.
    pub(super) fn fill(self, bytes: &mut [u8], sorted: &[(u32, u32)]) -> usize {
        let cells = cells_mut(bytes);
        let (mut next, mut done) = (0, 0);
        for &(hash, slot) in sorted {
            let at = self.home(hash).max(next);
            next = at + 1;
            if next >= cells.len() {
                break;
            }
            cells[at] = cell(hash, slot).to_le_bytes();
            done += 1;
        }
        set_len(bytes, done);
        done
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.size(), "size");
        assert_eq!(bytes[2..4], [0; 2]);
        assert_eq!(iter(bytes).count(), len(bytes), "cells");
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

/// A search for a hash.
#[derive(Debug)]
pub(super) struct Slots<'a> {
    /// The head in place of the first.
    cells: &'a [Cell],
    next: usize,
    hash: u32,
}

impl Iterator for Slots<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        loop {
            // The last cell is empty: the search ends there at the latest.
            let cell = u64::from_le_bytes(*self.cells.get(self.next)?);
            self.next += 1;
            if hash_of(cell) >= self.hash {
                let is_it = hash_of(cell) == self.hash && cell != EMPTY;
                return is_it.then_some(slot_of(cell));
            }
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

/// The hash that `clear` was given.
pub(super) fn first_hash(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])
}

/// How many cells are in use.
pub(super) fn len(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a segment has fewer than 512 cells"
)]
fn set_len(bytes: &mut [u8], len: usize) {
    bytes[..2].copy_from_slice(&(len as u16).to_le_bytes());
}

/// How many cells of a segment of so many bytes are homes: the rest is the head, and for runs that reach beyond the last of them.
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
