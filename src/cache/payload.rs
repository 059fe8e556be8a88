//! What a slot holds: the bytes of key and value, and what they weigh.
//!
//! Small entries are one allocation, key and value behind each other. Values from `SHARED_FROM` bytes up are reference-counted, so that
//! reading one copies nothing and writing it to a slow reader holds no lock.
//!
//! ```text
//! Slot, 32 bytes   body 16 (Box<[u8]>, or Box<Large> in the niche) | hash u32 | key_len u32 | previous u32 | tag u8 | 3 free
//! body             key bytes | value bytes                                         up to SHARED_FROM
//! ```

use bytes::Bytes;

use super::entry::Tag;
use super::paged::Paged;

/// Values of at least this many bytes are shared instead of copied.
pub(super) const SHARED_FROM: usize = 16 * 1024;

/// What an entry costs beside its bytes, in bytes: the slot (32), the recency links (8), the deadline (16), one vacant slot to 16 occupied ones (4),
/// its cell of the index (8, in segments that are 3/8 to 3/4 full: up to 21), and what allocator and huge pages lose (15). Measured by
/// `tests/memory.rs`.
pub(crate) const ENTRY_OVERHEAD: u64 = 96;

/// The allocations behind a large entry beside its key and value: `Large` and the reference count of `Bytes`.
const LARGE_OVERHEAD: u64 = 80;

/// `key_len` of a slot that holds nothing; its `hash` is then the next free slot.
const VACANT: u32 = u32::MAX;
const NONE: u32 = u32::MAX;
/// So many slots may be vacant in any case; and one to 16 occupied ones. They cost little, and a slot given up costs moving an entry.
/// (Fewer in tests of this crate, so that they see it happen.)
const MOST_VACANT: usize = if cfg!(test) { 2 } else { 4096 };

/// An entry's content, made before a lock is taken and dropped after it is released.
#[derive(Debug)]
pub(super) struct Record {
    body: Body,
    hash: u32,
    key_len: u32,
    /// Only while vacant: the one before in the chain of vacant slots.
    previous: u32,
    tag: Tag,
}

#[derive(Debug)]
enum Body {
    Packed(Box<[u8]>),
    Large(Box<Large>),
}

#[derive(Debug)]
struct Large {
    key: Box<[u8]>,
    value: Bytes,
}

impl Record {
    /// The key must be shorter than `u32::MAX`.
    pub(super) fn new(hash: u32, key: &[u8], value: &[u8], tag: Tag) -> Self {
        let body = if value.len() < SHARED_FROM {
            let mut bytes = Vec::with_capacity(key.len() + value.len());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            Body::Packed(bytes.into_boxed_slice())
        } else {
            Body::Large(Box::new(Large {
                key: key.into(),
                value: Bytes::copy_from_slice(value),
            }))
        };
        Record {
            body,
            hash,
            key_len: u32::try_from(key.len()).unwrap_or(VACANT - 1),
            previous: NONE,
            tag,
        }
    }

    fn vacant(next: u32) -> Self {
        let body = Body::Packed(Box::new([]));
        Record {
            body,
            hash: next,
            key_len: VACANT,
            previous: NONE,
            tag: Tag::BYTES,
        }
    }

    /// The neighbours of a vacant slot in their chain.
    const fn chain(&self) -> (u32, u32) {
        (self.previous, self.hash)
    }

    pub(super) fn key(&self) -> &[u8] {
        match &self.body {
            Body::Packed(bytes) => &bytes[..self.key_len as usize],
            Body::Large(large) => &large.key,
        }
    }

    pub(super) fn value(&self) -> &[u8] {
        match &self.body {
            Body::Packed(bytes) => &bytes[self.key_len as usize..],
            Body::Large(large) => &large.value,
        }
    }

