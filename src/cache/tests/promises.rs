//! Each promise of the engine that one thread can see, by name; those about time are in `deadlines`.

use bytes::Bytes;

use super::super::payload::SHARED_FROM;
use super::super::{Cache, CasOutcome, Condition, Cursor, Error, Expiry, SetOptions, Tag, TimeLeft};
use super::{PLAIN, keys, millis, set, standing, text};

#[test]
fn a_cache_of_two_evicts_as_a_textbook_predicts() {
    let (cache, _) = standing(|b| b.max_items(2));
    set(&cache, "a", "1");
    set(&cache, "b", "2");
    assert_eq!(text(cache.get("a")).as_deref(), Some("1"));
    set(&cache, "c", "3");
    assert_eq!(keys(&cache), ["a", "c"]);
    set(&cache, "a", "4");
    set(&cache, "d", "5");
    assert_eq!(keys(&cache), ["a", "d"]);
    assert_eq!(text(cache.get("b")), None);
    set(&cache, "b", "6");
    assert_eq!(keys(&cache), ["b", "d"]);
    assert_eq!(cache.stats().evictions_by_items, 3);
}

/// Whether the oldest of two entries survives the coming of a third, after something was done to it.
fn refreshes(touch: impl FnOnce(&Cache)) -> bool {
    let (cache, _) = standing(|b| b.max_items(2));
    set(&cache, "oldest", "1");
    set(&cache, "newer", "2");
    touch(&cache);
    set(&cache, "third", "3");
    cache.contains("oldest")
}

#[test]
fn reading_and_writing_refresh() {
    assert!(!refreshes(|_| {}));
    assert!(refreshes(|cache| assert!(cache.get("oldest").is_some())));
    assert!(refreshes(|cache| assert_eq!(cache.get_many(["oldest"]).len(), 1)));
    assert!(refreshes(|cache| set(cache, "oldest", "again")));
    assert!(refreshes(|cache| assert!(cache.touch("oldest", Expiry::Keep))));
    assert!(refreshes(|cache| assert!(cache.persist("oldest"))));
    assert!(refreshes(|cache| assert_eq!(
        cache.increment("oldest", 1, Expiry::Never),
        Ok(2)
    )));
    assert!(refreshes(|cache| {
        assert_eq!(
            cache.compare_and_set("oldest", "1", "2", PLAIN),
            Ok(CasOutcome::Stored)
        );
    }));
}

#[test]
fn looking_does_not_refresh() {
    assert!(!refreshes(|cache| assert!(cache.contains("oldest"))));
    assert!(!refreshes(|cache| assert_eq!(
        cache.time_left("oldest"),
        Some(TimeLeft::Forever)
    )));
    assert!(!refreshes(|cache| assert_eq!(
        cache.scan(Cursor::default(), "", 10, true).entries.len(),
        2
    )));
    assert!(!refreshes(|cache| {
        let only_new = SetOptions {
            condition: Condition::IfAbsent,
            ..PLAIN
        };
        assert_eq!(cache.set("oldest", "other", only_new), Ok(false));
    }));
    assert!(!refreshes(|cache| {
        assert_eq!(
            cache.compare_and_set("oldest", "no", "2", PLAIN),
            Ok(CasOutcome::Mismatch)
        );
    }));
}

#[test]
fn a_refused_entry_removes_what_the_key_held() {
    let (cache, _) = standing(|b| b.max_bytes(4096));
    set(&cache, "k", "old");
    set(&cache, "other", "v");
    let error = cache.set("k", [0; 4096], PLAIN).unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { weight, max: 4096 } if weight > 4096),
        "{error:?}"
    );
    assert!(error.to_string().contains("4096"), "{error}");
    assert_eq!(keys(&cache), ["other"]);
    assert_eq!((cache.stats().refused, cache.stats().removals), (1, 1));
}

