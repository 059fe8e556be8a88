//! Random operations on a cache and on a model of it, side by side; and what a listener is told beside what has left the model.
//!
//! The model is a vector of live entries, coldest first, and a clock; what expires leaves it at once. That is all that a caller can see of an
//! exact LRU with deadlines in which expired entries go before live ones.

mod textbook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::{
    Builder, Cache, Clock, Condition, Cursor, Expiry, ManualClock, RemovalCause, SetOptions, Stats, Tag,
    TimeLeft,
};
use textbook::{Gone, MAX_KEY, MAX_VALUE, Textbook};

const KEYS: [&str; 12] = [
    "", "a", "ab", "abc", "b", "ba", "key", "key:1", "key:2", "n", "n2", "zzzzzzzz",
];
const TOO_LONG: &str = "zzzzzzzzz";

#[derive(Debug, Clone)]
enum Step {
    Get(Vec<u8>),
    GetMany(Vec<Vec<u8>>),
    Set(Write),
    SetMany(Vec<Write>),
    Remove(Vec<u8>),
    RemoveMany(Vec<Vec<u8>>),
    Take(Vec<u8>),
    Contains(Vec<u8>),
    TimeLeft(Vec<u8>),
    Touch(Vec<u8>, When),
    Persist(Vec<u8>),
    Increment(Vec<u8>, i64, When),
    /// Expects the value that is there if the flag is set.
    CompareAndSet(bool, Write),
    Clear,
    ClearPrefix(Vec<u8>),
    Scan {
        prefix: Vec<u8>,
        limit: usize,
        with_values: bool,
    },
    Advance(Duration),
    JumpWallClock(i64),
    ReclaimExpired,
}

#[derive(Debug, Clone)]
struct Write {
    key: Vec<u8>,
    value: Vec<u8>,
    tag: u8,
    condition: Condition,
    when: When,
}

/// An expiry; absolute times are meant relative to the wall clock at that step, in milliseconds.
#[derive(Debug, Clone, Copy)]
enum When {
    Default,
    Never,
    After(Duration),
    At(i64),
    Keep,
}

impl When {
    fn expiry(self, clock: &Clock) -> Expiry {
        match self {
            When::Default => Expiry::Default,
            When::Never => Expiry::Never,
            When::After(time) => Expiry::After(time),
            When::At(offset) => Expiry::At(clock.unix_millis().saturating_add_signed(offset)),
            When::Keep => Expiry::Keep,
        }
    }
}

impl Write {
    fn options(&self, clock: &Clock) -> SetOptions {
        SetOptions {
            tag: Tag(self.tag),
            expiry: self.when.expiry(clock),
            condition: self.condition,
        }
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![40 => select(&KEYS[..]), 1 => Just(TOO_LONG)].prop_map(|key| key.as_bytes().to_vec())
}

fn value(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => (0..=longest, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        2 => (longest - longest / 50..=longest, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
        // Where an entry is too long to be packed.
        1 => (4_070usize..4_100, any::<u8>()).prop_map(move |(len, byte)| vec![byte; len.min(longest)]),
        2 => any::<i8>().prop_map(|number| number.to_string().into_bytes()),
        1 => select(&[i64::MAX, i64::MIN][..]).prop_map(|number| number.to_string().into_bytes()),
    ]
}

/// Some nanoseconds, whole milliseconds, and what lies between them.
fn time() -> impl Strategy<Value = Duration> {
    let millis = prop_oneof![8 => 0u64..40, 4 => 0u64..5_000, 2 => 0u64..1 << 24, 1 => 0u64..1 << 35];
    let nanos = prop_oneof![6 => Just(0), 2 => select(&[1u64, 999_999][..]), 1 => 0u64..1_000_000];
    prop_oneof![
        1 => (0u64..3).prop_map(Duration::from_nanos),
        15 => (millis, nanos).prop_map(|(millis, nanos)| Duration::from_millis(millis) + Duration::from_nanos(nanos)),
    ]
}

/// Times to which nothing can be added, and one that is merely long.
const FAR: [Duration; 4] = [
    Duration::MAX,
    Duration::from_nanos(u64::MAX),
    Duration::from_nanos(u64::MAX - 1),
    Duration::from_millis(1 << 43),
];

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        3 => Just(When::Default),
        1 => Just(When::Never),
        6 => time().prop_map(When::After),
        1 => select(FAR.to_vec()).prop_map(When::After),
        2 => (-20i64..5_000).prop_map(When::At),
        2 => Just(When::Keep),
    ]
}

