//! Three doubly linked lists over slots, with their links, a small count of hits and the list's number in a side array: what all policies but exact LRU
//! keep their order in. Knows nothing of when an entry goes from one list to another.

use super::Measure;
use crate::cache::paged::Paged;
use crate::cache::prefetch::prefetch;

/// Bits of a slot's number. Two more of each link say other things, so that all that is known of a slot is in eight bytes.
const SLOT_BITS: u32 = 30;
/// Slots must be below this. It stands for no slot.
pub(super) const NONE: u32 = (1 << SLOT_BITS) - 1;

/// Hits of a slot are counted up to here.
pub(super) const MOST_HITS: u32 = 3;

/// The lists, in the order in which a walk comes to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Where a new entry waits until it is known what it is worth.
    Window = 0,
    /// Where it goes if it is worth keeping.
    Main = 1,
    /// Of the main part, what was hit there. Not all policies have it.
    Protected = 2,
}

pub(super) const LISTS: [List; 3] = [List::Window, List::Main, List::Protected];

/// What is known of a slot: its neighbours in the lower bits; in the two highest ones of the first its list, 1 to 3, or 0 if the slot is not known; in those of
/// the second its hits.
#[derive(Debug, Clone, Copy)]
struct Links {
    newer: u32,
    older: u32,
}

const UNKNOWN: Links = Links {
    newer: NONE,
    older: NONE,
};

impl Links {
    #[inline]
    const fn newer(self) -> u32 {
        self.newer & NONE
    }

    #[inline]
    const fn older(self) -> u32 {
        self.older & NONE
    }

    #[inline]
    const fn list(self) -> Option<List> {
        match self.newer >> SLOT_BITS {
            0 => None,
            1 => Some(List::Window),
            2 => Some(List::Main),
            _ => Some(List::Protected),
        }
    }

    #[inline]
    const fn hits(self) -> u32 {
        self.older >> SLOT_BITS
    }

    #[inline]
    fn set_newer(&mut self, slot: u32) {
        self.newer = self.newer & !NONE | slot;
    }

    #[inline]
    fn set_older(&mut self, slot: u32) {
        self.older = self.older & !NONE | slot;
    }

    #[inline]
    fn set_hits(&mut self, hits: u32) {
        self.older = self.older & NONE | hits << SLOT_BITS;
    }
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    newest: u32,
    oldest: u32,
    items: u64,
    bytes: u64,
}

#[derive(Debug)]
pub(super) struct Lists {
    links: Paged<Links>,
    ends: [Ends; 3],
    /// The list of the walk and the slot that it comes to next.
    walk: (usize, u32),
    /// No slot changed its place since the walk began.
    walk_is_complete: bool,
}

impl Lists {
    pub(super) fn new() -> Self {
        Lists {
            links: Paged::new(),
            ends: [Ends {
                newest: NONE,
                oldest: NONE,
                items: 0,
                bytes: 0,
            }; 3],
            walk: (LISTS.len(), NONE),
            walk_is_complete: true,
        }
    }

    /// What a list holds: entries or bytes.
    pub(super) fn size(&self, list: List, measure: Measure) -> u64 {
        let ends = &self.ends[list as usize];
        match measure {
            Measure::Items => ends.items,
            Measure::Bytes => ends.bytes,
        }
    }

    /// What all three hold.
    pub(super) fn total(&self, measure: Measure) -> u64 {
        LISTS.iter().map(|&list| self.size(list, measure)).sum()
    }

    pub(super) fn oldest(&self, list: List) -> Option<u32> {
        let slot = self.ends[list as usize].oldest;
        (slot != NONE).then_some(slot)
    }

    /// The list of a slot, if it is known.
    #[inline]
    pub(super) fn list_of(&self, slot: u32) -> Option<List> {
        self.links.get(slot)?.list()
    }

    #[inline]
    pub(super) fn hits(&self, slot: u32) -> u32 {
        self.links[slot].hits()
    }

    pub(super) fn set_hits(&mut self, slot: u32, hits: u32) {
        self.links[slot].set_hits(hits);
    }

    #[inline]
    pub(super) fn count_hit(&mut self, slot: u32) {
        let hits = self.hits(slot);
        // Most hits are of slots that have them all: those are not written.
        if hits < MOST_HITS {
            self.set_hits(slot, hits + 1);
        }
    }

    /// Adds a slot that was not known at the newest end, without hits.
    pub(super) fn add(&mut self, slot: u32, list: List, weight: u64) {
        debug_assert!(slot < NONE, "slot {slot} cannot be told from none");
        self.links.put(slot, UNKNOWN, &UNKNOWN);
        self.count_in(list, weight);
        self.link(slot, list);
    }

    pub(super) fn remove(&mut self, slot: u32, weight: u64) {
        if let Some(list) = self.list_of(slot) {
            self.unlink(slot, list);
            self.count_out(list, weight);
            self.links[slot] = UNKNOWN;
        }
    }