#[test]
fn an_entry_larger_than_a_shard_is_refused_though_the_cache_is_larger() {
    let cache = Cache::builder().shards(4).max_bytes(64 << 10).build().unwrap();
    for key in ["a", "b", "c", "d", "e"] {
        set(&cache, key, "old");
        assert_eq!(
            cache.set(key, [0; 12_000], PLAIN),
            Ok(true),
            "it fits into a shard"
        );
        let error = cache.set(key, [0; 17_000], PLAIN).unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { weight, max: 16_384 } if weight > 17_000),
            "{error:?}"
        );
        assert!(!cache.contains(key), "better a miss than a stale value");
        cache.validate();
    }
    assert_eq!(cache.stats().refused, 5);
}

#[test]
fn an_overwrite_that_grows_never_exceeds_max_bytes() {
    let (cache, _) = standing(|b| b.max_bytes(10_000));
    for n in 0..100 {
        set(&cache, &format!("k{n}"), "small");
    }
    for len in (0..8_000).step_by(100) {
        cache.set("k99", vec![1; len], PLAIN).unwrap();
        cache.validate();
        assert!(cache.stats().bytes <= 10_000);
        assert_eq!(cache.get("k99").unwrap().value.len(), len);
    }
    assert!(cache.stats().evictions_by_bytes > 20);
}

#[test]
fn a_failed_condition_leaves_everything_unchanged() {
    let (cache, hands) = standing(|b| b.max_bytes(4096));
    let options = SetOptions {
        tag: Tag::JSON,
        expiry: Expiry::After(millis(50)),
        ..PLAIN
    };
    cache.set("k", "old", options).unwrap();
    hands.advance(millis(10));
    let before = (cache.get("k"), cache.stats());
    let if_absent = SetOptions {
        tag: Tag::TEXT,
        condition: Condition::IfAbsent,
        expiry: Expiry::Never,
    };
    let if_present = SetOptions {
        condition: Condition::IfPresent,
        ..if_absent
    };
    assert_eq!(cache.set("k", "new", if_absent), Ok(false));
    assert_eq!(cache.set("k", [0; 5_000], if_absent), Ok(false));
    assert_eq!(cache.set("absent", "new", if_present), Ok(false));
    assert_eq!(
        cache.compare_and_set("k", "other", "new", if_absent),
        Ok(CasOutcome::Mismatch)
    );
    assert_eq!(
        cache.compare_and_set("k", "other", [0; 5_000], if_absent),
        Ok(CasOutcome::Mismatch)
    );
    assert_eq!(
        cache.compare_and_set("absent", "", "new", if_absent),
        Ok(CasOutcome::Missing)
    );
    assert_eq!(cache.stats(), before.1);
    assert_eq!(cache.get("k"), before.0);
    assert_eq!(before.0.unwrap().time_left, TimeLeft::Left(millis(40)));
}

#[test]
fn a_key_or_value_over_its_limit_changes_nothing() {
    let (cache, _) = standing(|b| b.max_key_bytes(4).max_value_bytes(10));
    assert_eq!(cache.set("1234", "1234567890", PLAIN), Ok(true));
    let before = cache.stats();
    let long_key = Error::KeyTooLong { len: 5, max: 4 };
    let long_value = Error::ValueTooLong { len: 11, max: 10 };
    assert!(long_key.to_string().contains("5 bytes") && long_value.to_string().contains("11 bytes"));
    assert_eq!(cache.set("12345", "v", PLAIN), Err(long_key.clone()));
    assert_eq!(cache.set("1234", "12345678901", PLAIN), Err(long_value.clone()));
    assert_eq!(
        cache.compare_and_set("12345", "", "", PLAIN),
        Err(long_key.clone())
    );
    assert_eq!(
        cache.compare_and_set("1234", "1234567890", "12345678901", PLAIN),
        Err(long_value.clone())
    );
    assert_eq!(cache.increment("12345", 1, Expiry::Never), Err(long_key));
    assert_eq!(
        cache.increment("1234", 8_765_432_109, Expiry::Never),
        Ok(9_999_999_999)
    );
    assert_eq!(
        cache.increment("1234", 1 << 40, Expiry::Never),
        Err(Error::ValueTooLong { len: 13, max: 10 })
    );
    assert!(!cache.contains("12345") && !cache.remove("12345") && cache.get("12345").is_none());
    assert_eq!(text(cache.get("1234")).as_deref(), Some("9999999999"));
    assert_eq!(cache.stats().inserts, before.inserts);
}

