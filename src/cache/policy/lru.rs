//! Exact least-recently-used: a doubly linked list over slots, its links in a side array. Slots that are accessed are only noted at first, and moved
//! together: what a move looks at is fetched from memory for all of them at once, and a read neither waits for that nor has the processor wait.

use super::{Entries, Measure, Policy};
use crate::cache::paged::Paged;
use crate::cache::prefetch::prefetch;

const NONE: u32 = u32::MAX;
/// Accessed slots that are moved together.
const MOST_NOTED: usize = 32;

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
    /// The first `due` are known slots that were accessed, in this order, and are not moved to the newest end yet. That is done before anything else
    /// is done with the list, so that nobody can tell.
    noted: [u32; MOST_NOTED],
    due: usize,
}

impl Lru {
    /// Makes the moves that are due.
    #[inline]
    fn settle(&mut self) {
        if self.due > 0 {
            self.move_noted();
        }
    }

    #[inline(never)]
    fn move_noted(&mut self) {
        let noted = self.noted;
        let noted = &noted[..std::mem::take(&mut self.due)];
        for &slot in noted {
            self.prefetch_neighbours(slot);
        }
        for &slot in noted {
            self.renew(slot);
        }
    }

    /// Moves a slot to the newest end.
    #[inline(always)]
    fn renew(&mut self, slot: u32) {
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
            noted: [NONE; MOST_NOTED],
            due: 0,
        }
    }
}

impl Policy for Lru {
    fn anew(&self) -> Self {
        Self::new()
    }

    fn insert(&mut self, slot: u32, _: u32, _: &impl Entries) {
        self.settle();
        self.links.put(slot, ALONE, &ALONE);
        self.link_newest(slot);
    }

    #[inline(always)]
    fn access(&mut self, slot: u32, _: u32, _: &impl Entries) {
        self.prefetch(slot);
        self.noted[self.due % MOST_NOTED] = slot;
        self.due += 1;
        if self.due == MOST_NOTED {
            self.move_noted();
        }
    }

    fn remove(&mut self, slot: u32, _: u32, _: &impl Entries) {
        self.settle();
        self.unlink(slot);
    }

    fn relocate(&mut self, from: u32, to: u32) {
        self.settle();
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
        // Those that are noted may be among them: who evicts has just had them moved.
        let mut slot = self.oldest;
        std::array::from_fn(|_| {
            let this = (slot != NONE).then_some(slot)?;
            slot = self.links[this].newer;
            Some(this)
        })
    }

    fn begin_walk(&mut self) {
        self.settle();
        self.walk = self.oldest;
    }

    fn next_in_walk(&mut self) -> Option<u32> {
        self.settle();
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
        self.settle();
        (self.oldest != NONE).then_some(self.oldest)
    }

    fn coldest_first(&self) -> Vec<u32> {
        let mut order = Vec::new();
        let mut slot = self.oldest;
        while slot != NONE {
            order.push(slot);
            slot = self.links[slot].newer;
        }
        for slot in &self.noted[..self.due] {
            order.retain(|other| other != slot);
            order.push(*slot);
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

    #[derive(Debug, Clone)]
    enum Step {
        Access(u32),
        Insert(u32),
        Remove(u32),
        Relocate(u32),
        Walk(u32),
        Look,
    }

    fn step() -> impl Strategy<Value = Step> {
        let slot = 0u32..60;
        prop_oneof![
            60 => slot.clone().prop_map(Step::Access),
            8 => slot.clone().prop_map(Step::Insert),
            1 => slot.clone().prop_map(Step::Remove),
            1 => slot.clone().prop_map(Step::Relocate),
            1 => slot.prop_map(Step::Walk),
            1 => Just(Step::Look),
        ]
    }

    proptest! {
        #[test]
        fn that_moves_are_made_later_and_together_shows_in_no_order(steps in prop::collection::vec(step(), 0..600)) {
            let mut lru = Lru::new();
            let mut book: Vec<u32> = Vec::new();
            // What a walk has to come to at least: what was there throughout and was not accessed.
            let mut to_come: Vec<u32> = Vec::new();
            for step in steps {
                match step {
                    Step::Access(slot) => if book.contains(&slot) {
                        lru.access(slot, 0, &Nothing);
                        book.retain(|&other| other != slot);
                        book.push(slot);
                    },
                    Step::Insert(slot) => if !book.contains(&slot) {
                        lru.insert(slot, 0, &Nothing);
                        book.push(slot);
                    },
                    Step::Remove(slot) => if book.contains(&slot) {
                        lru.remove(slot, 0, &Nothing);
                        book.retain(|&other| other != slot);
                        to_come.retain(|&other| other != slot);
                    },
                    Step::Relocate(from) => if let (true, Some(to)) = (book.contains(&from), (0..60).find(|to| !book.contains(to))) {
                        lru.relocate(from, to);
                        for slot in book.iter_mut().chain(&mut to_come) {
                            if *slot == from { *slot = to; }
                        }
                    },
                    Step::Walk(count) => {
                        for _ in 0..count {
                            let Some(slot) = lru.next_in_walk() else {
                                prop_assert!(to_come.is_empty(), "the walk missed {:?}", to_come);
                                lru.begin_walk();
                                to_come.clone_from(&book);
                                break;
                            };
                            to_come.retain(|&other| other != slot);
                        }
                    },
                    Step::Look => prop_assert_eq!(lru.victim(Measure::Items, &Nothing), book.first().copied()),
                }
                prop_assert_eq!(lru.coldest_first(), book.clone());
            }
            prop_assert_eq!(lru.victim(Measure::Items, &Nothing), book.first().copied());
            prop_assert_eq!(lru.coldest_first(), book);
        }
    }
}
