//! Deadlines over slots: which entries are past theirs, found without looking at the others.
//!
//! A tree of minima whose leaves are the deadlines themselves, slot by slot. An inner node says: none below me is earlier than this. It is a
//! lower bound only: writing an earlier deadline lowers the nodes above as far as needed, and writing a later one raises those that said what it was
//! before (or entries that are kept alive again and again would hide those that have expired); but removing one leaves them as they are, until a
//! search comes by that finds nothing there and raises them. So adding and removing is O(1), each visit in vain is paid for by an entry that was
//! removed before, and whether anything has expired at all is one comparison at the root.
//!
//! ```text
//! deadlines[slot]   u64, NEVER if there is none     8 bytes, absent until the first deadline on that page of slots
//! bounds[0][i]      ≤ all of deadlines[16 i .. 16 i + 16]
//! bounds[l][i]      ≤ all of bounds[l - 1][16 i .. 16 i + 16]; the highest level has one node    0.53 bytes for each slot, all together
//! ```
//! Where entries that are not used are to go as well (idle.rs), a deadline here is the earlier one of two, and moves with each use.
//!
//! Half of what a timing wheel takes (Varghese and Lauck, 1987: a deadline and two links), and entries that expire together lie together.

use super::clock::NEVER;
use super::paged::Paged;
use super::prefetch::prefetch;
use idle::Idle;

mod idle;

/// Children of a node: two cache lines.
const FAN_OUT: u32 = 16;

/// Slots whose memory is given up at once when there is no deadline any more.
const GIVEN_UP_AT_ONCE: usize = 1 << 16;

/// Slots must be below this number.
pub(super) const MAX_SLOTS: u32 = 1 << 31;

#[derive(Debug)]
pub(super) struct Expiry {
    deadlines: Paged<u64>,
    bounds: Vec<Paged<u64>>,
    len: usize,
    idle: Option<Box<Idle>>,
}

impl Expiry {
    pub(super) const fn new() -> Self {
        Expiry {
            deadlines: Paged::new(),
            bounds: Vec::new(),
            len: 0,
            idle: None,
        }
    }

    /// `time_to_idle`: nanoseconds, or `NEVER` if it is no matter whether entries are used.
    pub(super) fn of_idle(time_to_idle: u64) -> Self {
        Expiry {
            idle: Idle::new(time_to_idle),
            ..Expiry::new()
        }
    }

