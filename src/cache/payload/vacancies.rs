//! Which slots are vacant: a set of numbers that gives its smallest at once. Knows nothing of what slots hold.
//!
//! A bit for each slot, and above each 64 words a word that says which of them are not 0, up to one word: the smallest number is found with one
//! look at each level. Small numbers are given first, so that the large ones can be given up.

use super::super::paged::Paged;

const BITS: u32 = u64::BITS;

#[derive(Debug)]
pub(super) struct Vacancies {
    /// The lowest level first; the highest has one word.
    levels: Vec<Paged<u64>>,
    len: usize,
}

impl Vacancies {
    pub(super) const fn new() -> Self {
        Vacancies {
            levels: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.levels.first().and_then(|level| level.get(number / BITS));
        word.is_some_and(|word| word >> (number % BITS) & 1 == 1)
    }

    /// Adds a number that is not there.
    pub(super) fn insert(&mut self, number: u32) {
        self.len += 1;
        let mut at = number;
        let mut level = 0;
        loop {
            if level == self.levels.len() {
                let mut above = Paged::new();
                // The highest level had one word until now.
                if let Some(word) = self.levels.last().and_then(|level| level.get(0)) {
                    above.push(u64::from(*word != 0));
                }
                self.levels.push(above);
            }
            let words = &mut self.levels[level];
            let word = words.get(at / BITS).copied().unwrap_or(0);
            words.put(at / BITS, word | 1 << (at % BITS), &0);
            let is_highest = words.end() <= 1;
            level += 1;
            if is_highest && level == self.levels.len() {
                return;
            }
            at /= BITS;
        }
    }

    /// Takes a number out that is there.
    pub(super) fn remove(&mut self, number: u32) {
        self.len -= 1;
        let mut at = number;
        for words in &mut self.levels {
            let word = &mut words[at / BITS];
            *word &= !(1 << (at % BITS));
            if *word != 0 {
                return;
            }
            at /= BITS;
        }
    }

    /// The smallest.
    pub(super) fn first(&self) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        Some(
            self.levels
                .iter()
                .rev()
                .fold(0, |at, words| at * BITS + words[at].trailing_zeros()),
        )
    }

    /// There is nothing at `end` and above; what is kept about that can go.
    pub(super) fn truncate(&mut self, end: usize) {
        let mut words = end;
        for level in &mut self.levels {
            words = words.div_ceil(BITS as usize);
            level.truncate(words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set_that_knows_its_smallest(steps in prop::collection::vec((0u8..8, prop_oneof![0u32..70, 0u32..300_000]), 0..300)) {
            let mut set = Vacancies::new();
            let mut model = BTreeSet::new();
            for (step, number) in steps {
                match step {
                    0..4 => if model.insert(number) { set.insert(number) },
                    4..7 => if model.remove(&number) { set.remove(number) },
                    _ => {
                        model.split_off(&number).into_iter().for_each(|number| set.remove(number));
                        set.truncate(number as usize);
                    }
                }
                prop_assert_eq!(set.contains(number), model.contains(&number));
                prop_assert_eq!(set.first(), model.first().copied());
                prop_assert_eq!(set.len(), model.len());
            }
        }
    }
}
