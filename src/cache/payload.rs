//! What a slot holds: the bytes of key and value, and what they weigh.
//!
//! Small entries are packed, key and value behind each other, into pages of one size class; a slot knows its page and its place there, and there is
//! no pointer and no allocation for each. Large ones are allocations of their own, and values from `SHARED_FROM` bytes up are given away
//! by reference, so that reading one copies nothing and writing it to a slow reader holds no lock.
//!
//! ```text
//! wheres[slot]   u32: 0 | page, 19 bits | place, 12 bits          packed: see packed.rs
//!                     1 | place in the list of large ones
//!                     all ones: vacant
//! ```
//! An entry keeps its slot until that is given up; its place changes when it is overwritten by one of another length, or its page is evacuated.

mod larges;
mod packed;
mod vacancies;

use bytes::Bytes;

use super::entry::Tag;
use super::paged::Paged;
use super::pages::{Pages, Place};
use super::prefetch::{prefetch, prefetch_bytes};
pub(super) use larges::Large;
use larges::Larges;
use packed::packed_len;
use vacancies::Vacancies;

/// Values of at least this many bytes are shared instead of copied.
pub(super) const SHARED_FROM: usize = 16 * 1024;

/// What an entry costs beside its place, in bytes: the slot (4), the links of the policy (8), its cell of the index (9 to 12), vacant slots and places (4).
/// Policies that keep more say how much.
/// Measured by `tests/memory.rs`.
pub(crate) const ENTRY_OVERHEAD: u64 = 28;
/// What a deadline costs.
pub(crate) const DEADLINE_OVERHEAD: u64 = 9;
/// What a deadline costs beside the one that moves with each use.
pub(crate) const FIXED_OVERHEAD: u64 = 8;

const VACANT: u32 = u32::MAX;
/// Marks where a large entry is.
const LARGE: u32 = 1 << 31;
/// So many slots may be vacant in any case; and one to 16 occupied ones. They cost little, and a slot given up costs moving an entry.
/// (Fewer in tests of this crate, so that they see it happen.)
const MOST_VACANT: usize = if cfg!(test) { 2 } else { 4096 };
/// The bytes of an entry that are fetched before it is looked at.
const PREFETCHED: usize = 192;

/// What is to be written: made before a lock is taken, as far as that takes long.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) key: &'a [u8],
    pub(super) tag: Tag,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    /// The value, to be copied into its place.
    Packed(&'a [u8]),
    Large(Box<Large>),
}

/// What a slot holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// The value and whatever happens to follow it.
    pub(super) value_and_on: &'a [u8],
    pub(super) tag: Tag,
    /// The value, if it can be had without copying it.
    pub(super) shared: Option<&'a Bytes>,
}

/// What a slot holds, not looked at yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held<'a> {
    /// And what follows it on its page.
    Packed(&'a [u8]),
    Large(&'a Large),
}

impl<'a> Held<'a> {
    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        match self {
            Held::Packed(place) => packed::key(place),
            Held::Large(large) => large.view().key,
        }
    }

    #[inline]
    pub(super) fn view(self) -> View<'a> {
        match self {
            Held::Packed(place) => {
                let (key, value_and_on, len, tag) = packed::read(place);
                View {
                    key,
                    value: &value_and_on[..len],
                    value_and_on,
                    tag,
                    shared: None,
                }
            }
            Held::Large(large) => large.view(),
        }
    }
}

impl<'a> Draft<'a> {
    pub(super) fn new(key: &'a [u8], value: &'a [u8], tag: Tag) -> Self {
        let content = match packed_len(key.len(), value.len()) {
            Some(_) => Content::Packed(value),
            None => Content::Large(Box::new(Large::new(key, value, tag))),
        };
        Draft { key, tag, content }
    }

    /// Whether it is kept by itself, and may need the place of many others.
    pub(super) const fn is_large(&self) -> bool {
        matches!(self.content, Content::Large(_))
    }

    /// What is large about it, to be dropped without a lock.
    pub(super) fn into_large(self) -> Option<Box<Large>> {
        match self.content {
            Content::Packed(_) => None,
            Content::Large(large) => Some(large),
        }
    }
}

/// Whether an entry would be kept by itself. It also takes so long to copy that no lock should be held meanwhile.
pub(super) const fn is_large(key: &[u8], value: &[u8]) -> bool {
    packed_len(key.len(), value.len()).is_none()
}

