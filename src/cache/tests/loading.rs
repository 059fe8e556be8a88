//! Reading through the cache: what callers get, what is kept, and what becomes of it when others write meanwhile. By tasks: `tests/tasks.rs`.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{PLAIN, millis, set, standing, text};
use crate::{Cache, Condition, Error, Expiry, LoadError, SetOptions, Tag, TimeLeft};

fn cache() -> Cache {
    standing(|builder| builder).0
}

fn unreachable() -> &'static str {
    unreachable!("the value is there")
}

#[test]
fn a_hit_is_a_get_and_runs_no_loader() {
    let cache = cache();
    set(&cache, "a", "1");
    assert_eq!(cache.get_with("a", unreachable).value, "1");
    assert_eq!(
        cache
            .try_get_with("a", || Ok::<_, Infallible>(unreachable()))
            .unwrap()
            .value,
        "1"
    );
    assert_eq!((cache.stats().hits, cache.stats().misses), (2, 0));
}

#[test]
fn what_is_loaded_is_kept_and_counted_as_one_miss() {
    let cache = cache();
    assert_eq!(cache.get_with("a", || vec![7]).value, [7][..]);
    assert_eq!(cache.get_with("a", unreachable).value, [7][..]);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts), (1, 1, 1));
}

#[test]
fn what_is_loaded_is_the_most_recently_used_entry() {
    let (cache, _) = standing(|builder| builder.max_items(2));
    set(&cache, "a", "1");
    cache.get_with("b", || "2");
    cache.get_with("a", unreachable);
    cache.get_with("c", || "3");
    assert_eq!(super::keys(&cache), ["a", "c"]);
}

#[test]
fn a_value_is_loaded_with_its_tag_and_its_ttl() {
    let (cache, hands) = standing(|builder| builder.default_ttl(millis(50)));
    let by_default = cache.get_with("default", || "1");
    let of_ten = cache.load("ten").tag(Tag::JSON).ttl(millis(10)).with(|| "1");
    let by_value = cache
        .load("seven")
        .expiry_of(|value| Expiry::After(millis(u64::from(value[0] - b'0'))));
    let by_value = by_value.try_with(|| Ok::<_, Infallible>("7")).unwrap();
    let for_ever = cache.load("ever").expiry(Expiry::Never).with(|| "1");
    for (key, entry, left, tag) in [
        ("default", by_default, TimeLeft::Left(millis(50)), Tag::BYTES),
        ("ten", of_ten, TimeLeft::Left(millis(10)), Tag::JSON),
        ("seven", by_value, TimeLeft::Left(millis(7)), Tag::BYTES),
        ("ever", for_ever, TimeLeft::Forever, Tag::BYTES),
    ] {
        assert_eq!((entry.time_left, entry.tag), (left, tag), "{key}");
        assert_eq!(cache.get(key), Some(entry), "{key}");
    }
    hands.advance(millis(10));
    assert_eq!(super::keys(&cache), ["default", "ever"]);
    assert_eq!(cache.get_with("ten", || "2").value, "2");
}

#[test]
fn a_ttl_counts_from_when_the_value_is_stored() {
    let (cache, hands) = standing(|builder| builder);
    let slow = || {
        hands.advance(millis(100));
        "1"
    };
    let entry = cache.load("a").ttl(millis(10)).with(slow);
    assert_eq!(entry.time_left, TimeLeft::Left(millis(10)));
}

