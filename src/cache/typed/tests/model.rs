//! Random operations on a cache of one shard and on a model of it, side by side.
//!
//! The model is a vector of live entries, coldest first, and a clock; what expires leaves it at once. That is all that a caller can see of an exact LRU with
//! deadlines in which expired entries go before live ones.

use proptest::prelude::*;

use super::*;
use crate::{Condition, Expiry, InsertOptions, Op, PolicyKind, TimeLeft, TooHeavy};

const IDLE: u64 = 40;
const NEVER: u64 = u64::MAX;

#[derive(Debug, Clone, Copy)]
enum When {
    Default,
    Never,
    After(u64),
    Keep,
}

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    GetMany(Vec<u8>),
    Insert(u8, u64, When, Condition),
    Remove(u8),
    Contains(u8),
    TimeLeft(u8),
    Touch(u8, When),
    OrInsert(u8, u64),
    /// By how much: an odd sum is removed, one of 40 or more kept as it is.
    Compute(u8, u64),
    RemoveOdd,
    Iterate,
    Clear,
    Advance(u64),
    RunPending,
}

/// Some limits and times.
#[derive(Debug, Clone, Copy)]
struct Shape {
    max_items: Option<u64>,
    max_weight: Option<u64>,
    default_ttl: Option<u64>,
    idles: bool,
}

/// A value tells its weight in its upper half, and the rest tells it from others.
fn weight(value: u64) -> u64 {
    value >> 32
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    key: u8,
    value: u64,
    hard: u64,
    deadline: u64,
}

struct Textbook {
    shape: Shape,
    now: u64,
    lines: Vec<Line>,
    told: Vec<(u8, u64, RemovalCause)>,
    hits: u64,
    misses: u64,
}

impl Textbook {
    fn pass(&mut self, by: u64) {
        self.now += by;
        let now = self.now;
        let told = &mut self.told;
        self.lines.retain(|line| {
            let lives = line.deadline > now;
            if !lives {
                told.push((line.key, line.value, RemovalCause::Expired));
            }
            lives
        });
    }

    fn deadline(&self, when: When, found: Option<Line>) -> u64 {
        let by_default = self.shape.default_ttl.map_or(NEVER, |ttl| self.now + ttl);
        match (when, found) {
            (When::Keep, Some(line)) => line.hard,
            (When::Default | When::Keep, _) => by_default,
            (When::Never, _) => NEVER,
            (When::After(ttl), _) => self.now + ttl,
        }
    }

    fn find(&self, key: u8) -> Option<Line> {
        self.lines.iter().find(|line| line.key == key).copied()
    }

    fn put(&mut self, mut line: Line) {
        self.lines.retain(|other| other.key != line.key);
        let idle = if self.shape.idles { self.now + IDLE } else { NEVER };
        line.deadline = line.hard.min(idle);
        self.lines.push(line);
    }

    fn get(&mut self, key: u8) -> Option<u64> {
        let found = self.find(key);
        match found {
            Some(line) => {
                self.hits += 1;
                self.put(line);
            }
            None => self.misses += 1,
        }
        found.map(|line| line.value)
    }

    fn take(&mut self, key: u8, cause: RemovalCause) -> Option<u64> {
        let found = self.find(key)?;
        self.lines.retain(|line| line.key != key);
        self.told.push((key, found.value, cause));
        Some(found.value)
    }

    fn insert(&mut self, key: u8, value: u64, when: When, condition: Condition) -> Result<bool, TooHeavy> {
        let found = self.find(key);
        match (condition, found) {
            (Condition::IfAbsent, Some(_)) | (Condition::IfPresent, None) => return Ok(false),
            _ => {}
        }
        let hard = self.deadline(when, found);
        let max = self.shape.max_weight.unwrap_or(NEVER);
        let is_kept = weight(value) <= max && hard > self.now;
        self.take(
            key,
            if is_kept {
                RemovalCause::Replaced
            } else {
                RemovalCause::Removed
            },
        );
        if weight(value) > max {
            return Err(TooHeavy {
                weight: weight(value),
                max,
            });
        }
        if hard > self.now {
            if found.is_none() {
                self.make_room(1, weight(value));
            }
            self.put(Line {
                key,
                value,
                hard,
                deadline: hard,
            });
            self.make_room(0, 0);
        }
        Ok(true)
    }

    fn make_room(&mut self, items: u64, more: u64) {
        loop {
            let held: u64 = self.lines.iter().map(|line| weight(line.value)).sum();
            let too_many = self.lines.len() as u64 + items > self.shape.max_items.unwrap_or(NEVER);
            let too_heavy = held + more > self.shape.max_weight.unwrap_or(NEVER);
            let cause = match (too_many, too_heavy) {
                (true, _) => RemovalCause::MaxItems,
                (false, true) => RemovalCause::MaxWeight,
                (false, false) => return,
            };
            let oldest = self.lines.remove(0);
            self.told.push((oldest.key, oldest.value, cause));
        }
    }

