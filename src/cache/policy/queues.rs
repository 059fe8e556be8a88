//! What the policies beside exact LRU are made of: three lists and a rule by which entries go from one to another. The rule can be changed at any time; the lists
//! then become what the new rule would have made of them, with the evictions that follow.

use super::blocks::{Salt, scatter};
use super::lists::{List, Lists, MOST_HITS};
use super::sketch::Sketch;
use super::{Entries, Measure};

/// An eviction looks at so many entries at most before it takes the one it has come to, so that it has a bound.
const MOST_STEPS: u32 = 256;
/// Entries that go from the window to the main part on one insertion, at most.
const SPILL: u32 = 4;
/// The part of the main lists that is protected, in thousandths.
const PROTECTED: u64 = 800;
/// Of entries that were seen this often and are refused nevertheless, one in 128 is let in: else whoever knows which hashes share counters could make
/// entries that nobody reads look wanted, and they would stay for ever.
const OFTEN: u64 = 5;
const ONE_IN: u32 = 128;
/// Of a mean weight, for reckoning.
const PARTS: u64 = 256;

/// What decides who stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Least recently used goes: one list, the window.
    Recency,
    /// S3-FIFO (Yang, Zhang, Qiu, Yue, Vinayak, 2023): a window that is a queue; what was hit in it goes to the main queue, which gives who was hit another round;
    /// what comes back soon after an eviction goes there at once.
    Queue { window: u32 },
    /// The same, where what is heavy has to be hit more often to stay: an eviction is for room, and one heavy entry that goes leaves room for many light ones.
    /// (As GreedyDual-Size-Frequency weighs hits against sizes: Cherkasova, 1998; here by chance instead of by a priority queue.) As `Queue` where entries
    /// are counted.
    Density { window: u32 },
    /// W-TinyLFU (Einziger, Friedman, Manes, 2017): a window with its own recency; who leaves it contends with the oldest of the main part, and who was seen
    /// more often lately stays; for its weight, where bytes are limited (size-aware TinyLFU: Einziger, Eytan, Friedman, Manes, 2021). The main part is a segmented LRU (Karedla, Love, Wherry, 1994).
    Frequency { window: u32 },
}

impl Rule {
    pub(super) const fn is_queue(self) -> bool {
        matches!(self, Rule::Queue { .. } | Rule::Density { .. })
    }
}

#[derive(Debug)]
pub(super) struct Queues {
    pub(super) lists: Lists,
    rule: Rule,
    /// What the last eviction was for; the sizes of lists are meant in it.
    measure: Measure,
    random: u32,
    /// The window may hold more than its rule gives it, since the rule is new or nothing had to be evicted yet: the excess goes to the main part without contending.
    settling: bool,
}

impl Queues {
    pub(super) fn new(rule: Rule, salt: Salt) -> Self {
        Queues {
            lists: Lists::new(),
            rule,
            measure: Measure::Items,
            random: salt.secret(),
            settling: true,
        }
    }

    pub(super) fn set_rule(&mut self, rule: Rule) {
        self.settling |= self.rule != rule;
        self.rule = rule;
    }

    /// A new entry; `returns` if it was evicted lately.
    pub(super) fn insert(&mut self, slot: u32, returns: bool, entries: &impl Entries) {
        let list = match self.rule {
            Rule::Queue { .. } | Rule::Density { .. } if returns => List::Main,
            _ => List::Window,
        };
        self.lists.add(slot, list, entries.weight(slot));
        if let (Rule::Frequency { window }, true) = (self.rule, self.settling) {
            for _ in 0..SPILL {
                match self.lists.oldest(List::Window) {
                    Some(oldest) if oldest != slot && self.exceeds(window) => {
                        self.lists.shift(oldest, List::Main, || entries.weight(oldest));
                    }
                    _ => break,
                }
            }
        }
    }

    #[inline]
    pub(super) fn access(&mut self, slot: u32, entries: &impl Entries) {
        self.lists.count_hit(slot);
        match (self.rule, self.lists.list_of(slot)) {
            (Rule::Queue { .. } | Rule::Density { .. }, _) | (_, None) => {}
            (Rule::Recency, _) | (Rule::Frequency { .. }, Some(List::Window)) => {
                self.lists.shift(slot, List::Window, || entries.weight(slot));
            }
            (Rule::Frequency { .. }, Some(List::Main | List::Protected)) => {
                self.lists.shift(slot, List::Protected, || entries.weight(slot));
                self.limit_protected(entries);
            }
        }
    }

