//! Reading through a typed cache, and the locks of its keys: what is different from a cache of bytes, above all code of the user's.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;
use crate::{Expiry, InsertOptions, LoadError, Op, TimeLeft};

fn cache() -> TypedCache<String, u32> {
    standing(|builder| builder.max_items(5)).0
}

#[test]
fn what_is_missing_is_loaded_once_and_kept_with_its_ttl() {
    let (cache, hands) = standing::<String, u32>(|builder| builder.default_ttl(millis(50)));
    assert_eq!(cache.get_with("default", || 1), 1);
    assert_eq!(cache.get_with("default", || unreachable!("it is there")), 1);
    assert_eq!(cache.load("ten").ttl(millis(10)).with(|| 1), 1);
    let by_value = cache
        .load("seven")
        .expiry_of(|&value| Expiry::After(millis(value.into())));
    assert_eq!(by_value.try_with(|| Ok::<_, ()>(7)).unwrap(), 7);
    for (key, left) in [("default", 50), ("ten", 10), ("seven", 7)] {
        assert_eq!(cache.time_left(key), Some(TimeLeft::Left(millis(left))), "{key}");
    }
    hands.advance(millis(10));
    assert_eq!(cache.get_with("ten", || 2), 2, "it has expired");
    assert_eq!((cache.stats().hits, cache.stats().misses), (1, 4));
    cache.validate();
}

#[test]
fn an_error_is_shared_and_not_kept() {
    let cache = cache();
    let failed = cache.try_get_with("a", || "one".parse::<u32>());
    assert_eq!(failed.unwrap_err().to_string(), "invalid digit found in string");
    assert_eq!(cache.try_get_with("a", || "1".parse()).unwrap(), 1);
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_told_or_loads_by_itself() {
    let cache = cache();
    let outer = cache.get_with("a", || {
        let again = cache.try_get_with("a", || Ok::<_, ()>(1));
        assert!(matches!(again, Err(LoadError::Reentrant)));
        cache.get_with("a", || 2) + cache.get_with("b", || 3)
    });
    assert_eq!((outer, cache.get("a"), cache.get("b")), (5, Some(5), Some(3)));
}

/// Its name, what it does, and what `a` holds after it.
type WriteOfA = (&'static str, fn(&TypedCache<String, u32>), Option<u32>);

/// What `a` holds after each kind of write, if it was absent before.
fn writes() -> Vec<WriteOfA> {
    vec![
        ("insert", |cache| cache.insert("a".into(), 8), Some(8)),
        (
            "insert, evicted",
            |cache| {
                cache.insert("a".into(), 8);
                (0..5).for_each(|n| cache.insert(n.to_string(), n));
            },
            None,
        ),
        (
            "insert, expired at once",
            |cache| {
                let options = InsertOptions::ttl(Duration::ZERO);
                cache.insert_with("a".into(), 8, options).unwrap();
            },
            None,
        ),
        ("remove", |cache| assert_eq!(cache.remove("a"), None), None),
        ("clear", |cache| assert_eq!(cache.clear(), 0), None),
        ("retain", |cache| assert_eq!(cache.retain(|_, _| false), 0), None),
        (
            "invalidate_if",
            |cache| assert_eq!(cache.invalidate_if(|_, _| true), 0),
            None,
        ),
        (
            "entry, or_insert",
            |cache| assert_eq!(cache.entry("a".into()).or_insert(8), 8),
            Some(8),
        ),
        (
            "entry, remove",
            |cache| assert_eq!(cache.entry("a".into()).compute(|_| Op::Remove), None),
            None,
        ),
    ]
}

#[test]
fn what_was_written_while_a_loader_ran_stays_as_it_was_written() {
    for (what, write, left) in writes() {
        let cache = cache();
        let loaded = cache.get_with("a", || {
            write(&cache);
            7
        });
        assert_eq!((loaded, cache.get("a")), (7, left), "{what}");
        cache.validate();
    }
}

#[test]
fn who_asks_after_a_write_is_not_given_what_was_being_loaded_before() {
    for (what, write, left) in writes() {
        let cache = cache();
        cache.get_with("a", || {
            write(&cache);
            assert_eq!(cache.get_with("a", || 9), left.unwrap_or(9), "{what}");
            7
        });
        assert_eq!(cache.get_with("a", || 10), left.unwrap_or(9), "{what}");
    }
}

#[test]
fn what_does_not_write_does_not_disturb_a_load() {
    let cache = cache();
    cache.get_with("a", || {
        assert_eq!(cache.get("a"), None);
        assert!(!cache.touch("a", Expiry::Never));
        assert_eq!(cache.entry("a".into()).compute(|_| Op::Keep), None);
        assert_eq!(cache.remove("b"), None);
        cache.insert("c".into(), 8);
        7
    });
    assert_eq!(cache.get("a"), Some(7));
}

#[test]
fn what_is_too_heavy_is_given_all_the_same() {
    let (cache, _) = standing(|builder| {
        builder
            .max_weight(10)
            .weigher(|_: &String, &value: &u32| value.into())
    });
    assert_eq!(cache.get_with("a", || 11), 11);
    assert!(cache.is_empty());
    assert_eq!(cache.get_with("a", || 10), 10);
    assert_eq!(cache.get("a"), Some(10));
}

#[test]
fn the_listener_is_told_of_what_a_load_pushes_out() {
    let (builder, told) = listening(TypedCache::<String, u32>::builder().max_items(1).shards(1));
    let cache = builder.build().unwrap();
    cache.get_with("a", || 1);
    cache.get_with("b", || 2);
    let told = told.lock().unwrap();
    let gone: Vec<_> = told
        .iter()
        .map(|(key, value, _)| (key.as_str(), *value))
        .collect();
    assert_eq!(gone, [("a", 1)]);
}

/// A value whose clones panic while this is armed; not `Sync`.
#[derive(Debug)]
struct Fragile(Cell<u32>);

static CLONES_LEFT: AtomicU32 = AtomicU32::new(u32::MAX);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        let left = CLONES_LEFT.fetch_sub(1, Ordering::SeqCst);
        assert!(left > 0, "no clones are left, as it should");
        Fragile(self.0.clone())
    }
}