    fn touch(&mut self, key: u8, when: When) -> bool {
        let Some(line) = self.find(key) else {
            return false;
        };
        let hard = self.deadline(when, Some(line));
        if hard <= self.now {
            self.take(key, RemovalCause::Removed);
        } else {
            self.put(Line { hard, ..line });
        }
        true
    }
}

fn expiry(when: When) -> Expiry {
    match when {
        When::Default => Expiry::Default,
        When::Never => Expiry::Never,
        When::After(ttl) => Expiry::After(Duration::from_nanos(ttl)),
        When::Keep => Expiry::Keep,
    }
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Default),
        1 => Just(When::Never),
        4 => (0u64..100).prop_map(When::After),
        2 => Just(When::Keep),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        4 => Just(Condition::Always),
        1 => Just(Condition::IfAbsent),
        1 => Just(Condition::IfPresent),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0u8..24;
    let weight = || prop_oneof![10 => 0u64..30, 1 => 90u64..130];
    prop_oneof![
        8 => key().prop_map(Step::Get),
        1 => prop::collection::vec(key(), 0..90).prop_map(Step::GetMany),
        12 => (key(), weight(), when(), condition())
            .prop_map(|(key, weight, when, condition)| Step::Insert(key, weight, when, condition)),
        3 => key().prop_map(Step::Remove),
        1 => key().prop_map(Step::Contains),
        1 => key().prop_map(Step::TimeLeft),
        2 => (key(), when()).prop_map(|(key, when)| Step::Touch(key, when)),
        2 => (key(), weight()).prop_map(|(key, weight)| Step::OrInsert(key, weight)),
        3 => (key(), 0u64..30).prop_map(|(key, by)| Step::Compute(key, by)),
        1 => Just(Step::RemoveOdd),
        1 => Just(Step::Iterate),
        1 => Just(Step::Clear),
        4 => (0u64..60).prop_map(Step::Advance),
        1 => Just(Step::RunPending),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let option = |values: std::ops::Range<u64>| prop::option::of(values);
    (option(1..20), option(1..120), option(1..80), any::<bool>()).prop_map(
        |(max_items, max_weight, default_ttl, idles)| Shape {
            max_items,
            max_weight,
            default_ttl,
            idles,
        },
    )
}

fn build(shape: Shape, policy: PolicyKind) -> (TypedCache<u8, u64>, ManualClock, Told<u8, u64>) {
    let mut told = None;
    let (cache, hands) = standing(|builder| {
        let (mut builder, list) = listening(builder.policy(policy).weigher(|_, &value| weight(value)));
        told = Some(list);
        if let Some(items) = shape.max_items {
            builder = builder.max_items(items);
        }
        if let Some(weight) = shape.max_weight {
            builder = builder.max_weight(weight);
        }
        if let Some(ttl) = shape.default_ttl {
            builder = builder.default_ttl(Duration::from_nanos(ttl));
        }
        if shape.idles {
            builder = builder.time_to_idle(Duration::from_nanos(IDLE));
        }
        builder
    });
    (cache, hands, told.unwrap())
}

/// What `Compute` makes of a value, by weight.
fn computed(value: Option<u64>, by: u64, id: u64) -> Op<u64> {
    match value.map_or(by, |value| weight(value) + by) {
        40.. => Op::Keep,
        sum if sum % 2 == 1 => Op::Remove,
        sum => Op::Put(sum << 32 | id),
    }
}

