//! What a cache promises with every policy: what it serves is what was written last, not removed and not expired; its limits hold; and everything that is there
//! throughout is met by whoever walks over it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Cache, Cursor, Expiry, PolicyKind, SetOptions};
use super::{PLAIN, millis, standing};

#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Set(u8, usize, Option<u16>),
    Remove(u8),
    Take(u8),
    Touch(u8, u16),
    Clear,
    ClearPrefix(u8),
    Advance(u16),
    Reclaim,
}

fn step(longest: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any::<u8>().prop_map(Step::Get),
        20 => (any::<u8>(), 0..=longest, proptest::option::weighted(0.3, 0u16..2_000))
            .prop_map(|(key, len, ttl)| Step::Set(key, len, ttl)),
        2 => any::<u8>().prop_map(Step::Remove),
        1 => any::<u8>().prop_map(Step::Take),
        2 => (any::<u8>(), any::<u16>()).prop_map(|(key, ttl)| Step::Touch(key, ttl)),
        1 => (0u8..50).prop_map(|n| if n == 0 { Step::Clear } else { Step::ClearPrefix(n) }),
        2 => (0u16..500).prop_map(Step::Advance),
        1 => Just(Step::Reclaim),
    ]
}

fn key(n: u8) -> String {
    // Few that come often, and many that come now and then; and some as long as the longest that is packed, or one byte longer.
    let n = if n < 128 { n % 16 } else { n % 100 };
    let longer = if n % 8 == 7 { 253 + n / 8 % 2 } else { 0 };
    format!("{n:02}{}", "-".repeat(longer.into()))
}

/// Steps that write values of lengths at which something changes: the size class, whether an entry is packed, whether a value is shared.
fn step_at_a_border() -> impl Strategy<Value = Step> {
    // Beside a header of four bytes and a key of two.
    let packed = (
        prop_oneof![0usize..70, 240usize..280, 500usize..560, 4_080usize..4_110],
        any::<bool>(),
    )
        .prop_map(|(len, of_long_key)| len.saturating_sub(if of_long_key { 4 + 255 } else { 4 + 2 }));
    let len = prop_oneof![6 => packed, 1 => 16_380usize..16_390, 1 => 0usize..20_000];
    (step(0), len).prop_map(|(step, len)| match step {
        Step::Set(key, _, ttl) => Step::Set(key, len, ttl),
        other => other,
    })
}

/// Value and deadline of each key that may be there.
type Model = BTreeMap<String, (Vec<u8>, Option<u64>)>;

fn check(cache: &Cache, model: &Model) -> Result<(), TestCaseError> {
    cache.validate();
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let page = cache.scan(at, "", 100, true);
        for entry in page.entries {
            let key = String::from_utf8(entry.key.to_vec()).unwrap();
            let expected = model.get(&key).map(|(value, _)| value.as_slice());
            prop_assert_eq!(entry.value.as_deref(), expected, "{}", key);
        }
        cursor = page.next;
    }
    Ok(())
}