#[test]
fn wherever_the_clone_of_a_value_panics_nobody_waits_for_ever() {
    for clones in 0..4 {
        let cache = TypedCache::<u32, Fragile>::builder().build().unwrap();
        let all_ask = Barrier::new(3);
        CLONES_LEFT.store(u32::MAX, Ordering::SeqCst);
        let ask = || {
            all_ask.wait();
            let load = || {
                CLONES_LEFT.store(clones, Ordering::SeqCst);
                thread::yield_now();
                Fragile(Cell::new(7))
            };
            let loaded = catch_unwind(AssertUnwindSafe(|| cache.get_with(&1, load)));
            CLONES_LEFT.store(u32::MAX, Ordering::SeqCst);
            if let Ok(value) = loaded {
                assert_eq!(value.0.get(), 7);
            }
        };
        thread::scope(|scope| {
            for asking in [0; 3].map(|_| scope.spawn(ask)) {
                asking.join().unwrap();
            }
        });
        assert_eq!(cache.get_with(&1, || Fragile(Cell::new(7))).0.get(), 7);
        cache.validate();
    }
}

#[test]
fn the_lock_of_a_key_is_in_nobody_elses_way() {
    let cache = cache();
    let key = String::from("a");
    let guard = cache.key_lock(&key);
    let again = cache.key_lock_timeout(&key, Duration::MAX).unwrap();
    cache.insert(key.clone(), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(cache.remove(&key), Some(1));
            assert!(
                cache.clone().try_key_lock(&key).is_none(),
                "clones share their locks"
            );
            assert!(cache.key_lock_timeout(&key, Duration::from_millis(1)).is_none());
        });
    });
    drop(again);
    drop(cache);
    assert_eq!(guard.key(), "a");
}
