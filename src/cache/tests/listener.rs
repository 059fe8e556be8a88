//! What an eviction listener may rely on, and what it cannot break.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use super::super::{
    Cache, CasOutcome, Clock, Error, Expiry, ManualClock, Observed, Observer, RemovalCause, SetOptions,
    TimeLeft,
};
use super::{PLAIN, eventually, millis, set};
use crate::Op;

type Told = Arc<Mutex<Vec<(String, String, RemovalCause)>>>;

/// A cache on a clock that stands still, and what its listener was told.
fn listened(
    configure: impl FnOnce(super::super::Builder) -> super::super::Builder,
) -> (Cache, Told, ManualClock) {
    let (clock, hands) = Clock::manual();
    let told = Told::default();
    let telling = Arc::clone(&told);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let builder = configure(Cache::builder().clock(clock).shards(1));
    let cache = builder
        .eviction_listener(move |key, entry, cause| {
            let gone = (text(&key), text(&entry.value), cause);
            telling.lock().unwrap().push(gone);
        })
        .build()
        .unwrap();
    (cache, told, hands)
}

fn take(told: &Told) -> Vec<(String, RemovalCause)> {
    let told = std::mem::take(&mut *told.lock().unwrap());
    told.into_iter().map(|(key, _, cause)| (key, cause)).collect()
}

#[test]
fn each_way_of_leaving_is_told_with_its_cause_before_the_call_returns() {
    type Leave = fn(&Cache, &ManualClock);
    let ways: [(&str, RemovalCause, Leave); 17] = [
        ("set", RemovalCause::Replaced, |cache, _| set(cache, "k", "new")),
        ("set_many", RemovalCause::Replaced, |cache, _| {
            cache.set_many([("k", "new", PLAIN)]);
        }),
        ("increment", RemovalCause::Replaced, |cache, _| {
            assert_eq!(cache.increment("k", 1, Expiry::Never), Ok(8));
        }),
        ("compare_and_set", RemovalCause::Replaced, |cache, _| {
            assert_eq!(
                cache.compare_and_set("k", "7", "8", PLAIN),
                Ok(CasOutcome::Stored)
            );
        }),
        ("remove", RemovalCause::Removed, |cache, _| {
            assert!(cache.remove("k"));
        }),
        ("remove_many", RemovalCause::Removed, |cache, _| {
            cache.remove_many(["k"]);
        }),
        ("take", RemovalCause::Removed, |cache, _| drop(cache.take("k"))),
        ("retain", RemovalCause::Removed, |cache, _| {
            assert_eq!(cache.retain(|_, _| false), 1);
        }),
        ("touch", RemovalCause::Removed, |cache, _| {
            assert!(cache.touch("k", Expiry::At(0)));
        }),
        ("set what expires at once", RemovalCause::Removed, |cache, _| {
            cache.set("k", "v", SetOptions::ttl(Duration::ZERO)).unwrap();
        }),
        ("set what never fits", RemovalCause::Removed, |cache, _| {
            cache.set("k", [0; 9_000], PLAIN).unwrap_err();
        }),
        ("clear", RemovalCause::Cleared, |cache, _| {
            assert_eq!(cache.clear(), 1);
        }),
        ("clear_prefix", RemovalCause::Cleared, |cache, _| {
            assert_eq!(cache.clear_prefix("k"), 1);
        }),
        ("too many", RemovalCause::MaxItems, |cache, _| {
            for key in ["a", "b", "c"] {
                set(cache, key, "v");
            }
        }),
        ("too much", RemovalCause::MaxWeight, |cache, _| {
            cache.set("a", [0; 7_000], PLAIN).unwrap();
        }),
        ("expired and read", RemovalCause::Expired, |cache, hands| {
            assert!(cache.touch("k", Expiry::After(millis(1))));
            hands.advance(millis(1));
            assert!(cache.get("k").is_none());
        }),
        ("expired", RemovalCause::Expired, |cache, hands| {
            assert!(cache.touch("k", Expiry::After(millis(1))));
            hands.advance(millis(1));
            cache.run_pending();
        }),
    ];
    for (name, cause, leave) in ways {
        let (cache, told, hands) = listened(|b| b.max_items(3).max_bytes(8_000));
        // Charged enough for nothing of 7000 bytes to fit beside it.
        let value = if name == "too much" {
            "x".repeat(2_000)
        } else {
            "7".to_owned()
        };
        set(&cache, "k", &value);
        leave(&cache, &hands);
        let told: Vec<_> = std::mem::take(&mut *told.lock().unwrap());
        assert_eq!(told, [("k".to_owned(), value, cause)], "{name}");
        cache.validate();
    }
}

#[test]
fn what_was_not_stored_does_not_leave() {
    let (cache, told, _) = listened(|b| b.max_bytes(8_000));
    cache.set("k", [0; 9_000], PLAIN).unwrap_err();
    cache.set("k", "v", SetOptions::ttl(Duration::ZERO)).unwrap();
    assert!(!cache.remove("k") && cache.take("k").is_none() && cache.get("k").is_none());
    assert_eq!(take(&told), []);
}

