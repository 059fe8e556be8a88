//! The policies on whole workloads, without the cache around them: driven over slots by the plainest possible cache, with hashes that are the same in every run.
//! How many are hits is compared with what is best possible (Belady, 1966), and `adaptive` with the others.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::{AnyPolicy, Entries, Measure, Policy, PolicyKind, Salt};

/// Deterministic numbers: xorshift64* (Vigna, 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        sums.iter_mut().for_each(|part| *part /= sum);
        Zipf(sums)
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let at = random.unit();
        self.0.partition_point(|&sum| sum < at) as u32
    }
}

#[derive(Default)]
struct Slots {
    hashes: Vec<u32>,
    weights: Vec<u64>,
}

impl Entries for Slots {
    fn hash(&self, slot: u32) -> u32 {
        self.hashes[slot as usize]
    }

    fn weight(&self, slot: u32) -> u64 {
        self.weights[slot as usize]
    }
}

/// Each key has a hash of its own: this is a bijection.
fn hash(key: u32) -> u32 {
    super::blocks::scatter(key, 0x1234_5678)
}

/// What is asked for and missed is inserted. Gives whether each request was a hit.
fn run(kind: PolicyKind, trace: &[u32], capacity: usize) -> Vec<bool> {
    run_weighted(kind, trace, Measure::Items, capacity as u64, |_| 1)
}

/// The same, with so much of `measure` at most and a weight for each key.
fn run_weighted(
    kind: PolicyKind,
    trace: &[u32],
    measure: Measure,
    limit: u64,
    weight: impl Fn(u32) -> u64,
) -> Vec<bool> {
    let mut policy = AnyPolicy::new(kind, Salt::FIXED);
    let mut slots = Slots::default();
    let mut held: HashMap<u32, u32> = HashMap::new();
    let (mut keys, mut vacant, mut total) = (Vec::new(), Vec::new(), 0);
    let costs = |weight| if measure == Measure::Items { 1 } else { weight };
    let results = trace
        .iter()
        .map(|&key| {
            if let Some(&slot) = held.get(&key) {
                policy.access(slot, hash(key), &slots);
                return true;
            }
            policy.miss(hash(key));
            while total + costs(weight(key)) > limit {
                let victim = policy.victim(measure, &slots).expect("something is held");
                policy.evict(victim, slots.hash(victim), &slots);
                assert_eq!(held.remove(&keys[victim as usize]), Some(victim));
                total -= costs(slots.weight(victim));
                vacant.push(victim);
            }
            let slot = vacant.pop().unwrap_or_else(|| {
                keys.push(key);
                slots.hashes.push(0);
                slots.weights.push(0);
                keys.len() as u32 - 1
            });
            keys[slot as usize] = key;
            slots.hashes[slot as usize] = hash(key);
            slots.weights[slot as usize] = weight(key);
            total += costs(weight(key));
            held.insert(key, slot);
            policy.insert(slot, hash(key), &slots);
            false
        })
        .collect();
    policy.validate(&slots);
    results
}

fn hits(kind: PolicyKind, trace: &[u32], capacity: usize) -> usize {
    run(kind, trace, capacity).into_iter().filter(|&hit| hit).count()
}

/// The most hits that are possible: who is needed last goes.
fn optimum(trace: &[u32], capacity: usize) -> usize {
    let mut next = vec![usize::MAX; trace.len()];
    let mut seen = HashMap::new();
    for (at, &key) in trace.iter().enumerate().rev() {
        next[at] = seen.insert(key, at).unwrap_or(usize::MAX - key as usize);
    }
    let mut held = BTreeSet::new();
    let mut hits = 0;
    for (at, &next) in next.iter().enumerate() {
        if held.remove(&at) {
            hits += 1;
        } else if held.len() == capacity {
            held.pop_last();
        }
        held.insert(next);
    }
    hits
}