    /// The value, if it can be had without copying it.
    pub(super) fn shared_value(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Packed(_) => None,
            Body::Large(large) => Some(&large.value),
        }
    }

    pub(super) const fn tag(&self) -> Tag {
        self.tag
    }

    pub(super) const fn hash(&self) -> u32 {
        self.hash
    }

    /// Bytes charged against `max_bytes`.
    pub(super) fn weight(&self) -> u64 {
        match &self.body {
            Body::Packed(bytes) => ENTRY_OVERHEAD + allocated(bytes.len()),
            Body::Large(large) => {
                ENTRY_OVERHEAD + LARGE_OVERHEAD + allocated(large.key.len()) + allocated(large.value.len())
            }
        }
    }

    /// Whether freeing it takes long enough not to do it under a lock.
    pub(super) const fn is_large(&self) -> bool {
        match &self.body {
            Body::Packed(bytes) => bytes.len() >= SHARED_FROM,
            Body::Large(_) => true,
        }
    }

    const fn is_vacant(&self) -> bool {
        self.key_len == VACANT
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

/// Slots and what they hold. An entry keeps its slot through overwrites; it moves only when slots are given up.
#[derive(Debug)]
pub(super) struct Payload {
    slots: Paged<Record>,
    /// The first of a chain of vacant slots, linked in both directions.
    free: u32,
    len: usize,
}

impl Payload {
    pub(super) const fn new() -> Self {
        Payload {
            slots: Paged::new(),
            free: NONE,
            len: 0,
        }
    }

    /// Occupied slots.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All slots, occupied or not, are below this number.
    pub(super) fn end(&self) -> usize {
        self.slots.end()
    }

    pub(super) fn insert(&mut self, record: Record) -> u32 {
        self.len += 1;
        if self.free == NONE {
            let slot = u32::try_from(self.slots.end()).expect("fewer than MAX_SLOTS");
            self.slots.push(record);
            return slot;
        }
        let slot = self.free;
        self.take_from_chain(self.slots[slot].chain());
        self.slots[slot] = record;
        slot
    }

    /// Puts another record into an occupied slot and gives back the one that was there.
    pub(super) fn replace(&mut self, slot: u32, record: Record) -> Record {
        std::mem::replace(&mut self.slots[slot], record)
    }

    pub(super) fn remove(&mut self, slot: u32) -> Record {
        self.len -= 1;
        let next = self.free;
        if next != NONE {
            self.slots[next].previous = slot;
        }
        self.free = slot;
        std::mem::replace(&mut self.slots[slot], Record::vacant(next))
    }

    /// Whether so many slots are vacant that some should be given up.
    pub(super) fn is_sparse(&self) -> bool {
        self.slots.end() - self.len > MOST_VACANT.max(self.len / 16)
    }

    /// Gives up the last slot; there must be vacant ones. If it holds an entry, that moves into a vacant one: from where, and to where.
    pub(super) fn give_up_last(&mut self) -> Option<(u32, u32)> {
        let record = self.slots.pop()?;
        if record.is_vacant() {
            self.take_from_chain(record.chain());
            return None;
        }
        let from = u32::try_from(self.slots.end()).expect("fewer than MAX_SLOTS");
        let to = self.free;
        self.take_from_chain(self.slots[to].chain());
        self.slots[to] = record;
        Some((from, to))
    }

    fn take_from_chain(&mut self, (previous, next): (u32, u32)) {
        match previous {
            NONE => self.free = next,
            _ => self.slots[previous].hash = next,
        }
        if next != NONE {
            self.slots[next].previous = previous;
        }
    }

    /// The record of an occupied slot.
    pub(super) fn record(&self, slot: u32) -> &Record {
        &self.slots[slot]
    }

    /// The record of any slot number, if it holds one.
    pub(super) fn get(&self, slot: u32) -> Option<&Record> {
        self.slots.get(slot).filter(|record| !record.is_vacant())
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        let mut vacant = 0;
        let (mut previous, mut slot) = (NONE, self.free);
        while slot != NONE {
            assert!(
                self.slots[slot].is_vacant(),
                "slot {slot} is in the chain of vacant ones"
            );
            assert_eq!(self.slots[slot].previous, previous, "chain at slot {slot}");
            vacant += 1;
            previous = slot;
            slot = self.slots[slot].hash;
        }
        assert_eq!(vacant + self.len, self.slots.end(), "vacant slots");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_as_small_as_its_drawing() {
        assert_eq!(size_of::<Record>(), 32);
    }

    #[test]
    fn small_and_large_entries_give_back_key_and_value() {
        for len in [0, 1, SHARED_FROM - 1, SHARED_FROM, SHARED_FROM + 1] {
            let value = vec![7; len];
            let record = Record::new(1, b"key", &value, Tag::TEXT);
            assert_eq!(record.key(), b"key");
            assert_eq!(record.value(), value);
            assert_eq!(record.shared_value().is_some(), len >= SHARED_FROM);
            assert!(record.weight() >= 3 + len as u64);
        }
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

    #[test]
    fn vacated_slots_are_used_again_before_new_ones() {
        let mut payload = Payload::new();
        let record = |n: u32| Record::new(n, b"k", b"v", Tag::BYTES);
        let slots: Vec<u32> = (0..4).map(|n| payload.insert(record(n))).collect();
        payload.remove(slots[1]);
        payload.remove(slots[2]);
        assert!(payload.get(slots[1]).is_none());
        assert_eq!(payload.insert(record(9)), slots[2]);
        assert_eq!(payload.insert(record(9)), slots[1]);
        assert_eq!(payload.insert(record(9)), 4);
        assert_eq!(payload.len(), 5);
    }
}
