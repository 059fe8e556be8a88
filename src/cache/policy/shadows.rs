//! What each rule would have done: for each candidate a cache of hashes alone, run over a sample of the hashes (SHARDS: Waldspurger, Park, Garthwaite, Ahmad, 2015) at
//! a size that is scaled down as the sample is, and a count of who was right how often when two of them disagreed.

use hashbrown::HashTable;

use super::blocks::{Salt, scatter};
use super::ghosts::Ghosts;
use super::lists::List;
use super::queues::{Queues, Rule};
use super::s3_fifo::{SMALL, ghost_span};
use super::sketch::Sketch;
use super::{Entries, Measure};

/// The candidates. Small windows keep what is frequent, large ones what is recent.
pub(super) const CANDIDATES: [Rule; 6] = [
    Rule::Recency,
    Rule::Queue { window: SMALL },
    Rule::Frequency { window: 10 },
    Rule::Frequency { window: 200 },
    Rule::Frequency { window: 500 },
    Rule::Density { window: SMALL },
];
const N: usize = CANDIDATES.len();
/// Where to begin.
pub(super) const FIRST: usize = 1;

/// The sample is halved when recency holds more entries than this, or all shadows together more keys: where weights differ, another shadow keeps many light ones
/// where recency keeps few heavy ones.
const MOST_ENTRIES: u64 = 2048;
const MOST_KEYS: usize = 4 * 2048;
/// Keys that one insertion looks at after the sample was halved, and the entries that it lets go of in each shadow, at most.
const SWEPT_PER_INSERTION: u32 = 16;
const EVICTED_PER_INSERTION: u32 = 64;
/// Sampled requests from one comparison to the next.
const EVERY: u64 = 32;
/// Requests, for each entry of a shadow, after which a dispute counts half; and the least of them.
const HALF_LIFE: u64 = 16;
const LEAST_HALF_LIFE: u64 = 1000;
/// Standard deviations by which another candidate must lead.
const SURE: f64 = 3.0;
/// A sample of everything.
const ALL: u64 = 1 << u32::BITS;
const SEED: u32 = 0x3C6E_F372;

#[derive(Debug)]
struct Key {
    hash: u32,
    /// A bit for each shadow that holds it. None: vacant.
    holders: u32,
    weight: u64,
}

#[derive(Debug)]
struct Keys(Vec<Key>);

impl Entries for Keys {
    fn hash(&self, slot: u32) -> u32 {
        self.0[slot as usize].hash
    }

    fn weight(&self, slot: u32) -> u64 {
        self.0[slot as usize].weight
    }
}

#[derive(Debug)]
struct Shadow {
    queues: Queues,
    ghosts: Ghosts,
}

#[derive(Debug)]
pub(super) struct Shadows {
    shadows: [Shadow; N],
    keys: Keys,
    salt: Salt,
    vacant: Vec<u32>,
    /// Hash → number of a key. One for all shadows, so that a request is looked up once.
    table: HashTable<u32>,
    /// A hash is in the sample if its scattered value is below this.
    sample: u64,
    /// Keys below this number were there when the sample was last halved, and may not be in it any more; how many there were.
    unswept: u32,
    to_sweep: u32,
    measure: Measure,
    /// What the cache holds, in `measure`, once it is full.
    full_at: u64,
    /// How often, lately, the first hit where the second missed.
    wins: [[f64; N]; N],
    requests: u64,
    current: usize,
}

impl Shadows {
    pub(super) fn new(salt: Salt) -> Self {
        Shadows {
            shadows: CANDIDATES.map(|rule| Shadow {
                queues: Queues::new(rule, salt),
                ghosts: Ghosts::new(salt),
            }),
            keys: Keys(Vec::new()),
            salt,
            vacant: Vec::new(),
            table: HashTable::new(),
            sample: ALL,
            unswept: 0,
            to_sweep: 0,
            measure: Measure::Items,
            full_at: u64::MAX,
            wins: [[0.0; N]; N],
            requests: 0,
            current: FIRST,
        }
    }

    /// The rule that was best lately.
    pub(super) fn best(&self) -> Rule {
        CANDIDATES[self.current]
    }