fn play(
    policy: PolicyKind,
    max_items: Option<u64>,
    max_bytes: Option<u64>,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let (cache, hands) = standing(|mut builder| {
        builder = builder.policy(policy);
        if let Some(items) = max_items {
            builder = builder.max_items(items);
        }
        if let Some(bytes) = max_bytes {
            builder = builder.max_bytes(bytes);
        }
        builder
    });
    let mut model = Model::new();
    let mut now = 0;
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Get(n) => {
                if let Some(entry) = cache.get(key(n)) {
                    prop_assert_eq!(
                        Some(&entry.value[..]),
                        model.get(&key(n)).map(|(value, _)| &value[..])
                    );
                }
            }
            Step::Set(n, len, ttl) => {
                let value = vec![number as u8; len];
                let options = match ttl {
                    Some(ttl) => SetOptions::ttl(millis(ttl.into())),
                    None => PLAIN,
                };
                match cache.set(key(n), &value, options) {
                    Ok(_) => model.insert(key(n), (value, ttl.map(|ttl| now + u64::from(ttl)))),
                    Err(_) => model.remove(&key(n)),
                };
                if max_bytes.is_none() && ttl != Some(0) {
                    prop_assert!(cache.contains(key(n)), "what was written last is there");
                }
            }
            Step::Remove(n) => {
                let was_there = cache.remove(key(n));
                prop_assert!(!was_there || model.contains_key(&key(n)));
                model.remove(&key(n));
            }
            Step::Take(n) => {
                let taken = cache.take(key(n));
                prop_assert!(taken.is_none() || model.contains_key(&key(n)));
                model.remove(&key(n));
            }
            Step::Touch(n, ttl) => {
                if cache.touch(key(n), Expiry::After(millis(ttl.into()))) {
                    let entry = model.get_mut(&key(n));
                    prop_assert!(entry.is_some(), "what was touched was written");
                    entry.unwrap().1 = Some(now + u64::from(ttl));
                }
            }
            Step::Clear => {
                cache.clear();
                model.clear();
            }
            Step::ClearPrefix(n) => {
                let prefix = (n % 10).to_string();
                cache.clear_prefix(&prefix);
                model.retain(|key, _| !key.starts_with(&prefix));
            }
            Step::Advance(by) => {
                hands.advance(millis(by.into()));
                now += u64::from(by);
            }
            Step::Reclaim => cache.run_pending(),
        }
        model.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now));
        check(&cache, &model)?;
    }
    let stats = cache.stats();
    if stats.evictions_by_items + stats.evictions_by_bytes == 0 {
        cache.run_pending();
        prop_assert_eq!(
            cache.len(),
            model.len() as u64,
            "nothing was evicted, and nothing is missing"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_cache_bounded_by_items_serves_what_was_written_last(
        policy in select(&PolicyKind::ALL[..]), max_items in 1u64..40,
        steps in prop::collection::vec(step(40), 1..400)
    ) {
        play(policy, Some(max_items), None, steps)?;
    }

    #[test]
    fn a_cache_bounded_by_bytes_serves_what_was_written_last(
        policy in select(&PolicyKind::ALL[..]), max_bytes in 4096u64..20_000,
        steps in prop::collection::vec(step(3_000), 1..400)
    ) {
        play(policy, None, Some(max_bytes), steps)?;
    }

    #[test]
    fn a_cache_bounded_by_both_serves_what_was_written_last(
        policy in select(&PolicyKind::ALL[..]), max_items in 5u64..60, max_bytes in 4096u64..20_000,
        steps in prop::collection::vec(step(600), 1..400)
    ) {
        play(policy, Some(max_items), Some(max_bytes), steps)?;
    }
}

proptest! {
    #[test]
    fn a_cache_of_sizes_at_borders_serves_what_was_written_last(
        policy in select(&PolicyKind::ALL[..]), max_bytes in 20_000u64..300_000,
        steps in prop::collection::vec(step_at_a_border(), 1..300)
    ) {
        play(policy, None, Some(max_bytes), steps)?;
    }
}

#[test]
fn a_cache_with_room_for_one_entry_holds_the_one_that_was_written_last() {
    for policy in PolicyKind::ALL {
        for (cache, len) in [
            (
                standing(|builder| builder.policy(policy).max_bytes(4_096)).0,
                2_500,
            ),
            (standing(|builder| builder.policy(policy).max_items(1)).0, 2_500),
            (
                standing(|builder| builder.policy(policy).max_bytes(40_000)).0,
                25_000,
            ),
        ] {
            for n in 0..200u8 {
                let key = key(n);
                assert_eq!(cache.set(&key, vec![n; len], PLAIN), Ok(true));
                assert_eq!(cache.get(&key).unwrap().value, vec![n; len]);
                assert_eq!(cache.len(), 1, "{policy}");
                cache.validate();
            }
        }
    }
}

/// Numbers that look random.
fn scattered(n: u32) -> u32 {
    (n.wrapping_mul(0x9E37_79B1) ^ n >> 7).wrapping_mul(0x85EB_CA6B) >> 8
}

#[test]
fn many_entries_come_and_go_and_everything_stays_sound() {
    for policy in PolicyKind::ALL {
        for bytes in [None, Some(1 << 20)] {
            let (cache, hands) = standing(|builder| match bytes {
                None => builder.policy(policy).max_items(6_000),
                Some(bytes) => builder.policy(policy).max_bytes(bytes),
            });
            for n in 0..60_000u32 {
                let key = (scattered(n) % if n % 3 == 0 { 2_000 } else { 40_000 }).to_string();
                if cache.get(&key).is_none() {
                    let options = if n % 5 == 0 {
                        SetOptions::ttl(millis(3_000))
                    } else {
                        PLAIN
                    };
                    // At first small, then large, so that slots are given up.
                    let len = scattered(n) as usize % if n < 30_000 { 50 } else { 2_000 };
                    cache.set(&key, vec![0; len], options).unwrap();
                }
                match n % 10_000 {
                    9_999 => cache.validate(),
                    5_000 => hands.advance(millis(2_000)),
                    _ => {}
                }
            }
            assert!(cache.stats().hits > 5_000, "{policy}: {:?}", cache.stats());
        }
    }
}

#[test]
fn expired_entries_go_before_live_ones_with_every_policy() {
    for policy in PolicyKind::ALL {
        let (cache, hands) = standing(|builder| builder.policy(policy).max_items(100));
        for n in 0..100 {
            let options = if n % 2 == 0 {
                SetOptions::ttl(millis(10))
            } else {
                PLAIN
            };
            cache.set(n.to_string(), "value", options).unwrap();
        }
        hands.advance(Duration::from_secs(1));
        for n in 100..150 {
            cache.set(n.to_string(), "value", PLAIN).unwrap();
        }
        assert!(
            (0..150).all(|n| cache.contains(n.to_string()) == (n % 2 == 1 || n >= 100)),
            "{policy} evicted a live entry"
        );
    }
}

#[test]
fn a_sweep_shows_what_is_there_throughout_while_entries_change_their_places() {
    for policy in PolicyKind::ALL {
        let (cache, _) = standing(|builder| builder.policy(policy).max_items(2_000));
        for n in 0..2_000u32 {
            cache.set(n.to_string(), "value", PLAIN).unwrap();
        }
        for n in 2_000..12_000u32 {
            let key = (scattered(n) % 3_000).to_string();
            if cache.get(&key).is_none() {
                cache.set(&key, "value", PLAIN).unwrap();
            }
        }
        let held = |cache: &Cache| super::keys_of_all(cache).into_iter().collect::<BTreeSet<_>>();
        let mut throughout = held(&cache);
        let mut shown = BTreeSet::new();
        let mut n = 20_000;
        let ended = cache.sweep(
            |entry| {
                shown.insert(String::from_utf8(entry.key().to_vec()).unwrap());
                false
            },
            || {
                for _ in 0..100 {
                    n += 1;
                    let key = (scattered(n) % 3_000).to_string();
                    if cache.get(&key).is_none() {
                        cache.set(&key, "value", PLAIN).unwrap();
                        // It was evicted meanwhile, and comes anew.
                        throughout.remove(&key);
                    }
                }
                let now = held(&cache);
                throughout.retain(|key| now.contains(key));
                ControlFlow::Continue(())
            },
        );
        assert_eq!(ended, ControlFlow::Continue(()));
        let missed: Vec<_> = throughout.difference(&shown).collect();
        assert!(
            missed.is_empty(),
            "{policy}: {} of {} were not shown",
            missed.len(),
            throughout.len()
        );
        assert!(
            throughout.len() > 200,
            "{policy}: {} were there throughout",
            throughout.len()
        );
    }
}

#[test]
fn sweeps_that_are_under_way_at_the_same_time_show_everything_each() {
    for policy in PolicyKind::ALL {
        let (cache, _) = standing(|builder| builder.policy(policy).max_items(2_000));
        for n in 0..2_000u32 {
            cache.set(n.to_string(), "value", PLAIN).unwrap();
        }
        let held = cache.len();
        let (mut outer, mut inner) = (BTreeSet::new(), BTreeSet::new());
        let mut pauses = 0;
        let ended = cache.sweep(
            |entry| !outer.insert(entry.key().to_vec()),
            || {
                pauses += 1;
                if pauses == 5 {
                    let ended = cache.sweep(
                        |entry| !inner.insert(entry.key().to_vec()),
                        || ControlFlow::Continue(()),
                    );
                    assert_eq!(ended, ControlFlow::Continue(()));
                    assert!(cache.try_sweep(|_| false, || ControlFlow::Continue(())).is_none());
                }
                ControlFlow::Continue(())
            },
        );
        assert_eq!(ended, ControlFlow::Continue(()));
        assert_eq!((outer.len() as u64, inner.len() as u64), (held, held), "{policy}");
    }
}

#[test]
fn a_sweep_that_breaks_off_or_panics_leaves_nothing_behind() {
    let (cache, _) = standing(|builder| builder);
    for n in 0..1_000u32 {
        cache.set(n.to_string(), "value", PLAIN).unwrap();
    }
    let left = || cache.inner.shards[0].hold().sweeps();
    let broken = cache.try_sweep(
        |_| false,
        || {
            assert_eq!(left(), 1);
            ControlFlow::Break(())
        },
    );
    assert_eq!((broken, left()), (Some(ControlFlow::Break(())), 0));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.try_sweep(|_| false, || panic!("as asked for"))
    }));
    assert!(panicked.is_err());
    assert_eq!(left(), 0);
    let whole = cache.try_sweep(|_| false, || ControlFlow::Continue(()));
    assert_eq!((whole, left()), (Some(ControlFlow::Continue(())), 0));
}

