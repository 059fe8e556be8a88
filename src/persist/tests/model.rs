//! Random operations with commits, snapshots, crashes and restarts at random points, against a model that is a map.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Scratch, contents};
use crate::persist::Store;
use crate::{Cache, Clock, Expiry, SetOptions};

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn after_any_restart_the_cache_is_what_it_was_at_the_last_commit(steps in prop::collection::vec(step(), 1..80)) {
        let scratch = Scratch::new();
        let (clock, hands) = Clock::manual();
        // The manual clock is in the past: no file may seem to be newer.
        hands.jump_wall_clock(1 << 42);
        let open = || {
            let options = scratch.options();
            Store::open(options, Cache::builder().clock(clock.clone())).unwrap()
        };
        let mut store = open();
        let mut now = 0u64;
        let mut live: Model = Model::new();
        let mut committed = live.clone();
        for step in steps {
            live.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now));
            let deadline = |ttl: Option<u64>| ttl.map(|ttl| now + ttl);
            let expiry = |ttl: Option<u64>| ttl.map_or(Expiry::Never, |ttl| Expiry::After(Duration::from_millis(ttl)));
            match step {
                Step::Set(key, value, ttl) => {
                    store.cache().set(name(key), &value, SetOptions { expiry: expiry(ttl), ..SetOptions::default() }).unwrap();
                    live.insert(name(key), (value, deadline(ttl)));
                }
                Step::Remove(key) => {
                    store.cache().remove(name(key));
                    live.remove(&name(key));
                }
                Step::Touch(key, ttl) => {
                    store.cache().touch(name(key), expiry(ttl));
                    if let Some(entry) = live.get_mut(&name(key)) { entry.1 = deadline(ttl); }
                }
                Step::Increment(key) => {
                    if let Ok(sum) = store.cache().increment(name(key), 1, Expiry::Never) {
                        let deadline = live.get(&name(key)).and_then(|entry| entry.1);
                        live.insert(name(key), (sum.to_string().into_bytes(), deadline));
                    }
                }
                Step::ClearPrefix(key) => {
                    let prefix = format!("{}:", key % 3).into_bytes();
                    store.cache().clear_prefix(&prefix);
                    live.retain(|key, _| !key.starts_with(&prefix));
                }
                Step::Clear => { store.cache().clear(); live.clear(); }
                Step::Advance(by) => { hands.advance(Duration::from_millis(by)); now += by; }
                Step::Commit => { store.commit().unwrap(); committed.clone_from(&live); }
                Step::Snapshot => { store.snapshot().unwrap(); committed.clone_from(&live); }
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
            let values: BTreeMap<_, _> = live.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect();
            prop_assert_eq!(contents(store.cache()), values);
            store.cache().validate();
        }
    }
}