#[test]
fn expired_entries_have_no_time_left_and_others_what_they_had() {
    let (sender, receiver) = mpsc::channel();
    let (clock, hands) = Clock::manual();
    let cache = Cache::builder()
        .clock(clock)
        .eviction_listener(move |_, entry, cause| sender.send((cause, entry.time_left)).unwrap())
        .build()
        .unwrap();
    for key in ["removed", "expired"] {
        cache.set(key, "v", SetOptions::ttl(millis(10))).unwrap();
    }
    hands.advance(millis(4));
    cache.remove("removed");
    hands.advance(millis(6));
    cache.run_pending();
    let told: Vec<_> = receiver.try_iter().collect();
    assert_eq!(
        told,
        [
            (RemovalCause::Removed, TimeLeft::Left(millis(6))),
            (RemovalCause::Expired, TimeLeft::Left(Duration::ZERO)),
        ]
    );
}

#[test]
fn what_expired_before_a_clear_is_told_as_expired() {
    let (cache, told, hands) = listened(|b| b);
    cache.set("short", "v", SetOptions::ttl(millis(1))).unwrap();
    set(&cache, "long", "v");
    hands.advance(millis(1));
    assert_eq!(cache.clear(), 2);
    let mut told = take(&told);
    told.sort();
    assert_eq!(
        told,
        [
            ("long".to_owned(), RemovalCause::Cleared),
            ("short".to_owned(), RemovalCause::Expired),
        ]
    );
}

#[test]
fn the_background_thread_tells_of_what_nobody_reads() {
    let (sender, receiver) = mpsc::channel();
    let cache = Cache::builder()
        .eviction_listener(move |key, _, cause| sender.send((key, cause)).unwrap())
        .build()
        .unwrap();
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    let told = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!((&told.0[..], told.1), (&b"k"[..], RemovalCause::Expired));
}

/// A listener that calls every operation of the cache that it listens to.
fn meddling(shards: usize) -> (Cache, Arc<AtomicUsize>) {
    let cache = Arc::new(OnceLock::<Cache>::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let (its, counting) = (Arc::clone(&cache), Arc::clone(&calls));
    let built = Cache::builder()
        .shards(shards)
        .max_items(4 * shards as u64)
        .eviction_listener(move |key, entry, cause| {
            counting.fetch_add(1, Ordering::Relaxed);
            let cache = its.get().unwrap();
            let _ = (
                cache.get("1"),
                cache.len(),
                cache.stats(),
                cache.get_many(["1", "2"]),
            );
            // One thing that makes others leave, and comes to an end.
            match cause {
                RemovalCause::MaxItems if !key.starts_with(b"second:") => {
                    let key = [b"second:", &key[..]].concat();
                    cache.set(key, &entry.value, PLAIN).unwrap();
                }
                RemovalCause::Cleared => drop(cache.remove("1")),
                _ => {}
            }
            cache.retain(|key, _| key != b"unwanted");
        })
        .build()
        .unwrap();
    cache.set(built.clone()).unwrap();
    (built, calls)
}

#[test]
fn a_listener_may_call_the_cache_from_many_threads_at_once() {
    for shards in [1, 4] {
        let (cache, calls) = meddling(shards);
        thread::scope(|scope| {
            for t in 0..4 {
                let cache = &cache;
                scope.spawn(move || {
                    for n in 0..500 {
                        set(cache, &format!("{t}:{n}"), "v");
                        set(cache, "unwanted", "v");
                        if n % 50 == 0 {
                            cache.clear();
                            cache.clear_prefix("1");
                        }
                    }
                });
            }
        });
        cache.validate();
        let stats = cache.stats();
        let left = stats.evictions_by_items + stats.removals + stats.updates;
        assert_eq!(calls.load(Ordering::Relaxed) as u64, left, "{stats:?}");
    }
}

#[test]
fn a_listener_that_causes_departures_is_not_called_from_within_itself() {
    let cache = Arc::new(OnceLock::<Cache>::new());
    let depth = Arc::new(AtomicUsize::new(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let (its, deep, counting) = (Arc::clone(&cache), Arc::clone(&depth), Arc::clone(&calls));
    let built = Cache::builder()
        .max_items(1)
        .eviction_listener(move |_, _, _| {
            assert_eq!(deep.fetch_add(1, Ordering::Relaxed), 0, "nested");
            // A hundred thousand of these, one within the other, would be too much for any stack.
            if counting.fetch_add(1, Ordering::Relaxed) < 100_000 {
                let key = counting.load(Ordering::Relaxed).to_string();
                its.get().unwrap().set(key, "v", PLAIN).unwrap();
            }
            deep.fetch_sub(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    cache.set(built.clone()).unwrap();
    set(&built, "a", "v");
    set(&built, "b", "v");
    assert_eq!(calls.load(Ordering::Relaxed), 100_001);
}

#[test]
fn a_listener_that_panics_harms_nobody_and_is_called_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&calls);
    let cache = Cache::builder()
        .shards(1)
        .max_items(2)
        .eviction_listener(move |_, _, _| {
            counting.fetch_add(1, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("on purpose"));
        })
        .build()
        .unwrap();
    for n in 0..10 {
        set(&cache, &n.to_string(), "v");
    }
    assert_eq!(cache.clear(), 2);
    set(&cache, "k", "v");
    assert_eq!(cache.get("k").unwrap().value, "v");
    assert_eq!(calls.load(Ordering::Relaxed), 10);
    cache.validate();
    // On the background thread as well.
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    eventually("it is told", || calls.load(Ordering::Relaxed) == 12);
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    eventually("it is told again", || calls.load(Ordering::Relaxed) == 13);
}

#[test]
fn each_entry_that_leaves_is_told_once_whoever_removes_it() {
    let told: Arc<Mutex<BTreeMap<Vec<u8>, usize>>> = Arc::default();
    let telling = Arc::clone(&told);
    let cache = Cache::builder()
        .shards(2)
        .max_items(100)
        .eviction_listener(move |_, entry, _| {
            *telling.lock().unwrap().entry(entry.value.to_vec()).or_default() += 1;
        })
        .build()
        .unwrap();
    // Each value is written once.
    thread::scope(|scope| {
        for t in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..4_000u32 {
                    let options = if n % 3 == 0 {
                        SetOptions::ttl(millis(1))
                    } else {
                        PLAIN
                    };
                    let key = (n * 7 % 150).to_string();
                    cache.set(&key, format!("{t}:{n}"), options).unwrap();
                    match n % 11 {
                        0 => drop(cache.remove(&key)),
                        1 => drop(cache.take(&key)),
                        2 => drop(cache.retain(|_, entry| !entry.value.ends_with(b"5"))),
                        3 if n % 100 == 3 => drop(cache.clear()),
                        _ => drop(cache.get((n % 150).to_string())),
                    }
                }
            });
        }
    });
    cache.clear();
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 16_000);
    assert!(told.values().all(|&times| times == 1));
}