    /// Slots with a deadline.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// When the entry of `slot` expires, unless it is used before; or `NEVER`.
    #[inline]
    pub(super) fn deadline(&self, slot: u32) -> u64 {
        self.deadlines.get(slot).copied().unwrap_or(NEVER)
    }

    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(deadline) = self.deadlines.get(slot) {
            prefetch(deadline);
        }
    }

    /// Writes a deadline into the tree. Where entries can be idle, `give` does so with the right one.
    pub(super) fn set(&mut self, slot: u32, deadline: u64) {
        if deadline == NEVER {
            return self.take(slot);
        }
        let before = self.deadline(slot);
        self.len += usize::from(before == NEVER);
        self.deadlines.put(slot, deadline, &NEVER);
        self.lower(slot, deadline);
        if before < deadline {
            self.raise(slot, before);
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.take(slot);
        self.forget_taken(slot);
    }

    fn take(&mut self, slot: u32) {
        if self.deadline(slot) != NEVER {
            self.deadlines[slot] = NEVER;
            self.len -= 1;
        }
    }

    /// What was in slot `from` is now in slot `to`, which has no deadline.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let deadline = self.deadline(from);
        self.take(from);
        self.set(to, deadline);
        self.relocate_fixed(from, to);
    }

    /// No slot at `end` or above has a deadline; what is kept about them can go.
    pub(super) fn truncate(&mut self, end: usize) {
        self.deadlines.truncate(end);
        self.truncate_fixed(end);
        let mut nodes = end;
        for level in &mut self.bounds {
            nodes = nodes.div_ceil(FAN_OUT as usize);
            level.truncate(nodes);
        }
    }

    /// Gives up a part of what is kept, if there is no deadline at all; `true` if there is more of it.
    pub(super) fn give_up_unused(&mut self) -> bool {
        if self.len > 0 || self.bounds.is_empty() {
            return false;
        }
        let end = self.deadlines.end().saturating_sub(GIVEN_UP_AT_ONCE);
        if end > 0 {
            self.truncate(end);
        } else {
            *self = Expiry::of_idle(self.time_to_idle());
        }
        end > 0
    }

    /// A slot whose deadline is at or before `now`; it stays until it is removed. Gives up, with `None`, after looking at `budget` groups of
    /// nodes: call again to go on. `budget` is lowered by the work done.
    pub(super) fn expired(&mut self, now: u64, budget: &mut u32) -> Option<u32> {
        let group = self.next_group(now, budget)?;
        self.group(group).find(|&slot| self.deadline(slot) <= now)
    }

    /// Takes the deadlines of slots out that are at or before `now`, about `most` of them, and collects those slots, to be told to `forget_taken`. Gives up after looking at
    /// `budget` groups of nodes: call again to go on. `budget` is lowered by the work done.
    pub(super) fn take_expired(&mut self, now: u64, most: usize, budget: &mut u32, found: &mut Vec<u32>) {
        while found.len() < most
            && let Some(group) = self.next_group(now, budget)
        {
            let mut least = NEVER;
            for slot in self.group(group) {
                let deadline = self.deadline(slot);
                if deadline <= now {
                    found.push(slot);
                    self.take(slot);
                } else {
                    least = least.min(deadline);
                }
            }
            self.bounds[0][group] = least;
        }
    }

    /// Whether a deadline is at or before `now`. It may say so for a while after that has been removed.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.bounds
            .last()
            .and_then(|level| level.get(0))
            .is_some_and(|&bound| bound <= now)
    }

    /// The slots of a node of the lowest level.
    fn group(&self, node: u32) -> impl Iterator<Item = u32> + use<> {
        node * FAN_OUT..(node + 1) * FAN_OUT
    }

    /// A node of the lowest level below which a deadline is at or before `now`.
    fn next_group(&mut self, now: u64, budget: &mut u32) -> Option<u32> {
        let top = self.bounds.len().checked_sub(1)?;
        let (mut level, mut node) = (top, 0);
        loop {
            if self.bounds[level].get(node).is_none_or(|&bound| bound > now) {
                // The root, or a node that has just been raised.
                if level == top {
                    return None;
                }
                (level, node) = (level + 1, node / FAN_OUT);
                continue;
            }
            if *budget == 0 {
                return None;
            }
            *budget -= 1;
            let children = match level {
                0 => &self.deadlines,
                _ => &self.bounds[level - 1],
            };
            let mut least = NEVER;
            let mut found = None;
            for child in node * FAN_OUT..(node + 1) * FAN_OUT {
                let bound = children.get(child).copied().unwrap_or(NEVER);
                if bound <= now {
                    found = Some(child);
                    break;
                }
                least = least.min(bound);
            }
            match found {
                Some(_) if level == 0 => return Some(node),
                Some(child) => (level, node) = (level - 1, child),
                None => self.bounds[level][node] = least,
            }
        }
    }

    /// Makes sure that no node above a slot says more than this.
    fn lower(&mut self, slot: u32, deadline: u64) {
        let mut node = slot;
        let mut level = 0;
        loop {
            node /= FAN_OUT;
            if level == self.bounds.len() {
                // There were up to sixteen nodes on the highest level, and the first of them was the root.
                let mut above = Paged::new();
                if let Some(root) = self.bounds.last().and_then(|level| level.get(0)) {
                    above.push(*root);
                }
                self.bounds.push(above);
            }
            let bounds = &mut self.bounds[level];
            if bounds.get(node).is_some_and(|&bound| bound <= deadline) {
                return;
            }
            bounds.put(node, deadline, &NEVER);
            let is_root = bounds.end() <= 1;
            level += 1;
            if is_root && level == self.bounds.len() {
                return;
            }
        }
    }

    /// The deadline of a slot was this and is later now: the nodes above that say so say what is true, as far as nothing else below them is as early.
    fn raise(&mut self, slot: u32, before: u64) {
        let mut node = slot / FAN_OUT;
        for level in 0..self.bounds.len() {
            if self.bounds[level].get(node) != Some(&before) {
                return;
            }
            let children = match level {
                0 => &self.deadlines,
                _ => &self.bounds[level - 1],
            };
            let below = node * FAN_OUT..(node + 1) * FAN_OUT;
            let least = below.filter_map(|child| children.get(child)).min();
            let least = least.copied().unwrap_or(NEVER);
            if least <= before {
                return;
            }
            self.bounds[level][node] = least;
            node /= FAN_OUT;
        }
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        let mut seen = 0;
        for slot in 0..self.deadlines.end() {
            let slot = u32::try_from(slot).expect("fewer than MAX_SLOTS");
            let deadline = self.deadlines.get(slot).copied().unwrap_or(NEVER);
            seen += usize::from(deadline != NEVER);
            let mut node = slot;
            for (level, bounds) in self.bounds.iter().enumerate() {
                node /= FAN_OUT;
                let bound = bounds.get(node).copied().unwrap_or(NEVER);
                assert!(
                    bound <= deadline,
                    "slot {slot} expires at {deadline}, level {level} says {bound}"
                );
            }
        }
        // `lower` goes up only as far as it finds something to lower.
        for (level, pair) in self.bounds.windows(2).enumerate() {
            for node in 0..u32::try_from(pair[0].end()).expect("fewer than slots") {
                let bound = pair[0].get(node).copied().unwrap_or(NEVER);
                let above = pair[1].get(node / FAN_OUT).copied().unwrap_or(NEVER);
                assert!(above <= bound, "level {level} says {bound} and the next {above}");
            }
        }
        assert_eq!(seen, self.len, "slots with a deadline");
        self.validate_fixed();
        assert!(
            self.bounds.last().is_none_or(|root| root.end() <= 1),
            "more than one root"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Step {
        Set(u32, u64),
        Remove(u32),
        Relocate(u32, u32),
        Advance(u64, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let distance = prop_oneof![
            0u64..10,
            0u64..5_000,
            0u64..1 << 24,
            0u64..1 << 50,
            Just(u64::MAX - 1)
        ];
        prop_oneof![
            4 => (0u32..40, distance.clone()).prop_map(|(slot, ttl)| Step::Set(slot, ttl)),
            1 => (0u32..40).prop_map(Step::Remove),
            1 => (0u32..40, 0u32..40).prop_map(|(from, to)| Step::Relocate(from, to)),
            3 => (distance, 0u32..12).prop_map(|(by, budget)| Step::Advance(by.min(1 << 34), budget)),
        ]
    }

    proptest! {
        #[test]
        fn exactly_the_slots_past_their_deadline_are_found(start in 0u64..1 << 30, steps in prop::collection::vec(step(), 0..200)) {
            let mut tree = Expiry::new();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            for step in steps {
                match step {
                    Step::Set(slot, ttl) => {
                        let deadline = now.saturating_add(ttl);
                        tree.set(slot, deadline);
                        if deadline == NEVER { model.remove(&slot); } else { model.insert(slot, deadline); }
                    }
                    Step::Remove(slot) => { tree.remove(slot); model.remove(&slot); }
                    Step::Relocate(from, to) => if !model.contains_key(&to) {
                        tree.relocate(from, to);
                        if let Some(deadline) = model.remove(&from) { model.insert(to, deadline); }
                    }
                    Step::Advance(by, first_budget) => {
                        now += by;
                        let mut budget = first_budget;
                        loop {
                            match tree.expired(now, &mut budget) {
                                Some(slot) => {
                                    prop_assert!(model.remove(&slot).is_some_and(|deadline| deadline <= now));
                                    tree.remove(slot);
                                }
                                None if budget == 0 => { tree.validate(); budget = 1_000; }
                                None => break,
                            }
                        }
                        prop_assert!(model.values().all(|&deadline| deadline > now));
                    }
                }
                tree.validate();
                prop_assert_eq!(tree.len(), model.len());
                for (&slot, &deadline) in &model {
                    prop_assert_eq!(tree.deadline(slot), deadline);
                }
            }
        }
    }

    #[test]
    fn taking_many_takes_exactly_those_that_have_expired() {
        let mut tree = Expiry::new();
        let deadline = |slot: u32| u64::from(slot.wrapping_mul(2_654_435_761) >> 8);
        for slot in 0..50_000 {
            tree.set(slot, deadline(slot));
        }
        let (mut now, mut taken) = (0, Vec::new());
        while tree.len() > 0 {
            now += 1 << 20;
            loop {
                let (mut budget, mut found) = (7, Vec::new());
                tree.take_expired(now, 64, &mut budget, &mut found);
                assert!(found.len() < 64 + 16);
                if found.is_empty() && budget > 0 {
                    break;
                }
                taken.append(&mut found);
            }
            tree.validate();
            assert!(taken.iter().all(|&slot| deadline(slot) <= now));
            let left = (0..50_000).filter(|&slot| deadline(slot) > now).count();
            assert_eq!((taken.len(), tree.len()), (50_000 - left, left));
        }
    }

    #[test]
    fn memory_of_deadlines_that_are_gone_is_given_up_piece_by_piece() {
        let mut tree = Expiry::new();
        for slot in 0..300_000 {
            tree.set(slot, 1_000);
        }
        for slot in 0..300_000 {
            assert!(!tree.give_up_unused());
            tree.remove(slot);
        }
        let mut pieces = 1;
        while tree.give_up_unused() {
            tree.validate();
            pieces += 1;
        }
        assert_eq!((tree.deadlines.end(), tree.bounds.len(), pieces), (0, 0, 5));
        // As good as new.
        tree.set(70_000, 5);
        tree.validate();
        assert_eq!(tree.expired(5, &mut 100), Some(70_000));
    }

    #[test]
    fn many_deadlines_at_one_instant_are_handed_out_in_bounded_steps() {
        let mut tree = Expiry::new();
        for slot in 0..100_000 {
            tree.set(slot, 1_000_000);
        }
        let mut found = 0;
        loop {
            let mut budget = 64;
            match tree.expired(1_000_000, &mut budget) {
                Some(slot) => {
                    tree.remove(slot);
                    found += 1;
                }
                None if budget == 0 => {}
                None => break,
            }
        }
        assert_eq!(found, 100_000);
    }
}
