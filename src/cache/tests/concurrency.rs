//! What holds when many threads use one cache. Each loop is bounded by a count, so that a test takes longer on a slow machine and
//! fails on none.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::super::payload::SHARED_FROM;
use super::super::{Cache, CasOutcome, Condition, Cursor, Entry, Expiry, Page, ScanEntry, SetOptions, Stats};
use super::{PLAIN, millis};

/// Compiles only if a cache can be given to, and shared with, other threads.
#[test]
fn a_cache_and_what_it_gives_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Cache>();
    check::<Entry>();
    check::<(ScanEntry, Page, Cursor, Stats)>();
    check::<super::super::Error>();
}

fn sharded() -> Cache {
    Cache::builder().shards(4).build().unwrap()
}

#[test]
fn increments_from_many_threads_lose_nothing() {
    let cache = sharded();
    thread::scope(|scope| {
        for t in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..6_000i64 {
                    cache
                        .increment(format!("n{}", n % 3), 1 + t, Expiry::Never)
                        .unwrap();
                }
            });
        }
    });
    for n in 0..3 {
        assert_eq!(
            cache.increment(format!("n{n}"), 0, Expiry::Never),
            Ok(2_000 * (1 + 2 + 3 + 4))
        );
    }
}

#[test]
fn compare_and_set_has_exactly_one_winner_in_each_round() {
    const ROUNDS: usize = 300;
    let cache = sharded();
    let winners: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let together = Barrier::new(4);
    cache.set("k", "0", PLAIN).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (round, won) in winners.iter().enumerate() {
                    together.wait();
                    let next = (round + 1).to_string();
                    match cache
                        .compare_and_set("k", round.to_string(), next, PLAIN)
                        .unwrap()
                    {
                        CasOutcome::Stored => won.fetch_add(1, Ordering::Relaxed),
                        CasOutcome::Mismatch => 0,
                        CasOutcome::Missing => panic!("the key is there throughout"),
                    };
                    together.wait();
                }
            });
        }
    });
    assert!(winners.iter().all(|won| won.load(Ordering::Relaxed) == 1));
}

#[test]
fn only_one_thread_creates_and_only_one_takes() {
    let cache = sharded();
    let (created, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let only_new = SetOptions {
        condition: Condition::IfAbsent,
        ..PLAIN
    };
    let together = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..5_000 {
                    let stored = cache.set(n.to_string(), "v", only_new).unwrap();
                    created.fetch_add(usize::from(stored), Ordering::Relaxed);
                }
                together.wait();
                for n in 0..5_000 {
                    taken.fetch_add(
                        usize::from(cache.take(n.to_string()).is_some()),
                        Ordering::Relaxed,
                    );
                }
            });
        }
    });
    assert_eq!((created.into_inner(), taken.into_inner()), (5_000, 5_000));
}

fn scan_all(cache: &Cache, prefix: &str, limit: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let page = cache.scan(at, prefix, limit, true);
        for entry in page.entries {
            let twice = found.insert(entry.key.to_vec(), entry.value.unwrap().to_vec());
            assert_eq!(twice, None, "{:?} came twice", entry.key);
        }
        cursor = page.next;
    }
    found
}

#[test]
fn a_scan_gives_what_is_there_throughout_while_others_write() {
    const WRITES: usize = 40_000;
    let cache = sharded();
    for n in 0..2_000 {
        cache.set(format!("fixed:{n}"), n.to_string(), PLAIN).unwrap();
    }
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        for t in 0..2 {
            let (cache, written) = (&cache, &written);
            scope.spawn(move || {
                // Comes and goes in large numbers, so that the index splits and entries move from slot to slot; and overwrites.
                for n in 0..WRITES {
                    let n = n + t * 7;
                    if n / 5_000 % 2 == 0 {
                        cache
                            .set(format!("coming:{t}:{}", n % 5_000), "v", PLAIN)
                            .unwrap();
                    } else {
                        cache.remove(format!("coming:{t}:{}", n % 5_000));
                    }
                    if n % 8 == 0 {
                        cache
                            .set(format!("fixed:{}", n % 2_000), (n % 2_000).to_string(), PLAIN)
                            .unwrap();
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut scans = 0;
        while scans < 5 || written.load(Ordering::Relaxed) < 2 * WRITES {
            let found = scan_all(&cache, "fixed:", 1 + scans * 37);
            assert_eq!(found.len(), 2_000, "scan {scans}");
            for (key, value) in found {
                assert_eq!(key, [b"fixed:", value.as_slice()].concat());
            }
            let _ = scan_all(&cache, "", 100);
            scans += 1;
        }
    });
    cache.validate();
}

#[test]
fn clearing_under_load_loses_count_of_nothing() {
    let cache = sharded();
    thread::scope(|scope| {
        for t in 0..3 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..10_000 {
                    cache.set(format!("{t}:{n}"), "v", PLAIN).unwrap();
                    cache.get(format!("{t}:{}", n / 2));
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..40 {
                    match n % 3 {
                        0 => cache.clear_prefix("1:"),
                        _ => cache.clear(),
                    };
                    cache.validate();
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!(stats.inserts, 30_000);
    assert_eq!(stats.items, stats.inserts - stats.removals);
    assert_eq!(cache.clear(), stats.items);
    assert!(cache.is_empty() && cache.stats().bytes == 0);
    cache.validate();
}

/// Everything at once, on a small cache, so that evictions, expiry and large values meet.
#[test]
fn limits_and_structure_hold_under_everything_at_once() {
    let cache = Cache::builder()
        .shards(2)
        .max_items(300)
        .max_bytes(2 << 20)
        .build()
        .unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for t in 0..4u64 {
            let (cache, done) = (&cache, Arc::clone(&done));
            scope.spawn(move || {
                let mut random = t + 1;
                for _ in 0..15_000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let (key, choice) = (((random >> 33) % 700).to_string(), (random >> 50) % 16);
                    match choice {
                        0..5 => drop(cache.get(&key)),
                        5..9 => assert_eq!(cache.set(&key, &key, SetOptions::ttl(millis(choice))), Ok(true)),
                        9 => assert_eq!(cache.set(&key, vec![7; SHARED_FROM], PLAIN), Ok(true)),
                        10 => drop(cache.remove(&key)),
                        11 => drop(cache.take(&key)),
                        12 => drop(cache.touch(&key, Expiry::After(millis(20)))),
                        13 => drop(cache.get_many([&key, "1", "2", "3"])),
                        14 => drop(cache.set_many([(&key, "x", PLAIN), (&key, "y", PLAIN)])),
                        _ => drop(cache.scan(Cursor::default(), "", 20, true)),
                    }
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        while done.load(Ordering::Relaxed) < 4 {
            cache.validate();
            let stats = cache.stats();
            assert!(stats.items <= 300 && stats.bytes <= 2 << 20, "{stats:?}");
        }
    });
    cache.validate();
}
