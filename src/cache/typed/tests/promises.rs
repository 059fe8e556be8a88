//! What a typed cache promises, one thing after the other.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use super::*;
use crate::{BuildError, Condition, Expiry, InsertOptions, PolicyKind, TimeLeft, TypedIter};

const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = {
    is_send_and_sync::<TypedCache<String, Arc<str>>>();
    is_send_and_sync::<TypedBuilder<String, Arc<str>>>();
    is_send_and_sync::<TypedIter<'_, String, Arc<str>, crate::RandomState>>();
    is_send_and_sync::<crate::TypedEntry<'_, String, Arc<str>, crate::RandomState>>();
};

#[test]
fn what_is_read_is_what_was_written_and_not_a_copy_of_it() {
    let cache = TypedCache::builder().build().unwrap();
    let value = Arc::new([1, 2, 3]);
    cache.insert("key".to_owned(), Arc::clone(&value));
    assert!(Arc::ptr_eq(&cache.get("key").unwrap(), &value));
    assert!(Arc::ptr_eq(&cache.remove("key").unwrap(), &value));
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_cache_of_two_evicts_as_a_textbook_says() {
    let (cache, _) = standing(|builder| builder.max_items(2));
    cache.insert("a", 1);
    cache.insert("b", 2);
    assert_eq!(cache.get("a"), Some(1));
    cache.insert("c", 3);
    assert_eq!(
        (cache.get("a"), cache.get("b"), cache.get("c")),
        (Some(1), None, Some(3))
    );
}

#[test]
fn a_cache_is_of_one_shard_up_to_the_size_that_the_documentation_says() {
    let shards = |builder: TypedBuilder<u32, u32>| builder.build().unwrap().inner.shards.len();
    assert_eq!(shards(TypedCache::builder().max_items(8_191)), 1);
    assert_eq!(shards(TypedCache::builder().max_items(8_192)), 2);
    assert_eq!(shards(TypedCache::builder().max_weight((128 << 20) - 1)), 1);
    assert_eq!(
        shards(TypedCache::builder().max_items(1 << 20).max_weight(1000)),
        1
    );
}

#[test]
fn options_out_of_range_are_named() {
    let refused = |builder: TypedBuilder<u32, u32>| builder.build().err();
    let builder = TypedCache::builder;
    assert_eq!(refused(builder().max_items(0)), Some(BuildError::NoItems));
    assert_eq!(refused(builder().max_weight(0)), Some(BuildError::NoWeight));
    assert_eq!(refused(builder().shards(3)), Some(BuildError::Shards(3)));
    assert_eq!(
        refused(builder().default_ttl(Duration::ZERO)),
        Some(BuildError::ZeroDefaultTtl)
    );
    assert_eq!(
        refused(builder().time_to_idle(Duration::ZERO)),
        Some(BuildError::ZeroTimeToIdle)
    );
    assert_eq!(
        refused(builder().max_items(3).shards(4)),
        Some(BuildError::FewerItemsThanShards {
            max_items: 3,
            shards: 4
        })
    );
    assert_eq!(
        refused(builder().max_weight(3).shards(4)),
        Some(BuildError::LessWeightThanShards {
            max_weight: 3,
            shards: 4
        })
    );
}

/// All keys have the hash 7.
#[derive(Clone, Default)]
struct Seven;

impl BuildHasher for Seven {
    type Hasher = Seven;

    fn build_hasher(&self) -> Seven {
        Seven
    }
}

impl Hasher for Seven {
    fn finish(&self) -> u64 {
        7
    }

    fn write(&mut self, _: &[u8]) {}
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    let cache = TypedCache::builder()
        .hasher(Seven)
        .max_items(1500)
        .build()
        .unwrap();
    for key in 0..2000 {
        cache.insert(key, key);
        assert_eq!(cache.get(&key), Some(key));
    }
    cache.validate();
    assert!((500..2000).all(|key| cache.get(&key) == Some(key)));
    assert_eq!(cache.iter().count(), 1500);
    assert_eq!(cache.retain(|key, _| key % 2 == 0), 750);
    cache.validate();
}

#[test]
fn an_entry_that_is_read_goes_when_its_ttl_is_over_though_it_is_not_idle() {
    let (cache, hands) = standing(|builder| builder.time_to_idle(millis(10)).default_ttl(millis(25)));
    cache.insert("a", 1);
    for _ in 0..2 {
        hands.advance(millis(9));
        assert_eq!(cache.get("a"), Some(1));
    }
    assert_eq!(cache.time_left("a"), Some(TimeLeft::Left(millis(7))));
    hands.advance(millis(7));
    assert_eq!(cache.get("a"), None);
}

#[test]
fn looking_keeps_nothing_from_being_idle() {
    let (cache, hands) = standing(|builder| builder.time_to_idle(millis(10)));
    cache.insert("a", 1);
    hands.advance(millis(9));
    assert!(cache.contains("a"));
    assert_eq!(cache.iter().count(), 1);
    hands.advance(millis(1));
    assert!(!cache.contains("a"));
}

#[test]
fn memory_of_what_has_expired_comes_back_without_any_call() {
    let value = Arc::new(());
    let cache = TypedCache::builder().build().unwrap();
    for key in 0..100 {
        let options = InsertOptions::ttl(millis(1));
        cache.insert_with(key, Arc::clone(&value), options).unwrap();
    }
    crate::cache::tests::eventually("all values are dropped", || Arc::strong_count(&value) == 1);
}

#[test]
fn a_cache_with_nothing_to_expire_is_dropped_with_its_last_handle() {
    let value = Arc::new(());
    let cache = TypedCache::builder().build().unwrap();
    cache
        .insert_with(1, Arc::clone(&value), InsertOptions::ttl(millis(60_000)))
        .unwrap();
    let other = cache.clone();
    drop(cache);
    assert_eq!(Arc::strong_count(&value), 2);
    drop(other);
    crate::cache::tests::eventually("the value is dropped", || Arc::strong_count(&value) == 1);
}

#[test]
fn the_listener_is_told_why() {
    let mut told = None;
    let (cache, hands) = standing(|builder| {
        let (builder, list) = listening(builder.max_items(2).max_weight(10).weigher(|_, &value| value));
        told = Some(list);
        builder
    });
    let told = told.unwrap();
    let expect = |events: &[(&'static str, u64, RemovalCause)]| {
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), events);
    };
    cache.insert("a", 1);
    cache.insert("a", 2);
    expect(&[("a", 1, RemovalCause::Replaced)]);
    assert_eq!(cache.remove("a"), Some(2));
    expect(&[("a", 2, RemovalCause::Removed)]);
    cache.insert("b", 3);
    cache.insert("c", 3);
    cache.insert("d", 3);
    expect(&[("b", 3, RemovalCause::MaxItems)]);
    cache.insert("d", 9);
    expect(&[
        ("d", 3, RemovalCause::Replaced),
        ("c", 3, RemovalCause::MaxWeight),
    ]);
    cache.touch("d", Expiry::After(millis(1)));
    hands.advance(millis(1));
    assert_eq!(cache.get("d"), None);
    expect(&[("d", 9, RemovalCause::Expired)]);
    cache.insert("e", 4);
    cache.insert("e", 11);
    expect(&[("e", 4, RemovalCause::Removed)]);
    cache.insert("f", 5);
    cache.clear();
    expect(&[("f", 5, RemovalCause::Cleared)]);
}

