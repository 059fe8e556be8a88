//! Large entries: allocations of their own, in a list in which each keeps its number.

use bytes::Bytes;

use super::super::entry::Tag;
use super::super::paged::Paged;
use super::{SHARED_FROM, View};

/// The allocations of a large entry beside its key and value: `Large`, its place in the list, and the reference count of `Bytes`.
const OVERHEAD: u64 = 64 + 8 + 32;

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
    free: Vec<u32>,
}

impl Larges {
    pub(super) const fn new() -> Self {
        Larges {
            entries: Paged::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.end() - self.free.len()
    }

    pub(super) fn insert(&mut self, large: Box<Large>) -> u32 {
        if let Some(number) = self.free.pop() {
            self.entries[number] = Some(large);
            return number;
        }
        let number = u32::try_from(self.entries.end()).expect("fewer than slots");
        self.entries.push(Some(large));
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Box<Large> {
        let large = self.entries[number].take().expect("a slot knows of it");
        self.free.push(number);
        if self.len() == 0 {
            *self = Larges::new();
        }
        large
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
