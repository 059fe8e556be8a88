//! Several threads on one cache.

use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::{InsertOptions, Op, PolicyKind};

const THREADS: u64 = 4;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// Runs this on each of some threads at the same time.
fn together(work: impl Fn(u64, &mut Random) + Sync) {
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (work, barrier) = (&work, &barrier);
            scope.spawn(move || {
                barrier.wait();
                work(number, &mut Random(number + 1));
            });
        }
    });
}

#[test]
fn every_entry_that_was_stored_is_told_of_once_or_is_still_there() {
    for policy in PolicyKind::ALL {
        for shards in [1, 4] {
            let (builder, told) = listening(TypedCache::builder());
            let cache = builder
                .policy(policy)
                .shards(shards)
                .max_items(64)
                .build()
                .unwrap();
            let stored = Mutex::new(Vec::new());
            let next = AtomicU64::new(0);
            together(|_, random| {
                let mut mine = Vec::new();
                let new = || next.fetch_add(1, Ordering::Relaxed);
                for _ in 0..3_000 {
                    let key = random.below(100);
                    match random.below(12) {
                        0..5 => {
                            let value = new();
                            cache.insert(key, value);
                            mine.push((key, value));
                        }
                        5 => {
                            let value = new();
                            let soon = Duration::from_nanos(random.below(50_000) + 1);
                            cache.insert_with(key, value, InsertOptions::ttl(soon)).unwrap();
                            mine.push((key, value));
                        }
                        6 => {
                            cache.remove(&key);
                        }
                        7 => {
                            cache.retain(|other, _| *other != key);
                        }
                        8 => cache.run_pending(),
                        9 => {
                            let mut put = None;
                            let after = cache.entry(key).compute(|_| {
                                put = Some(new());
                                Op::Put(put.unwrap())
                            });
                            assert_eq!(after, put);
                            mine.push((key, put.unwrap()));
                        }
                        10 => {
                            cache.get_many(&[key, key + 1, key + 2]);
                        }
                        _ => {
                            cache.get(&key);
                        }
                    }
                }
                stored.lock().unwrap().append(&mut mine);
            });
            cache.validate();
            cache.clear();
            let mut told: Vec<_> = told
                .lock()
                .unwrap()
                .iter()
                .map(|&(key, value, _)| (key, value))
                .collect();
            let mut stored = stored.into_inner().unwrap();
            told.sort_unstable();
            stored.sort_unstable();
            assert_eq!(told, stored, "{policy} on {shards} shards");
        }
    }
}

#[test]
fn values_that_are_made_of_one_another_lose_nothing() {
    let cache = TypedCache::builder().build().unwrap();
    together(|_, random| {
        for _ in 0..2_000 {
            cache.entry(random.below(3)).upsert(|sum| sum.unwrap_or(0) + 1);
        }
    });
    let sum: u64 = cache.iter().map(|(_, sum)| sum).sum();
    assert_eq!(sum, THREADS * 2_000);
}

#[test]
fn all_get_the_value_of_whoever_was_first() {
    for _ in 0..200 {
        let cache = TypedCache::builder().build().unwrap();
        let got = Mutex::new(Vec::new());
        together(|number, _| {
            let value = cache.entry("key").or_insert_with(|| number);
            got.lock().unwrap().push(value);
        });
        let got = got.into_inner().unwrap();
        assert!(
            got.iter().all(|value| Some(*value) == cache.get("key")),
            "{got:?}"
        );
    }
}

#[test]
fn what_one_call_makes_leave_is_told_before_that_of_a_call_after_it() {
    let (builder, told) = listening(TypedCache::builder());
    let cache = builder.build().unwrap();
    // Each key is written by one thread alone: its calls come one after the other.
    together(|number, random| {
        for turn in 0..2_000 {
            cache.insert(number * 10 + random.below(5), turn);
        }
    });
    let mut last: HashMap<u64, u64> = HashMap::new();
    for &(key, value, cause) in &*told.lock().unwrap() {
        assert_eq!(cause, RemovalCause::Replaced);
        if let Some(before) = last.insert(key, value) {
            assert!(before < value, "{key}: {value} after {before}");
        }
    }
    assert!(!last.is_empty());
}

#[test]
fn no_thread_reads_what_was_not_there_when_it_looked() {
    let cache = TypedCache::builder().max_items(200).shards(2).build().unwrap();
    // A value says which key it belongs to, and grows with each write of the key.
    let written: Vec<AtomicU64> = (0..50).map(|_| AtomicU64::new(0)).collect();
    together(|number, random| {
        for _ in 0..5_000 {
            let key = random.below(50);
            let counter = &written[key as usize];
            if key % THREADS == number {
                let version = counter.load(Ordering::SeqCst) + 1;
                cache.insert(key, (key, version));
                counter.store(version, Ordering::SeqCst);
            } else {
                let least = counter.load(Ordering::SeqCst);
                if let Some((of, version)) = cache.get(&key) {
                    assert_eq!(of, key);
                    assert!(version >= least, "an older value than was there before");
                }
            }
        }
    });
    cache.validate();
}
