//! Every op of version 2 on single keys, end to end.

use super::*;
use crate::Condition;

const FOREVER: u64 = u64::MAX;

fn conditional(condition: Condition) -> SetOptions {
    SetOptions {
        condition,
        ..SetOptions::default()
    }
}

fn increment(key: &str, delta: i64) -> Command<'_> {
    Command::Increment {
        key: key.as_bytes(),
        delta,
        when_created: Expiry::Default,
    }
}

fn compare<'a>(key: &'a str, expected: &'a str, value: &'a str) -> Command<'a> {
    Command::CompareAndSet {
        key: key.as_bytes(),
        expected: expected.as_bytes(),
        value: value.as_bytes(),
        options: SetOptions::default(),
    }
}

/// A counter of STATS.
fn counter(client: &mut Client, name: &str) -> u64 {
    let answer = client.ask(&Command::Stats);
    assert_eq!((answer.status, answer.tag), (Status::OK, Tag::JSON));
    let stats: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    stats[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {stats}"))
}

#[test]
fn a_value_comes_back_byte_for_byte_with_its_tag() {
    let mut client = Client::greeted();
    let lens = [0, 1, 56, 4096, 16_383, 16_384, 16_385, 300_000, 3_000_000];
    for (len, tag) in lens.into_iter().zip([0, 1, 2, 3, 4, 5, 6, 128, 255]) {
        let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let options = SetOptions {
            tag: Tag(tag),
            ..SetOptions::default()
        };
        let key = b"\x00\xff\n";
        assert_eq!(
            client.status(&Command::Set {
                key,
                value: &value,
                options
            }),
            Status::OK
        );
        let found = client.ask(&Command::Get { key, with_ttl: false });
        assert_eq!((found.status, found.tag), (Status::OK, Tag(tag)));
        assert!(found.body == value, "{len} bytes came back as others");
        let found = client.ask(&Command::Get { key, with_ttl: true });
        assert_eq!(found.u64_at(0), FOREVER);
        assert!(found.body[8..] == value, "{len} bytes came back as others");
        let taken = client.ask(&Command::Take { key, with_ttl: false });
        assert_eq!(taken.tag, Tag(tag));
        assert!(taken.body == value, "{len} bytes came back as others");
    }
}

#[test]
fn the_empty_key_is_a_key_and_the_empty_value_a_value() {
    let mut client = Client::greeted();
    assert_eq!(client.get(""), None);
    assert_eq!(client.set("", ""), Status::OK);
    assert_eq!(client.get("").as_deref(), Some(""));
    assert_eq!(client.set("", "v"), Status::OK);
    assert_eq!(client.get("").as_deref(), Some("v"));
    assert_eq!(client.status(&Command::Remove { key: b"" }), Status::OK);
    assert_eq!(client.get(""), None);
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let mut client = Client::greeted();
    let mut set = |value, condition| client.set_with("k", value, conditional(condition));
    assert_eq!(set("1", Condition::IfPresent), Status::NOT_STORED);
    assert_eq!(set("2", Condition::IfAbsent), Status::OK);
    assert_eq!(set("3", Condition::IfAbsent), Status::NOT_STORED);
    assert_eq!(client.get("k").as_deref(), Some("2"));
    let mut set = |value, condition| client.set_with("k", value, conditional(condition));
    assert_eq!(set("4", Condition::IfPresent), Status::OK);
    assert_eq!(set("5", Condition::Always), Status::OK);
    assert_eq!(client.get("k").as_deref(), Some("5"));
}

#[test]
fn remove_and_take_say_whether_the_key_was_there() {
    let mut client = Client::greeted();
    client.set("k", "v");
    assert_eq!(client.status(&Command::Remove { key: b"k" }), Status::OK);
    assert_eq!(client.status(&Command::Remove { key: b"k" }), Status::MISS);
    client.set("k", "w");
    let take = Command::Take {
        key: b"k",
        with_ttl: true,
    };
    let taken = client.ask(&take);
    assert_eq!((taken.status, taken.u64_at(0)), (Status::OK, FOREVER));
    assert_eq!(taken.body[8..], *b"w");
    let again = client.ask(&take);
    assert_eq!((again.status, again.body.len()), (Status::MISS, 0));
}

#[test]
fn contains_and_ttl_neither_refresh_nor_count() {
    let mut client = Client::greeted_on(Cache::builder().max_items(2));
    client.set("old", "v");
    client.set("new", "v");
    assert_eq!(client.status(&Command::Contains { key: b"old" }), Status::OK);
    assert_eq!(client.time_left("old"), Some(FOREVER));
    assert_eq!(client.status(&Command::Contains { key: b"none" }), Status::MISS);
    assert_eq!(client.time_left("none"), None);
    assert_eq!(counter(&mut client, "hits"), 0);
    assert_eq!(counter(&mut client, "misses"), 0);
    client.set("newest", "v");
    assert_eq!(client.get("old"), None, "still the oldest");
    assert!(client.get("new").is_some());
}

#[test]
fn get_and_touch_refresh() {
    for refresh in [
        get("old"),
        Command::Touch {
            key: b"old",
            expiry: Expiry::Never,
        },
    ] {
        let mut client = Client::greeted_on(Cache::builder().max_items(2));
        client.set("old", "v");
        client.set("new", "v");
        assert_eq!(client.status(&refresh), Status::OK);
        client.set("newest", "v");
        assert!(client.get("old").is_some(), "{refresh:?}");
        assert_eq!(client.get("new"), None, "{refresh:?}");
    }
}

#[test]
fn increment_counts_from_zero_and_keeps_text() {
    let mut client = Client::greeted();
    for (delta, sum) in [(5, 5), (-7, -2), (0, -2), (i64::MAX, i64::MAX - 2)] {
        let answer = client.ask(&increment("n", delta));
        assert_eq!(answer.status, Status::OK);
        assert_eq!(answer.u64_at(0).cast_signed(), sum);
        let found = client.ask(&get("n"));
        assert_eq!(found.tag, Tag::TEXT);
        assert_eq!(found.body, sum.to_string().into_bytes());
    }
    let options = SetOptions {
        tag: Tag::JSON,
        ..SetOptions::default()
    };
    client.set_with("n", "41", options);
    assert_eq!(client.ask(&increment("n", 1)).u64_at(0), 42);
    let found = client.ask(&get("n"));
    assert_eq!(
        (found.tag, &found.body[..]),
        (Tag::JSON, &b"42"[..]),
        "an existing tag is kept"
    );
}

#[test]
fn an_increment_that_cannot_be_leaves_the_value() {
    let mut client = Client::greeted();
    for (value, delta, status) in [
        ("9223372036854775807", 1, Status::OVERFLOW),
        ("-9223372036854775808", -1, Status::OVERFLOW),
        ("abc", 1, Status::NOT_AN_INTEGER),
        ("", 1, Status::NOT_AN_INTEGER),
        ("1.5", 1, Status::NOT_AN_INTEGER),
        ("9223372036854775808", 1, Status::NOT_AN_INTEGER),
    ] {
        client.set("n", value);
        let answer = client.ask(&increment("n", delta));
        assert_eq!(answer.status, status, "{value} + {delta}");
        assert!(answer.text().contains(value), "{}", answer.text());
        assert_eq!(client.get("n").as_deref(), Some(value));
    }
}

#[test]
fn compare_and_set_stores_only_in_the_place_of_the_expected() {
    let mut client = Client::greeted();
    assert_eq!(client.status(&compare("k", "", "new")), Status::MISS);
    assert_eq!(client.get("k"), None);
    client.set("k", "old");
    assert_eq!(client.status(&compare("k", "other", "new")), Status::NOT_STORED);
    assert_eq!(client.status(&compare("k", "ol", "new")), Status::NOT_STORED);
    assert_eq!(client.get("k").as_deref(), Some("old"));
    assert_eq!(client.status(&compare("k", "old", "new")), Status::OK);
    assert_eq!(client.get("k").as_deref(), Some("new"));
    assert_eq!(client.status(&compare("k", "new", "")), Status::OK);
    assert_eq!(client.status(&compare("k", "", "full")), Status::OK);
    assert_eq!(client.get("k").as_deref(), Some("full"));
}

#[test]
fn clear_counts_what_it_removes_with_and_without_a_prefix() {
    let mut client = Client::greeted();
    let mut clear = |keys: &[&str], prefix: &[u8]| {
        client.ask(&Command::Clear { prefix: b"" });
        for key in keys {
            client.set(key, "v");
        }
        let answer = client.ask(&Command::Clear { prefix });
        assert_eq!(answer.status, Status::OK);
        (answer.u64_at(0), client.cache.len())
    };
    let keys = ["user:1", "user:2", "user", "other", ""];
    assert_eq!(clear(&keys, b"user:"), (2, 3));
    assert_eq!(clear(&keys, b"none"), (0, 5));
    assert_eq!(clear(&keys, b""), (5, 0));
    assert_eq!(clear(&[], b""), (0, 0));
}

#[test]
fn ping_is_answered_with_what_it_holds() {
    let mut client = Client::greeted();
    for payload in [&b""[..], b"\x00\xf5RC\xf5", &[7; 100_000]] {
        let answer = client.ask(&Command::Ping {
            payload,
            tag: Tag(200),
        });
        assert_eq!((answer.status, answer.tag), (Status::OK, Tag(200)));
        assert!(answer.body == payload);
    }
}

#[test]
fn a_snapshot_without_a_directory_says_so() {
    let mut client = Client::greeted();
    assert_eq!(client.status(&Command::Snapshot), Status::NO_DIRECTORY);
    assert_eq!(client.get("k"), None, "and goes on");
}

#[test]
fn stats_are_numbers_and_count_what_was_done() {
    let mut client = Client::greeted_on(Cache::builder().max_items(2).max_bytes(1 << 20));
    client.set("a", "1");
    client.set("a", "2");
    client.set("b", "1");
    client.set("c", "1");
    client.get("c");
    client.get("a");
    client.status(&Command::Remove { key: b"c" });
    client.send(&request(1, &Command::Snapshot));
    for (name, number) in [
        ("items", 1),
        ("max_items", 2),
        ("max_bytes", 1 << 20),
        ("max_key_bytes", 64 << 10),
        ("max_value_bytes", 64 << 20),
        ("hits", 1),
        ("misses", 1),
        ("inserts", 3),
        ("updates", 1),
        ("removals", 1),
        ("evictions_by_items", 1),
        ("evictions_by_bytes", 0),
        ("expirations", 0),
        ("refused", 0),
        ("command_errors", 1),
        ("pid", u64::from(std::process::id())),
    ] {
        assert_eq!(counter(&mut client, name), number, "{name}");
    }
    let before = counter(&mut client, "commands");
    assert_eq!(
        counter(&mut client, "commands"),
        before + 1,
        "STATS is a command as well"
    );
    let body = client.ask(&Command::Stats).body;
    let stats: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    for (name, value) in stats.as_object().expect("an object") {
        assert!(value.is_u64(), "{name} is {value}");
    }
}

#[test]
fn replies_carry_the_ids_of_their_requests() {
    let mut client = Client::greeted();
    let ids = [0, 1, 7, 7, 0xffff_ffff, 0xf543_52f5, 0];
    let script: Vec<u8> = ids.iter().flat_map(|id| request(*id, &get("k"))).collect();
    let replied: Vec<u32> = answers(&client.send(&script))
        .iter()
        .map(|answer| answer.id)
        .collect();
    assert_eq!(replied, ids);
}
