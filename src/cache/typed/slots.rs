//! What a slot of a typed cache holds: key and value themselves, the hash, and a version. Knows no order and no time, and runs no code of the keys or values:
//! what leaves a slot is given to the caller, to be dropped without a lock.
//!
//! ```text
//! nodes[slot]   hash u32 | version u32, not 0 | key | value     held: 8 bytes beyond key and value
//!               next u32 | previous u32                         vacant: a list of all vacant slots
//! ```
//! The slot that was vacated last is given first: it is in the processor's caches. Slots lie in pages of 256, so that growing copies nothing; of a number that is known when this
//! is compiled, since a slot is looked at in each operation.

use std::num::NonZeroU32;

use super::super::prefetch::prefetch;

/// Slots of a page.
const PAGE: usize = 256;

pub(super) const NONE: u32 = u32::MAX;
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
    /// Of the first one of the list, `previous` says nothing; beyond `end`, neither does `next`.
    Vacant {
        next: u32,
        previous: u32,
    },
}

type Page<K, V> = Box<[Node<K, V>; PAGE]>;

#[derive(Debug)]
pub(super) struct Slots<K, V> {
    pages: Vec<Page<K, V>>,
    /// One more than the highest slot.
    end: usize,
    /// The first of the vacant ones.
    vacant: u32,
    len: usize,
    written: Version,
}

impl<K, V> Slots<K, V> {
    pub(super) const fn new() -> Self {
        Slots {
            pages: Vec::new(),
            end: 0,
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
    pub(super) const fn end(&self) -> usize {
        self.end
    }

    #[inline(always)]
    fn node(&self, slot: u32) -> Option<&Node<K, V>> {
        let page = self.pages.get(slot as usize / PAGE)?;
        Some(&page[slot as usize % PAGE])
    }

    #[inline(always)]
    fn node_mut(&mut self, slot: u32) -> Option<&mut Node<K, V>> {
        let page = self.pages.get_mut(slot as usize / PAGE)?;
        Some(&mut page[slot as usize % PAGE])
    }

    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> Option<&Held<K, V>> {
        match self.node(slot) {
            Some(Node::Held(held)) => Some(held),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(node) = self.node(slot) {
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
        let slot = match self.vacant {
            NONE => self.add_last(),
            first => {
                if let Some(&Node::Vacant { next, .. }) = self.node(first) {
                    self.vacant = next;
                }
                first
            }
        };
        if let Some(node) = self.node_mut(slot) {
            *node = held;
        }
        slot
    }

    /// One slot more, at the end.
    fn add_last(&mut self) -> u32 {
        if self.end == self.pages.len() * PAGE {
            self.add_page();
        }
        let slot = u32::try_from(self.end).expect("a limit on items below MAX_SLOTS");
        self.end += 1;
        slot
    }

    #[cold]
    fn add_page(&mut self) {
        let vacant = || Node::Vacant {
            next: NONE,
            previous: NONE,
        };
        let nodes: Vec<Node<K, V>> = std::iter::repeat_with(vacant).take(PAGE).collect();
        // Not as an array that is moved into its box: it may be larger than the stack.
        let page = Page::try_from(nodes.into_boxed_slice());
        self.pages.push(page.ok().expect("as many as a page has"));
    }

    /// Puts another key and value into a slot that is held, under the same hash, and gives those that were there.
    #[inline]
    pub(super) fn replace(&mut self, slot: u32, key: K, value: V) -> Option<(K, V)> {
        let version = self.next_version();
        let Some(Node::Held(held)) = self.node_mut(slot) else {
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
        let first = self.vacant;
        let node = self.node_mut(slot)?;
        let vacant = Node::Vacant {
            next: first,
            previous: NONE,
        };
        match std::mem::replace(node, vacant) {
            Node::Held(held) => {
                if let Some(Node::Vacant { previous, .. }) = self.node_mut(first) {
                    *previous = slot;
                }
                self.len -= 1;
                self.vacant = slot;
                Some(held)
            }
            vacant @ Node::Vacant { .. } => {
                *node = vacant;
                None
            }
        }
    }

    /// Whether so many slots are vacant that some should be given up.
    #[inline]
    pub(super) fn is_sparse(&self) -> bool {
        self.end() - self.len > MOST_VACANT + self.len / 4
    }

    /// Gives up the last slot, of some that are vacant. If an entry was there, it is in another slot now: from where to where, and its hash.
    pub(super) fn give_up_last(&mut self) -> Option<(u32, u32, u32)> {
        let last = u32::try_from(self.end.checked_sub(1)?).ok()?;
        let moved = match self.get(last) {
            None => {
                self.unlink(last);
                None
            }
            Some(&Held { hash, .. }) => {
                let to = self.vacant;
                if to == NONE {
                    return None;
                }
                self.unlink(to);
                let vacant = Node::Vacant {
                    next: NONE,
                    previous: NONE,
                };
                let node = std::mem::replace(self.node_mut(last)?, vacant);
                *self.node_mut(to)? = node;
                Some((last, to, hash))
            }
        };
        self.end -= 1;
        self.pages.truncate(self.end.div_ceil(PAGE));
        moved
    }

    /// Gives none of the versions that another one gave.
    pub(super) fn go_on_from(&mut self, other: &Self) {
        self.written = other.written;
    }

    /// All that is held.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held<K, V>> {
        let nodes = self.pages.iter().flat_map(|page| page.iter());
        nodes.take(self.end).filter_map(|node| match node {
            Node::Held(held) => Some(held),
            Node::Vacant { .. } => None,
        })
    }

    /// All that is held, each with the number of its slot.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (u32, K, V)> {
        let pages = self.pages.into_iter().map(|page| page as Box<[Node<K, V>]>);
        let nodes = (0..).zip(pages.flat_map(Vec::from));
        nodes.filter_map(|(slot, node)| match node {
            Node::Held(held) => Some((slot, held.key, held.value)),
            Node::Vacant { .. } => None,
        })
    }

    /// Takes a slot out of the list of vacant ones. It is to be written or given up at once.
    fn unlink(&mut self, slot: u32) {
        let Some(&Node::Vacant { next, previous }) = self.node(slot) else {
            return;
        };
        if slot == self.vacant {
            self.vacant = next;
        } else if let Some(Node::Vacant { next: behind, .. }) = self.node_mut(previous) {
            *behind = next;
        }
        if let Some(Node::Vacant { previous: before, .. }) = self.node_mut(next) {
            *before = previous;
        }
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
            let Some(&Node::Vacant { next, previous }) = self.node(slot) else {
                panic!("slot {slot} is held, and in the list of vacant ones");
            };
            assert!(before == NONE || previous == before, "the one before slot {slot}");
            (before, slot, vacant) = (slot, next, vacant + 1);
        }
        assert_eq!(self.len + vacant, self.end, "slots held and vacant");
        assert_eq!(self.pages.len(), self.end.div_ceil(PAGE), "pages");
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
