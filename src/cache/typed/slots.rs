//! What a slot of a typed cache holds: key and value themselves, the hash, and a version. Knows no order and no time, and runs no code of the keys or values:
//! what leaves a slot is given to the caller, to be dropped without a lock.
//!
//! ```text
//! nodes[slot]   hash u32 | version u32, not 0 | key | value     held: 8 bytes beyond key and value
//!               next u32 | previous u32                         vacant: a list of all vacant slots
//! ```
//! The slot that was vacated last is given first: it is in the processor's caches.

use std::num::NonZeroU32;

use super::super::paged::Paged;
use super::super::prefetch::prefetch;

const NONE: u32 = u32::MAX;
/// So many slots may be vacant in any case, and one to four held ones: they are taken again soon, and one that is given up costs moving an entry. (Fewer in
/// tests of this crate, so that they see it happen.)
const MOST_VACANT: usize = if cfg!(test) { 2 } else { 4096 };

/// An entry.
#[derive(Debug)]
pub(super) struct Held<K, V> {
    pub(super) hash: u32,
    /// Another one each time that an entry is written: what was seen of an entry without the lock can be told from what came after it.
    pub(super) version: Version,
    pub(super) key: K,
    pub(super) value: V,
}

/// Counts writes, modulo 2³² − 1. (Zero is left out, so that a node takes no more room than an entry.)
pub(super) type Version = NonZeroU32;

#[derive(Debug)]
enum Node<K, V> {
    Held(Held<K, V>),
    Vacant { next: u32, previous: u32 },
}

#[derive(Debug)]
pub(super) struct Slots<K, V> {
    nodes: Paged<Node<K, V>>,
    /// The first of the vacant ones.
    vacant: u32,
    len: usize,
    written: Version,
}

impl<K, V> Slots<K, V> {
    pub(super) const fn new() -> Self {
        Slots {
            nodes: Paged::new(),
            vacant: NONE,
            len: 0,
            written: Version::MIN,
        }
    }

    /// Slots that are held.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest slot.
    pub(super) fn end(&self) -> usize {
        self.nodes.end()
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Held<K, V>> {
        match self.nodes.get(slot) {
            Some(Node::Held(held)) => Some(held),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(node) = self.nodes.get(slot) {
            prefetch(node);
        }
    }

    /// Puts an entry into a vacant slot.
    #[inline]
    pub(super) fn insert(&mut self, hash: u32, key: K, value: V) -> u32 {
        self.len += 1;
        let held = Node::Held(Held {
            hash,
            version: self.next_version(),
            key,
            value,
        });
        if self.vacant == NONE {
            let slot = u32::try_from(self.nodes.end()).expect("a limit on items below MAX_SLOTS");
            self.nodes.push(held);
            return slot;
        }
        let slot = self.vacant;
        self.unlink(slot);
        self.nodes[slot] = held;
        slot
    }

    /// Puts another key and value into a slot that is held, under the same hash, and gives those that were there.
    #[inline]
    pub(super) fn replace(&mut self, slot: u32, key: K, value: V) -> Option<(K, V)> {
        let version = self.next_version();
        let Node::Held(held) = &mut self.nodes[slot] else {
            return None;
        };
        held.version = version;
        let key = std::mem::replace(&mut held.key, key);
        let value = std::mem::replace(&mut held.value, value);
        Some((key, value))
    }

    /// Takes an entry out of its slot.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) -> Option<Held<K, V>> {
        if !matches!(self.nodes.get(slot), Some(Node::Held(_))) {
            return None;
        }
        self.len -= 1;
        let first = self.vacant;
        let vacant = Node::Vacant {
            next: first,
            previous: NONE,
        };
        let node = std::mem::replace(&mut self.nodes[slot], vacant);
        if let Some(Node::Vacant { previous, .. }) = self.vacant_at(first) {
            *previous = slot;
        }
        self.vacant = slot;
        match node {
            Node::Held(held) => Some(held),
            Node::Vacant { .. } => None,
        }
    }

    /// Whether so many slots are vacant that some should be given up.
    #[inline]
    pub(super) fn is_sparse(&self) -> bool {
        self.end() - self.len > MOST_VACANT + self.len / 4
    }

    /// Gives up the last slot, of some that are vacant. If an entry was there, it is in another slot now: from where to where, and its hash.
    pub(super) fn give_up_last(&mut self) -> Option<(u32, u32, u32)> {
        let last = u32::try_from(self.nodes.end().checked_sub(1)?).ok()?;
        if matches!(self.nodes[last], Node::Vacant { .. }) {
            self.unlink(last);
            self.nodes.pop();
            return None;
        }
        let to = self.vacant;
        if to == NONE {
            return None;
        }
        self.unlink(to);
        let node = self.nodes.pop()?;
        let Node::Held(Held { hash, .. }) = node else {
            return None;
        };
        self.nodes[to] = node;
        Some((last, to, hash))
    }

    /// Gives none of the versions that another one gave.
    pub(super) fn go_on_from(&mut self, other: &Self) {
        self.written = other.written;
    }

    /// All that is held, each with the number of its slot.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (u32, K, V)> {
        let nodes = (0..).zip(self.nodes.into_elements());
        nodes.filter_map(|(slot, node)| match node {
            Node::Held(held) => Some((slot, held.key, held.value)),
            Node::Vacant { .. } => None,
        })
    }

