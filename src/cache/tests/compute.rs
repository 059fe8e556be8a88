//! What holds of an entry that is changed by a closure, whoever comes between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::super::payload::SHARED_FROM;
use super::super::typed::Op;
use super::super::{Cache, Computed, Error, Expiry, SetOptions, Tag, TimeLeft};
use super::{PLAIN, millis, set, standing, text};

#[test]
fn additions_from_many_threads_lose_nothing_and_run_without_a_lock() {
    // Small, packed, and shared by reference.
    for padding in [0, 500, SHARED_FROM] {
        let cache = Cache::builder().shards(2).build().unwrap();
        let calls = AtomicUsize::new(0);
        let rounds = if padding < SHARED_FROM { 1_000 } else { 200 };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let written = cache.entry("n").upsert(|found| {
                            calls.fetch_add(1, Ordering::Relaxed);
                            // It may call the cache.
                            let _ = (cache.len(), cache.contains("n"));
                            let number = found.map_or(0, |entry| {
                                u32::from_le_bytes(entry.value[..4].try_into().unwrap())
                            });
                            let mut value = (number + 1).to_le_bytes().to_vec();
                            value.resize(4 + padding, 0);
                            value
                        });
                        written.unwrap();
                    }
                });
            }
        });
        let value = cache.get("n").unwrap().value;
        assert_eq!(value[..4], (4 * rounds as u32).to_le_bytes(), "{padding}");
        assert!(calls.into_inner() >= 4 * rounds);
        cache.validate();
    }
}

#[test]
fn a_decision_is_taken_anew_when_somebody_came_between() {
    let cache = Cache::builder().build().unwrap();
    set(&cache, "k", "old");
    let mut seen = Vec::new();
    let found = cache.entry("k").compute(|found| {
        seen.push(text(found.cloned()));
        match seen.len() {
            1 => set(&cache, "k", "changed"),
            2 => assert!(cache.remove("k")),
            3 => set(&cache, "k", "back"),
            // The same bytes as another thing.
            4 => drop(cache.set(
                "k",
                "back",
                SetOptions {
                    tag: Tag::TEXT,
                    ..PLAIN
                },
            )),
            _ => {}
        }
        Op::Put("mine")
    });
    let texts = [Some("old"), Some("changed"), None, Some("back"), Some("back")];
    assert_eq!(seen, texts.map(|text| text.map(str::to_owned)));
    assert!(
        matches!(found, Ok(Computed::Replaced { value: "mine", .. })),
        "{found:?}"
    );
    assert_eq!(text(cache.get("k")), Some("mine".to_owned()));
}

#[test]
fn a_removal_does_not_take_what_was_written_meanwhile() {
    let cache = Cache::builder().build().unwrap();
    set(&cache, "k", "old");
    let found = cache
        .entry("k")
        .compute(|found| match text(found.cloned()).as_deref() {
            Some("old") => {
                set(&cache, "k", "new");
                Op::<&str>::Remove
            }
            _ => Op::Keep,
        });
    assert!(matches!(found, Ok(Computed::Unchanged(_))), "{found:?}");
    assert_eq!(text(cache.get("k")), Some("new".to_owned()));
}

#[test]
fn what_became_of_it_is_told() {
    let (cache, _) = standing(|b| b);
    let compute = |op: Op<&'static str>| cache.entry("k").compute(|_| op).unwrap();
    assert_eq!(compute(Op::Keep), Computed::StillAbsent);
    assert_eq!(compute(Op::Remove), Computed::StillAbsent);
    assert_eq!(compute(Op::Put("a")), Computed::Inserted("a"));
    let before = cache.get("k").unwrap();
    assert_eq!(compute(Op::Keep), Computed::Unchanged(before.clone()));
    assert_eq!(
        compute(Op::Put("b")),
        Computed::Replaced {
            before: before.clone(),
            value: "b"
        }
    );
    assert!(matches!(compute(Op::Remove), Computed::Removed(entry) if entry.value == "b"));
    assert!(cache.is_empty());
    cache.validate();
}

#[test]
fn its_ttl_is_that_of_the_options_and_can_be_kept() {
    let (cache, hands) = standing(|b| b);
    let upsert = |expiry| {
        cache.entry("k").expiry(expiry).upsert(|_| "v").unwrap();
        cache.time_left("k").unwrap()
    };
    assert_eq!(upsert(Expiry::After(millis(10))), TimeLeft::Left(millis(10)));
    hands.advance(millis(4));
    assert_eq!(upsert(Expiry::Keep), TimeLeft::Left(millis(6)));
    assert_eq!(upsert(Expiry::Never), TimeLeft::Forever);
}

#[test]
fn an_entry_that_expires_while_it_is_decided_about_is_absent() {
    let (cache, hands) = standing(|b| b);
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    let mut seen = Vec::new();
    let found = cache.entry("k").compute(|found| {
        seen.push(found.is_some());
        hands.advance(millis(1));
        Op::Put("w")
    });
    assert_eq!((found, seen), (Ok(Computed::Inserted("w")), vec![true, false]));
}

#[test]
fn a_closure_that_panics_changes_nothing() {
    let cache = Cache::builder().build().unwrap();
    set(&cache, "k", "v");
    let panics = std::panic::AssertUnwindSafe(|| {
        let _ = cache
            .entry("k")
            .compute(|_| -> Op<&str> { std::panic::resume_unwind(Box::new("on purpose")) });
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(text(cache.get("k")), Some("v".to_owned()));
    cache.validate();
}

#[test]
fn what_is_refused_is_refused_as_by_set() {
    let (cache, _) = standing(|b| b.max_key_bytes(4).max_value_bytes(8));
    let long = cache.entry("too long").upsert(|_| "v");
    assert_eq!(long, Err(Error::KeyTooLong { len: 8, max: 4 }));
    let large = cache.entry("k").or_insert("123456789");
    assert_eq!(large, Err(Error::ValueTooLong { len: 9, max: 8 }));
    assert!(cache.is_empty());
}

#[test]
fn what_is_inserted_if_absent_is_everybodys() {
    let cache = Cache::builder().shards(2).build().unwrap();
    thread::scope(|scope| {
        let found: Vec<_> = (0..4)
            .map(|t| {
                let cache = &cache;
                scope.spawn(move || {
                    let insert = |n: u32| {
                        cache
                            .entry(n.to_string())
                            .or_insert_with(|| format!("{t}"))
                            .unwrap()
                    };
                    (0..1_000).map(insert).collect::<Vec<_>>()
                })
            })
            .collect();
        let found: Vec<_> = found.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(found.iter().all(|values| *values == found[0]));
    });
}

#[test]
fn it_is_one_read_and_one_write() {
    let cache = Cache::builder().build().unwrap();
    cache.entry("k").upsert(|_| "v").unwrap();
    cache.entry("k").upsert(|_| "v").unwrap();
    let stats = cache.stats();
    assert_eq!(
        (stats.hits, stats.misses, stats.inserts, stats.updates),
        (1, 1, 1, 1)
    );
}
