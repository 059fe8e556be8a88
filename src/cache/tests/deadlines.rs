//! Each promise of the engine about time, by name.

use std::time::Duration;

use super::super::{Cache, CasOutcome, Condition, Cursor, Expiry, ManualClock, SetOptions, Tag, TimeLeft};
use super::{PLAIN, keys, millis, set, standing};

const NANO: Duration = Duration::from_nanos(1);

#[test]
fn an_expired_value_is_never_served_and_a_live_one_never_missed_to_the_nanosecond() {
    for ttl in [
        1,
        2,
        63,
        64,
        65,
        1_000,
        4_095,
        4_096,
        262_143,
        262_144,
        86_400_000,
        5_000_000,
        86_400_000_000_001,
        1 << 60,
    ] {
        let ttl = Duration::from_nanos(ttl);
        let (cache, hands) = standing(|b| b);
        hands.advance(Duration::from_nanos(12_345_678_901));
        assert_eq!(cache.set("k", "v", SetOptions::ttl(ttl)), Ok(true));
        // All ways of looking, on both sides of the deadline.
        hands.advance(ttl - NANO);
        cache.run_pending();
        assert_eq!(cache.time_left("k"), Some(TimeLeft::Left(NANO)), "TTL {ttl:?}");
        assert!(cache.contains("k") && cache.get("k").is_some() && cache.get_many(["k"])[0].is_some());
        assert_eq!(cache.scan(Cursor::default(), "", 10, false).entries.len(), 1);
        hands.advance(NANO);
        assert_eq!(
            cache.scan(Cursor::default(), "", 10, false).entries.len(),
            0,
            "TTL {ttl:?}"
        );
        assert_eq!(cache.len(), 1, "nothing has looked at it yet");
        assert!(cache.get("k").is_none(), "TTL {ttl:?}");
        assert_eq!((cache.len(), cache.stats().expirations), (0, 1));
    }
}

#[test]
fn every_operation_takes_an_expired_entry_for_an_absent_one() {
    type IsGone = fn(&Cache) -> bool;
    let gone: [(&str, IsGone); 11] = [
        ("get", |cache| cache.get("k").is_none()),
        ("get_many", |cache| cache.get_many(["k"]) == [None]),
        ("take", |cache| cache.take("k").is_none()),
        ("remove", |cache| !cache.remove("k")),
        ("contains", |cache| !cache.contains("k")),
        ("time_left", |cache| cache.time_left("k").is_none()),
        ("touch", |cache| !cache.touch("k", Expiry::Never)),
        ("increment", |cache| {
            cache.increment("k", 1, Expiry::Never) == Ok(1)
        }),
        ("compare_and_set", |cache| {
            cache.compare_and_set("k", "7", "8", PLAIN) == Ok(CasOutcome::Missing)
        }),
        ("set if absent", |cache| {
            cache.set(
                "k",
                "8",
                SetOptions {
                    condition: Condition::IfAbsent,
                    ..PLAIN
                },
            ) == Ok(true)
        }),
        ("set if present", |cache| {
            cache.set(
                "k",
                "8",
                SetOptions {
                    condition: Condition::IfPresent,
                    ..PLAIN
                },
            ) == Ok(false)
        }),
    ];
    for (name, is_gone) in gone {
        let (cache, hands) = standing(|b| b);
        cache.set("k", "7", SetOptions::ttl(millis(10))).unwrap();
        hands.advance(millis(10));
        assert!(is_gone(&cache), "{name}");
        cache.validate();
    }
}

#[test]
fn a_ttl_is_whole_from_wherever_in_a_millisecond_it_begins() {
    for begun in (0..1_000_000).step_by(99_999) {
        for ttl in [NANO, Duration::from_micros(300), millis(1), millis(5)] {
            let (cache, hands) = standing(|b| b.default_ttl(ttl));
            hands.advance(Duration::from_nanos(begun));
            cache.set("after", "v", SetOptions::ttl(ttl)).unwrap();
            set(&cache, "default", "v");
            cache.set("touched", "v", SetOptions::ttl(millis(9))).unwrap();
            assert!(cache.touch("touched", Expiry::After(ttl)));
            cache.increment("created", 1, Expiry::After(ttl)).unwrap();
            hands.advance(ttl - NANO);
            assert_eq!(
                keys(&cache),
                ["after", "created", "default", "touched"],
                "{ttl:?} from {begun} ns"
            );
            hands.advance(NANO);
            assert!(keys(&cache).is_empty(), "{ttl:?} from {begun} ns");
        }
    }
}

#[test]
fn an_absolute_deadline_comes_when_the_wall_clock_says_so_wherever_in_a_millisecond_it_was_given() {
    for begun in (0..1_000_000).step_by(99_999) {
        let (cache, hands) = standing(|b| b);
        let begun = Duration::from_nanos(begun);
        hands.advance(begun);
        let expiry = Expiry::At(cache.clock().unix_millis() + 5);
        cache.set("k", "v", SetOptions { expiry, ..PLAIN }).unwrap();
        hands.advance(millis(5) - begun - NANO);
        assert!(cache.contains("k"), "given {begun:?} into a millisecond");
        hands.advance(NANO);
        assert!(!cache.contains("k"), "given {begun:?} into a millisecond");
    }
}

