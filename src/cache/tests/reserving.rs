//! Room for one entry that needs the place of many is made in slices, and nobody else takes it meanwhile.

use super::super::clock::NEVER;
use super::super::locked::EVICTED_TOGETHER;
use super::super::payload::Draft;
use super::super::shard::{Deadline, Reserved};
use super::super::{Cache, Condition, SetOptions, Tag};
use super::{PLAIN, set, standing};

const LARGE: usize = 512 << 10;

/// A full cache of one shard.
fn full() -> Cache {
    let (cache, _) = standing(|b| b.max_bytes(1 << 20));
    let mut n = 0u32;
    while cache.stats().evictions_by_bytes == 0 {
        set(&cache, &n.to_string(), "v");
        n += 1;
    }
    cache
}

fn begin(cache: &Cache, key: &str, value: &[u8], condition: Condition) -> Reserved {
    let (shard, key) = cache.hashed(key.as_bytes());
    let draft = Draft::new(key.key, value, Tag::BYTES);
    let mut held = cache.inner.shards[shard].hold();
    held.begin_reserving(key.hash, &draft, Deadline::At(NEVER), condition, 0)
}

#[test]
fn no_hold_of_the_lock_evicts_more_than_a_slice_for_it() {
    let cache = full();
    let reserved = begin(&cache, "large", &[0; LARGE], Condition::Always);
    assert!(reserved.bytes > LARGE as u64);
    let mut slices = 0;
    loop {
        let before = cache.len();
        let more = cache.inner.shards[0]
            .hold()
            .make_reserved_room(reserved, EVICTED_TOGETHER, 0);
        assert!(before - cache.len() <= u64::from(EVICTED_TOGETHER));
        slices += 1;
        if !more {
            break;
        }
    }
    assert!(slices > 10, "{slices}");
    // What others write meanwhile does not take it.
    for n in 0..20_000u32 {
        set(&cache, &format!("other {n}"), "v");
    }
    assert!(cache.stats().bytes + reserved.bytes <= 1 << 20);
    cache.inner.shards[0].hold().end_reserving(reserved);
    let before = cache.len();
    cache.set("large", [0; LARGE], PLAIN).unwrap();
    assert_eq!(cache.len(), before + 1, "there was room");
    cache.validate();
}

#[test]
fn nothing_goes_for_what_is_not_stored() {
    let cache = full();
    set(&cache, "there", "v");
    let items = cache.len();
    let if_absent = SetOptions {
        condition: Condition::IfAbsent,
        ..PLAIN
    };
    let if_present = SetOptions {
        condition: Condition::IfPresent,
        ..PLAIN
    };
    assert_eq!(cache.set("there", [0; LARGE], if_absent), Ok(false));
    assert_eq!(cache.set("absent", [0; LARGE], if_present), Ok(false));
    assert!(cache.set("absent", vec![0; 2 << 20], PLAIN).is_err());
    cache
        .compare_and_set("there", "other", [0; LARGE], PLAIN)
        .unwrap();
    assert_eq!(cache.len(), items);
    // And nothing is kept free for it afterwards.
    set(&cache, "one more", "v");
    assert!(cache.len() >= items);
    cache.validate();
}

#[test]
fn an_overwrite_makes_room_for_the_difference_alone_and_keeps_its_entry() {
    let (cache, _) = standing(|b| b.max_bytes(1 << 20));
    cache.set("large", [1; LARGE], PLAIN).unwrap();
    let mut n = 0u32;
    while cache.stats().evictions_by_bytes == 0 {
        cache.get("large");
        set(&cache, &n.to_string(), "v");
        n += 1;
    }
    let before = cache.len();
    assert_eq!(begin(&cache, "large", &[2; LARGE], Condition::Always).bytes, 0);
    cache.set("large", [2; LARGE], PLAIN).unwrap();
    assert_eq!(cache.len(), before);
    // The oldest entry of all, and one that grows.
    for m in 0..n {
        cache.get(m.to_string());
    }
    cache.set("large", [3; LARGE + (100 << 10)], PLAIN).unwrap();
    assert_eq!(cache.get("large").unwrap().value, [3; LARGE + (100 << 10)]);
    assert_eq!(cache.stats().updates, 2);
    cache.validate();
}

#[test]
fn a_cache_that_is_full_of_large_entries_holds_its_limit_whoever_writes() {
    let (cache, _) = standing(|b| b.max_bytes(4 << 20).shards(1));
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..200u32 {
                    let len = if n % 3 == 0 { LARGE } else { 20 };
                    let key = format!("{thread} {}", n % 50);
                    cache.set(key, vec![thread; len], SetOptions::default()).unwrap();
                }
            });
        }
    });
    assert!(cache.stats().bytes <= 4 << 20);
    cache.validate();
    // Nothing is left reserved.
    let mut n = 0u32;
    let evictions = cache.stats().evictions_by_bytes;
    while cache.stats().evictions_by_bytes == evictions {
        set(&cache, &format!("small {n}"), "v");
        n += 1;
    }
    assert!(cache.stats().bytes > (4 << 20) - 1024);
}
