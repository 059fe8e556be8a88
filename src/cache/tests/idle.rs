//! Time to idle: what is a use, what it costs, and what it does not disturb.

use std::time::Duration;

use proptest::prelude::*;

use super::super::payload::{DEADLINE_OVERHEAD, FIXED_OVERHEAD};
use super::super::{
    BuildError, Cache, CasOutcome, Condition, Cursor, Expiry, PolicyKind, SetOptions, TimeLeft,
};
use super::{PLAIN, eventually, keys, millis, set, standing};

const NANO: Duration = Duration::from_nanos(1);

#[test]
fn an_entry_goes_when_it_was_idle_for_that_long_to_the_nanosecond() {
    for time in [
        NANO,
        Duration::from_nanos(4_097),
        millis(7),
        Duration::from_secs(1 << 30),
    ] {
        let (cache, hands) = standing(|b| b.time_to_idle(time));
        hands.advance(Duration::from_nanos(12_345));
        for _ in 0..3 {
            set(&cache, "k", "v");
            hands.advance(time - NANO);
            assert!(cache.get("k").is_some(), "{time:?}");
        }
        hands.advance(time - NANO);
        assert!(cache.contains("k"), "{time:?}");
        hands.advance(NANO);
        assert!(!cache.contains("k") && cache.get("k").is_none(), "{time:?}");
        cache.validate();
    }
}

#[test]
fn reading_and_writing_and_touching_are_uses_and_looking_is_none() {
    type Use = fn(&Cache);
    let uses: [(&str, bool, Use); 15] = [
        ("get", true, |cache| drop(cache.get("k"))),
        ("get_many", true, |cache| drop(cache.get_many(["k"]))),
        ("set", true, |cache| set(cache, "k", "8")),
        ("set_many", true, |cache| {
            cache.set_many([("k", "8", PLAIN)]);
        }),
        ("touch", true, |cache| assert!(cache.touch("k", Expiry::Keep))),
        ("persist", true, |cache| assert!(cache.persist("k"))),
        ("increment", true, |cache| {
            assert_eq!(cache.increment("k", 1, Expiry::Never), Ok(8));
        }),
        ("compare_and_set", true, |cache| {
            assert_eq!(
                cache.compare_and_set("k", "7", "8", PLAIN),
                Ok(CasOutcome::Stored)
            );
        }),
        ("contains", false, |cache| assert!(cache.contains("k"))),
        ("time_left", false, |cache| {
            assert_eq!(cache.time_left("k"), Some(TimeLeft::Left(millis(1))));
        }),
        ("peek", false, |cache| {
            assert_eq!(cache.peek("k").unwrap().value, "7");
        }),
        ("scan", false, |cache| {
            assert_eq!(cache.scan(Cursor::default(), "", 9, true).entries.len(), 1);
        }),
        ("iter", false, |cache| assert_eq!(cache.iter().count(), 1)),
        ("a refused set", false, |cache| {
            let options = SetOptions {
                condition: Condition::IfAbsent,
                ..PLAIN
            };
            assert_eq!(cache.set("k", "8", options), Ok(false));
        }),
        ("another key", false, |cache| drop(cache.get("other"))),
    ];
    for (name, is_use, operation) in uses {
        let (cache, hands) = standing(|b| b.time_to_idle(millis(10)));
        set(&cache, "k", "7");
        hands.advance(millis(9));
        operation(&cache);
        cache.validate();
        hands.advance(millis(9));
        assert_eq!(cache.contains("k"), is_use, "{name}");
        hands.advance(millis(1));
        assert!(!cache.contains("k"), "{name}");
        cache.run_pending();
        assert!(cache.is_empty(), "{name}");
    }
}

#[test]
fn the_ttl_holds_however_often_an_entry_is_used() {
    let (cache, hands) = standing(|b| b.time_to_idle(millis(10)).default_ttl(millis(25)));
    set(&cache, "k", "v");
    for left in [16, 7] {
        hands.advance(millis(9));
        assert_eq!(cache.get("k").unwrap().time_left, TimeLeft::Left(millis(left)));
    }
    hands.advance(millis(7));
    assert!(cache.get("k").is_none());
    cache.validate();
}

#[test]
fn keeping_the_deadline_keeps_the_ttl_and_not_what_is_left_of_the_time_to_idle() {
    let (cache, hands) = standing(|b| b.time_to_idle(millis(10)));
    let keep = SetOptions {
        expiry: Expiry::Keep,
        ..PLAIN
    };
    cache.set("k", "v", SetOptions::ttl(millis(100))).unwrap();
    hands.advance(millis(5));
    cache.set("k", "w", keep).unwrap();
    assert_eq!(cache.peek("k").unwrap().time_left, TimeLeft::Left(millis(95)));
    assert_eq!(cache.time_left("k"), Some(TimeLeft::Left(millis(10))));
    hands.advance(millis(9));
    assert!(cache.contains("k"));
}