#[test]
fn what_cannot_be_kept_is_given_all_the_same() {
    let (cache, _) = standing(|builder| builder.max_bytes(8192).max_key_bytes(10).max_value_bytes(10_000));
    let unkept = TimeLeft::Left(Duration::ZERO);
    let long = vec![7; 10_001];
    for (what, entry, value) in [
        ("a long key", cache.get_with("0123456789a", || "v"), &b"v"[..]),
        ("a long value", cache.get_with("a", || &long), &long),
        (
            "a heavy entry",
            cache.get_with("a", || &long[..9_000]),
            &long[..9_000],
        ),
        (
            "no time to live",
            cache.load("a").ttl(Duration::ZERO).with(|| "v"),
            b"v",
        ),
        (
            "a time that is over",
            cache.load("a").expiry(Expiry::At(1)).with(|| "v"),
            b"v",
        ),
    ] {
        assert!(entry.value == value && entry.time_left == unkept, "{what}");
        assert!(cache.is_empty(), "{what}");
    }
    assert_eq!(cache.stats().refused, 1);
    assert_eq!(cache.get_with("a", || "v").time_left, TimeLeft::Forever);
}

#[test]
fn an_error_is_given_and_not_kept() {
    let cache = cache();
    let failed = cache.try_get_with("a", || Err::<&str, _>("no such thing"));
    let Err(LoadError::Failed(error)) = failed.clone() else {
        panic!("{failed:?}");
    };
    assert_eq!(*error, "no such thing");
    assert_eq!(failed.unwrap_err().to_string(), "no such thing");
    assert_eq!(cache.get_with("a", || "1").value, "1");
}

#[test]
fn a_panic_of_the_loader_goes_to_its_caller_and_leaves_nothing_behind() {
    let cache = cache();
    let panics = |expiry_of: bool| {
        let load = cache.load("a").expiry_of(move |_| {
            assert!(!expiry_of, "as it should");
            Expiry::Never
        });
        load.with(|| if expiry_of { "1" } else { panic!("as it should") })
    };
    for expiry_of in [false, true] {
        assert!(catch_unwind(AssertUnwindSafe(|| panics(expiry_of))).is_err());
        assert!(cache.is_empty());
    }
    assert_eq!(cache.get_with("a", || "1").value, "1");
    cache.validate();
}

/// Its name, what it does, and what the key holds after it.
type Write = (&'static str, fn(&Cache), Option<&'static str>);

/// Every way to write or remove the key `user:1`, and what it holds after that if it was absent before.
fn writes() -> Vec<Write> {
    const IF_ABSENT: SetOptions = SetOptions {
        condition: Condition::IfAbsent,
        ..PLAIN
    };
    vec![
        ("set", |cache| set(cache, "user:1", "new"), Some("new")),
        (
            "set if absent",
            |cache| assert_eq!(cache.set("user:1", "new", IF_ABSENT), Ok(true)),
            Some("new"),
        ),
        (
            "set_many",
            |cache| drop(cache.set_many([("user:1", "new", PLAIN)])),
            Some("new"),
        ),
        (
            "set, evicted",
            |cache| {
                set(cache, "user:1", "new");
                (0..10).for_each(|n| set(cache, &format!("other:{n}"), "1"));
            },
            None,
        ),
        (
            "set, expired at once",
            |cache| {
                assert_eq!(
                    cache.set("user:1", "new", SetOptions::ttl(Duration::ZERO)),
                    Ok(true)
                );
            },
            None,
        ),
        (
            "set, too large",
            |cache| {
                let refused = cache.set("user:1", vec![0; 1 << 20], PLAIN);
                assert!(matches!(refused, Err(Error::TooLarge { .. })));
            },
            None,
        ),
        ("remove", |cache| assert!(!cache.remove("user:1")), None),
        ("remove_many", |cache| drop(cache.remove_many(["user:1"])), None),
        ("take", |cache| assert_eq!(cache.take("user:1"), None), None),
        (
            "increment",
            |cache| assert_eq!(cache.increment("user:1", 5, Expiry::Never), Ok(5)),
            Some("5"),
        ),
        ("clear", |cache| assert_eq!(cache.clear(), 0), None),
        (
            "clear_prefix",
            |cache| assert_eq!(cache.clear_prefix("user:"), 0),
            None,
        ),
        (
            "clear_prefix of everything",
            |cache| assert_eq!(cache.clear_prefix(""), 0),
            None,
        ),
    ]
}

