//! What a batch does with time, with locks, and in which order.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::*;
use crate::cache::{Observed, Observer};
use crate::{CasOutcome, Clock, Cursor, Expiry, ManualClock, TimeLeft};

const MILLI: Duration = Duration::from_millis(1);

/// A cache of two shards and its hands; 64 keys in it have a millisecond to live.
fn expiring() -> (Cache, ManualClock) {
    let (clock, hands) = Clock::manual();
    let cache = Cache::builder().clock(clock).shards(2).build().unwrap();
    for key in keys() {
        cache.set(&key, "7", SetOptions::ttl(MILLI)).unwrap();
    }
    (cache, hands)
}

fn keys() -> Vec<String> {
    (0..BATCH_SLICE).map(|key| key.to_string()).collect()
}

fn key_of(cache: &Cache, shard: usize) -> String {
    let mut keys = keys().into_iter();
    // One that no other begins with.
    let key = keys.find(|key| key.len() == 2 && cache.hashed(key.as_bytes()).0 == shard);
    key.expect("not all are in the other shard")
}

/// Does something that has to wait for the last shard, and lets `by` pass meanwhile.
fn waiting<R: Send>(
    cache: &Cache,
    hands: &ManualClock,
    by: Duration,
    operation: impl FnOnce() -> R + Send,
) -> R {
    let shard = &cache.inner.shards[1];
    let held = shard.hold();
    thread::scope(|scope| {
        let waiter = scope.spawn(operation);
        while !shard.waiting.is_anybody() {
            assert!(!waiter.is_finished(), "it did not wait");
            thread::yield_now();
        }
        hands.advance(by);
        drop(held);
        waiter.join().expect("no panic")
    })
}

#[test]
fn what_expires_while_its_lock_is_waited_for_is_not_served() {
    type IsGone = fn(&Cache, &str) -> bool;
    let gone: [(&str, IsGone); 11] = [
        ("get", |cache, key| cache.get(key).is_none()),
        ("get_many", |cache, key| cache.get_many([key]) == [None]),
        ("take", |cache, key| cache.take(key).is_none()),
        ("remove", |cache, key| !cache.remove(key)),
        ("remove_many", |cache, key| cache.remove_many([key]) == [false]),
        ("time_left", |cache, key| cache.time_left(key).is_none()),
        ("touch", |cache, key| !cache.touch(key, Expiry::Never)),
        ("increment", |cache, key| {
            cache.increment(key, 1, Expiry::Never) == Ok(1)
        }),
        ("compare_and_set", |cache, key| {
            cache.compare_and_set(key, "7", "8", SetOptions::default()) == Ok(CasOutcome::Missing)
        }),
        ("scan", |cache, _| {
            let mut next = Some(Cursor::default());
            let mut found = Vec::new();
            while let Some(cursor) = next {
                let page = cache.scan(cursor, "", 1_000, false);
                found.extend(page.entries.into_iter().map(|entry| cache.hashed(&entry.key).0));
                next = page.next;
            }
            !found.contains(&1)
        }),
        ("clear_prefix", |cache, key| cache.clear_prefix(key) == 0),
    ];
    for (name, is_gone) in gone {
        let (cache, hands) = expiring();
        let key = key_of(&cache, 1);
        assert!(waiting(&cache, &hands, MILLI, || is_gone(&cache, &key)), "{name}");
    }
}

/// The keys that were written or removed, in order.
#[derive(Debug, Default)]
struct Changed(Mutex<Vec<Vec<u8>>>);

impl Observer for Changed {
    fn changed(&self, change: &Observed<'_>) {
        if let Observed::Set { key, .. } | Observed::Remove { key } = change {
            self.0.lock().unwrap().push(key.to_vec());
        }
    }
}

#[test]
fn a_batch_over_many_shards_goes_shard_by_shard_and_answers_in_the_order_of_its_keys() {
    let cache = Cache::builder().shards(16).build().unwrap();
    // More than two windows, each key twice.
    let keys: Vec<String> = (0..1_500).chain(0..1_500).map(|key| key.to_string()).collect();
    let changed = Arc::new(Changed::default());
    let observer: Arc<dyn Observer> = changed.clone();
    cache.observe(Some(&observer));
    let changes = |keys: &[Vec<u8>]| {
        let shard = |key: &Vec<u8>| cache.hashed(key).0;
        keys.windows(2)
            .filter(|two| shard(&two[0]) != shard(&two[1]))
            .count()
    };
    let told = || std::mem::take(&mut *changed.0.lock().unwrap());

    let entries = keys.iter().enumerate();
    let entries = entries.map(|(at, key)| (key, at.to_string(), SetOptions::default()));
    assert_eq!(cache.set_many(entries), vec![Ok(true); 3_000]);
    let written = told();
    assert_eq!(written.len(), 3_000);
    assert!(
        changes(&written) < 3 * 16,
        "the shard changes {} times",
        changes(&written)
    );

    let found = cache.get_many(&keys);
    for (key, found) in keys.iter().zip(found) {
        // What was written last.
        let value = (key.parse::<usize>().unwrap() + 1_500).to_string();
        assert_eq!(found.unwrap().value, value.as_bytes(), "{key}");
    }
    let mut read = Vec::new();
    let window: Vec<&[u8]> = keys
        .iter()
        .take(cache.batch().window())
        .map(String::as_bytes)
        .collect();
    cache
        .batch()
        .read_together(&window, |at, _| read.push(keys[at].clone().into_bytes()));
    assert_eq!(read.len(), window.len());
    assert!(changes(&read) < 16, "the shard changes {} times", changes(&read));

    let removed = cache.remove_many(&keys);
    assert!(
        removed
            .iter()
            .enumerate()
            .all(|(at, &removed)| removed == (at < 1_500))
    );
    let removed = told();
    assert_eq!(removed.len(), 1_500);
    assert!(
        changes(&removed) < 3 * 16,
        "the shard changes {} times",
        changes(&removed)
    );
}

