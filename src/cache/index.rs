//! Hash → slot. Knows hashes and slot numbers; keys are compared by whoever asks.
//!
//! A `hashbrown::HashTable` of bare u32 slots: the hash of a slot is kept by the payload and asked for when the table grows.

use hashbrown::HashTable;

#[derive(Debug)]
pub(super) struct Index {
    table: HashTable<u32>,
}

impl Index {
    pub(super) const fn new() -> Self {
        Index {
            table: HashTable::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The slot with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.table.find(spread(hash), |&slot| is_it(slot)).copied()
    }

    /// Adds a slot that is not there. `hash_of` must tell the hash of any slot that was added before.
    pub(super) fn insert(&mut self, hash: u32, slot: u32, hash_of: impl Fn(u32) -> u32) {
        self.table
            .insert_unique(spread(hash), slot, |&other| spread(hash_of(other)));
    }

    /// Takes a slot out; `false` if it was not there.
    pub(super) fn remove(&mut self, hash: u32, slot: u32) -> bool {
        match self.table.find_entry(spread(hash), |&other| other == slot) {
            Ok(found) => {
                found.remove();
                true
            }
            Err(_) => false,
        }
    }
}

/// hashbrown takes the place from the low bits and the tag from the top seven: both must depend on all 32.
/// (Multiplication by the odd integer nearest to 2^64 / golden ratio: Knuth, TAOCP vol. 3, 6.4.)
fn spread(hash: u32) -> u64 {
    let product = u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}
