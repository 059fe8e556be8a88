//! Memory of entries that are gone comes back, whatever way they went: seen in the pages that a shard has, so that it depends on no allocator.

use super::super::{Cache, SetOptions};
use super::{PLAIN, eventually, millis, standing};

const LENS: [usize; 4] = [4, 8, 16, 24];

/// Bytes of the pages of a cache of one shard.
fn memory(cache: &Cache) -> usize {
    cache.inner.shards[0].hold().memory()
}

/// Few per cent more than what is held, one page for each size that the test has, and those in reserve.
fn enough_for(payload: usize, sizes: usize) -> usize {
    payload * 110 / 100 + (sizes + 5) * (64 << 10)
}

/// Writes entries of which every other one expires at once, has them go in some way, and looks at what pages are left.
fn every_other_expires(go: impl FnOnce(&Cache)) {
    let (cache, hands) = standing(|builder| builder);
    let mut left = 0;
    for n in 0..320_000u32 {
        cache.set(n.to_le_bytes(), [0; 40], PLAIN).unwrap();
    }
    // Overwritten in another order, so that what expires together does not lie together.
    for i in 0..320_000u64 {
        let n = (i * 7_919 % 320_000) as u32;
        let len = LENS[n as usize / 2 % LENS.len()];
        let options = if n.is_multiple_of(2) {
            left += len + 8;
            PLAIN
        } else {
            SetOptions::ttl(millis(1_000))
        };
        cache.set(n.to_le_bytes(), vec![0; len], options).unwrap();
    }
    hands.advance(millis(1_000));
    go(&cache);
    assert_eq!(cache.len(), 160_000);
    cache.validate();
    // The housekeeper may have begun with what the readers left, and does the rest when it comes by again.
    eventually("pages are given back", || {
        memory(&cache) <= enough_for(left, LENS.len())
    });
}

#[test]
fn pages_are_given_back_when_entries_of_many_sizes_have_expired_and_nothing_follows() {
    every_other_expires(Cache::run_pending);
}

#[test]
fn pages_are_given_back_when_reads_meet_what_has_expired() {
    every_other_expires(|cache| {
        for n in (1..320_000u32).step_by(2) {
            assert_eq!(cache.get(n.to_le_bytes()), None);
        }
    });
}

#[test]
fn pages_do_not_grow_without_end_while_most_of_what_is_written_expires_soon() {
    let limit = 16 << 20;
    let (cache, hands) = standing(|builder| builder.max_bytes(limit));
    let mut n = 0u32;
    let mut most = 0;
    // Other lengths again and again: pages of those before are held by the few that last.
    for phase in 0..40 {
        for _ in 0..10_000 {
            let options = if n.is_multiple_of(200) {
                PLAIN
            } else {
                SetOptions::ttl(millis(500))
            };
            cache
                .set(n.to_le_bytes(), vec![0; 60 + phase * 16], options)
                .unwrap();
            n += 1;
            if n.is_multiple_of(2_500) {
                hands.advance(millis(250));
                cache.inner.reclaim(false);
                most = most.max(memory(&cache));
            }
        }
    }
    cache.validate();
    assert!(
        most <= enough_for(usize::try_from(limit).unwrap(), LENS.len()),
        "{most} bytes of pages where {limit} are the limit"
    );
}

#[test]
fn pages_are_given_back_as_fast_as_large_entries_push_small_ones_out() {
    let (cache, _) = standing(|builder| builder.max_bytes(8 << 20));
    let len = 68;
    let mut n = 0u32;
    while cache.stats().evictions_by_bytes == 0 {
        cache.set(n.to_le_bytes(), vec![0; len], PLAIN).unwrap();
        n += 1;
    }
    // What goes next lies all over the pages.
    for i in 0..n {
        cache.get((i.wrapping_mul(7_919) % n).to_le_bytes());
    }
    for i in 0..100 {
        cache.set(format!("large {i}"), vec![0; 60_000], PLAIN).unwrap();
        let left = (cache.len() as usize - i - 1) * (len + 8);
        let held = memory(&cache);
        assert!(
            held <= enough_for(left, 1),
            "after {i} large ones: {held} bytes of pages for {left}"
        );
    }
    cache.validate();
}

#[test]
fn entries_removed_one_by_one_leave_nothing_behind() {
    removed_one_by_one(200_000);
}

#[test]
#[ignore = "takes a gigabyte and a minute and a half"]
fn ten_million_entries_removed_one_by_one_leave_nothing_behind() {
    removed_one_by_one(10_000_000);
}

fn removed_one_by_one(entries: u32) {
    let (cache, _) = standing(|builder| builder);
    // Every seventh has a deadline; every 64th has a key that makes it a large entry.
    let key = |n: u32| match n % 64 {
        0 => format!("{n:0300}"),
        _ => n.to_string(),
    };
    for n in 0..entries {
        let options = if n % 7 == 0 {
            SetOptions::ttl(millis(1_000))
        } else {
            PLAIN
        };
        cache.set(key(n), [0; 20], options).unwrap();
    }
    assert_eq!(cache.len(), u64::from(entries));
    // In another order than they came: 7919 divides neither number.
    for i in 0..entries {
        let n = (u64::from(i) * 7_919 % u64::from(entries)) as u32;
        assert!(cache.remove(key(n)), "{n} was not there");
        if i % (entries / 8) == 0 {
            cache.validate();
            let left = cache.len() as usize * 32;
            assert!(
                memory(&cache) <= enough_for(left, 2),
                "{} bytes of pages for {left}",
                memory(&cache)
            );
        }
    }
    cache.validate();
    let stats = cache.stats();
    assert_eq!((stats.items, stats.bytes, stats.items_with_deadline), (0, 0, 0));
    assert!(memory(&cache) <= enough_for(0, 0));
}

#[test]
fn many_small_shards_take_no_more_than_is_promised_beyond_what_is_charged() {
    const MAX_BYTES: usize = 32 << 20;
    let builder = Cache::builder().max_bytes(MAX_BYTES as u64).shards(64);
    let cache = builder.build().unwrap();
    let value = vec![7; 4_000];
    let mut random = 42u64;
    // Of each size class about as many bytes, so that each shard has pages of all of them.
    for n in 0..400_000u32 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let len = (4_000 >> (random >> 60 & 7)) * (random >> 33 & 1023) / 1024;
        cache
            .set((n % 100_000).to_le_bytes(), &value[..len as usize], PLAIN)
            .unwrap();
    }
    let pages: usize = cache.inner.shards.iter().map(|shard| shard.hold().memory()).sum();
    // Half of what may come on top is for tables and the allocator.
    let most = MAX_BYTES * 110 / 100 + (16 << 20);
    assert!(
        pages <= most,
        "{} KiB of pages, and {} KiB are enough",
        pages >> 10,
        most >> 10
    );
    cache.validate();
}
