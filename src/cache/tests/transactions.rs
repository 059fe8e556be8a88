//! Transactions: all or nothing, for whoever looks on and for whoever does it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::Value;
use crate::cache::transaction::{Step, Stepped, Watched};

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Step<'a> {
    Step::Set {
        key,
        value,
        options: SetOptions::default(),
    }
}

fn sharded() -> Cache {
    Cache::builder().shards(8).build().expect("a cache")
}

#[test]
fn nothing_is_done_if_what_is_watched_has_changed() {
    let cache = sharded();
    cache.set("a", "1", SetOptions::default()).expect("room");
    let look = |key: &'static str| Watched {
        key: key.as_bytes(),
        seen: cache.peek(key.as_bytes()),
    };
    let (there, absent) = (look("a"), look("b"));
    let steps = [set(b"c", b"new"), Step::Remove { key: b"a" }];
    cache.set("b", "2", SetOptions::default()).expect("room");
    assert_eq!(cache.transact(&[there, absent], &steps), Ok(None));
    assert_eq!(cache.len(), 2);
    let done = cache.transact(&[look("a"), look("b"), look("c")], &steps);
    assert_eq!(done, Ok(Some(vec![Stepped::Stored, Stepped::Removed(true)])));
    assert!(cache.contains("c") && !cache.contains("a"));
    cache.validate();
}

#[test]
fn nothing_is_done_if_one_of_several_can_never_fit_or_is_too_long() {
    let cache = Cache::builder()
        .max_bytes(10_000)
        .max_value_bytes(20_000)
        .build()
        .expect("a cache");
    cache.set("b", "old", SetOptions::default()).expect("room");
    let (large, long) = ([0; 15_000], [0; 20_001]);
    for value in [&large[..], &long] {
        for steps in [
            [set(b"a", b"1"), set(b"b", value)],
            [set(b"b", value), set(b"a", b"1")],
        ] {
            assert!(cache.transact(&[], &steps).is_err());
            assert_eq!(
                (cache.len(), cache.get("b").expect("it is there").value),
                (1, Value::copy_from_slice(b"old"))
            );
        }
    }
    cache.validate();
}

#[test]
fn the_last_of_several_writes_to_a_key_counts_and_reads_see_those_before_them() {
    let cache = sharded();
    let steps = [
        set(b"k", b"1"),
        Step::Get { key: b"k" },
        set(b"k", b"2"),
        Step::Remove { key: b"k" },
        Step::Remove { key: b"k" },
        Step::Get { key: b"k" },
    ];
    let done = cache
        .transact(&[], &steps)
        .expect("it fits")
        .expect("nothing is watched");
    assert!(matches!(&done[1], Stepped::Got(Some(entry)) if entry.value == "1"));
    assert_eq!(done[3..5], [Stepped::Removed(true), Stepped::Removed(false)]);
    assert_eq!(done[5], Stepped::Got(None));
}

/// Two accounts whose sum never changes: whoever reads both in one transaction sees that sum, whatever the others do.
#[test]
fn nobody_sees_a_part() {
    const ACCOUNTS: u64 = 16;
    const EACH: u64 = 100;
    let cache = sharded();
    for account in 0..ACCOUNTS {
        let value = EACH.to_le_bytes();
        cache
            .set(account.to_le_bytes(), value, SetOptions::default())
            .expect("room");
    }
    let over = AtomicBool::new(false);
    let amount = |entry: &Entry| u64::from_le_bytes(entry.value.as_slice().try_into().expect("eight bytes"));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3u64)
            .map(|writer| {
                let cache = cache.clone();
                scope.spawn(move || {
                    let mut random = writer + 1;
                    for _ in 0..3000 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let (from, to) = ((random >> 33) % ACCOUNTS, (random >> 45) % ACCOUNTS);
                        if from == to {
                            continue;
                        }
                        let (from, to) = (from.to_le_bytes(), to.to_le_bytes());
                        let seen = [&from, &to].map(|key| cache.peek(key));
                        let [left, right] = seen.clone().map(|entry| amount(&entry.expect("it is there")));
                        let moved = left.min(7);
                        let (left, right) = ((left - moved).to_le_bytes(), (right + moved).to_le_bytes());
                        let [one, other] = seen;
                        let watched = [
                            Watched {
                                key: &from,
                                seen: one,
                            },
                            Watched {
                                key: &to,
                                seen: other,
                            },
                        ];
                        let steps = [set(&from, &left), set(&to, &right)];
                        // Whoever was overtaken leaves it at that.
                        cache.transact(&watched, &steps).expect("it fits");
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let keys: Vec<_> = (0..ACCOUNTS).map(u64::to_le_bytes).collect();
            let steps: Vec<_> = keys.iter().map(|key| Step::Get { key }).collect();
            while !over.load(Ordering::Relaxed) {
                let done = cache
                    .transact(&[], &steps)
                    .expect("reads fit")
                    .expect("nothing is watched");
                let sum: u64 = done
                    .iter()
                    .map(|got| match got {
                        Stepped::Got(Some(entry)) => amount(entry),
                        _ => panic!("all accounts are there"),
                    })
                    .sum();
                assert_eq!(sum, ACCOUNTS * EACH);
            }
        });
        for writer in writers {
            writer.join().expect("no panic");
        }
        over.store(true, Ordering::Relaxed);
        reader.join().expect("no panic");
    });
    cache.validate();
}