/// Few entries, so that Miri can run it too: everything that is prefetched, in each state in which it may be.
#[test]
fn batches_do_what_single_operations_do_whatever_they_prefetch() {
    for policy in PolicyKind::ALL {
        let (cache, hands) = standing(|builder| builder.policy(policy).max_items(60));
        let keys: Vec<String> = (0..70).map(|n| n.to_string() + &"-".repeat(n % 8 * 36)).collect();
        assert_eq!(cache.get_many(&keys), vec![None; 70], "of an empty cache");
        let written = (0u8..).zip(&keys).map(|(n, key)| {
            // Packed, large, and shared; some that expire.
            let len = [3, 300, 5_000, 17_000][usize::from(n % 4)];
            let options = if n % 5 == 0 {
                SetOptions::ttl(millis(10))
            } else {
                PLAIN
            };
            (key, vec![n; len], options)
        });
        assert_eq!(cache.set_many(written), vec![Ok(true); 70]);
        hands.advance(millis(10));
        let found = cache.get_many(&keys);
        let there: Vec<bool> = keys.iter().map(|key| cache.contains(key)).collect();
        for (n, entry) in found.into_iter().enumerate() {
            assert_eq!(entry.is_some(), there[n], "{policy}: {n}");
            assert!(entry.is_none_or(|entry| usize::from(entry.value[0]) == n && n % 5 != 0));
        }
        assert!(there.iter().filter(|&&there| there).count() >= 40, "{policy}");
        cache.validate();
        assert_eq!(cache.remove_many(&keys), there);
        assert!(cache.is_empty());
        cache.validate();
    }
}