    /// Fetches what an access to a slot changes, beside what is known of itself.
    #[inline]
    pub(super) fn prefetch_neighbours(&self, slot: u32) {
        if !self.rule.is_queue() {
            self.lists.prefetch_neighbours(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: u32, entries: &impl Entries) {
        self.lists.remove(slot, entries.weight(slot));
    }

    /// The slot that should go, now that there is too much of `measure`.
    pub(super) fn victim(
        &mut self,
        measure: Measure,
        entries: &impl Entries,
        sketch: &Sketch,
    ) -> Option<u32> {
        self.measure = measure;
        match self.rule {
            Rule::Recency => self.oldest_of_main().or_else(|| self.lists.oldest(List::Window)),
            Rule::Queue { window } => self.victim_of_queues(window, entries, false),
            Rule::Density { window } => self.victim_of_queues(window, entries, measure == Measure::Bytes),
            Rule::Frequency { window } => self.victim_by_frequency(window, entries, sketch),
        }
    }

    fn victim_of_queues(&mut self, window: u32, entries: &impl Entries, weighs: bool) -> Option<u32> {
        for _ in 0..SPILL {
            // Another rule's. This one has no use for a second main list.
            if let Some(slot) = self.lists.oldest(List::Protected) {
                self.lists.shift(slot, List::Main, || entries.weight(slot));
            }
        }
        for _ in 0..MOST_STEPS {
            let oldest = self.oldest_of_main();
            if self.exceeds(window) || oldest.is_none() {
                let slot = self.lists.oldest(List::Window)?;
                let due = if weighs { self.due(slot, entries) } else { 1 };
                if self.lists.hits(slot) < due {
                    return Some(slot);
                }
                self.lists.set_hits(slot, 0);
                self.lists.shift(slot, List::Main, || entries.weight(slot));
            } else if let Some(slot) = oldest {
                let hits = self.lists.hits(slot);
                let due = if weighs { self.due(slot, entries) } else { 1 };
                if hits < due {
                    return Some(slot);
                }
                self.lists.set_hits(slot, hits - due);
                self.lists.shift(slot, List::Main, || entries.weight(slot));
            }
        }
        self.oldest_of_main().or_else(|| self.lists.oldest(List::Window))
    }

    /// How many hits another round costs: as many as the weight is of mean weights, on average, and by chance the whole number above or below.
    fn due(&mut self, slot: u32, entries: &impl Entries) -> u32 {
        let items = self.lists.total(Measure::Items).max(1);
        let mean = (self.lists.total(Measure::Bytes) / items).max(1);
        let parts = (entries.weight(slot).saturating_mul(PARTS) / mean).min(PARTS * u64::from(MOST_HITS + 1));
        self.random = scatter(self.random.wrapping_add(0x9E37_79B9), slot);
        let chance = u64::from(self.random) % PARTS;
        u32::try_from((parts + chance) / PARTS).unwrap_or(MOST_HITS + 1)
    }

    fn victim_by_frequency(&mut self, window: u32, entries: &impl Entries, sketch: &Sketch) -> Option<u32> {
        self.settling &= self.exceeds(window);
        let incumbent = self.oldest_of_main();
        // One more entry is about to come into the window.
        if !self.is_full(window) {
            return incumbent.or_else(|| self.lists.oldest(List::Window));
        }
        let candidate = self.lists.oldest(List::Window)?;
        let Some(incumbent) = incumbent else {
            return Some(candidate);
        };
        let hash = entries.hash(candidate);
        let (seen, held) = (sketch.rate(hash), sketch.rate(entries.hash(incumbent)));
        let (room, taken) = match self.measure {
            Measure::Items => (1, 1),
            Measure::Bytes => (entries.weight(incumbent), entries.weight(candidate)),
        };
        // By a quarter: what is asked for equally often is not to be exchanged for each other, and counts are whole numbers.
        let wins = 4 * seen * room > 5 * held * taken || (seen > OFTEN * 16 && self.one_in(ONE_IN, hash));
        if !wins {
            return Some(candidate);
        }
        self.lists
            .shift(candidate, List::Main, || entries.weight(candidate));
        Some(incumbent)
    }

    fn oldest_of_main(&self) -> Option<u32> {
        self.lists
            .oldest(List::Main)
            .or_else(|| self.lists.oldest(List::Protected))
    }

    fn limit_protected(&mut self, entries: &impl Entries) {
        let protected = self.lists.size(List::Protected, self.measure);
        let main = self.lists.size(List::Main, self.measure) + protected;
        if protected * 1000 > main * PROTECTED
            && let Some(oldest) = self.lists.oldest(List::Protected)
        {
            self.lists.shift(oldest, List::Main, || entries.weight(oldest));
        }
    }

    fn window_target(&self, thousandths: u32) -> u64 {
        (self.lists.total(self.measure) / 1000 * u64::from(thousandths)
            + self.lists.total(self.measure) % 1000 * u64::from(thousandths) / 1000)
            .max(1)
    }

    fn exceeds(&self, thousandths: u32) -> bool {
        self.lists.size(List::Window, self.measure) > self.window_target(thousandths)
    }

    fn is_full(&self, thousandths: u32) -> bool {
        self.lists.size(List::Window, self.measure) >= self.window_target(thousandths)
    }

    /// True for one in `n`, by chance: nobody outside can tell when, since the first number is secret.
    fn one_in(&mut self, n: u32, hash: u32) -> bool {
        self.random = scatter(self.random.wrapping_add(0x9E37_79B9), hash);
        self.random.is_multiple_of(n)
    }

    pub(super) fn validate(&self, entries: &impl Entries) {
        self.lists.validate(|slot| entries.weight(slot));
    }
}
