//! Exact least-recently-used: a doubly linked list over slots, its links in a side array.

use super::{Entries, Measure, Policy};
use crate::cache::paged::Paged;
use crate::cache::prefetch::prefetch;

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Links {
    /// Towards the most recently used.
    newer: u32,
    /// Towards the least recently used.
    older: u32,
}

const ALONE: Links = Links {
    newer: NONE,
    older: NONE,
};

#[derive(Debug)]
pub(in crate::cache) struct Lru {
    /// Indexed by slot; meaningless for slots that are not known.
    links: Paged<Links>,
    newest: u32,
    oldest: u32,
    /// The slot that a walk comes to next.
    walk: u32,
}

impl Lru {
    fn unlink(&mut self, slot: u32) {
        let Links { newer, older } = self.links[slot];
        if self.walk == slot {
            self.walk = newer;
        }
        match newer {
            NONE => self.newest = older,
            _ => self.links[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.links[older].newer = newer,
        }
    }

    fn link_newest(&mut self, slot: u32) {
        self.links[slot] = Links {
            newer: NONE,
            older: self.newest,
        };
        match self.newest {
            NONE => self.oldest = slot,
            second => self.links[second].newer = slot,
        }
        self.newest = slot;
    }
}

impl Lru {
    pub(super) fn new() -> Self {
        Lru {
            links: Paged::new(),
            newest: NONE,
            oldest: NONE,
            walk: NONE,
        }
    }
}

impl Policy for Lru {
    fn anew(&self) -> Self {
        Self::new()
    }

    fn insert(&mut self, slot: u32, _: u32, _: &impl Entries) {
        self.links.put(slot, ALONE, &ALONE);
        self.link_newest(slot);
    }

    #[inline(always)]
    fn access(&mut self, slot: u32, _: u32, _: &impl Entries) {
        if self.newest == slot {
            return;
        }
        // What `unlink` and `link_newest` do, for a slot that has a newer one.
        let Links { newer, older } = self.links[slot];
        if self.walk == slot {
            self.walk = newer;
        }
        self.links[newer].older = older;
        match older {
            NONE => self.oldest = newer,
            _ => self.links[older].newer = newer,
        }
        let second = std::mem::replace(&mut self.newest, slot);
        self.links[second].newer = slot;
        self.links[slot] = Links {
            newer: NONE,
            older: second,
        };
    }

    fn remove(&mut self, slot: u32, _: u32, _: &impl Entries) {
        self.unlink(slot);
    }

    fn relocate(&mut self, from: u32, to: u32) {
        let links = self.links[from];
        self.links.put(to, links, &ALONE);
        if self.walk == from {
            self.walk = to;
        }
        match links.newer {
            NONE => self.newest = to,
            newer => self.links[newer].older = to,
        }
        match links.older {
            NONE => self.oldest = to,
            older => self.links[older].newer = to,
        }
    }

    fn upcoming(&self) -> [Option<u32>; 3] {
        let mut slot = self.oldest;
        std::array::from_fn(|_| {
            let this = (slot != NONE).then_some(slot)?;
            slot = self.links[this].newer;
            Some(this)
        })
    }

    fn begin_walk(&mut self) {
        self.walk = self.oldest;
    }

    fn next_in_walk(&mut self) -> Option<u32> {
        let slot = self.walk;
        if slot == NONE {
            return None;
        }
        self.walk = self.links[slot].newer;
        Some(slot)
    }

    fn walk_is_complete(&self) -> bool {
        // Who is accessed goes to the newest end, where the walk has not been.
        true
    }

    fn truncate(&mut self, end: usize) {
        self.links.truncate(end);
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        if let Some(links) = self.links.get(slot) {
            prefetch(links);
        }
    }

    #[inline]
    fn prefetch_neighbours(&self, slot: u32) {
        if let Some(&Links { newer, older }) = self.links.get(slot) {
            self.prefetch(newer);
            self.prefetch(older);
        }
    }

    fn victim(&mut self, _: Measure, _: &impl Entries) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    fn coldest_first(&self) -> Vec<u32> {
        let mut order = Vec::new();
        let mut slot = self.oldest;
        while slot != NONE {
            order.push(slot);
            slot = self.links[slot].newer;
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Nothing;

    impl Entries for Nothing {
        fn hash(&self, _: u32) -> u32 {
            0
        }

        fn weight(&self, _: u32) -> u64 {
            0
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_textbook_list(steps in prop::collection::vec((0u8..4, 0u32..20), 0..300)) {
            let mut lru = Lru::new();
            let mut book: Vec<u32> = Vec::new();
            for (step, slot) in steps {
                let known = book.contains(&slot);
                if step == 3 {
                    // To a slot that is not known, above all that are.
                    if known {
                        lru.relocate(slot, slot + 20);
                        lru.relocate(slot + 20, slot);
                        lru.truncate(20);
                    }
                    prop_assert_eq!(lru.coldest_first(), book.clone());
                    continue;
                }
                book.retain(|&other| other != slot);
                match (step, known) {
                    (0 | 1, true) => { lru.access(slot, 0, &Nothing); book.push(slot); }
                    (0 | 1, false) => { lru.insert(slot, 0, &Nothing); book.push(slot); }
                    (_, true) => lru.remove(slot, 0, &Nothing),
                    (_, false) => {}
                }
                prop_assert_eq!(lru.victim(Measure::Items, &Nothing), book.first().copied());
                prop_assert_eq!(lru.coldest_first(), book.clone());
            }
        }
    }
}