    /// To the newest end of a list, which may be its own. The weight is only asked for if it is not.
    #[inline]
    pub(super) fn shift(&mut self, slot: u32, list: List, weight: impl FnOnce() -> u64) {
        let Some(from) = self.list_of(slot) else {
            return;
        };
        if self.ends[list as usize].newest == slot {
            return;
        }
        self.walk_is_complete = false;
        self.unlink(slot, from);
        if from != list {
            let weight = weight();
            self.count_out(from, weight);
            self.count_in(list, weight);
        }
        self.link(slot, list);
    }

    pub(super) fn reweigh(&mut self, slot: u32, old: u64, new: u64) {
        if let Some(list) = self.list_of(slot) {
            let ends = &mut self.ends[list as usize];
            ends.bytes = ends.bytes - old + new;
        }
    }

    /// Fetches what is known of a slot.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(links) = self.links.get(slot) {
            prefetch(links);
        }
    }

    /// Fetches what is changed when a slot goes elsewhere.
    #[inline]
    pub(super) fn prefetch_neighbours(&self, slot: u32) {
        if let Some(links) = self.links.get(slot) {
            self.prefetch(links.newer());
            self.prefetch(links.older());
        }
    }

    fn count_in(&mut self, list: List, weight: u64) {
        let ends = &mut self.ends[list as usize];
        ends.items += 1;
        ends.bytes += weight;
    }

    fn count_out(&mut self, list: List, weight: u64) {
        let ends = &mut self.ends[list as usize];
        ends.items -= 1;
        ends.bytes -= weight;
    }

    #[inline]
    fn unlink(&mut self, slot: u32, list: List) {
        let links = self.links[slot];
        let (newer, older) = (links.newer(), links.older());
        if self.walk.1 == slot {
            self.walk.1 = newer;
        }
        let ends = &mut self.ends[list as usize];
        match newer {
            NONE => ends.newest = older,
            _ => self.links[newer].set_older(older),
        }
        match older {
            NONE => ends.oldest = newer,
            _ => self.links[older].set_newer(newer),
        }
    }

    /// Its hits stay.
    #[inline]
    fn link(&mut self, slot: u32, list: List) {
        let ends = &mut self.ends[list as usize];
        let second = std::mem::replace(&mut ends.newest, slot);
        match second {
            NONE => ends.oldest = slot,
            _ => self.links[second].set_newer(slot),
        }
        let links = &mut self.links[slot];
        links.newer = NONE | (list as u32 + 1) << SLOT_BITS;
        links.set_older(second);
    }

    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let Some(list) = self.list_of(from) else {
            return;
        };
        debug_assert!(to < NONE, "slot {to} cannot be told from none");
        let links = std::mem::replace(&mut self.links[from], UNKNOWN);
        self.links.put(to, links, &UNKNOWN);
        if self.walk.1 == from {
            self.walk.1 = to;
        }
        match links.newer() {
            NONE => self.ends[list as usize].newest = to,
            newer => self.links[newer].set_older(to),
        }
        match links.older() {
            NONE => self.ends[list as usize].oldest = to,
            older => self.links[older].set_newer(to),
        }
    }

    pub(super) fn truncate(&mut self, end: usize) {
        self.links.truncate(end);
    }

    pub(super) fn begin_walk(&mut self) {
        self.walk = (0, self.ends[0].oldest);
        self.walk_is_complete = true;
    }

    pub(super) fn next_in_walk(&mut self) -> Option<u32> {
        while self.walk.1 == NONE {
            if self.walk.0 >= LISTS.len() - 1 {
                return None;
            }
            self.walk.0 += 1;
            self.walk.1 = self.ends[self.walk.0].oldest;
        }
        let slot = self.walk.1;
        self.walk.1 = self.links[slot].newer();
        Some(slot)
    }

    pub(super) fn walk_is_complete(&self) -> bool {
        self.walk_is_complete
    }

    /// One list after the other, each from its oldest.
    pub(super) fn in_order(&self) -> Vec<u32> {
        let mut order = Vec::new();
        for ends in &self.ends {
            let mut slot = ends.oldest;
            while slot != NONE {
                order.push(slot);
                slot = self.links[slot].newer();
            }
        }
        order
    }

    /// Panics if the lists contradict themselves or the weights of their entries. For tests and fuzzers.
    pub(super) fn validate(&self, weight: impl Fn(u32) -> u64) {
        for (list, ends) in LISTS.iter().zip(&self.ends) {
            let (mut items, mut bytes, mut older, mut slot) = (0, 0, NONE, ends.oldest);
            while slot != NONE {
                assert_eq!(self.list_of(slot), Some(*list), "list of slot {slot}");
                assert_eq!(self.links[slot].older(), older, "link of slot {slot}");
                items += 1;
                bytes += weight(slot);
                older = slot;
                slot = self.links[slot].newer();
            }
            assert_eq!(ends.newest, older, "newest end of {list:?}");
            assert_eq!(ends.items, items, "entries in {list:?}");
            assert_eq!(ends.bytes, bytes, "bytes in {list:?}");
        }
    }
}
