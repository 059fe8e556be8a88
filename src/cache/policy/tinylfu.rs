//! W-TinyLFU: Einziger, Friedman, Manes, "TinyLFU: a highly efficient cache admission policy", 2017; the window's size by hill climbing: Einziger, Eytan, Friedman, Manes,
//! "Adaptive software cache management", Middleware 2018, with the steps that Caffeine takes.

use super::blocks::Salt;
use super::queues::{Queues, Rule};
use super::recent::RecentMisses;
use super::sketch::Sketch;
use super::{Entries, Measure, Policy};

/// Four bytes of the sketch for each entry.
const ENTRIES_PER_BLOCK: usize = 16;
/// The window at the beginning, its bounds and the largest step of it, in thousandths of what is held.
const WINDOW: i32 = 10;
const LEAST_WINDOW: i32 = 1;
const MOST_WINDOW: i32 = 800;
const STEP: f64 = 62.5;
/// Each step is so much of the one before.
const DECAY: f64 = 0.98;
/// A change of the hit ratio from which on climbing begins anew.
const RESTART: f64 = 0.05;
/// Requests from one step to the next, for each entry.
const SAMPLE: u64 = 10;
const LEAST_SAMPLE: u64 = 1000;

#[derive(Debug)]
pub(in crate::cache) struct TinyLfu {
    queues: Queues,
    sketch: Sketch,
    recent: RecentMisses,
    climber: Climber,
    salt: Salt,
}

/// Goes on in one direction while the hit ratio rises.
#[derive(Debug)]
struct Climber {
    hits: u64,
    requests: u64,
    /// Hit ratio of the sample before.
    before: f64,
    step: f64,
    window: f64,
}

impl Climber {
    fn new() -> Self {
        Climber {
            hits: 0,
            requests: 0,
            before: 0.0,
            step: STEP,
            window: f64::from(WINDOW),
        }
    }

    /// Another size of the window, if it is time for one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within its bounds"
    )]
    fn request(&mut self, is_hit: bool, entries: u64) -> Option<u32> {
        self.requests += 1;
        self.hits += u64::from(is_hit);
        if self.requests < (SAMPLE * entries).max(LEAST_SAMPLE) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = self.hits as f64 / self.requests as f64;
        let change = ratio - self.before;
        let step = if change >= 0.0 { self.step } else { -self.step };
        self.window = (self.window + step).clamp(f64::from(LEAST_WINDOW), f64::from(MOST_WINDOW));
        self.step = if change.abs() >= RESTART {
            STEP.copysign(step)
        } else {
            step * DECAY
        };
        (self.before, self.hits, self.requests) = (ratio, 0, 0);
        Some(self.window as u32)
    }
}

impl TinyLfu {
    fn request(&mut self, hash: u32, is_hit: bool) {
        self.sketch.count(hash);
        let entries = self.queues.lists.total(Measure::Items);
        if let Some(window) = self.climber.request(is_hit, entries) {
            self.queues.set_rule(Rule::Frequency { window });
        }
    }
}

impl TinyLfu {
    pub(super) fn new(salt: Salt) -> Self {
        let climber = Climber::new();
        TinyLfu {
            queues: Queues::new(
                Rule::Frequency {
                    window: WINDOW.unsigned_abs(),
                },
                salt,
            ),
            sketch: Sketch::new(ENTRIES_PER_BLOCK, salt),
            recent: RecentMisses::new(),
            climber,
            salt,
        }
    }
}

impl Policy for TinyLfu {
    fn anew(&self) -> Self {
        Self::new(self.salt)
    }

    fn overhead(&self) -> u64 {
        4
    }

    fn insert(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        self.sketch.fit(self.queues.lists.total(Measure::Items) + 1);
        if !self.recent.take(hash) {
            self.request(hash, false);
        }
        self.queues.insert(slot, false, entries);
    }

    fn access(&mut self, slot: u32, hash: u32, entries: &impl Entries) {
        self.request(hash, true);
        self.queues.access(slot, entries);
    }

    fn miss(&mut self, hash: u32) {
        self.recent.add(hash);
        self.request(hash, false);
    }

    fn reweigh(&mut self, slot: u32, old: u64, new: u64) {
        self.queues.lists.reweigh(slot, old, new);
    }

    fn remove(&mut self, slot: u32, _: u32, entries: &impl Entries) {
        self.queues.remove(slot, entries);
    }

    fn relocate(&mut self, from: u32, to: u32) {
        self.queues.lists.relocate(from, to);
    }

    fn truncate(&mut self, end: usize) {
        self.queues.lists.truncate(end);
    }

    fn tidy(&mut self) -> bool {
        self.sketch.tidy(self.queues.lists.total(Measure::Items))
    }

    #[inline]
    fn prefetch_hash(&self, hash: u32) {
        self.sketch.prefetch(hash);
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        self.queues.lists.prefetch(slot);
    }

    #[inline]
    fn prefetch_neighbours(&self, slot: u32) {
        self.queues.prefetch_neighbours(slot);
    }

    fn victim(&mut self, measure: Measure, entries: &impl Entries) -> Option<u32> {
        self.queues.victim(measure, entries, &self.sketch)
    }

    fn begin_walk(&mut self) {
        self.queues.lists.begin_walk();
    }

    fn next_in_walk(&mut self) -> Option<u32> {
        self.queues.lists.next_in_walk()
    }

    fn walk_is_complete(&self) -> bool {
        self.queues.lists.walk_is_complete()
    }

    fn coldest_first(&self) -> Vec<u32> {
        self.queues.lists.in_order()
    }

    fn validate(&self, entries: &impl Entries) {
        self.queues.validate(entries);
    }
}