#[test]
fn the_listener_is_let_go_with_the_cache() {
    let held = Arc::new(());
    let its = Arc::clone(&held);
    let cache = Cache::builder()
        .eviction_listener(move |_, _, _| drop(Arc::clone(&its)))
        .build()
        .unwrap();
    set(&cache, "k", "v");
    cache.clear();
    drop(cache);
    assert_eq!(Arc::strong_count(&held), 1);
}

/// Writes down when something was to be kept.
#[derive(Debug)]
struct Keeper(Arc<Mutex<Vec<&'static str>>>);

impl Observer for Keeper {
    fn changed(&self, _: &Observed<'_>) {}

    fn settle(&self) -> Result<(), Error> {
        self.0.lock().unwrap().push("kept");
        Ok(())
    }
}

#[test]
fn a_change_is_kept_before_the_listener_is_told_what_left_by_it() {
    type Leave = fn(&Cache);
    let ways: [(&str, Leave); 11] = [
        ("set", |cache| set(cache, "k", "new")),
        ("set_many", |cache| {
            cache.set_many([("k", "new", PLAIN)]);
        }),
        ("increment", |cache| {
            cache.increment("k", 1, Expiry::Never).unwrap();
        }),
        ("compare_and_set", |cache| {
            cache.compare_and_set("k", "7", "8", PLAIN).unwrap();
        }),
        ("entry", |cache| {
            cache.entry("k").compute(|_| Op::<&str>::Remove).unwrap();
        }),
        ("remove", |cache| assert!(cache.remove("k"))),
        ("remove_many", |cache| {
            cache.remove_many(["k"]);
        }),
        ("take", |cache| drop(cache.take("k"))),
        ("retain", |cache| {
            cache.retain(|_, _| false);
        }),
        ("clear", |cache| {
            cache.clear();
        }),
        ("clear_prefix", |cache| {
            cache.clear_prefix("k");
        }),
    ];
    for (name, leave) in ways {
        let happened = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&happened);
        let cache = Cache::builder()
            .eviction_listener(move |_, _, _| told.lock().unwrap().push("told"))
            .build()
            .unwrap();
        let keeper: Arc<dyn Observer> = Arc::new(Keeper(Arc::clone(&happened)));
        cache.keep(&keeper);
        set(&cache, "k", "7");
        happened.lock().unwrap().clear();

        leave(&cache);
        let mut happened = std::mem::take(&mut *happened.lock().unwrap());
        // A prefix is written before what is under it.
        happened.dedup();
        assert_eq!(happened, ["kept", "told"], "{name}");
    }
}