#[test]
fn an_increment_that_cannot_be_done_leaves_the_value_unchanged() {
    let (cache, _) = standing(|b| b);
    for (value, delta) in [
        (i64::MAX, 1),
        (i64::MIN, -1),
        (i64::MAX, i64::MAX),
        (-1, i64::MIN),
    ] {
        set(&cache, "n", &value.to_string());
        assert_eq!(
            cache.increment("n", delta, Expiry::Never),
            Err(Error::Overflow { value, delta })
        );
        assert_eq!(text(cache.get("n")), Some(value.to_string()));
    }
    let long = "1".repeat(1 << 20);
    for value in [
        "",
        " 1",
        "1.0",
        "1e3",
        "x",
        "9223372036854775808",
        "ä",
        long.as_str(),
    ] {
        set(&cache, "n", value);
        let error = cache.increment("n", 1, Expiry::Never).unwrap_err();
        assert!(
            matches!(&error, Error::NotAnInteger { found } if found.len() <= 40),
            "{error:?}"
        );
        assert_eq!(text(cache.get("n")).as_deref(), Some(value));
    }
    set(&cache, "n", "0042");
    assert_eq!(cache.increment("n", -2, Expiry::Never), Ok(40));
}

#[test]
fn values_come_back_byte_for_byte() {
    let (cache, _) = standing(|b| b.max_value_bytes(1 << 20));
    let every_byte: Vec<u8> = (0..=255).collect();
    let lengths = [
        0,
        1,
        15,
        16,
        17,
        255,
        4095,
        SHARED_FROM - 1,
        SHARED_FROM,
        SHARED_FROM + 1,
        1 << 20,
    ];
    for (n, len) in lengths.into_iter().enumerate() {
        let key = &every_byte[n..n * 20];
        let value: Vec<u8> = every_byte.iter().copied().cycle().skip(n).take(len).collect();
        let options = SetOptions {
            tag: Tag(n as u8 * 25),
            ..PLAIN
        };
        cache.set(key, &value, options).unwrap();
        let entry = cache.get(key).unwrap();
        assert!(entry.value == value && entry.tag == options.tag, "{len} bytes");
        let page = cache.scan(Cursor::default(), key, 100, true);
        assert!(
            page.entries
                .iter()
                .any(|entry| entry.key == key && entry.value.as_deref() == Some(&value))
        );
    }
    cache.validate();
}

#[test]
fn large_values_are_shared_and_not_copied() {
    let (cache, _) = standing(|b| b);
    cache.set("large", vec![1; SHARED_FROM], PLAIN).unwrap();
    let first = cache.get("large").unwrap().value;
    let page = cache.scan(Cursor::default(), "", 10, true);
    let others = [
        cache.get("large").unwrap().value,
        cache.get_many(["large"])[0].clone().unwrap().value,
        page.entries[0].value.clone().unwrap().into(),
        cache.take("large").unwrap().value,
    ];
    for other in &others {
        assert_eq!(first.as_ptr(), other.as_ptr());
    }
    // What was read stays as it was, whatever happens to the entry.
    cache.set("large", vec![2; SHARED_FROM], PLAIN).unwrap();
    assert_eq!(first, Bytes::from(vec![1; SHARED_FROM]));
}