    /// Takes a slot out of the list of vacant ones. It is to be written or given up at once.
    fn unlink(&mut self, slot: u32) {
        let Node::Vacant { next, previous } = self.nodes[slot] else {
            return;
        };
        match self.vacant_at(previous) {
            Some(Node::Vacant { next: behind, .. }) => *behind = next,
            _ => self.vacant = next,
        }
        if let Some(Node::Vacant { previous: before, .. }) = self.vacant_at(next) {
            *before = previous;
        }
    }

    fn vacant_at(&mut self, slot: u32) -> Option<&mut Node<K, V>> {
        (slot != NONE).then(|| &mut self.nodes[slot])
    }

    #[inline]
    fn next_version(&mut self) -> Version {
        self.written = self.written.checked_add(1).unwrap_or(Version::MIN);
        self.written
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        let end = u32::try_from(self.end()).expect("fewer than MAX_SLOTS");
        let held = (0..end).filter(|&slot| self.get(slot).is_some()).count();
        assert_eq!(held, self.len, "slots held");
        let (mut slot, mut before, mut vacant) = (self.vacant, NONE, 0);
        while slot != NONE {
            let Node::Vacant { next, previous } = self.nodes[slot] else {
                panic!("slot {slot} is held, and in the list of vacant ones");
            };
            assert_eq!(previous, before, "the one before slot {slot}");
            (before, slot, vacant) = (slot, next, vacant + 1);
        }
        assert_eq!(self.len + vacant, self.end(), "slots held and vacant");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const _: () = assert!(size_of::<Node<u64, u64>>() == 24, "no room for a tag");

    proptest! {
        #[test]
        fn a_slot_holds_what_was_put_there_until_it_is_taken_or_moved(steps in prop::collection::vec((0u8..4, 0u32..40), 0..300)) {
            let mut slots = Slots::new();
            let mut model: HashMap<u32, (u32, u64)> = HashMap::new();
            for (turn, (step, slot)) in steps.into_iter().enumerate() {
                let value = turn as u64;
                match step {
                    0 => {
                        let slot = slots.insert(slot, slot, value);
                        let hash = slots.get(slot).map(|held| held.hash);
                        prop_assert!(model.insert(slot, (hash.unwrap(), value)).is_none());
                    }
                    1 => {
                        let removed = slots.remove(slot).map(|held| (held.key, held.value));
                        prop_assert_eq!(removed, model.remove(&slot));
                    }
                    2 => if let Some((key, old)) = model.get(&slot).copied() {
                        let version = slots.get(slot).map(|held| held.version);
                        prop_assert_eq!(slots.replace(slot, key, value), Some((key, old)));
                        prop_assert_ne!(slots.get(slot).map(|held| held.version), version);
                        model.insert(slot, (key, value));
                    },
                    _ => if slots.end() > slots.len() && let Some((from, to, hash)) = slots.give_up_last() {
                        let moved = model.remove(&from).unwrap();
                        prop_assert_eq!(moved.0, hash);
                        prop_assert!(model.insert(to, moved).is_none());
                    },
                }
                slots.validate();
                prop_assert_eq!(slots.len(), model.len());
                for (&slot, &(key, value)) in &model {
                    prop_assert_eq!(slots.get(slot).map(|held| (held.key, held.value)), Some((key, value)));
                }
            }
            let mut left: Vec<_> = slots.into_entries().map(|(_, key, value)| (key, value)).collect();
            let mut expected: Vec<_> = model.into_values().collect();
            left.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(left, expected);
        }
    }
}