fn write(longest: usize) -> impl Strategy<Value = Write> {
    let condition = prop_oneof![
        4 => Just(Condition::Always),
        1 => Just(Condition::IfAbsent),
        1 => Just(Condition::IfPresent),
    ];
    (key(), value(longest), any::<u8>(), condition, when()).prop_map(|(key, value, tag, condition, when)| {
        Write {
            key,
            value,
            tag,
            condition,
            when,
        }
    })
}

fn prefix() -> impl Strategy<Value = Vec<u8>> {
    select(&["", "a", "key", "key:", "zz", "q"][..]).prop_map(|prefix| prefix.as_bytes().to_vec())
}

fn step(longest: usize) -> impl Strategy<Value = Step> {
    let some = |n| prop::collection::vec(key(), 0..n);
    prop_oneof![
        10 => key().prop_map(Step::Get),
        3 => some(6).prop_map(Step::GetMany),
        25 => write(longest).prop_map(Step::Set),
        3 => prop::collection::vec(write(longest), 0..6).prop_map(Step::SetMany),
        4 => key().prop_map(Step::Remove),
        2 => some(4).prop_map(Step::RemoveMany),
        2 => key().prop_map(Step::Take),
        3 => key().prop_map(Step::Contains),
        3 => key().prop_map(Step::TimeLeft),
        3 => (key(), when()).prop_map(|(key, when)| Step::Touch(key, when)),
        1 => key().prop_map(Step::Persist),
        4 => (key(), any::<i8>(), when()).prop_map(|(key, by, when)| Step::Increment(key, i64::from(by), when)),
        3 => (any::<bool>(), write(longest)).prop_map(|(equal, write)| Step::CompareAndSet(equal, write)),
        1 => Just(Step::Clear),
        1 => prefix().prop_map(Step::ClearPrefix),
        2 => (prefix(), 1usize..5, any::<bool>())
            .prop_map(|(prefix, limit, with_values)| Step::Scan { prefix, limit, with_values }),
        12 => time().prop_map(Step::Advance),
        1 => (-1i64 << 40..1 << 40).prop_map(Step::JumpWallClock),
        2 => Just(Step::ReclaimExpired),
    ]
}

fn steps(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(longest), 1..80)
}

/// The cache under test, its hands, and the model.
struct Pair {
    cache: Cache,
    hands: ManualClock,
    model: Textbook,
    /// Whether the order of eviction is that of one list.
    one_shard: bool,
    /// What the listener was told.
    told: Arc<Mutex<Vec<Gone>>>,
    /// What was told of what has expired: when that is, is no matter.
    told_expired: Vec<Gone>,
}