#[test]
fn a_policy_is_known_by_its_name() {
    for kind in PolicyKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
        let cache = Cache::builder().policy(kind).build().unwrap();
        assert_eq!(cache.policy(), kind);
    }
    assert_eq!(Cache::builder().build().unwrap().policy(), PolicyKind::Lru);
    let text = "LFU".parse::<PolicyKind>().unwrap_err().to_string();
    assert!(
        text.contains("\"LFU\"") && PolicyKind::ALL.iter().all(|kind| text.contains(kind.name())),
        "{text}"
    );
}

#[test]
fn a_policy_that_resists_scans_keeps_what_is_read_again() {
    for (policy, keeps) in [
        (PolicyKind::Lru, false),
        (PolicyKind::S3Fifo, true),
        (PolicyKind::TinyLfu, true),
        (PolicyKind::Adaptive, true),
    ] {
        let (cache, _) = standing(|builder| builder.policy(policy).max_items(1_000));
        for _ in 0..3 {
            for n in 0..500 {
                if cache.get(n.to_string()).is_none() {
                    cache.set(n.to_string(), "value", PLAIN).unwrap();
                }
            }
        }
        for n in 10_000..12_000 {
            cache.set(n.to_string(), "value", PLAIN).unwrap();
        }
        let kept = (0..500).filter(|n| cache.contains(n.to_string())).count();
        assert_eq!(kept > 400, keeps, "{policy} kept {kept} of 500");
    }
}

#[test]
fn admission_by_frequency_holds_a_part_of_a_loop_also_when_bytes_are_the_limit() {
    let weight = |n: u32| 100 + scattered(n) as usize % 900;
    for policy in [PolicyKind::TinyLfu, PolicyKind::Adaptive] {
        let (cache, _) = standing(|builder| builder.policy(policy).max_bytes(2_600_000));
        for n in 0..100_000u32 {
            let key = (n % 5_000).to_string();
            if cache.get(&key).is_none() {
                cache.set(&key, vec![0; weight(n % 5_000)], PLAIN).unwrap();
            }
        }
        let hits = cache.stats().hits;
        assert!(
            hits > 25_000,
            "{policy}: {hits} hits of 100,000, and exact LRU has none"
        );
    }
}

#[test]
fn what_a_policy_keeps_for_each_entry_is_charged_when_it_comes_and_given_back_when_it_goes() {
    let charged = PolicyKind::ALL.map(|policy| {
        let (cache, _) = standing(|builder| builder.policy(policy).max_bytes(10_000));
        cache.set("key", "value", PLAIN).unwrap();
        let one = cache.stats().bytes;
        // Overwritten by one of another length, and again.
        cache
            .set("key", "a longer value that needs another place", PLAIN)
            .unwrap();
        cache.set("key", "value", PLAIN).unwrap();
        assert_eq!(cache.stats().bytes, one, "{policy}");
        cache.set("yek", "value", PLAIN).unwrap();
        assert_eq!(cache.stats().bytes, 2 * one, "{policy}");
        cache.validate();
        assert!(cache.remove("key") && cache.remove("yek"));
        assert_eq!(cache.stats().bytes, 0, "{policy}");
        // As many fit as are charged for, and the limit is full then.
        (0..1_000).for_each(|n| drop(cache.set(format!("{n:03}"), "value", PLAIN)));
        assert_eq!(cache.len(), 10_000 / one, "{policy}");
        one
    });
    let [lru, others @ ..] = charged;
    assert!(others.iter().all(|&charged| charged > lru), "{charged:?}");
}
