//! Random operations with commits, snapshots, crashes and restarts at random points, without limits and with others at each start, against a model
//! that is a map.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Scratch, contents};
use crate::persist::Store;
use crate::{Builder, Cache, Clock, Error, Expiry, SetOptions};

#[derive(Debug, Clone)]
enum Step {
    Set(u8, Vec<u8>, Option<u64>),
    Remove(u8),
    Touch(u8, Option<u64>),
    Increment(u8),
    ClearPrefix(u8),
    Clear,
    Advance(u64),
    Commit,
    Snapshot,
    Crash,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u8..12;
    let ttl = || prop::option::of(1u64..5_000);
    let value = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![7; 20_000]),
    ];
    prop_oneof![
        10 => (key.clone(), value, ttl()).prop_map(|(key, value, ttl)| Step::Set(key, value, ttl)),
        3 => key.clone().prop_map(Step::Remove),
        3 => (key.clone(), ttl()).prop_map(|(key, ttl)| Step::Touch(key, ttl)),
        2 => key.clone().prop_map(Step::Increment),
        1 => key.prop_map(Step::ClearPrefix),
        1 => Just(Step::Clear),
        3 => (1u64..2_000).prop_map(Step::Advance),
        4 => Just(Step::Commit),
        2 => Just(Step::Snapshot),
        2 => Just(Step::Crash),
        1 => Just(Step::Close),
    ]
}

/// Values and deadlines, by the model's own clock.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn name(key: u8) -> Vec<u8> {
    format!("{}:{key}", key % 3).into_bytes()
}

/// What a cache is opened with.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    items: Option<u64>,
    bytes: Option<u64>,
    value: Option<usize>,
}

impl Limits {
    fn builder(self) -> Builder {
        let mut builder = Cache::builder();
        if let Some(items) = self.items {
            builder = builder.max_items(items);
        }
        if let Some(bytes) = self.bytes {
            builder = builder.max_bytes(bytes);
        }
        if let Some(value) = self.value {
            builder = builder.max_value_bytes(value);
        }
        builder
    }
}

/// One at each start; the same again when they are over. The large value of a step may be more than the last two allow.
fn limits() -> impl Strategy<Value = Vec<Limits>> {
    let limits = (
        prop::option::of(1u64..8),
        prop::option::of(4_096u64..30_000),
        prop::option::of(100usize..30_000),
    );
    let limits = limits.prop_map(|(items, bytes, value)| Limits { items, bytes, value });
    prop::collection::vec(prop_oneof![1 => Just(Limits::default()), 2 => limits], 1..5)
}

/// For people: keys as text, of a value its length and how it begins.
fn in_short(values: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<(String, usize, &[u8])> {
    values
        .iter()
        .map(|(key, value)| {
            let key = String::from_utf8_lossy(key).into_owned();
            (key, value.len(), &value[..value.len().min(20)])
        })
        .collect()
}

/// Plays the steps on a store and on the model. Without limits both hold the same. With them an entry may be missing, since it was evicted or not let in, and
/// may come back when a start has room for it; but it is never one that was removed or overwritten.
fn play(steps: Vec<Step>, limits: &[Limits]) -> Result<(), TestCaseError> {
    let scratch = Scratch::new();
    let (clock, hands) = Clock::manual();
    // The manual clock is in the past: no file may seem to be newer.
    hands.jump_wall_clock(1 << 42);
    let mut starts = limits.iter().cycle();
    let mut open = || {
        let builder = starts.next().copied().unwrap_or_default().builder();
        Store::open(scratch.options(), builder.clock(clock.clone())).unwrap()
    };
    let mut store = open();
    let mut now = 0u64;
    let mut live: Model = Model::new();
    let mut committed = live.clone();
    for step in steps {
        live.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now));
        let deadline = |ttl: Option<u64>| ttl.map(|ttl| now + ttl);
        let expiry =
            |ttl: Option<u64>| ttl.map_or(Expiry::Never, |ttl| Expiry::After(Duration::from_millis(ttl)));
        match step {
            Step::Set(key, value, ttl) => {
                let options = SetOptions {
                    expiry: expiry(ttl),
                    ..SetOptions::default()
                };
                match store.cache().set(name(key), &value, options) {
                    Ok(_) => drop(live.insert(name(key), (value, deadline(ttl)))),
                    Err(Error::TooLarge { .. }) => drop(live.remove(&name(key))),
                    // Nothing changed.
                    Err(_) => {}
                }
            }
            Step::Remove(key) => {
                store.cache().remove(name(key));
                live.remove(&name(key));
            }
            Step::Touch(key, ttl) => {
                if store.cache().touch(name(key), expiry(ttl))
                    && let Some(entry) = live.get_mut(&name(key))
                {
                    entry.1 = deadline(ttl);
                }
            }
            Step::Increment(key) => {
                let was_there = store.cache().contains(name(key));
                match store.cache().increment(name(key), 1, Expiry::Never) {
                    Ok(sum) => {
                        let former = live.get(&name(key)).filter(|_| was_there);
                        let deadline = former.and_then(|entry| entry.1);
                        live.insert(name(key), (sum.to_string().into_bytes(), deadline));
                    }
                    Err(Error::TooLarge { .. }) => drop(live.remove(&name(key))),
                    Err(_) => {}
                }
            }
            Step::ClearPrefix(key) => {
                let prefix = format!("{}:", key % 3).into_bytes();
                store.cache().clear_prefix(&prefix);
                live.retain(|key, _| !key.starts_with(&prefix));
            }
            Step::Clear => {
                store.cache().clear();
                live.clear();
            }
            Step::Advance(by) => {
                hands.advance(Duration::from_millis(by));
                now += by;
            }
            Step::Commit => {
                store.commit().unwrap();
                committed.clone_from(&live);
            }
            Step::Snapshot => {
                store.snapshot().unwrap();
                committed.clone_from(&live);
            }
            Step::Crash => {
                store.crash();
                live.clone_from(&committed);
                store = open();
                prop_assert!(!store.recovery().is_damaged(), "{}", store.recovery());
            }
            Step::Close => {
                store.close(Duration::from_secs(60)).unwrap();
                drop(store);
                committed.clone_from(&live);
                store = open();
            }
        }
        live.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now));
        let found = contents(store.cache());
        let mut values: BTreeMap<_, _> = live
            .iter()
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect();
        if !limits.is_empty() {
            values.retain(|key, _| found.contains_key(key));
        }
        prop_assert!(
            found == values,
            "{:?} instead of {:?}",
            in_short(&found),
            in_short(&values)
        );
        store.cache().validate();
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn after_any_restart_the_cache_is_what_it_was_at_the_last_commit(steps in prop::collection::vec(step(), 1..80)) {
        play(steps, &[])?;
    }

    #[test]
    fn under_any_limits_a_start_may_miss_an_entry_and_never_has_one_that_was_removed_or_overwritten(
        steps in prop::collection::vec(step(), 1..80),
        limits in limits(),
    ) {
        play(steps, &limits)?;
    }
}

#[test]
fn what_a_start_with_smaller_limits_did_not_let_in_can_be_removed() {
    let value = vec![7; 20_000];
    let small = [
        Limits {
            bytes: Some(5_000),
            ..Limits::default()
        },
        Limits {
            value: Some(5_000),
            ..Limits::default()
        },
    ];
    for limits in small {
        let steps = vec![
            Step::Set(1, value.clone(), None),
            Step::Commit,
            Step::Crash,
            Step::Remove(1),
            Step::Commit,
            Step::Crash,
        ];
        play(steps, &[Limits::default(), limits, Limits::default()]).unwrap();
    }
}