fn of_few_items() -> Cache {
    standing(|builder| builder.max_items(5).max_bytes(1 << 19)).0
}

#[test]
fn what_was_written_while_a_loader_ran_stays_as_it_was_written() {
    for (what, write, left) in writes() {
        let cache = of_few_items();
        let loader = || {
            write(&cache);
            "old"
        };
        let entry = cache.get_with("user:1", loader);
        assert_eq!(entry.value, "old", "{what}: it was asked for before");
        assert_eq!(
            entry.time_left,
            TimeLeft::Left(Duration::ZERO),
            "{what}: it was not kept"
        );
        assert_eq!(text(cache.get("user:1")).as_deref(), left, "{what}");
        cache.validate();
    }
}

#[test]
fn nothing_goes_for_a_large_value_that_is_not_kept() {
    let (cache, _) = standing(|builder| builder.max_bytes(1 << 20));
    for n in 0..1_000u32 {
        cache.set(n.to_string(), [7; 100], PLAIN).unwrap();
    }
    let loaded = cache.get_with("k", || {
        set(&cache, "k", "written meanwhile");
        vec![0; 1_000_000]
    });
    assert_eq!(loaded.value.len(), 1_000_000);
    assert_eq!((cache.len(), cache.stats().evictions_by_bytes), (1_001, 0));
    assert_eq!(text(cache.get("k")).as_deref(), Some("written meanwhile"));
}

#[test]
fn who_asks_after_a_write_is_not_given_what_was_being_loaded_before() {
    for (what, write, left) in writes() {
        let cache = of_few_items();
        let loader = || {
            write(&cache);
            let after = cache.get_with("user:1", || "loaded after");
            assert_eq!(after.value, left.unwrap_or("loaded after"), "{what}");
            "old"
        };
        cache.get_with("user:1", loader);
        assert_eq!(
            cache.get_with("user:1", || "never").value,
            left.unwrap_or("loaded after"),
            "{what}"
        );
    }
}

