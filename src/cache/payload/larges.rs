//! Large entries: allocations of their own, in a list in which each keeps its number, until the list has become too long for what is in it. Then
//! the last ones go to smaller numbers, by whoever knows how to tell their slots of it.

use bytes::Bytes;

use super::super::entry::Tag;
use super::super::paged::Paged;
use super::vacancies::Vacancies;
use super::{SHARED_FROM, View};

/// The allocations of a large entry beside its key and value: `Large`, its place in the list, and the reference count of `Bytes`.
const OVERHEAD: u64 = 64 + 8 + 32;

/// So many numbers may be free in any case; and one to four of those that are not. (Fewer in tests of this crate, so that they see entries move.)
const MOST_FREE: usize = if cfg!(test) { 2 } else { 1024 };
/// Free numbers at the end that are given up at once, at most.
const GIVEN_UP_AT_ONCE: u32 = 512;

#[derive(Debug)]
pub(in crate::cache) struct Large {
    key: Box<[u8]>,
    value: Bytes,
    tag: Tag,
}

impl Large {
    pub(super) fn new(key: &[u8], value: &[u8], tag: Tag) -> Self {
        Large {
            key: key.into(),
            value: Bytes::copy_from_slice(value),
            tag,
        }
    }

    /// What its allocations cost, in bytes.
    pub(super) fn cost(&self) -> u64 {
        OVERHEAD + allocated(self.key.len()) + allocated(self.value.len())
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        View {
            key: &self.key,
            value: &self.value,
            value_and_on: &self.value,
            tag: self.tag,
            shared: (self.value.len() >= SHARED_FROM).then_some(&self.value),
        }
    }
}

/// What an allocation of `len` bytes takes: steps of 16 bytes up to 64, then four size classes to each power of two, as
/// mimalloc has them and most allocators nearly so; whole pages of 4 KiB from 1 MiB up.
const fn allocated(len: usize) -> u64 {
    let len = len as u64;
    let step = match len {
        0..=64 => 16,
        0x10_0000.. => 4096,
        _ => 1 << ((len - 1).ilog2() - 2),
    };
    len.next_multiple_of(step)
}

#[derive(Debug)]
pub(super) struct Larges {
    entries: Paged<Option<Box<Large>>>,
    /// Numbers without an entry.
    free: Vacancies,
}

impl Larges {
    pub(super) const fn new() -> Self {
        Larges {
            entries: Paged::new(),
            free: Vacancies::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.end() - self.free.len()
    }

    pub(super) fn insert(&mut self, large: Box<Large>) -> u32 {
        if let Some(number) = self.free.first() {
            self.free.remove(number);
            self.entries[number] = Some(large);
            return number;
        }
        let number = u32::try_from(self.entries.end()).expect("fewer than slots");
        self.entries.push(Some(large));
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Box<Large> {
        let large = self.entries[number].take().expect("a slot knows of it");
        self.free.insert(number);
        large
    }

    /// Whether so many numbers are free that the last ones should be given up: see `last`.
    pub(super) fn is_sparse(&self) -> bool {
        self.free.len() > MOST_FREE.max(self.len() / 4)
    }

    /// If too many numbers are free: the last one, whose entry is to be moved down. Free ones at the end are given up before, or, if there are many, some
    /// of them.
    pub(super) fn last(&mut self) -> Option<u32> {
        for _ in 0..GIVEN_UP_AT_ONCE {
            if !self.is_sparse() {
                return None;
            }
            let last = u32::try_from(self.entries.end() - 1).expect("fewer than slots");
            if self.entries[last].is_some() {
                return Some(last);
            }
            self.free.remove(last);
            self.give_up_last();
        }
        None
    }

    /// Moves the entry that `last` has named to another number.
    pub(super) fn move_down(&mut self, last: u32) -> u32 {
        let to = self.free.first().expect("there are free numbers");
        self.free.remove(to);
        self.entries[to] = self.entries[last].take();
        self.give_up_last();
        to
    }

    fn give_up_last(&mut self) {
        self.entries.pop();
        self.free.truncate(self.entries.end());
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        for (number, entry) in (0u32..).zip(self.entries.iter()) {
            assert_eq!(
                entry.is_none(),
                self.free.contains(number),
                "large entry {number}"
            );
        }
    }
}

impl std::ops::Index<u32> for Larges {
    type Output = Large;

    fn index(&self, number: u32) -> &Large {
        self.entries[number].as_ref().expect("a slot knows of it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_which_little_is_left_becomes_short() {
        let mut larges = Larges::new();
        let large = |n: u32| Box::new(Large::new(&n.to_le_bytes(), b"", Tag::BYTES));
        let mut numbers: Vec<u32> = (0..10_000).map(|n| larges.insert(large(n))).collect();
        for n in (0..10_000).filter(|n| n % 100 != 0) {
            larges.remove(numbers[n]);
        }
        while larges.is_sparse() {
            if let Some(last) = larges.last() {
                let key = larges[last].view().key.try_into().unwrap();
                numbers[u32::from_le_bytes(key) as usize] = larges.move_down(last);
            }
        }
        larges.validate();
        assert_eq!(larges.len(), 100);
        assert!(
            larges.entries.end() <= 125,
            "{} places for 100",
            larges.entries.end()
        );
        assert!(
            (0..10_000u32)
                .step_by(100)
                .all(|n| larges[numbers[n as usize]].view().key == n.to_le_bytes())
        );
    }

    #[test]
    fn the_charge_follows_size_classes_and_never_falls_below_the_length() {
        assert_eq!(allocated(0), 0);
        assert_eq!(allocated(1), 16);
        assert_eq!(allocated(64), 64);
        assert_eq!(allocated(65), 80);
        assert_eq!(allocated(129), 160);
        assert_eq!(allocated(1 << 20), 1 << 20);
        let mut last = 0;
        for len in 0..10_000 {
            let charged = allocated(len);
            assert!(charged >= len as u64 && charged >= last);
            last = charged;
        }
    }
}
