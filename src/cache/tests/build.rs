//! What the builder takes, and what it says to what it does not.

use std::time::Duration;

use super::super::{BuildError, Builder, Cache};
use super::millis;
use crate::TypedCache;

fn refusal(configure: impl FnOnce(Builder) -> Builder) -> (BuildError, String) {
    let error = configure(Cache::builder()).build().unwrap_err();
    let text = error.to_string();
    (error, text)
}

fn shards(configure: impl FnOnce(Builder) -> Builder) -> usize {
    configure(Cache::builder()).build().unwrap().inner.shards.len()
}

#[test]
fn each_bad_option_is_refused_with_its_name_and_value() {
    let (error, text) = refusal(|b| b.max_items(0));
    assert_eq!(error, BuildError::NoItems);
    assert!(text.contains("max_items is 0"), "{text}");

    let (error, text) = refusal(|b| b.max_bytes(4095));
    assert!(
        matches!(
            error,
            BuildError::TooFewBytes {
                max_bytes: 4095,
                least: 4096
            }
        ),
        "{error:?}"
    );
    assert!(
        text.contains("max_bytes is 4095") && text.contains("4096"),
        "{text}"
    );

    let (_, text) = refusal(|b| b.max_bytes(0));
    assert!(
        text.contains("max_bytes is 0 and") && text.contains("4096") && text.contains("leave it out"),
        "{text}"
    );

    for bad in [0, 3, 12, 2048, usize::MAX] {
        let (error, text) = refusal(|b| b.shards(bad));
        assert_eq!(error, BuildError::Shards(bad));
        assert!(
            text.contains(&format!("shards is {bad} ")) && text.contains("1024"),
            "{text}"
        );
    }

    let (error, text) = refusal(|b| b.max_items(3).shards(4));
    assert!(
        matches!(
            error,
            BuildError::FewerItemsThanShards {
                max_items: 3,
                shards: 4
            }
        ),
        "{error:?}"
    );
    assert!(
        text.contains("max_items is 3") && text.contains("4 shards"),
        "{text}"
    );

    let (error, text) = refusal(|b| b.max_bytes(16_000).shards(4));
    assert!(
        matches!(
            error,
            BuildError::TooFewBytes {
                max_bytes: 16_000,
                least: 16_384
            }
        ),
        "{error:?}"
    );
    assert!(
        text.contains("max_bytes is 16000") && text.contains("16384"),
        "{text}"
    );

    let over = (1 << 30) + 1;
    for (name, (error, text)) in [
        ("max_key_bytes", refusal(|b| b.max_key_bytes(over))),
        ("max_value_bytes", refusal(|b| b.max_value_bytes(over))),
    ] {
        assert!(
            matches!(error, BuildError::LengthLimit { name: named, .. } if named == name),
            "{error:?}"
        );
        assert!(
            text.contains(name) && text.contains("1073741825") && text.contains("1073741824"),
            "{text}"
        );
    }

    let (error, text) = refusal(|b| b.default_ttl(Duration::ZERO));
    assert_eq!(error, BuildError::ZeroDefaultTtl);
    assert!(text.contains("default TTL is 0"), "{text}");
}

#[test]
fn the_least_of_everything_is_taken() {
    let cache = Cache::builder()
        .max_items(1)
        .max_bytes(4096)
        .default_ttl(Duration::from_nanos(1))
        .max_key_bytes(0)
        .max_value_bytes(0)
        .shards(1)
        .build()
        .unwrap();
    assert_eq!((cache.max_items(), cache.max_bytes()), (Some(1), Some(4096)));
    assert_eq!((cache.max_key_bytes(), cache.max_value_bytes()), (0, 0));
    assert_eq!(cache.set("", "", super::PLAIN), Ok(true));
}

#[test]
fn the_most_of_everything_is_taken() {
    let cache = Cache::builder()
        .max_items(u64::MAX)
        .max_bytes(u64::MAX)
        .default_ttl(Duration::MAX)
        .max_key_bytes(1 << 30)
        .max_value_bytes(1 << 30)
        .shards(1024)
        .build()
        .unwrap();
    assert_eq!(cache.set("k", "v", super::PLAIN), Ok(true));
    assert!(cache.contains("k"));
}

#[test]
fn small_caches_are_one_list_and_large_ones_are_split() {
    assert_eq!(shards(|b| b.max_items(1)), 1);
    assert_eq!(shards(|b| b.max_items(2 * 65_536 - 1)), 1);
    assert_eq!(shards(|b| b.max_items(2 * 65_536)), 2);
    assert_eq!(shards(|b| b.max_bytes((512 << 20) - 1)), 1);
    assert_eq!(shards(|b| b.max_bytes(512 << 20)), 2);
    assert_eq!(shards(|b| b.max_items(1_000_000_000).max_bytes(100 << 20)), 1);
    // A shard has room for the largest entry that is allowed, three times.
    assert_eq!(shards(|b| b.max_bytes(512 << 20).max_value_bytes(200 << 20)), 1);
    assert!(shards(|b| b.max_bytes(1 << 50)) <= 64);
}

#[test]
fn times_without_a_limit_are_shown_as_none_and_locked_keys_as_text() {
    let shown = |builder: Builder| format!("{:?}", builder.build().unwrap());
    let none = shown(Cache::builder());
    assert!(none.contains("default_ttl: None, time_to_idle: None"), "{none}");
    let some = shown(Cache::builder().default_ttl(millis(1_500)));
    assert!(some.contains("default_ttl: Some(1.5s)"), "{some}");
    let typed = TypedCache::<u8, u8>::builder().build().unwrap();
    let none = format!("{typed:?}");
    assert!(none.contains("default_ttl: None, time_to_idle: None"), "{none}");

    let cache = Cache::builder().build().unwrap();
    let guard = format!("{:?}", cache.key_lock(b"a\xff"));
    assert_eq!(guard, "KeyGuard { key: \"a\\xff\" }");
    assert_eq!(format!("{:?}", typed.key_lock(&7)), "KeyGuard { key: 7 }");
}
