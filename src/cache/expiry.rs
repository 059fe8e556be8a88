//! Deadlines over slots: which entries are past theirs, found without looking at the others.
//!
//! A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987): seven levels of 64
//! buckets, the lowest one millisecond wide, each higher one 64 times wider, 139 years in all. A slot lies on the level
//! of the highest base-64 digit in which its deadline differs from the wheel's time, in the bucket of that digit; as the time comes near, it
//! moves down. So adding and removing is O(1), each entry moves at most six times in its life, and the order is exact to the millisecond.
//!
//! ```text
//! nodes[slot]  deadline u64 | prev u32 | next u32       16 bytes, absent until the first deadline on that page of slots
//! heads[b]     first slot of bucket b = level * 64 + digit; then DUE and BEYOND
//! ```
//! The first node of a bucket has `prev = FIRST | b`, so that a node can be taken out without knowing where it lies.

use super::clock::NEVER;
use super::paged::Paged;

const LEVELS: usize = 7;
const DIGIT_BITS: u32 = 6;
const BUCKETS_PER_LEVEL: usize = 1 << DIGIT_BITS;
/// Slots whose deadline is at or before the wheel's time.
const DUE: usize = LEVELS * BUCKETS_PER_LEVEL;
/// Slots whose deadline the wheel cannot express. They wait until they are removed otherwise: 139 years is "not yet".
const BEYOND: usize = DUE + 1;
const NONE: u32 = u32::MAX;
/// Marks `prev` of a bucket's first node. Slots are below it, see `MAX_SLOTS`.
const FIRST: u32 = 1 << 31;

/// Slots must be below this number.
pub(super) const MAX_SLOTS: u32 = FIRST;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// `NEVER` exactly if the node is in no bucket.
    deadline: u64,
    prev: u32,
    next: u32,
}

const NO_NODE: Node = Node {
    deadline: NEVER,
    prev: NONE,
    next: NONE,
};

#[derive(Debug)]
pub(super) struct Expiry {
    nodes: Paged<Node>,
    heads: [u32; BEYOND + 1],
    /// Bit d of `occupied[l]`: bucket d of level l is not empty.
    occupied: [u64; LEVELS],
    /// Deadlines at or before this time are in DUE (or still in `cascading`).
    time: u64,
    /// A bucket of a higher level whose time has come and whose slots are being moved down.
    cascading: Option<usize>,
    len: usize,
}

impl Expiry {
    pub(super) const fn new(now: u64) -> Self {
        Expiry {
            nodes: Paged::new(),
            heads: [NONE; BEYOND + 1],
            occupied: [0; LEVELS],
            time: now,
            cascading: None,
            len: 0,
        }
    }

    /// Slots with a deadline.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// When the entry of `slot` expires, or `NEVER`.
    pub(super) fn deadline(&self, slot: u32) -> u64 {
        self.nodes.get(slot).map_or(NEVER, |node| node.deadline)
    }

    pub(super) fn set(&mut self, slot: u32, deadline: u64) {
        self.remove(slot);
        if deadline == NEVER {
            return;
        }
        self.nodes.put(slot, Node { deadline, ..NO_NODE }, &NO_NODE);
        self.len += 1;
        self.link(slot, self.bucket_for(deadline));
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if self.deadline(slot) != NEVER {
            self.unlink(slot);
            self.nodes[slot].deadline = NEVER;
            self.len -= 1;
        }
    }

