//! Three doubly linked lists over slots, with their links, a small count of hits and the list's number in side arrays: what all policies but exact LRU
//! keep their order in. Knows nothing of when an entry goes from one list to another.

use super::Measure;
use crate::cache::paged::Paged;

pub(super) const NONE: u32 = u32::MAX;

/// Hits of a slot are counted up to here.
pub(super) const MOST_HITS: u8 = 3;

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

#[derive(Debug, Clone, Copy)]
struct Links {
    newer: u32,
    older: u32,
}

const ALONE: Links = Links {
    newer: NONE,
    older: NONE,
};

#[derive(Debug, Clone, Copy)]
struct Ends {
    newest: u32,
    oldest: u32,
    items: u64,
    bytes: u64,
}

/// State of a slot, one byte: 1 + its list in the low half, hits in the high one; 0 if it is not known.
const HIT: u8 = 0x10;

#[derive(Debug)]
pub(super) struct Lists {
    links: Paged<Links>,
    states: Paged<u8>,
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
            states: Paged::new(),
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
    pub(super) fn list_of(&self, slot: u32) -> Option<List> {
        match self.states.get(slot).map_or(0, |state| state % HIT) {
            0 => None,
            list => Some(LISTS[usize::from(list) - 1]),
        }
    }

    pub(super) fn hits(&self, slot: u32) -> u8 {
        self.states[slot] / HIT
    }

    pub(super) fn set_hits(&mut self, slot: u32, hits: u8) {
        let state = &mut self.states[slot];
        *state = *state % HIT + hits * HIT;
    }

    pub(super) fn count_hit(&mut self, slot: u32) {
        let hits = self.hits(slot);
        // Most hits are of slots that have them all: those are not written.
        if hits < MOST_HITS {
            self.set_hits(slot, hits + 1);
        }
    }

    /// Adds a slot that was not known at the newest end, without hits.
    pub(super) fn add(&mut self, slot: u32, list: List, weight: u64) {
        self.links.put(slot, ALONE, &ALONE);
        self.states.put(slot, list as u8 + 1, &0);
        self.link(slot, list, weight);
    }

    pub(super) fn remove(&mut self, slot: u32, weight: u64) {
        self.unlink(slot, weight);
        self.states[slot] = 0;
    }

    /// To the newest end of a list, which may be its own.
    pub(super) fn shift(&mut self, slot: u32, list: List, weight: u64) {
        if self.ends[list as usize].newest == slot {
            return;
        }
        self.walk_is_complete = false;
        self.unlink(slot, weight);
        let state = &mut self.states[slot];
        *state = *state / HIT * HIT + list as u8 + 1;
        self.link(slot, list, weight);
    }

    pub(super) fn reweigh(&mut self, slot: u32, old: u64, new: u64) {
        if let Some(list) = self.list_of(slot) {
            let ends = &mut self.ends[list as usize];
            ends.bytes = ends.bytes - old + new;
        }
    }

    fn unlink(&mut self, slot: u32, weight: u64) {
        let Some(list) = self.list_of(slot) else {
            return;
        };
        let Links { newer, older } = self.links[slot];
        if self.walk.1 == slot {
            self.walk.1 = newer;
        }
        let ends = &mut self.ends[list as usize];
        ends.items -= 1;
        ends.bytes -= weight;
        match newer {
            NONE => ends.newest = older,
            _ => self.links[newer].older = older,
        }
        match older {
            NONE => ends.oldest = newer,
            _ => self.links[older].newer = newer,
        }
    }

    fn link(&mut self, slot: u32, list: List, weight: u64) {
        let ends = &mut self.ends[list as usize];
        ends.items += 1;
        ends.bytes += weight;
        let second = std::mem::replace(&mut ends.newest, slot);
        match second {
            NONE => ends.oldest = slot,
            _ => self.links[second].newer = slot,
        }
        self.links[slot] = Links {
            newer: NONE,
            older: second,
        };
    }

    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let Some(list) = self.list_of(from) else {
            return;
        };
        let links = self.links[from];
        self.links.put(to, links, &ALONE);
        let state = std::mem::take(&mut self.states[from]);
        self.states.put(to, state, &0);
        if self.walk.1 == from {
            self.walk.1 = to;
        }
        match links.newer {
            NONE => self.ends[list as usize].newest = to,
            newer => self.links[newer].older = to,
        }
        match links.older {
            NONE => self.ends[list as usize].oldest = to,
            older => self.links[older].newer = to,
        }
    }

    pub(super) fn truncate(&mut self, end: usize) {
        self.links.truncate(end);
        self.states.truncate(end);
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
        self.walk.1 = self.links[slot].newer;
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
                slot = self.links[slot].newer;
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
                assert_eq!(self.links[slot].older, older, "link of slot {slot}");
                items += 1;
                bytes += weight(slot);
                older = slot;
                slot = self.links[slot].newer;
            }
            assert_eq!(ends.newest, older, "newest end of {list:?}");
            assert_eq!(ends.items, items, "entries in {list:?}");
            assert_eq!(ends.bytes, bytes, "bytes in {list:?}");
        }
    }
}
