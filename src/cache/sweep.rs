//! How far a sweep over everything in a shard has come, and what it has shown: see `Shard::sweep_slice`.

#[derive(Debug)]
pub(super) struct Sweep {
    /// Steps from the cold end that are left. Some more than there were entries at the beginning, but no more: those that go to the hot end faster than the
    /// sweep comes along must not keep it going for ever.
    pub(super) left: usize,
    /// If those steps were not enough: the hash from which to go on. `None` at the end.
    pub(super) from: Option<u32>,
    /// A bit for each slot whose entry has been shown. One that was written into such a slot later need not be shown: its writing was observed.
    shown: Vec<u64>,
}

impl Sweep {
    pub(super) fn new(entries: usize) -> Self {
        Sweep {
            left: entries + entries / 8,
            from: Some(0),
            shown: Vec::new(),
        }
    }

    /// Marks a slot; `false` if it was marked already.
    pub(super) fn mark(&mut self, slot: u32) -> bool {
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        if self.shown.len() <= word {
            self.shown.resize(word + 1, 0);
        }
        let is_new = self.shown[word] & bit == 0;
        self.shown[word] |= bit;
        is_new
    }

    /// The entry of a slot has moved to another.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let marked = self
            .shown
            .get(from as usize / 64)
            .is_some_and(|word| word >> (from % 64) & 1 == 1);
        if marked {
            self.mark(to);
        } else if let Some(word) = self.shown.get_mut(to as usize / 64) {
            *word &= !(1 << (to % 64));
        }
    }
}