impl Pair {
    fn new(
        builder: Builder,
        max_items: Option<u64>,
        max_bytes: Option<u64>,
        default_ttl: Option<u64>,
        time_to_idle: Option<u64>,
        shards: usize,
    ) -> Self {
        let (clock, hands) = Clock::manual();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let mut builder = builder
            .eviction_listener(move |key, entry, cause| {
                let gone = (key.to_vec(), entry.value.to_vec(), cause);
                telling.lock().unwrap().push(gone);
            })
            .clock(clock)
            .shards(shards)
            .max_key_bytes(MAX_KEY)
            .max_value_bytes(MAX_VALUE);
        if let Some(items) = max_items {
            builder = builder.max_items(items);
        }
        if let Some(bytes) = max_bytes {
            builder = builder.max_bytes(bytes);
        }
        if let Some(ttl) = default_ttl {
            builder = builder.default_ttl(Duration::from_nanos(ttl));
        }
        if let Some(idle) = time_to_idle {
            builder = builder.time_to_idle(Duration::from_nanos(idle));
        }
        let cache = builder.build().unwrap();
        let mut model = Textbook::new(max_items, max_bytes, default_ttl, cache.clock().unix_millis());
        model.time_to_idle = time_to_idle;
        Pair {
            cache,
            hands,
            model,
            one_shard: shards == 1,
            told,
            told_expired: Vec::new(),
        }
    }

    fn run(&mut self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        for step in steps {
            let shown = format!("{step:?}");
            self.step(step)?;
            self.cache.validate();
            self.compare(&shown)?;
            self.compare_told(&shown)?;
        }
        self.cache.run_pending();
        self.compare_told("the end")?;
        self.told_expired.sort();
        let mut expired = std::mem::take(&mut self.model.gone);
        expired.sort();
        prop_assert_eq!(&self.told_expired, &expired, "each that expired is told once");
        self.cache.validate();
        let stats = self.cache.stats();
        prop_assert_eq!(stats.items, self.model.entries.len() as u64);
        prop_assert_eq!(stats.bytes, self.model.bytes());
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let Pair {
            cache, hands, model, ..
        } = self;
        let clock = cache.clock().clone();
        match step {
            Step::Get(key) => prop_assert_eq!(cache.get(&key), model.get(&key)),
            Step::GetMany(keys) => {
                let expected: Vec<_> = keys.iter().map(|key| model.get(key)).collect();
                prop_assert_eq!(cache.get_many(&keys), expected);
            }
            Step::Set(write) => {
                let options = write.options(&clock);
                let expected = model.set(&write.key, &write.value, options);
                prop_assert_eq!(cache.set(&write.key, &write.value, options), expected);
            }
            Step::SetMany(writes) => {
                let writes: Vec<_> = writes
                    .iter()
                    .map(|write| (&write.key, &write.value, write.options(&clock)))
                    .collect();
                let expected: Vec<_> = writes
                    .iter()
                    .map(|(key, value, options)| model.set(key, value, *options))
                    .collect();
                prop_assert_eq!(cache.set_many(writes), expected);
            }
            Step::Remove(key) => prop_assert_eq!(cache.remove(&key), model.remove(&key).is_some()),
            Step::RemoveMany(keys) => {
                let expected: Vec<_> = keys.iter().map(|key| model.remove(key).is_some()).collect();
                prop_assert_eq!(cache.remove_many(&keys), expected);
            }
            Step::Take(key) => prop_assert_eq!(cache.take(&key), model.take(&key)),
            Step::Contains(key) => prop_assert_eq!(cache.contains(&key), model.time_left(&key).is_some()),
            Step::TimeLeft(key) => prop_assert_eq!(cache.time_left(&key), model.time_left(&key)),
            Step::Touch(key, when) => {
                let expiry = when.expiry(&clock);
                prop_assert_eq!(cache.touch(&key, expiry), model.touch(&key, expiry));
            }
            Step::Persist(key) => prop_assert_eq!(cache.persist(&key), model.touch(&key, Expiry::Never)),
            Step::Increment(key, delta, when) => {
                let expiry = when.expiry(&clock);
                prop_assert_eq!(
                    cache.increment(&key, delta, expiry),
                    model.increment(&key, delta, expiry)
                );
            }
            Step::CompareAndSet(equal, write) => {
                let options = write.options(&clock);
                let expected = if equal {
                    model.peek(&write.key)
                } else {
                    b"something else".to_vec()
                };
                let outcome = model.compare_and_set(&write.key, &expected, &write.value, options);
                prop_assert_eq!(
                    cache.compare_and_set(&write.key, &expected, &write.value, options),
                    outcome
                );
            }
            Step::Clear => {
                let live = model.entries.len() as u64;
                let removed = cache.clear();
                prop_assert!(removed >= live, "clear() gave {} and {} were live", removed, live);
                model.clear(removed);
            }
            Step::ClearPrefix(prefix) if prefix.is_empty() => {
                let removed = cache.clear_prefix(&prefix);
                prop_assert!(removed >= model.entries.len() as u64);
                model.clear(removed);
            }
            Step::ClearPrefix(prefix) => {
                let expected = model.clear_prefix(&prefix);
                prop_assert_eq!(cache.clear_prefix(&prefix), expected);
            }
            Step::Scan {
                prefix,
                limit,
                with_values,
            } => {
                let found = scan_all(cache, &prefix, limit, with_values)?;
                prop_assert_eq!(found, model.scan(&prefix, with_values));
            }
            Step::Advance(by) => {
                hands.advance(by);
                model.advance(by.as_nanos() as u64);
            }
            Step::JumpWallClock(by) => {
                hands.jump_wall_clock(by);
                model.jump_wall_clock(by);
            }
            Step::ReclaimExpired => {
                cache.run_pending();
                prop_assert_eq!(cache.len(), model.entries.len() as u64);
            }
        }
        Ok(())
    }