/// Slots and what they hold.
#[derive(Debug)]
pub(super) struct Payload {
    wheres: Paged<u32>,
    vacant: Vacancies,
    pages: Pages,
    larges: Larges,
    len: usize,
    /// What is charged for an entry beside its place.
    overhead: u64,
}

impl Payload {
    /// For so many bytes in all, about, and as one of so many. The policy keeps so many for each entry beyond its links.
    pub(super) fn new(max_bytes: u64, shards: usize, of_policy: u64) -> Self {
        Payload {
            wheres: Paged::new(),
            vacant: Vacancies::new(),
            pages: Pages::new(max_bytes, shards),
            larges: Larges::new(),
            len: 0,
            overhead: ENTRY_OVERHEAD + of_policy,
        }
    }

    /// Occupied slots.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All slots, occupied or not, are below this number.
    pub(super) fn end(&self) -> usize {
        self.wheres.end()
    }

    /// Bytes charged against `max_bytes` for an entry without a deadline.
    pub(super) fn weight_of(&self, draft: &Draft<'_>) -> u64 {
        self.overhead
            + match &draft.content {
                Content::Packed(value) => self.packed_cost(draft.key.len(), value.len()),
                Content::Large(large) => large.cost(),
            }
    }

    /// What an occupied slot is charged with, its deadline not included.
    pub(super) fn weight(&self, slot: u32) -> u64 {
        self.overhead
            + match self.place(slot) {
                Ok(place) => self.pages.cost_of(place),
                Err(number) => self.larges[number].cost(),
            }
    }

    fn packed_cost(&self, key: usize, value: usize) -> u64 {
        packed_len(key, value).map_or(0, |len| self.pages.cost(len))
    }

    pub(super) fn insert(&mut self, draft: Draft<'_>) -> u32 {
        let at = self.put(draft);
        self.len += 1;
        if let Some(slot) = self.vacant.first() {
            self.vacant.remove(slot);
            self.wheres[slot] = at;
            return slot;
        }
        let slot = u32::try_from(self.wheres.end()).expect("fewer than MAX_SLOTS");
        self.wheres.push(at);
        slot
    }

    /// Puts something else into an occupied slot and gives back what is large about what was there.
    pub(super) fn replace(&mut self, slot: u32, draft: Draft<'_>) -> Option<Box<Large>> {
        let at = self.wheres[slot];
        if let (Ok(place), Content::Packed(value)) = (where_of(at), &draft.content)
            && let Some(len) = packed_len(draft.key.len(), value.len())
            && self.pages.is_as_long(place, len)
        {
            packed::write(self.pages.bytes_mut(place), draft.key, value, draft.tag);
            return None;
        }
        self.wheres[slot] = self.put(draft);
        self.give_back(at)
    }