#[test]
fn a_ttl_without_end_is_kept_and_never_comes() {
    let (cache, hands) = standing(|b| b.default_ttl(Duration::MAX));
    for (key, expiry) in [
        ("a", Expiry::After(Duration::MAX)),
        ("b", Expiry::At(u64::MAX)),
        ("c", Expiry::Never),
        ("d", Expiry::Default),
    ] {
        cache.set(key, "v", SetOptions { expiry, ..PLAIN }).unwrap();
    }
    hands.advance(Duration::from_secs(500 * 365 * 86_400));
    cache.validate();
    cache.run_pending();
    assert_eq!(keys(&cache), ["a", "b", "c", "d"]);
    assert!(matches!(cache.time_left("d"), Some(TimeLeft::Left(_))));
    // At the end of time what has no deadline is still there.
    hands.advance(Duration::MAX);
    hands.advance(Duration::MAX);
    assert_eq!(keys(&cache), ["c"]);
    cache.validate();
}

/// Three entries with an hour to live: by TTL, by an absolute time, and by default.
fn three_with_an_hour() -> (Cache, ManualClock) {
    let (cache, hands) = standing(|b| b.default_ttl(millis(3_600_000)));
    let at = cache.clock().unix_millis() + 3_600_000;
    cache
        .set("after", "v", SetOptions::ttl(millis(3_600_000)))
        .unwrap();
    cache
        .set(
            "at",
            "v",
            SetOptions {
                expiry: Expiry::At(at),
                ..PLAIN
            },
        )
        .unwrap();
    cache.set("default", "v", PLAIN).unwrap();
    (cache, hands)
}

#[test]
fn a_jump_of_the_wall_clock_leaves_the_cache_alone() {
    for jump in [-1 << 50, -3_600_000, 3_600_001, 1 << 50, i64::MAX, i64::MIN] {
        let (cache, hands) = three_with_an_hour();
        hands.jump_wall_clock(jump);
        hands.advance(millis(3_599_999));
        cache.run_pending();
        assert_eq!(keys(&cache), ["after", "at", "default"], "jump by {jump} ms");
        hands.advance(millis(1));
        assert!(keys(&cache).is_empty(), "jump by {jump} ms");
    }
}

#[test]
fn expired_entries_go_before_live_ones() {
    let (cache, hands) = standing(|b| b.max_items(3));
    set(&cache, "oldest", "v");
    cache.set("short", "v", SetOptions::ttl(millis(5))).unwrap();
    set(&cache, "newest", "v");
    hands.advance(millis(5));
    set(&cache, "more", "v");
    assert_eq!(keys(&cache), ["more", "newest", "oldest"]);
    let stats = cache.stats();
    assert_eq!((stats.expirations, stats.evictions_by_items), (1, 0));
}

#[test]
fn an_increment_keeps_deadline_and_tag_and_gives_new_ones_only_when_it_creates() {
    let (cache, hands) = standing(|b| b);
    cache
        .set(
            "n",
            "5",
            SetOptions {
                tag: Tag::JSON,
                expiry: Expiry::After(millis(100)),
                ..PLAIN
            },
        )
        .unwrap();
    hands.advance(millis(30));
    assert_eq!(cache.increment("n", 1, Expiry::After(millis(9_999))), Ok(6));
    let entry = cache.get("n").unwrap();
    assert_eq!(
        (entry.tag, entry.time_left),
        (Tag::JSON, TimeLeft::Left(millis(70)))
    );
    assert_eq!(cache.increment("new", 7, Expiry::After(millis(50))), Ok(7));
    let entry = cache.get("new").unwrap();
    assert_eq!(
        (entry.tag, entry.time_left),
        (Tag::TEXT, TimeLeft::Left(millis(50)))
    );
}

#[test]
fn keep_keeps_the_deadline_that_is_there() {
    let (cache, hands) = standing(|b| b.default_ttl(millis(40)));
    let keep = SetOptions {
        expiry: Expiry::Keep,
        ..PLAIN
    };
    cache.set("old", "v", SetOptions::ttl(millis(100))).unwrap();
    cache
        .set(
            "forever",
            "v",
            SetOptions {
                expiry: Expiry::Never,
                ..PLAIN
            },
        )
        .unwrap();
    hands.advance(millis(10));
    for key in ["old", "forever", "new"] {
        cache.set(key, "w", keep).unwrap();
    }
    assert_eq!(cache.time_left("old"), Some(TimeLeft::Left(millis(90))));
    assert_eq!(cache.time_left("forever"), Some(TimeLeft::Forever));
    assert_eq!(cache.time_left("new"), Some(TimeLeft::Left(millis(40))));
}

#[test]
fn a_write_that_expires_at_once_removes_what_was_there() {
    let (cache, _) = standing(|b| b);
    for expiry in [
        Expiry::After(Duration::ZERO),
        Expiry::At(0),
        Expiry::At(cache.clock().unix_millis()),
    ] {
        set(&cache, "k", "old");
        assert_eq!(cache.set("k", "new", SetOptions { expiry, ..PLAIN }), Ok(true));
        assert!(cache.is_empty(), "{expiry:?}");
        set(&cache, "k", "old");
        assert!(cache.touch("k", expiry));
        assert!(cache.is_empty(), "{expiry:?}");
    }
    assert_eq!(cache.stats().expirations, 0);
}

#[test]
fn an_expired_entry_goes_before_live_ones_however_many_deadlines_were_put_off() {
    for live in [1_000u32, 20_000, 100_000] {
        let (cache, hands) = standing(|b| b.max_items(u64::from(live) + 1));
        for n in 0..live {
            cache
                .set(n.to_le_bytes(), "v", SetOptions::ttl(millis(1_000)))
                .unwrap();
        }
        for n in 0..live {
            assert!(cache.touch(n.to_le_bytes(), Expiry::After(millis(100_000))));
        }
        cache.set("short", "v", SetOptions::ttl(millis(1_000))).unwrap();
        hands.advance(millis(2_000));
        set(&cache, "new", "v");
        let stats = cache.stats();
        assert_eq!((stats.expirations, stats.evictions_by_items), (1, 0), "{live}");
        cache.validate();
    }
}