#[test]
fn fetching_ahead_waits_for_nobody() {
    let cache = Cache::builder().shards(2).build().unwrap();
    cache.set_many(keys().into_iter().map(|key| (key, "v", SetOptions::default())));
    let held = cache.inner.shards[1].hold();
    let mut batch = cache.batch();
    let keys = keys();
    // It would wait for ever.
    batch.expect(keys.iter().map(String::as_bytes));
    drop(held);
    assert!(
        keys.iter()
            .all(|key| batch.read(key.as_bytes(), |_| ()).is_some())
    );
}

#[test]
fn a_slice_that_waits_for_another_lock_looks_at_the_clock_again() {
    let (cache, hands) = expiring();
    let found = waiting(&cache, &hands, MILLI, || cache.get_many(keys()));
    for (key, found) in keys().iter().zip(found) {
        let shard = cache.hashed(key.as_bytes()).0;
        assert_eq!(found.is_some(), shard == 0, "{key} in shard {shard}");
    }
}

#[test]
fn a_ttl_counts_from_when_its_lock_is_held() {
    type Write = fn(&Cache, &str);
    let writes: [(&str, Write); 5] = [
        ("set", |cache, key| {
            cache.set(key, "v", SetOptions::ttl(MILLI)).unwrap();
        }),
        ("set_many", |cache, key| {
            cache.set_many([(key, "v", SetOptions::ttl(MILLI))]);
        }),
        ("touch", |cache, key| {
            cache.touch(key, Expiry::After(MILLI));
        }),
        ("increment", |cache, key| {
            cache.remove(key);
            cache.increment(key, 1, Expiry::After(MILLI)).unwrap();
        }),
        ("compare_and_set", |cache, key| {
            let outcome = cache.compare_and_set(key, "7", "8", SetOptions::ttl(MILLI));
            assert_eq!(outcome, Ok(CasOutcome::Stored));
        }),
    ];
    for (name, write) in writes {
        let (cache, hands) = expiring();
        let key = key_of(&cache, 1);
        waiting(&cache, &hands, MILLI * 9 / 10, || write(&cache, &key));
        assert_eq!(cache.time_left(&key), Some(TimeLeft::Left(MILLI)), "{name}");
    }
}

#[test]
fn an_absolute_deadline_is_the_same_however_old_the_slice_is() {
    let (cache, hands) = expiring();
    let key = key_of(&cache, 1);
    let expiry = Expiry::At(cache.clock().unix_millis() + 10);
    let options = SetOptions {
        expiry,
        ..SetOptions::default()
    };
    let mut batch = cache.batch();
    assert!(batch.read(key.as_bytes(), |_| ()).is_some());
    hands.advance(MILLI / 2);
    batch.set(key.as_bytes(), b"v", options).unwrap();
    batch.release();
    assert_eq!(
        cache.time_left(&key),
        Some(TimeLeft::Left(MILLI * 10 - MILLI / 2))
    );
}

/// Bytes of the user's, who calls the cache to have them.
struct Calling(Cache, &'static str);

impl AsRef<[u8]> for Calling {
    fn as_ref(&self) -> &[u8] {
        self.0.contains("another");
        self.1.as_bytes()
    }
}

#[test]
fn what_gives_the_bytes_of_keys_and_values_may_call_the_cache() {
    let cache = Cache::builder().shards(1).build().unwrap();
    let bytes = |text| Calling(cache.clone(), text);
    let set = cache.set_many(["a", "b"].map(|key| (bytes(key), bytes("v"), SetOptions::default())));
    assert_eq!(set, [Ok(true), Ok(true)]);
    let found = cache.get_many(["a", "absent"].map(bytes));
    assert!(found[0].as_ref().unwrap().value == "v" && found[1].is_none());
    assert_eq!(cache.remove_many(["b", "absent"].map(bytes)), [true, false]);
}