#[test]
fn idle_entries_go_before_used_ones_and_their_memory_comes_back_by_itself() {
    let (cache, hands) = standing(|b| b.time_to_idle(millis(10)).max_items(3));
    for key in ["a", "b", "c"] {
        set(&cache, key, "v");
    }
    hands.advance(millis(6));
    cache.get("a");
    hands.advance(millis(6));
    set(&cache, "d", "v");
    assert_eq!(keys(&cache), ["a", "d"]);
    assert_eq!(cache.stats().evictions_by_items, 0);

    let cache = Cache::builder().time_to_idle(millis(5)).build().unwrap();
    for n in 0..2_000 {
        set(&cache, &n.to_string(), "v");
    }
    eventually("idle entries are gone", || cache.is_empty());
    cache.validate();
}

#[test]
fn it_is_charged_to_each_entry_and_more_with_a_ttl() {
    let weigh = |configure: fn(super::super::Builder) -> super::super::Builder, options| {
        let (cache, _) = standing(configure);
        cache.set("k", "v", options).unwrap();
        cache.stats().bytes
    };
    let ttl = SetOptions::ttl(millis(5));
    let plain = weigh(|b| b, PLAIN);
    assert_eq!(weigh(|b| b, ttl), plain + DEADLINE_OVERHEAD);
    assert_eq!(
        weigh(|b| b.time_to_idle(millis(1)), PLAIN),
        plain + DEADLINE_OVERHEAD
    );
    assert_eq!(
        weigh(|b| b.time_to_idle(millis(1)), ttl),
        plain + DEADLINE_OVERHEAD + FIXED_OVERHEAD
    );
}

#[test]
fn a_time_to_idle_of_zero_is_refused() {
    let error = Cache::builder().time_to_idle(Duration::ZERO).build().unwrap_err();
    assert_eq!(error, BuildError::ZeroTimeToIdle);
    assert!(error.to_string().contains("time to idle is 0"), "{error}");
}

#[test]
fn no_entry_becomes_idle_while_time_stands_still() {
    let (cache, hands) = standing(|b| b.time_to_idle(millis(10)));
    {
        let still = cache.stand_still();
        set(&cache, "k", "v");
        cache.set("ttl", "v", SetOptions::ttl(millis(40))).unwrap();
        hands.advance(millis(30));
        assert!(cache.contains("k"));
        drop(still);
    }
    cache.validate();
    hands.advance(millis(9));
    assert!(cache.contains("k"), "it counts from the end of the standstill");
    assert_eq!(cache.get("ttl").unwrap().time_left, TimeLeft::Left(millis(1)));
    hands.advance(millis(1));
    assert_eq!(cache.iter().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Enough entries for pages, levels of the tree, moves of slots and every policy to be in play.
    #[test]
    fn entries_go_exactly_when_they_are_idle_with_every_policy(
        policy in prop::sample::select(vec![PolicyKind::Lru, PolicyKind::S3Fifo, PolicyKind::TinyLfu, PolicyKind::Adaptive]),
        steps in prop::collection::vec((0u32..4, 0u64..3_000, 0u64..60), 1..30),
    ) {
        let (cache, hands) = standing(|b| b.time_to_idle(millis(100)).policy(policy));
        // When each was used last, and when its TTL is over.
        let mut model = std::collections::BTreeMap::new();
        let mut now = 0;
        for (kind, first, by) in steps {
            for n in first..first + 400 {
                let key = n.to_string();
                match kind {
                    0 => {
                        let ttl = n % 7 * 40;
                        let options = if ttl == 0 { PLAIN } else { SetOptions::ttl(millis(ttl)) };
                        cache.set(&key, &key, options).unwrap();
                        model.insert(n, (now, if ttl == 0 { u64::MAX } else { now + ttl }));
                    }
                    1 => prop_assert_eq!(cache.remove(&key), model.remove(&n).is_some()),
                    _ => {
                        let found = cache.get(&key).is_some();
                        prop_assert_eq!(found, model.contains_key(&n), "{} at {}", n, now);
                        model.entry(n).and_modify(|(used, _)| *used = now);
                    }
                }
            }
            now += by;
            hands.advance(millis(by));
            model.retain(|_, &mut (used, over)| used + 100 > now && over > now);
            if kind == 3 {
                cache.run_pending();
                prop_assert_eq!(cache.len(), model.len() as u64);
            }
            cache.validate();
            prop_assert_eq!(cache.iter().count(), model.len());
        }
    }
}