    /// The cache is full, with so many entries and so much of `measure`.
    pub(super) fn set_full(&mut self, measure: Measure, total: u64, entries: u64) {
        // A heavy entry takes several evictions, with less held at each.
        self.full_at = if measure == self.measure && self.full_at != u64::MAX {
            total.max(self.full_at - self.full_at / 4096)
        } else {
            total
        };
        self.measure = measure;
        let is_room = self.unswept == 0 && self.table.len() < MOST_KEYS / 4;
        if self.sample < ALL && is_room && self.part_of(entries) < MOST_ENTRIES / 8 {
            // Entries have become fewer and heavier.
            self.sample *= 2;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a part of what is 64 bits long")]
    fn part_of(&self, whole: u64) -> u64 {
        (u128::from(whole) * u128::from(self.sample) / u128::from(ALL)) as u64
    }

    fn sampled(&self, hash: u32) -> bool {
        self.sample == ALL || u64::from(scatter(self.salt.of(hash), SEED)) < self.sample
    }

    fn find(&self, hash: u32) -> Option<u32> {
        self.table
            .find(spread(self.salt, hash), |&key| self.keys.hash(key) == hash)
            .copied()
    }

    /// An entry was asked for; with its weight if the cache has it. `true` if another rule is best now.
    #[inline]
    pub(super) fn request(&mut self, hash: u32, held: impl FnOnce() -> Option<u64>, sketch: &Sketch) -> bool {
        self.sampled(hash) && self.request_of_sample(hash, held(), sketch)
    }

    fn request_of_sample(&mut self, hash: u32, held: Option<u64>, sketch: &Sketch) -> bool {
        let found = self.find(hash);
        let holders = found.map_or(0, |key| self.keys.0[key as usize].holders);
        if let Some(key) = found {
            self.access(key);
        }
        if let Some(weight) = held {
            self.insert(hash, weight, sketch);
        }
        self.score(holders)
    }

    /// An entry was written that was not there.
    pub(super) fn written(
        &mut self,
        hash: u32,
        weight: impl FnOnce() -> u64,
        asked_for: bool,
        sketch: &Sketch,
    ) {
        if !self.sampled(hash) {
            return;
        }
        if !asked_for && let Some(key) = self.find(hash) {
            self.access(key);
        }
        self.insert(hash, weight(), sketch);
    }

    pub(super) fn removed(&mut self, hash: u32) {
        if self.sampled(hash)
            && let Some(key) = self.find(hash)
        {
            self.drop_key(key);
        }
    }

    fn access(&mut self, key: u32) {
        let holders = self.keys.0[key as usize].holders;
        for (n, shadow) in self.shadows.iter_mut().enumerate() {
            if holders >> n & 1 == 1 {
                shadow.queues.access(key, &self.keys);
            }
        }
    }

    /// Into all shadows that do not hold it.
    fn insert(&mut self, hash: u32, weight: u64, sketch: &Sketch) {
        self.sweep();
        let limit = self.limit();
        let weighs = if self.measure == Measure::Items { 1 } else { weight };
        if weighs > limit {
            return;
        }
        let key = self.find(hash).unwrap_or_else(|| self.new_key(hash, weight));
        for (n, rule) in CANDIDATES.iter().enumerate() {
            if self.keys.0[key as usize].holders >> n & 1 == 1 {
                continue;
            }
            for _ in 0..EVICTED_PER_INSERTION {
                if self.shadows[n].queues.lists.total(self.measure) + weighs <= limit {
                    break;
                }
                let Some(victim) = self.shadows[n].queues.victim(self.measure, &self.keys, sketch) else {
                    break;
                };
                self.evict(n, victim);
            }
            let shadow = &mut self.shadows[n];
            let returns = rule.is_queue() && shadow.ghosts.take(hash);
            shadow.queues.insert(key, returns, &self.keys);
            self.keys.0[key as usize].holders |= 1 << n;
        }
        let entries = self.shadows[0].queues.lists.total(Measure::Items);
        let is_too_much = entries > MOST_ENTRIES || self.table.len() > MOST_KEYS;
        if is_too_much && self.unswept == 0 {
            self.halve_sample();
        }
    }

    fn evict(&mut self, n: usize, victim: u32) {
        let shadow = &mut self.shadows[n];
        if CANDIDATES[n].is_queue() && shadow.queues.lists.list_of(victim) == Some(List::Window) {
            shadow
                .ghosts
                .add(self.keys.hash(victim), ghost_span(&shadow.queues.lists));
        }
        shadow.queues.remove(victim, &self.keys);
        self.release(victim, 1 << n);
    }

    fn new_key(&mut self, hash: u32, weight: u64) -> u32 {
        let key = Key {
            hash,
            holders: 0,
            weight,
        };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.keys.0[number as usize] = key;
                number
            }
            None => {
                self.keys.0.push(key);
                u32::try_from(self.keys.0.len() - 1).expect("few keys")
            }
        };
        let (keys, salt) = (&self.keys, self.salt);
        self.table
            .insert_unique(spread(salt, hash), number, |&key| spread(salt, keys.hash(key)));
        number
    }