/// Name, requests, capacity.
type Workload = (&'static str, Vec<u32>, usize);

fn workloads() -> Vec<Workload> {
    const REQUESTS: u32 = 200_000;
    let random = &mut Random(88_172_645_463_325_252);
    let zipf = Zipf::new(20_000, 0.9);
    let mut one_hit = 1_000_000;
    let mut workloads: Vec<Workload> = Vec::new();
    for (name, exponent) in [("Zipf 0.6", 0.6), ("Zipf 0.9", 0.9), ("Zipf 1.2", 1.2)] {
        let zipf = Zipf::new(20_000, exponent);
        workloads.push((name, (0..REQUESTS).map(|_| zipf.draw(random)).collect(), 1000));
    }
    workloads.push(("a loop", (0..REQUESTS).map(|n| n % 1300).collect(), 1000));
    let scans = (0..REQUESTS).map(|n| {
        if n % 6000 < 2000 {
            100_000 + n
        } else {
            zipf.draw(random)
        }
    });
    workloads.push(("scans", scans.collect(), 1000));
    let looped = (0..REQUESTS).map(|n| {
        if random.unit() < 0.5 {
            n % 3000
        } else {
            100_000 + zipf.draw(random)
        }
    });
    workloads.push(("a loop and Zipf", looped.collect(), 2000));
    let shifting = (0..REQUESTS).map(|n| (zipf.draw(random) + n / 100 * 10) % 20_000);
    workloads.push(("popularity that shifts", shifting.collect(), 1000));
    let jumping = (0..REQUESTS).map(|n| (zipf.draw(random) + n / 40_000 * 7777) % 20_000);
    workloads.push(("popularity that jumps", jumping.collect(), 1000));
    let mut with_one_hits = || {
        if random.unit() < 0.4 {
            one_hit += 1;
            one_hit
        } else {
            zipf.draw(random)
        }
    };
    let one_hits = (0..REQUESTS).map(|_| with_one_hits()).collect();
    workloads.push(("one-hit wonders", one_hits, 1000));
    let mut recent: Vec<u32> = (0..10).collect();
    for n in 10..REQUESTS {
        let back = (random.unit().powi(3) * 5000.0) as usize;
        let key = if random.unit() < 0.2 {
            n
        } else {
            recent[recent.len() - 1 - back.min(recent.len() - 1)]
        };
        recent.push(key);
    }
    workloads.push(("what is recent", recent.clone(), 500));
    workloads.push(("all that is recent", recent.clone(), 2000));
    let third = REQUESTS as usize / 3;
    let mut mixed: Vec<u32> = (0..third).map(|_| 500_000 + zipf.draw(random)).collect();
    mixed.extend((0..third as u32).map(|n| 600_000 + n % 1300));
    mixed.extend(&recent[..third]);
    workloads.push(("one after the other", mixed, 1000));
    workloads
}

#[test]
fn no_policy_passes_the_optimum_and_adaptive_is_never_much_worse_than_the_best() {
    let mut means = [0.0; 4];
    for (name, trace, capacity) in workloads() {
        let best_possible = optimum(&trace, capacity);
        let percent = PolicyKind::ALL.map(|kind| {
            let hits = hits(kind, &trace, capacity);
            assert!(
                hits <= best_possible,
                "{kind} had {hits} hits on {name}, and {best_possible} are possible"
            );
            hits as f64 * 100.0 / trace.len() as f64
        });
        let [lru, .., adaptive] = percent;
        let best = percent.into_iter().fold(0.0, f64::max);
        assert!(
            adaptive >= lru - 1.0,
            "{name}: adaptive {adaptive:.2}, lru {lru:.2}"
        );
        assert!(
            adaptive >= best - 1.5,
            "{name}: adaptive {adaptive:.2}, the best {best:.2}"
        );
        for (mean, percent) in means.iter_mut().zip(percent) {
            *mean += percent * trace.len() as f64 / best_possible as f64;
        }
    }
    let [lru, s3_fifo, tinylfu, adaptive] = means;
    assert!(
        adaptive > lru * 1.05 && adaptive > s3_fifo && adaptive > tinylfu,
        "{means:?}"
    );
}

/// As in the paper, with lists of keys. A ghost counts for as many evictions from the small queue as the main queue has entries.
struct TextbookS3Fifo {
    small: Vec<(u32, u8)>,
    main: Vec<(u32, u8)>,
    ghosts: Vec<u32>,
    capacity: usize,
}

impl TextbookS3Fifo {
    fn request(&mut self, key: u32) -> bool {
        let held = self.small.iter_mut().chain(&mut self.main);
        if let Some((_, hits)) = held.into_iter().find(|(other, _)| *other == key) {
            *hits = (*hits + 1).min(3);
            return true;
        }
        if self.small.len() + self.main.len() == self.capacity {
            while !self.evict() {}
        }
        let span = self.capacity * 9 / 10;
        let from = self.ghosts.len().saturating_sub(span.max(1) + 1);
        match self.ghosts.iter().rposition(|&ghost| ghost == key) {
            Some(at) => {
                if at >= from {
                    self.main.push((key, 0));
                } else {
                    self.small.push((key, 0));
                }
                // Its place remains: time passes with evictions alone.
                self.ghosts
                    .iter_mut()
                    .filter(|ghost| **ghost == key)
                    .for_each(|ghost| *ghost = u32::MAX);
            }
            None => self.small.push((key, 0)),
        }
        false
    }

    /// One step; whether an entry went.
    fn evict(&mut self) -> bool {
        if self.small.len() > (self.capacity / 10).max(1) || self.main.is_empty() {
            let (key, hits) = self.small.remove(0);
            if hits == 0 {
                self.ghosts.push(key);
            } else {
                self.main.push((key, 0));
            }
            hits == 0
        } else {
            let (key, hits) = self.main.remove(0);
            if hits > 0 {
                self.main.push((key, hits - 1));
            }
            hits == 0
        }
    }
}

proptest! {
    #[test]
    fn s3_fifo_is_that_of_the_textbook(
        // So many that no bucket of ghosts can be too small.
        capacity in 1usize..9, trace in prop::collection::vec(0u32..25, 0..600)
    ) {
        let mut book = TextbookS3Fifo { small: vec![], main: vec![], ghosts: vec![], capacity };
        let expected: Vec<bool> = trace.iter().map(|&key| book.request(key)).collect();
        prop_assert_eq!(run(PolicyKind::S3Fifo, &trace, capacity), expected);
    }

    #[test]
    fn no_policy_passes_the_optimum_on_any_trace(
        capacity in 1usize..12, trace in prop::collection::vec(0u32..30, 0..400)
    ) {
        let most = optimum(&trace, capacity);
        for kind in PolicyKind::ALL {
            prop_assert!(hits(kind, &trace, capacity) <= most, "{}", kind);
        }
    }

    #[test]
    fn no_policy_passes_the_optimum_when_bytes_are_the_limit(
        capacity in 5u64..40, alike in any::<bool>(), trace in prop::collection::vec(0u32..30, 0..400)
    ) {
        // Alike, as many fit as if they were counted. Otherwise no more than if all were as light as the lightest.
        let weight = |key: u32| if alike { 3 } else { 2 + u64::from(key % 4) };
        let lightest = if alike { 3 } else { 2 };
        let most = optimum(&trace, (capacity / lightest) as usize);
        for kind in PolicyKind::ALL {
            let results = run_weighted(kind, &trace, Measure::Bytes, capacity, weight);
            let hits = results.into_iter().filter(|&hit| hit).count();
            prop_assert!(hits <= most, "{} had {} hits, and {} are possible", kind, hits, most);
        }
    }
}

#[test]
fn s3_fifo_with_fingerprints_for_ghosts_is_close_to_that_of_the_textbook() {
    let random = &mut Random(7);
    let zipf = Zipf::new(5_000, 0.8);
    let trace: Vec<u32> = (0..50_000).map(|_| zipf.draw(random)).collect();
    let mut book = TextbookS3Fifo {
        small: vec![],
        main: vec![],
        ghosts: vec![],
        capacity: 500,
    };
    let expected = trace.iter().filter(|&&key| book.request(key)).count();
    let found = hits(PolicyKind::S3Fifo, &trace, 500);
    assert!(
        found.abs_diff(expected) * 100 < expected,
        "{found} hits, and {expected} by the textbook"
    );
}

/// Who finds keys whose counts cannot be told from those of what is held could keep everybody out for ever.
#[test]
fn entries_that_look_wanted_do_not_keep_others_out_for_ever() {
    struct Alike(u32);
    impl Entries for Alike {
        fn hash(&self, _: u32) -> u32 {
            self.0
        }
        fn weight(&self, _: u32) -> u64 {
            1
        }
    }
    let mut policy = AnyPolicy::new(PolicyKind::TinyLfu, Salt::FIXED);
    let alike = Alike(hash(1));
    const HELD: u32 = 200;
    for slot in 0..HELD {
        policy.insert(slot, alike.0, &alike);
    }
    // All share their counters, and all counters are as high as they get: nobody has been seen more often than anybody else.
    (0..100).for_each(|slot| policy.access(slot, alike.0, &alike));
    let mut stayed: BTreeSet<u32> = (0..HELD).collect();
    for _ in 0..20_000 {
        let victim = policy.victim(Measure::Items, &alike).expect("it is full");
        policy.evict(victim, alike.0, &alike);
        stayed.remove(&victim);
        policy.miss(alike.0);
        policy.insert(victim, alike.0, &alike);
    }
    assert!(
        stayed.len() < 150,
        "{} of {HELD} stayed while 20,000 others came that are read as often",
        stayed.len()
    );
}

#[test]
fn entries_that_nobody_reads_any_more_give_way_to_others() {
    for kind in PolicyKind::ALL {
        // An attacker reads a hundred keys a hundred times each, and no more.
        let mut trace: Vec<u32> = (0..10_000).map(|n| n % 100).collect();
        let random = &mut Random(3);
        let zipf = Zipf::new(400, 1.0);
        trace.extend((0..40_000).map(|_| 1_000 + zipf.draw(random)));
        let results = run(kind, &trace, 100);
        let last = &results[trace.len() - 10_000..];
        let hits = last.iter().filter(|&&hit| hit).count();
        assert!(hits > 5_000, "{kind}: {hits} hits of 10,000");
    }
}

#[test]
fn where_bytes_are_limited_what_is_light_stays_for_less_than_what_is_heavy() {
    let mut random = Random(77);
    let zipf = Zipf::new(20_000, 0.9);
    let trace: Vec<u32> = (0..200_000).map(|_| zipf.draw(&mut random)).collect();
    // From 10 to 1280, however popular.
    let weight = |key: u32| 10u64 << (hash(key) % 8);
    for limit in [100_000, 1_000_000] {
        let hits = |kind| {
            let hits = run_weighted(kind, &trace, Measure::Bytes, limit, weight);
            hits.into_iter().filter(|&hit| hit).count() as f64 / trace.len() as f64
        };
        // S3-FIFO does not look at weights.
        let oblivious = hits(PolicyKind::S3Fifo);
        let (frequency, adaptive) = (hits(PolicyKind::TinyLfu), hits(PolicyKind::Adaptive));
        assert!(frequency > oblivious, "{limit}: {frequency} beside {oblivious}");
        assert!(
            adaptive > oblivious + 0.02,
            "{limit}: {adaptive} beside {oblivious}"
        );
    }
}