    /// Empties a slot and gives back what was large about what it held.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Box<Large>> {
        self.len -= 1;
        self.vacant.insert(slot);
        let at = std::mem::replace(&mut self.wheres[slot], VACANT);
        self.give_back(at)
    }

    /// Whether so many slots are vacant that some should be given up.
    pub(super) fn is_sparse(&self) -> bool {
        self.vacant.len() > MOST_VACANT.max(self.len / 16)
    }

    /// Gives up the last slot; there must be vacant ones. If it holds an entry, that goes into a vacant one: from where, and to where.
    pub(super) fn give_up_last(&mut self) -> Option<(u32, u32)> {
        let at = self.wheres.pop()?;
        let from = u32::try_from(self.wheres.end()).expect("fewer than MAX_SLOTS");
        let moved = if at == VACANT {
            self.vacant.remove(from);
            None
        } else {
            let to = self.vacant.first().expect("there are vacant slots");
            self.vacant.remove(to);
            self.wheres[to] = at;
            Some((from, to))
        };
        self.vacant.truncate(self.wheres.end());
        moved
    }

    /// An entry whose place should be given up, for the sake of others: its key, and how to know its slot. See `move_out`.
    pub(super) fn straggler(&mut self) -> Option<(&[u8], InPlace)> {
        if let Some(place) = self.pages.straggler() {
            return Some((packed::key(self.pages.bytes(place)), InPlace(place.0)));
        }
        let number = self.larges.last()?;
        Some((self.larges[number].view().key, InPlace(LARGE | number)))
    }

    /// Bytes of pages in which nothing lies.
    #[inline]
    pub(super) const fn vacant(&self) -> usize {
        self.pages.vacant()
    }

    pub(super) fn has_entries_to_move(&self) -> bool {
        self.pages.is_being_evacuated() || self.larges.is_sparse()
    }

    pub(super) fn is_in(&self, slot: u32, place: InPlace) -> bool {
        self.wheres[slot] == place.0
    }

    /// Moves what a slot holds, which is what `straggler` has named, to another place.
    pub(super) fn move_out(&mut self, slot: u32) {
        let from = match self.place(slot) {
            Ok(place) => place,
            Err(number) => {
                self.wheres[slot] = LARGE | self.larges.move_down(number);
                return;
            }
        };
        match self.pages.copy(from) {
            Some(to) => {
                self.wheres[slot] = to.0;
                self.pages.give_back(from);
            }
            None => self.pages.give_up_evacuation(),
        }
    }

    /// What an occupied slot holds.
    #[inline]
    pub(super) fn view(&self, slot: u32) -> View<'_> {
        self.held(slot).view()
    }

    /// The key of what an occupied slot holds.
    #[inline]
    pub(super) fn key(&self, slot: u32) -> &[u8] {
        self.held(slot).key()
    }

    /// Where to look at what an occupied slot holds.
    #[inline(always)]
    pub(super) fn held(&self, slot: u32) -> Held<'_> {
        match self.place(slot) {
            Ok(place) => Held::Packed(self.pages.bytes_from(place)),
            Err(number) => Held::Large(&self.larges[number]),
        }
    }

    /// Whether any slot number holds something.
    pub(super) fn is_occupied(&self, slot: u32) -> bool {
        self.wheres.get(slot).is_some_and(|&at| at != VACANT)
    }

    /// Fetches where a slot's entry is.
    #[inline]
    pub(super) fn prefetch_slot(&self, slot: u32) {
        if let Some(at) = self.wheres.get(slot) {
            prefetch(at);
        }
    }

    /// Fetches a slot's entry.
    #[inline]
    pub(super) fn prefetch_entry(&self, slot: u32) {
        match self.place(slot) {
            Ok(place) => prefetch_bytes(self.pages.bytes(place), PREFETCHED),
            Err(number) => prefetch(&self.larges[number]),
        }
    }

    #[inline]
    fn place(&self, slot: u32) -> Result<Place, u32> {
        where_of(self.wheres[slot])
    }

    fn put(&mut self, draft: Draft<'_>) -> u32 {
        let large = match draft.content {
            Content::Large(large) => large,
            Content::Packed(value) => {
                let len = packed_len(draft.key.len(), value.len()).unwrap_or(usize::MAX);
                match self.pages.take(len) {
                    Some(place) => {
                        packed::write(self.pages.bytes_mut(place), draft.key, value, draft.tag);
                        return place.0;
                    }
                    // All 32 GiB of pages are full.
                    None => Box::new(Large::new(draft.key, value, draft.tag)),
                }
            }
        };
        LARGE | self.larges.insert(large)
    }

    fn give_back(&mut self, at: u32) -> Option<Box<Large>> {
        match where_of(at) {
            Ok(place) => {
                self.pages.give_back(place);
                None
            }
            Err(number) => Some(self.larges.remove(number)),
        }
    }

    /// Bytes of the pages.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.pages.memory()
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        let (mut packed, mut large) = (0, 0);
        let mut places = std::collections::BTreeSet::new();
        for slot in 0..self.wheres.end() {
            let slot = u32::try_from(slot).expect("fewer than MAX_SLOTS");
            let at = self.wheres[slot];
            assert_eq!(at == VACANT, self.vacant.contains(slot), "slot {slot}");
            assert!(at == VACANT || places.insert(at), "slot {slot} shares its place");
            packed += usize::from(at < LARGE);
            large += usize::from((LARGE..VACANT).contains(&at));
        }
        assert_eq!(packed + large, self.len, "occupied slots");
        assert_eq!(self.wheres.end() - self.len, self.vacant.len(), "vacant slots");
        assert_eq!(self.pages.validate(), packed, "occupied places");
        assert_eq!(self.larges.len(), large, "large entries");
        self.larges.validate();
    }
}

/// The place of an entry, as something to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InPlace(u32);

/// The place, or the number of a large entry.
#[inline]
const fn where_of(at: u32) -> Result<Place, u32> {
    if at & LARGE == 0 {
        Ok(Place(at))
    } else {
        Err(at & !LARGE)
    }
}