    fn release(&mut self, key: u32, holders: u32) {
        let entry = &mut self.keys.0[key as usize];
        entry.holders &= !holders;
        if entry.holders == 0 {
            let hash = entry.hash;
            let found = self
                .table
                .find_entry(spread(self.salt, hash), |&other| other == key);
            if let Ok(found) = found {
                found.remove();
            }
            self.vacant.push(key);
        }
    }

    fn drop_key(&mut self, key: u32) {
        let holders = self.keys.0[key as usize].holders;
        for (n, shadow) in self.shadows.iter_mut().enumerate() {
            if holders >> n & 1 == 1 {
                shadow.queues.remove(key, &self.keys);
            }
        }
        self.release(key, holders);
    }

    /// Of what the shadows hold, half is not in the sample any more. It goes a few keys at a time.
    fn halve_sample(&mut self) {
        self.sample /= 2;
        self.to_sweep = u32::try_from(self.keys.0.len()).expect("few keys");
        self.unswept = self.to_sweep;
    }

    /// Looks at some of the keys from before the sample was halved. The number of one that is gone may have been given to another since: that is in the sample.
    fn sweep(&mut self) {
        for _ in 0..SWEPT_PER_INSERTION.min(self.unswept) {
            self.unswept -= 1;
            let key = self.unswept;
            if self.keys.0[key as usize].holders != 0 && !self.sampled(self.keys.hash(key)) {
                self.drop_key(key);
            }
        }
    }

    /// What a shadow may hold. While keys are swept, those that have not been looked at are still of a sample twice as large.
    fn limit(&self) -> u64 {
        if self.full_at == u64::MAX {
            return u64::MAX;
        }
        let limit = self.part_of(self.full_at).max(1);
        match self.unswept {
            0 => limit,
            unswept => {
                let more = u128::from(limit) * u128::from(unswept) / u128::from(self.to_sweep.max(1));
                limit.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
            }
        }
    }

    /// Counts who was right.
    fn score(&mut self, holders: u32) -> bool {
        let all = (1 << N) - 1;
        if holders != 0 && holders != all {
            for hit in (0..N).filter(|n| holders >> n & 1 == 1) {
                for miss in (0..N).filter(|n| holders >> n & 1 == 0) {
                    self.wins[hit][miss] += 1.0;
                }
            }
        }
        self.requests += 1;
        if !self.requests.is_multiple_of(EVERY) || self.full_at == u64::MAX {
            return false;
        }
        let entries = self
            .limit()
            .min(self.shadows[0].queues.lists.total(Measure::Items));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let half_life = (HALF_LIFE * entries).max(LEAST_HALF_LIFE) as f64;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let decay = 0.5f64.powf(EVERY as f64 / half_life);
        let mut best = self.current;
        for n in 0..N {
            let lead = |over: usize| self.wins[n][over] - self.wins[over][n];
            let disputed = self.wins[n][self.current] + self.wins[self.current][n];
            // Were both equally good, each dispute would be a coin toss: this is so many standard deviations.
            if lead(self.current) > SURE * disputed.sqrt() && lead(best) > 0.0 {
                best = n;
            }
        }
        for row in &mut self.wins {
            for wins in row {
                *wins *= decay;
            }
        }
        let changes = best != self.current;
        self.current = best;
        changes
    }

