//! Which slots are vacant: a set of numbers that gives its smallest at once. Knows nothing of what slots hold.
//!
//! A bit for each slot, and above each 64 words a word that says which of them are not 0, up to one word: the smallest number is found with one
//! look at each level. Small numbers are given first, so that the large ones can be given up. The number that came last is kept beside
//! them until another comes: where each insertion takes what an eviction has just left, no level changes.

use super::super::paged::Paged;

const BITS: u32 = u64::BITS;

#[derive(Debug)]
pub(super) struct Vacancies {
    /// The lowest level first; the highest has one word.
    levels: Vec<Paged<u64>>,
    /// One that is in no level.
    last: Option<u32>,
    len: usize,
}

impl Vacancies {
    pub(super) const fn new() -> Self {
        Vacancies {
            levels: Vec::new(),
            last: None,
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.levels.first().and_then(|level| level.get(number / BITS));
        self.last == Some(number) || word.is_some_and(|word| word >> (number % BITS) & 1 == 1)
    }

    /// Adds a number that is not there.
    pub(super) fn insert(&mut self, number: u32) {
        self.len += 1;
        if let Some(before) = self.last.replace(number) {
            self.mark(before);
        }
    }

    fn mark(&mut self, number: u32) {
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
        if self.last == Some(number) {
            self.last = None;
            return;
        }
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
        let marked = self.len - usize::from(self.last.is_some());
        if marked == 0 {
            return self.last;
        }
        let levels = self.levels.iter().rev();
        let first = levels.fold(0, |at, words| at * BITS + words[at].trailing_zeros());
        Some(self.last.map_or(first, |last| last.min(first)))
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