/// A listener may call the cache: no lock is held then.
#[test]
fn a_listener_of_what_a_transaction_removes_may_use_the_cache() {
    let handle: Arc<OnceLock<Cache>> = Arc::default();
    let inside = Arc::clone(&handle);
    let cache = Cache::builder()
        .shards(8)
        .eviction_listener(move |key, _, _| {
            let cache = inside.get().expect("it is built");
            cache
                .set([&key[..], b"'"].concat(), "told", SetOptions::default())
                .expect("room");
        })
        .build()
        .expect("a cache");
    handle.set(cache.clone()).expect("once");
    let keys: Vec<_> = (0..20u8).map(|number| [number]).collect();
    for key in &keys {
        cache.set(key, "v", SetOptions::default()).expect("room");
    }
    let steps: Vec<_> = keys.iter().map(|key| Step::Remove { key }).collect();
    cache.transact(&[], &steps).expect("it fits");
    assert_eq!(cache.len(), 20);
    assert!(keys.iter().all(|key| cache.contains([key[0], b'\''])));
}

#[derive(Debug, Clone)]
enum Planned {
    Set(u8, u8),
    Remove(u8),
    Get(u8),
}

fn planned() -> impl Strategy<Value = Planned> {
    let key = 0..6u8;
    prop_oneof![
        (key.clone(), any::<u8>()).prop_map(|(key, value)| Planned::Set(key, value)),
        key.clone().prop_map(Planned::Remove),
        key.prop_map(Planned::Get),
    ]
}

proptest! {
    #[test]
    fn it_does_what_a_map_does(transactions in proptest::collection::vec(proptest::collection::vec(planned(), 0..8), 0..8)) {
        let cache = sharded();
        let mut map: HashMap<u8, u8> = HashMap::new();
        for planned in transactions {
            let bytes: Vec<([u8; 1], [u8; 1])> = planned.iter().map(|planned| match *planned {
                Planned::Set(key, value) => ([key], [value]),
                Planned::Remove(key) | Planned::Get(key) => ([key], [0]),
            }).collect();
            let steps: Vec<Step<'_>> = planned.iter().zip(&bytes).map(|(planned, (key, value))| match planned {
                Planned::Set(..) => set(key, value),
                Planned::Remove(_) => Step::Remove { key },
                Planned::Get(_) => Step::Get { key },
            }).collect();
            let done = cache.transact(&[], &steps).expect("it fits").expect("nothing is watched");
            for (planned, done) in planned.iter().zip(done) {
                match (planned.clone(), done) {
                    (Planned::Set(key, value), Stepped::Stored) => {
                        map.insert(key, value);
                    }
                    (Planned::Remove(key), Stepped::Removed(was_there)) => prop_assert_eq!(map.remove(&key).is_some(), was_there),
                    (Planned::Get(key), Stepped::Got(found)) => {
                        prop_assert_eq!(map.get(&key).copied(), found.map(|entry| entry.value[0]));
                    }
                    (planned, done) => prop_assert!(false, "{:?}: {:?}", planned, done),
                }
            }
            prop_assert_eq!(cache.len(), map.len() as u64);
        }
        cache.validate();
    }
}
