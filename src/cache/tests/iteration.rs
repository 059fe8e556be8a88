//! What an iterator gives, and what is removed by a condition, while others write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;

use super::super::payload::SHARED_FROM;
use super::super::{Cache, Expiry, RemovalCause, SetOptions, Tag, TimeLeft};
use super::{PLAIN, keys, millis, set, standing};

fn all(cache: &Cache) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (key, entry) in cache {
        let twice = found.insert(key.to_vec(), entry.value.to_vec());
        assert_eq!(twice, None, "{key:?} came twice");
    }
    found
}

#[test]
fn every_live_entry_comes_once_with_all_that_it_is() {
    for shards in [1, 8] {
        let (cache, hands) = standing(|b| b.shards(shards));
        for n in 0..3_000u32 {
            let options = SetOptions {
                tag: Tag(n as u8),
                ..SetOptions::ttl(millis(u64::from(n) + 1))
            };
            cache
                .set(n.to_string(), vec![n as u8; n as usize % 90], options)
                .unwrap();
        }
        cache.set("large", vec![7; SHARED_FROM], PLAIN).unwrap();
        hands.advance(millis(1_000));
        let mut seen = BTreeSet::new();
        for (key, entry) in cache.iter() {
            assert!(seen.insert(key.clone()), "{key:?} came twice");
            if key == "large" {
                assert_eq!(
                    (entry.value.len(), entry.time_left),
                    (SHARED_FROM, TimeLeft::Forever)
                );
                continue;
            }
            let n: u32 = std::str::from_utf8(&key).unwrap().parse().unwrap();
            assert_eq!(entry.value, vec![n as u8; n as usize % 90]);
            assert_eq!(entry.tag, Tag(n as u8));
            assert_eq!(entry.time_left, TimeLeft::Left(millis(u64::from(n) - 999)));
        }
        assert_eq!(seen.len(), 2_001);
        let reads = cache.stats();
        assert_eq!((reads.hits, reads.misses), (0, 0));
    }
}

#[test]
fn an_iterator_of_a_prefix_gives_what_is_under_it() {
    let (cache, _) = standing(|b| b);
    for n in 0..600 {
        set(
            &cache,
            &format!("{}:{n}", if n % 100 == 0 { "rare" } else { "other" }),
            "v",
        );
    }
    assert_eq!(cache.iter_prefix("rare:").count(), 6);
    assert_eq!(cache.iter_prefix("nothing").next(), None);
    let mut iter = cache.iter_prefix("rare:");
    assert!(iter.by_ref().count() == 6 && iter.next().is_none() && iter.size_hint() == (0, Some(0)));
}

#[test]
fn an_iterator_outlives_the_handle_it_came_from_and_holds_no_lock() {
    let cache = Cache::builder().shards(1).build().unwrap();
    for n in 0..1_000 {
        set(&cache, &n.to_string(), "v");
    }
    let mut iter = cache.iter();
    assert!(iter.next().is_some());
    // Between items, everything goes.
    for n in 0..1_000 {
        cache.remove(n.to_string());
    }
    cache.clear();
    drop(cache);
    // What was fetched comes; no more than a page.
    assert!(iter.count() < 300);
}

#[test]
fn what_is_there_throughout_comes_and_stays_while_others_write() {
    let cache = Cache::builder().shards(4).build().unwrap();
    for n in 0..1_000 {
        set(&cache, &format!("fixed:{n}"), "v");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..40_000u32 {
                let key = format!("coming:{}", n % 5_000);
                if n / 5_000 % 2 == 0 {
                    set(&cache, &key, "v");
                } else {
                    cache.remove(&key);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut rounds = 0;
        while rounds < 3 || !done.load(Ordering::Relaxed) {
            let found = all(&cache);
            assert_eq!(
                found.keys().filter(|key| key.starts_with(b"fixed:")).count(),
                1_000
            );
            cache.retain(|key, _| key.starts_with(b"fixed:"));
            rounds += 1;
        }
    });
    assert_eq!(cache.invalidate_if(|key, _| key.starts_with(b"fixed:")), 1_000);
    cache.validate();
}

#[test]
fn a_condition_may_call_the_cache_and_an_entry_that_it_writes_stays() {
    let (cache, _) = standing(|b| b);
    for key in ["a", "b", "c"] {
        set(&cache, key, "old");
    }
    let removed = cache.retain(|key, _| {
        let _ = (cache.len(), cache.get("c"));
        if key == b"b" {
            set(&cache, "b", "new");
        }
        false
    });
    assert_eq!(removed, 2);
    assert_eq!(keys(&cache), ["b"]);
    cache.validate();
}

#[test]
fn an_entry_whose_deadline_changes_after_a_condition_has_seen_it_stays() {
    let (cache, hands) = standing(|b| b);
    for key in ["kept", "written", "touched", "without"] {
        cache.set(key, "v", SetOptions::ttl(millis(5_000))).unwrap();
    }
    let removed = cache.invalidate_if(|key, _| {
        hands.advance(millis(1));
        match key {
            b"written" => set_again(&cache, "written"),
            b"touched" => assert!(cache.touch("touched", Expiry::After(millis(5_000)))),
            b"without" => assert!(cache.persist("without")),
            _ => {}
        }
        true
    });
    assert_eq!(removed, 1);
    assert_eq!(keys(&cache), ["touched", "without", "written"]);
    // Reading is no change, whether it keeps an entry from being idle or not.
    let (cache, hands) = standing(|b| b.time_to_idle(millis(5_000)));
    set(&cache, "idle", "v");
    let removed = cache.invalidate_if(|_, _| {
        hands.advance(millis(1));
        cache.get("idle").is_some()
    });
    assert_eq!(removed, 1);
}

fn set_again(cache: &Cache, key: &str) {
    cache.set(key, "v", SetOptions::ttl(millis(5_000))).unwrap();
}

#[test]
fn a_condition_that_panics_leaves_the_rest() {
    let (cache, _) = standing(|b| b);
    for n in 0..10 {
        set(&cache, &n.to_string(), "v");
    }
    let mut seen = 0;
    let panics = std::panic::AssertUnwindSafe(|| {
        cache.retain(|_, _| {
            seen += 1;
            if seen == 4 {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            false
        })
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(cache.len(), 7);
    cache.validate();
}

proptest! {
    #[test]
    fn exactly_what_the_condition_refuses_is_removed_and_told(
        entries in prop::collection::btree_map(any::<u16>(), 0usize..100, 0..600),
        shards in prop::sample::select(vec![1usize, 4]),
        modulus in 1usize..5,
    ) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let cache = Cache::builder()
            .shards(shards)
            .eviction_listener(move |key, entry, cause| drop(sender.send((key, entry.value, cause))))
            .build()
            .unwrap();
        for (key, &len) in &entries {
            cache.set(key.to_le_bytes(), vec![1; len], PLAIN).unwrap();
        }
        let removed = cache.retain(|_, entry| entry.value.len() % modulus == 0);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = entries
            .iter()
            .map(|(key, &len)| (key.to_le_bytes().to_vec(), vec![1; len]))
            .partition(|(_, value)| value.len() % modulus == 0);
        prop_assert_eq!(removed, gone.len() as u64);
        prop_assert_eq!(all(&cache), kept);
        let told: Vec<_> = receiver.try_iter().collect();
        prop_assert!(told.iter().all(|(_, _, cause)| *cause == RemovalCause::Removed));
        let told_of: BTreeMap<_, _> = told.iter().map(|(key, value, _)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!((told.len(), told_of), (gone.len(), gone));
        cache.validate();
    }
}