fn run(shape: Shape, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (cache, hands, told) = build(shape, PolicyKind::Lru);
    let mut book = Textbook {
        shape,
        now: 0,
        lines: Vec::new(),
        told: Vec::new(),
        hits: 0,
        misses: 0,
    };
    for (id, step) in (0u64..).zip(steps) {
        match step {
            Step::Get(key) => prop_assert_eq!(cache.get(&key), book.get(key)),
            Step::GetMany(keys) => {
                let expected: Vec<_> = keys.iter().map(|&key| book.get(key)).collect();
                prop_assert_eq!(cache.get_many(&keys), expected);
            }
            Step::Insert(key, weight, when, condition) => {
                let value = weight << 32 | id;
                let options = InsertOptions {
                    expiry: expiry(when),
                    condition,
                };
                let expected = book.insert(key, value, when, condition);
                prop_assert_eq!(cache.insert_with(key, value, options), expected);
            }
            Step::Remove(key) => {
                prop_assert_eq!(cache.remove(&key), book.take(key, RemovalCause::Removed));
            }
            Step::Contains(key) => prop_assert_eq!(cache.contains(&key), book.find(key).is_some()),
            Step::TimeLeft(key) => {
                let left = book.find(key).map(|line| match line.deadline {
                    NEVER => TimeLeft::Forever,
                    deadline => TimeLeft::Left(Duration::from_nanos(deadline - book.now)),
                });
                prop_assert_eq!(cache.time_left(&key), left);
            }
            Step::Touch(key, when) => {
                prop_assert_eq!(cache.touch(&key, expiry(when)), book.touch(key, when));
            }
            Step::OrInsert(key, weight) => {
                let value = weight << 32 | id;
                let expected = match book.get(key) {
                    Some(value) => value,
                    None => {
                        // It looks once before it makes a value, and writes if there is none.
                        let _ = book.insert(key, value, When::Default, Condition::IfAbsent);
                        value
                    }
                };
                prop_assert_eq!(cache.entry(key).or_insert(value), expected);
            }
            Step::Compute(key, by) => {
                let before = book.get(key);
                match computed(before, by, id) {
                    Op::Keep => {}
                    Op::Remove => {
                        book.take(key, RemovalCause::Removed);
                    }
                    Op::Put(value) => {
                        let _ = book.insert(key, value, When::Default, Condition::Always);
                    }
                }
                let after = cache.entry(key).compute(|value| computed(value, by, id));
                prop_assert_eq!(after, book.find(key).map(|line| line.value));
            }
            Step::RemoveOdd => {
                let odd: Vec<_> = book
                    .lines
                    .iter()
                    .filter(|line| line.value % 2 == 1)
                    .map(|line| line.key)
                    .collect();
                for &key in &odd {
                    book.take(key, RemovalCause::Removed);
                }
                prop_assert_eq!(cache.retain(|_, value| value % 2 == 0), odd.len() as u64);
            }
            Step::Iterate => {
                let mut entries: Vec<_> = cache.iter().collect();
                entries.sort_unstable();
                let mut expected: Vec<_> = book.lines.iter().map(|line| (line.key, line.value)).collect();
                expected.sort_unstable();
                prop_assert_eq!(entries, expected);
            }
            Step::Clear => {
                cache.clear();
                let keys: Vec<_> = book.lines.iter().map(|line| line.key).collect();
                for key in keys {
                    book.take(key, RemovalCause::Cleared);
                }
            }
            Step::Advance(by) => {
                hands.advance(Duration::from_nanos(by));
                book.pass(by);
            }
            Step::RunPending => {
                cache.run_pending();
                prop_assert_eq!(cache.len(), book.lines.len() as u64);
            }
        }
        cache.validate();
        let order: Vec<_> = book.lines.iter().map(|line| line.key).collect();
        prop_assert_eq!(cache.inner.shards[0].hold().coldest_first(book.now), order);
    }
    cache.run_pending();
    let stats = cache.stats();
    prop_assert_eq!((stats.hits, stats.misses), (book.hits, book.misses));
    prop_assert_eq!(
        stats.bytes,
        book.lines.iter().map(|line| weight(line.value)).sum::<u64>()
    );
    // What has expired may be told of later than the model says.
    let mut told = told.lock().unwrap().clone();
    told.sort_unstable_by_key(|&(key, value, _)| (key, value));
    book.told.sort_unstable_by_key(|&(key, value, _)| (key, value));
    prop_assert_eq!(told, book.told);
    Ok(())
}

/// With any policy: nothing is served that was not written, nothing after its deadline, no limit is broken, and each entry is told of once.
fn run_loosely(shape: Shape, policy: PolicyKind, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (cache, hands, told) = build(shape, policy);
    let mut stored: Vec<u64> = Vec::new();
    for (id, step) in (0u64..).zip(steps) {
        match step {
            Step::Insert(key, weight, when, condition) => {
                let value = weight << 32 | id;
                let options = InsertOptions {
                    expiry: expiry(when),
                    condition,
                };
                if cache.insert_with(key, value, options) == Ok(true) && !matches!(when, When::After(0)) {
                    stored.push(value);
                }
            }
            Step::Remove(key) => {
                cache.remove(&key);
            }
            Step::Advance(by) => hands.advance(Duration::from_nanos(by)),
            Step::Get(key) => {
                if let Some(value) = cache.get(&key) {
                    prop_assert!(stored.contains(&value));
                }
            }
            Step::RemoveOdd => {
                cache.retain(|_, value| value % 2 == 0);
            }
            Step::Clear => {
                cache.clear();
            }
            _ => {}
        }
        cache.validate();
    }
    cache.clear();
    let mut told: Vec<_> = told.lock().unwrap().iter().map(|&(_, value, _)| value).collect();
    told.sort_unstable();
    stored.sort_unstable();
    prop_assert_eq!(told, stored);
    Ok(())
}

proptest! {
    #[test]
    fn it_does_what_a_textbook_says(shape in shape(), steps in prop::collection::vec(step(), 0..250)) {
        run(shape, steps)?;
    }

    #[test]
    fn every_policy_keeps_the_limits_and_tells_of_each_entry_once(
        shape in shape(),
        policy in prop::sample::select(&PolicyKind::ALL[..]),
        steps in prop::collection::vec(step(), 0..250),
    ) {
        run_loosely(shape, policy, steps)?;
    }
}