    /// What was in slot `from` is now in slot `to`, which has no deadline.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let Some(&node) = self.nodes.get(from).filter(|node| node.deadline != NEVER) else {
            return;
        };
        self.nodes[from].deadline = NEVER;
        self.nodes.put(to, node, &NO_NODE);
        if node.next != NONE {
            self.nodes[node.next].prev = to;
        }
        if node.prev & FIRST == 0 {
            self.nodes[node.prev].next = to;
        } else {
            self.heads[(node.prev & !FIRST) as usize] = to;
        }
    }

    /// No slot at `end` or above has a deadline; what is kept about them can go.
    pub(super) fn truncate(&mut self, end: usize) {
        self.nodes.truncate(end);
    }

    /// A slot whose deadline is at or before `now`; it stays until it is removed. Gives up, with `None`, after
    /// moving `budget` slots between levels: call again to go on. `budget` is lowered by the work done.
    pub(super) fn expired(&mut self, now: u64, budget: &mut u32) -> Option<u32> {
        loop {
            if self.heads[DUE] != NONE {
                return Some(self.heads[DUE]);
            }
            if let Some(bucket) = self.cascading {
                match self.heads[bucket] {
                    NONE => self.cascading = None,
                    slot if self.nodes[slot].deadline <= now => return Some(slot),
                    _ if *budget == 0 => return None,
                    slot => {
                        *budget -= 1;
                        self.unlink(slot);
                        self.link(slot, self.bucket_for(self.nodes[slot].deadline));
                    }
                }
                continue;
            }
            match self.next_bucket() {
                Some((bucket, start)) if start <= now => {
                    self.time = self.time.max(start);
                    if bucket < BUCKETS_PER_LEVEL {
                        self.all_due(bucket);
                    } else {
                        self.cascading = Some(bucket);
                    }
                }
                // Nothing lies between the old time and the new one, so no slot changes its level or bucket.
                _ => {
                    self.time = self.time.max(now);
                    return None;
                }
            }
        }
    }

    /// The occupied bucket that comes first, and the time at which it begins.
    fn next_bucket(&self) -> Option<(usize, u64)> {
        // What lies on a level shares all higher digits with the time, so lower levels come first.
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let digit = self.occupied[level].trailing_zeros();
        let shift = shift(level);
        let block = self.time >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        Some((
            level * BUCKETS_PER_LEVEL + digit as usize,
            block | u64::from(digit) << shift,
        ))
    }

    fn bucket_for(&self, deadline: u64) -> usize {
        if deadline <= self.time {
            return DUE;
        }
        let highest_difference = 63 - (deadline ^ self.time).leading_zeros();
        let level = (highest_difference / DIGIT_BITS) as usize;
        if level >= LEVELS {
            return BEYOND;
        }
        level * BUCKETS_PER_LEVEL + digit(deadline, level)
    }

    /// Moves a bucket of the lowest level, whose slots all have one deadline, to DUE, which is empty.
    fn all_due(&mut self, bucket: usize) {
        let first = self.heads[bucket];
        self.heads[bucket] = NONE;
        self.occupied[0] &= !(1 << bucket);
        self.heads[DUE] = first;
        self.nodes[first].prev = first_of(DUE);
    }

    fn link(&mut self, slot: u32, bucket: usize) {
        let next = self.heads[bucket];
        self.heads[bucket] = slot;
        if bucket < DUE {
            self.occupied[bucket / BUCKETS_PER_LEVEL] |= 1 << (bucket % BUCKETS_PER_LEVEL);
        }
        let node = &mut self.nodes[slot];
        node.prev = first_of(bucket);
        node.next = next;
        if next != NONE {
            self.nodes[next].prev = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Node { prev, next, .. } = self.nodes[slot];
        if next != NONE {
            self.nodes[next].prev = prev;
        }
        if prev & FIRST == 0 {
            self.nodes[prev].next = next;
            return;
        }
        let bucket = (prev & !FIRST) as usize;
        self.heads[bucket] = next;
        if next == NONE && bucket < DUE {
            self.occupied[bucket / BUCKETS_PER_LEVEL] &= !(1 << (bucket % BUCKETS_PER_LEVEL));
        }
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        let mut seen = 0;
        for bucket in 0..=BEYOND {
            let mut slot = self.heads[bucket];
            let mut prev = first_of(bucket);
            if bucket < DUE {
                let bit = self.occupied[bucket / BUCKETS_PER_LEVEL] >> (bucket % BUCKETS_PER_LEVEL) & 1;
                assert_eq!(bit == 1, slot != NONE, "bitmap of bucket {bucket}");
            }
            while slot != NONE {
                let node = self.nodes[slot];
                assert_eq!(node.prev, prev, "prev of slot {slot}");
                assert_ne!(
                    node.deadline, NEVER,
                    "slot {slot} is in a bucket without a deadline"
                );
                // What was beyond the wheel stays there when the time comes near.
                if bucket != BEYOND && self.cascading != Some(bucket) {
                    assert_eq!(self.bucket_for(node.deadline), bucket, "bucket of slot {slot}");
                }
                seen += 1;
                prev = slot;
                slot = node.next;
            }
        }
        assert_eq!(seen, self.len, "slots in buckets");
    }
}

/// `prev` of the first node of a bucket.
#[expect(clippy::cast_possible_truncation, reason = "there are 450 buckets")]
const fn first_of(bucket: usize) -> u32 {
    FIRST | bucket as u32
}

/// The bits of a time below the digit of a level.
#[expect(clippy::cast_possible_truncation, reason = "there are 7 levels")]
const fn shift(level: usize) -> u32 {
    level as u32 * DIGIT_BITS
}

#[expect(clippy::cast_possible_truncation, reason = "a digit is below 64")]
const fn digit(time: u64, level: usize) -> usize {
    (time >> shift(level)) as usize % BUCKETS_PER_LEVEL
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
            let mut wheel = Expiry::new(start);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            for step in steps {
                match step {
                    Step::Set(slot, ttl) => {
                        let deadline = now.saturating_add(ttl);
                        wheel.set(slot, deadline);
                        if deadline == NEVER { model.remove(&slot); } else { model.insert(slot, deadline); }
                    }
                    Step::Remove(slot) => { wheel.remove(slot); model.remove(&slot); }
                    Step::Relocate(from, to) => if !model.contains_key(&to) {
                        wheel.relocate(from, to);
                        if let Some(deadline) = model.remove(&from) { model.insert(to, deadline); }
                    }
                    Step::Advance(by, first_budget) => {
                        now += by;
                        let mut budget = first_budget;
                        loop {
                            match wheel.expired(now, &mut budget) {
                                Some(slot) => {
                                    prop_assert!(model.remove(&slot).is_some_and(|deadline| deadline <= now));
                                    wheel.remove(slot);
                                }
                                None if budget == 0 => { wheel.validate(); budget = 1_000; }
                                None => break,
                            }
                        }
                        prop_assert!(model.values().all(|&deadline| deadline > now));
                    }
                }
                wheel.validate();
                prop_assert_eq!(wheel.len(), model.len());
                for (&slot, &deadline) in &model {
                    prop_assert_eq!(wheel.deadline(slot), deadline);
                }
            }
        }
    }

    #[test]
    fn many_deadlines_at_one_instant_are_handed_out_in_bounded_steps() {
        let mut wheel = Expiry::new(0);
        for slot in 0..100_000 {
            wheel.set(slot, 1_000_000);
        }
        let mut found = 0;
        loop {
            let mut budget = 64;
            match wheel.expired(1_000_000, &mut budget) {
                Some(slot) => {
                    wheel.remove(slot);
                    found += 1;
                }
                None if budget == 0 => {}
                None => break,
            }
        }
        assert_eq!(found, 100_000);
    }
}