#[test]
fn a_key_that_is_written_again_is_the_new_key() {
    // Equal, and not the same.
    #[derive(Clone, Copy, Debug)]
    struct Key(u32, u32);
    impl PartialEq for Key {
        fn eq(&self, other: &Key) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    let cache = TypedCache::builder().build().unwrap();
    cache.insert(Key(1, 1), "old");
    cache.insert(Key(1, 2), "new");
    assert_eq!(
        cache
            .iter()
            .map(|(key, value)| (key.1, value))
            .collect::<Vec<_>>(),
        [(2, "new")]
    );
}

#[test]
fn a_walk_gives_what_is_there_throughout_once_whatever_comes_and_goes() {
    for shards in [1, 4] {
        let cache = TypedCache::builder().shards(shards).build().unwrap();
        for key in 0..5_000u32 {
            cache.insert(key, 0);
        }
        let mut seen: HashMap<u32, u32> = HashMap::new();
        for (turn, (key, _)) in (0u32..).zip(&cache) {
            *seen.entry(key).or_default() += 1;
            // Of the even ones, those that have not come; and others that make segments grow and split.
            cache.insert(10_000 + turn, 1);
            cache.remove(&(turn * 2));
            if turn > 20_000 {
                break;
            }
        }
        assert!(seen.values().all(|&times| times == 1));
        assert!((1..5_000).step_by(2).all(|key| seen.contains_key(&key)));
        cache.validate();
    }
}

#[test]
fn an_entry_that_was_written_again_is_not_removed_for_what_it_was() {
    let cache = TypedCache::builder().build().unwrap();
    for key in 0..10 {
        cache.insert(key, 0);
    }
    let removed = cache.invalidate_if(|&key, _| {
        cache.insert(key, 1);
        true
    });
    assert_eq!((removed, cache.len()), (0, 10));
}

#[test]
fn what_is_computed_of_a_value_that_was_written_again_is_computed_again() {
    let cache = TypedCache::builder().build().unwrap();
    cache.insert("a", 1);
    let mut turns = 0;
    let sum = cache.entry("a").upsert(|value| {
        turns += 1;
        if turns == 1 {
            cache.insert("a", 10);
        }
        value.unwrap() + 1
    });
    assert_eq!((sum, turns, cache.get("a")), (11, 2, Some(11)));
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let (cache, _) = standing(|builder| builder);
    let when = |condition| InsertOptions {
        condition,
        ..InsertOptions::default()
    };
    assert_eq!(cache.insert_with("a", 1, when(Condition::IfPresent)), Ok(false));
    assert_eq!(cache.insert_with("a", 1, when(Condition::IfAbsent)), Ok(true));
    assert_eq!(cache.insert_with("a", 2, when(Condition::IfAbsent)), Ok(false));
    assert_eq!(cache.get("a"), Some(1));
    assert_eq!(cache.insert_with("a", 2, when(Condition::IfPresent)), Ok(true));
    assert_eq!(cache.get("a"), Some(2));
}

#[test]
fn values_larger_than_a_page_are_kept_in_place() {
    let cache = TypedCache::builder().max_items(3).build().unwrap();
    for key in 0..5u8 {
        cache.insert(key, [key; 100_000]);
    }
    assert_eq!(cache.get(&4).map(|value| value[99_999]), Some(4));
    assert_eq!(cache.len(), 3);
    cache.validate();
}

#[test]
fn slots_that_are_left_vacant_are_given_up() {
    for policy in PolicyKind::ALL {
        let (cache, hands) = standing(|builder| builder.policy(policy).weigher(|_, &value| value));
        for key in 0..3_000u64 {
            let expiry = if key % 10 == 0 {
                Expiry::Never
            } else {
                Expiry::After(millis(1))
            };
            let options = InsertOptions {
                expiry,
                ..InsertOptions::default()
            };
            cache.insert_with(key, key, options).unwrap();
        }
        hands.advance(millis(1));
        cache.run_pending();
        cache.validate();
        assert_eq!(cache.len(), 300);
        let slots = cache.inner.shards[0].hold().slots();
        assert!(slots < 400, "{slots} slots for 300 entries");
        assert!((0..3_000).step_by(10).all(|key| cache.get(&key) == Some(key)));
    }
}

#[test]
fn weights_of_any_size_are_kept_within_the_limit() {
    for policy in PolicyKind::ALL {
        for shards in [1, 2] {
            let builder = TypedCache::builder()
                .max_weight(u64::MAX)
                .shards(shards)
                .policy(policy);
            let cache = builder.weigher(|_: &u32, weight: &u64| *weight).build().unwrap();
            for key in 0..100 {
                cache.insert(key, u64::MAX >> (key % 20));
                cache.insert(key, 1);
                cache.insert(key, (1 << 52) - 3);
                cache.validate();
            }
            cache.insert(1, 1);
            cache.insert(1, u64::MAX);
            assert_eq!(cache.get(&1), None, "{policy}: too heavy to be kept");
            assert!(cache.stats().bytes <= shards as u64 * (1 << 52));
        }
    }
}