    /// Panics if the structure contradicts itself. For tests and fuzzers.
    pub(super) fn validate(&self) {
        let held = self.keys.0.iter().filter(|key| key.holders != 0).count();
        assert_eq!(held, self.table.len(), "keys that shadows hold");
        assert_eq!(held + self.vacant.len(), self.keys.0.len(), "vacant keys");
        for (n, shadow) in self.shadows.iter().enumerate() {
            shadow.queues.validate(&self.keys);
            let mut members = shadow.queues.lists.in_order();
            members.sort_unstable();
            let holders = (0..)
                .zip(&self.keys.0)
                .filter(|(_, key)| key.holders >> n & 1 == 1);
            assert!(
                holders.map(|(number, _)| number).eq(members),
                "who is in shadow {n}"
            );
        }
    }
}

/// A hash for the table, which wants 64 bits.
fn spread(salt: Salt, hash: u32) -> u64 {
    u64::from(scatter(salt.of(hash), 0)) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_follows_the_number_of_entries_and_memory_is_bounded() {
        let (mut shadows, mut sketch) = (Shadows::new(Salt::FIXED), Sketch::new(16, Salt::FIXED));
        for hash in 0..100_000 {
            sketch.count(hash);
            shadows.written(hash, || 100, false, &sketch);
            // While it is halved, more come.
            assert!(shadows.shadows[0].queues.lists.total(Measure::Items) <= MOST_ENTRIES * 5 / 4);
        }
        shadows.validate();
        let kept = shadows.shadows[0].queues.lists.total(Measure::Items);
        assert!(kept > MOST_ENTRIES / 3, "{kept} of 100,000 in the sample");
        for hash in 0..20_000 {
            shadows.set_full(Measure::Bytes, 30_000, 300);
            shadows.written(hash, || 100, false, &sketch);
        }
        shadows.validate();
        assert_eq!(shadows.sample, ALL, "so few entries are all in the sample");
        for shadow in &shadows.shadows {
            assert_eq!(shadow.queues.lists.total(Measure::Items), 300);
        }
        assert!(shadows.keys.0.len() < 10 * 2048, "{} keys", shadows.keys.0.len());
        (0..100_000).for_each(|hash| shadows.removed(hash));
        shadows.validate();
        assert!(shadows.table.is_empty());
    }

    #[test]
    fn where_weights_differ_no_shadow_keeps_light_keys_without_limit_and_no_request_stops_for_them() {
        let (mut shadows, mut sketch) = (Shadows::new(Salt::FIXED), Sketch::new(16, Salt::FIXED));
        for n in 0..200_000u32 {
            // Heavy ones that are used once, by turns with light ones that come again.
            let (hash, weight) = if n % 2 == 0 {
                (scatter(n, 1), 64 << 10)
            } else {
                (scatter(n / 2 % 75_000, 2), 64)
            };
            if n > 2_000 {
                shadows.set_full(Measure::Bytes, 64 << 20, 2_000);
            }
            sketch.count(hash);
            let before = shadows.table.len();
            shadows.written(hash, || weight, false, &sketch);
            let keys = shadows.table.len();
            assert!(keys < MOST_KEYS * 9 / 8, "{keys} keys after {n} requests");
            let at_once = SWEPT_PER_INSERTION + EVICTED_PER_INSERTION * u32::try_from(N).unwrap();
            assert!(before <= keys + at_once as usize, "{before} keys, then {keys}");
        }
        shadows.validate();
        assert!(shadows.sample < ALL, "the sample was halved");
        // Nothing but light ones: halved again and again.
        for n in 0..200_000u32 {
            let hash = scatter(n % 75_000, 2);
            let before = shadows.table.len();
            shadows.written(hash, || 64, false, &sketch);
            let dropped = before.saturating_sub(shadows.table.len());
            assert!(dropped < 512, "{dropped} keys at once");
        }
        shadows.validate();
    }
}