#[test]
fn a_page_of_a_scan_is_bounded_in_entries_and_bytes() {
    let (cache, _) = standing(|b| b);
    for n in 0..100 {
        cache.set(format!("k{n}"), vec![0; 100_000], PLAIN).unwrap();
    }
    let (mut cursor, mut seen, mut pages) = (Cursor::default(), 0, 0);
    loop {
        let page = cache.scan(cursor, "k", 1_000, true);
        assert!(
            page.entries.len() <= 11,
            "{} values of 100,000 bytes on a page",
            page.entries.len()
        );
        seen += page.entries.len();
        pages += 1;
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(seen, 100);
    assert!(pages >= 10);
    // A limit of nothing would never come to an end.
    assert_eq!(cache.scan(Cursor::default(), "", 0, false).entries.len(), 1);
    // A cursor of another cache, or out of thin air, is no danger.
    for cursor in [u64::MAX, 1 << 32, u64::from(u32::MAX)] {
        assert!(cache.scan(Cursor::from_u64(cursor), "", 10, false).entries.len() <= 10);
    }
}

#[test]
fn cursors_tell_nothing_of_where_keys_are() {
    let (cache, _) = standing(|b| b.shards(4));
    for n in 0..500 {
        cache.set(n.to_string(), "v", PLAIN).unwrap();
    }
    let hashes: Vec<u64> = (0..500)
        .map(|n| u64::from(cache.hashed(n.to_string().as_bytes()).1.hash))
        .collect();
    let mut cursors = Vec::new();
    let mut cursor = Cursor::default();
    // Each cursor is where the next key is: with a limit of 1, all are shown.
    while let Some(next) = cache.scan(cursor, "", 1, false).next {
        cursors.push(next.to_u64());
        cursor = next;
    }
    let told = |cursor: &&u64| {
        hashes.contains(&(**cursor & u64::from(u32::MAX))) || hashes.contains(&(**cursor >> 32))
    };
    assert_eq!(cursors.iter().filter(told).count(), 0, "{cursors:x?}");
    let rising = cursors.windows(2).filter(|two| two[0] < two[1]).count();
    assert!(
        (150..350).contains(&rising),
        "{rising} of {} go up",
        cursors.len() - 1
    );
}

#[test]
fn the_iterator_of_a_batch_may_call_the_cache() {
    let (cache, _) = standing(|b| b);
    let numbers = || (0..200).map(|n| n.to_string());
    let written = cache.set_many(numbers().map(|n| {
        assert!(!cache.contains(&n));
        (n.clone(), n, PLAIN)
    }));
    assert_eq!(written, vec![Ok(true); 200]);
    let found = cache.get_many(numbers().filter(|n| cache.contains(n)));
    assert_eq!(found.into_iter().flatten().count(), 200);
    let removed = cache.remove_many(numbers().inspect(|n| assert!(cache.take(n).is_some())));
    assert_eq!(removed, vec![false; 200]);
}

#[test]
fn hit_ratio_and_counters_are_of_reads_alone() {
    let (cache, _) = standing(|b| b);
    assert!(cache.stats().hit_ratio().abs() < f64::EPSILON);
    set(&cache, "k", "v");
    let _ = (
        cache.get("k"),
        cache.get("absent"),
        cache.contains("k"),
        cache.time_left("k"),
        cache.take("k"),
    );
    assert_eq!((cache.stats().hits, cache.stats().misses), (2, 1));
    assert!((cache.stats().hit_ratio() - 2.0 / 3.0).abs() < 1e-9);
}

#[test]
fn debugging_output_names_what_matters() {
    let (cache, hands) = standing(|b| b.max_items(7));
    set(&cache, "secret", "value");
    let shown = format!("{cache:?} {hands:?} {:?}", cache.clock());
    assert!(
        shown.contains("max_items: Some(7)") && shown.contains("Clock::manual"),
        "{shown}"
    );
    assert!(!shown.contains("secret"), "{shown}");
}