    /// What left by this step was told during it; what expired may be told later.
    fn compare_told(&mut self, step: &str) -> Result<(), TestCaseError> {
        let is_expired = |gone: &Gone| gone.2 == RemovalCause::Expired;
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let (expired, mut told): (Vec<_>, Vec<_>) = told.into_iter().partition(is_expired);
        self.told_expired.extend(expired);
        let gone = std::mem::take(&mut self.model.gone);
        let (expired, mut gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(is_expired);
        self.model.gone = expired;
        if !self.one_shard || step.starts_with("Clear") {
            // In the order of shards, or of slots.
            told.sort();
            gone.sort();
        }
        // What a large value takes the place of goes before it is written, what others take the place of afterwards.
        let is_eviction = |gone: &Gone| gone.2.is_eviction();
        let (evicted, told): (Vec<_>, Vec<_>) = told.into_iter().partition(is_eviction);
        let (victims, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(is_eviction);
        prop_assert_eq!(evicted, victims, "what was evicted by {}", step);
        prop_assert_eq!(told, gone, "what left by {}", step);
        Ok(())
    }

    fn compare(&self, step: &str) -> Result<(), TestCaseError> {
        let stats = self.cache.stats();
        let counted = Stats {
            items: 0,
            bytes: 0,
            items_with_deadline: 0,
            expirations: 0,
            ..stats
        };
        prop_assert_eq!(counted, self.model.stats, "counters after {}", step);
        let gone = stats.removals + stats.evictions_by_items + stats.evictions_by_bytes + stats.expirations;
        prop_assert_eq!(
            stats.items,
            stats.inserts - gone,
            "entries that came and went, after {}",
            step
        );
        prop_assert!(stats.items >= self.model.entries.len() as u64);
        prop_assert!(stats.bytes >= self.model.bytes());
        if self.one_shard {
            let order = self.cache.inner.shards[0]
                .hold()
                .coldest_first(self.cache.clock().now());
            let expected: Vec<_> = self.model.entries.iter().map(|entry| entry.key.clone()).collect();
            prop_assert_eq!(order, expected, "order of eviction after {}", step);
        }
        Ok(())
    }
}

type Found = BTreeMap<Vec<u8>, (Option<Vec<u8>>, usize, Tag, TimeLeft)>;

fn scan_all(cache: &Cache, prefix: &[u8], limit: usize, with_values: bool) -> Result<Found, TestCaseError> {
    let mut found = Found::new();
    let mut cursor = Cursor::default();
    loop {
        let page = cache.scan(cursor, prefix, limit, with_values);
        prop_assert!(page.entries.len() <= limit);
        for entry in page.entries {
            let shown = (
                entry.value.map(Vec::from),
                entry.value_len,
                entry.tag,
                entry.time_left,
            );
            prop_assert!(
                found.insert(entry.key.to_vec(), shown).is_none(),
                "{:?} came twice",
                entry.key
            );
        }
        match page.next {
            Some(next) => cursor = Cursor::from_u64(next.to_u64()),
            None => return Ok(found),
        }
    }
}

fn some_ttl() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 1 => (1u64..100).prop_map(|millis| Some(millis * 1_000_000)), 1 => (1u64..100_000_000).prop_map(Some)]
}