#[test]
fn what_does_not_write_the_key_does_not_disturb_its_load() {
    const IF_PRESENT: SetOptions = SetOptions {
        condition: Condition::IfPresent,
        ..PLAIN
    };
    type Other = (&'static str, fn(&Cache));
    let others: [Other; 9] = [
        ("get", |cache| assert_eq!(cache.get("user:1"), None)),
        ("contains", |cache| assert!(!cache.contains("user:1"))),
        ("touch", |cache| assert!(!cache.touch("user:1", Expiry::Never))),
        ("set if present", |cache| {
            assert_eq!(cache.set("user:1", "new", IF_PRESENT), Ok(false));
        }),
        ("compare_and_set", |cache| {
            cache.compare_and_set("user:1", "a", "b", PLAIN).unwrap();
        }),
        ("a set of another key", |cache| set(cache, "user:2", "new")),
        ("a removal of another key", |cache| {
            assert!(!cache.remove("user:2"));
        }),
        ("clear_prefix of others", |cache| {
            assert_eq!(cache.clear_prefix("user:2"), 0);
        }),
        ("a set that is refused", |cache| {
            assert!(cache.set("user:1", vec![0; 65 << 20], PLAIN).is_err());
        }),
    ];
    for (what, other) in others {
        let cache = cache();
        let loader = || {
            other(&cache);
            "1"
        };
        cache.get_with("user:1", loader);
        assert_eq!(text(cache.get("user:1")).as_deref(), Some("1"), "{what}");
    }
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_told_or_loads_by_itself() {
    let cache = cache();
    let tried = cache.try_get_with("a", || {
        let again = cache.try_get_with("a", || Ok::<_, Infallible>(unreachable()));
        assert!(matches!(again, Err(LoadError::Reentrant)));
        assert!(again.unwrap_err().to_string().contains("would wait for itself"));
        Ok::<_, Infallible>("1")
    });
    assert_eq!(tried.unwrap().value, "1");
    let outer = cache.get_with("b", || {
        let inner = cache.get_with("b", || "inner");
        assert_eq!(
            (&*inner.value, inner.time_left),
            (&b"inner"[..], TimeLeft::Left(Duration::ZERO))
        );
        "outer"
    });
    assert_eq!(outer.value, "outer");
    assert_eq!(text(cache.get("b")).as_deref(), Some("outer"));
}

#[test]
fn a_function_that_calls_itself_can_be_remembered() {
    fn fibonacci(cache: &Cache, n: u64) -> u64 {
        let entry = cache.get_with(n.to_le_bytes(), || {
            let sum = match n {
                0 | 1 => n,
                _ => fibonacci(cache, n - 1) + fibonacci(cache, n - 2),
            };
            sum.to_le_bytes()
        });
        u64::from_le_bytes(entry.value.as_slice().try_into().unwrap())
    }
    let cache = cache();
    assert_eq!(fibonacci(&cache, 80), 23_416_728_348_467_685);
    assert_eq!(cache.len(), 81);
}

#[test]
fn clones_share_their_loads_and_other_caches_have_their_own() {
    let (one, other) = (cache(), cache());
    one.get_with("a", || {
        let clone = one.clone();
        let again = clone.try_get_with("a", || Ok::<_, Infallible>("b"));
        assert!(matches!(again, Err(LoadError::Reentrant)));
        other.get_with("a", || "of the other").value
    });
    assert_eq!(text(one.get("a")).as_deref(), Some("of the other"));
}

/// A source of truth that changes, readers that read through the cache, and one who removes what has changed: nobody who asks after the removal may get what was true
/// before the change.
#[test]
fn nobody_gets_what_was_loaded_before_a_removal_that_was_over_when_he_asked() {
    const KEYS: usize = 4;
    const CHANGES: u64 = 3_000;
    for shards in [1, 4] {
        let cache = Cache::builder().max_items(64).shards(shards).build().unwrap();
        let truth: [AtomicU64; KEYS] = Default::default();
        let removed: [AtomicU64; KEYS] = Default::default();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for reader in 0..3_usize {
                let (cache, truth, removed, is_over) = (&cache, &truth, &removed, &is_over);
                scope.spawn(move || {
                    for turn in reader.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        let key = turn % KEYS;
                        let least = removed[key].load(Ordering::SeqCst);
                        let entry = cache.get_with([u8::try_from(key).unwrap()], || {
                            let value = truth[key].load(Ordering::SeqCst);
                            if turn % 16 == 0 {
                                thread::yield_now();
                            }
                            value.to_le_bytes()
                        });
                        let value = u64::from_le_bytes(entry.value.as_slice().try_into().unwrap());
                        assert!(value >= least, "{value} was outdated by {least}");
                    }
                });
            }
            for change in 1..=CHANGES {
                for key in 0..KEYS {
                    truth[key].store(change, Ordering::SeqCst);
                    let name = [u8::try_from(key).unwrap()];
                    match change % 3 {
                        0 => drop(cache.remove(name)),
                        1 => drop(cache.set(name, change.to_le_bytes(), PLAIN)),
                        _ => drop(cache.clear_prefix(name)),
                    }
                    removed[key].store(change, Ordering::SeqCst);
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        cache.validate();
    }
}

#[test]
fn the_lock_of_a_key_is_in_nobody_elses_way() {
    let cache = cache();
    let guard = cache.key_lock("a");
    set(&cache, "a", "1");
    assert_eq!(text(cache.get("a")).as_deref(), Some("1"));
    assert_eq!(cache.get_with("b", || "2").value, "2");
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(cache.remove("a"));
            cache.clear();
            assert!(
                cache.clone().try_key_lock("a").is_none(),
                "clones share their locks"
            );
        });
    });
    assert!(standing(|builder| builder).0.try_key_lock("a").is_some());
    drop(cache);
    assert_eq!(&**guard.key(), b"a");
}