proptest! {
    #[test]
    fn a_cache_bounded_by_items_is_a_textbook_lru(
        max_items in 1u64..8, ttl in some_ttl(), idle in some_ttl(), steps in steps(40)
    ) {
        Pair::new(Cache::builder(), Some(max_items), None, ttl, idle, 1).run(steps)?;
    }

    #[test]
    fn a_cache_bounded_by_bytes_is_a_textbook_lru(
        max_bytes in 4096u64..9000, ttl in some_ttl(), idle in some_ttl(), steps in steps(2_000)
    ) {
        Pair::new(Cache::builder(), None, Some(max_bytes), ttl, idle, 1).run(steps)?;
    }

    #[test]
    fn a_cache_of_large_values_is_a_textbook_lru(
        max_items in 3u64..12, max_bytes in 10_000u64..120_000, ttl in some_ttl(), idle in some_ttl(), steps in steps(MAX_VALUE)
    ) {
        Pair::new(Cache::builder(), Some(max_items), Some(max_bytes), ttl, idle, 1).run(steps)?;
    }

    #[test]
    fn a_cache_of_several_shards_holds_everything_until_it_expires(
        shards in select(&[2usize, 4, 64][..]), ttl in some_ttl(), idle in some_ttl(), steps in steps(60)
    ) {
        Pair::new(Cache::builder(), None, None, ttl, idle, shards).run(steps)?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Enough entries for several levels of the tree of deadlines, index segments and pages to be in play.
    #[test]
    fn many_entries_behave_as_few(
        max_items in 500u64..9_000,
        seeds in prop::collection::vec((any::<Index>(), 0u64..4), 1..12),
    ) {
        let (clock, hands) = Clock::manual();
        let cache = Cache::builder().clock(clock).shards(1).max_items(max_items).build().unwrap();
        let mut model = Textbook::new(Some(max_items), None, None, cache.clock().unix_millis());
        for (seed, kind) in seeds {
            let first = seed.index(20_000);
            let numbers = (first..first + 3_000).map(|n| n.to_string());
            match kind {
                0 => for (n, key) in numbers.enumerate() {
                    let options = SetOptions::ttl(Duration::from_millis(1 + (n as u64 * 7919) % 90_000));
                    prop_assert_eq!(cache.set(&key, &key, options), model.set_quickly(&key, options));
                },
                1 => for key in numbers.step_by(3) {
                    prop_assert_eq!(cache.remove(&key), model.remove(key.as_bytes()).is_some());
                },
                2 => for key in numbers.step_by(7) {
                    prop_assert_eq!(cache.get(&key), model.get(key.as_bytes()));
                },
                _ => {
                    let by = Duration::from_millis(first as u64);
                    hands.advance(by);
                    model.advance(by.as_nanos() as u64);
                    // With so many, an eviction looks for expired entries only so far: let them go first.
                    cache.run_pending();
                }
            }
            cache.validate();
            let order = cache.inner.shards[0].hold().coldest_first(cache.clock().now());
            prop_assert!(order.iter().eq(model.entries.iter().map(|entry| &entry.key)));
        }
    }
}
