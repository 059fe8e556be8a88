//! Version 1 end to end: replies, rounding of time, and values that its frames cannot carry.

use std::time::Duration;

use super::*;
use crate::protocol::golden::vectors;

/// Where the manual clock stands at first, in Unix seconds.
const START: u64 = 1_700_000_000;

fn hit(value: &[u8], time: u64, ttl: u16) -> Vec<u8> {
    let mut reply = vec![0; 56];
    reply[..value.len()].copy_from_slice(value);
    reply.extend_from_slice(&time.to_be_bytes()[2..]);
    reply.extend_from_slice(&ttl.to_be_bytes());
    reply.push(b'\n');
    reply
}

fn insert(key: &[u8], value: &[u8], ttl: u16) -> Vec<u8> {
    fixed_frame(b'I', key, value, ttl)
}

fn read(key: &[u8]) -> Vec<u8> {
    fixed_frame(b'G', key, b"", 0)
}

#[test]
fn every_golden_request_is_answered() {
    for vector in vectors(1, "request") {
        let mut client = Client::new();
        // So that the first byte is of this protocol, whatever the vector's is.
        client.send(&fixed_frame(b'R', b"k", b"", 0));
        let reply = client.send(&vector.bytes());
        let expected: &[u8] = match vector.text("op") {
            _ if vector.has("error") => b"E\n",
            "INSERT" => b"I\n",
            "GET" => b"G\n",
            "REMOVE" => b"R\n",
            "SNAPSHOT" => b"E\n",
            other => panic!("op {other}"),
        };
        assert_eq!(reply, expected, "{}", vector.name());
        assert!(!client.is_broken(), "{}", vector.name());
        if vector.text("op") == "INSERT" && !vector.has("error") {
            let ttl = vector.number("ttl_s");
            let reply = client.send(&read(&vector.hex("key_hex")));
            assert_eq!(
                reply,
                hit(&vector.hex("value_hex"), START, ttl),
                "{}",
                vector.name()
            );
        }
    }
}

#[test]
fn an_entry_is_stored_read_overwritten_and_removed() {
    let mut client = Client::new();
    assert_eq!(client.send(&read(b"k")), b"G\n");
    assert_eq!(client.send(&insert(b"k", b"one", 0)), b"I\n");
    assert_eq!(client.send(&read(b"k")), hit(b"one", START, 0));
    assert_eq!(client.send(&insert(b"k", b"two", 0)), b"I\n");
    assert_eq!(client.send(&read(b"k")), hit(b"two", START, 0));
    assert_eq!(client.send(&fixed_frame(b'R', b"k", b"", 0)), b"R\n");
    assert_eq!(client.send(&read(b"k")), b"G\n");
    assert_eq!(
        client.send(&fixed_frame(b'R', b"k", b"", 0)),
        b"R\n",
        "found or not"
    );
}

#[test]
fn a_hit_tells_the_time_in_whole_seconds_and_the_ttl_rounded_up() {
    let mut client = Client::new();
    client.send(&insert(b"k", b"v", 10));
    let mut passed = 0;
    for (millis, time, ttl) in [
        (0, START, 10),
        (1, START, 10),
        (999, START, 10),
        (1000, START + 1, 9),
        (1001, START + 1, 9),
        (8999, START + 8, 2),
        (9000, START + 9, 1),
        (9999, START + 9, 1),
    ] {
        client.clock.advance(Duration::from_millis(millis - passed));
        passed = millis;
        assert_eq!(
            client.send(&read(b"k")),
            hit(b"v", time, ttl),
            "after {millis} ms"
        );
    }
    client.clock.advance(Duration::from_millis(1));
    assert_eq!(client.send(&read(b"k")), b"G\n", "expired at 10 s");
}

#[test]
fn the_ttl_runs_from_the_daemons_clock_and_not_from_the_clients() {
    let mut client = Client::new();
    let mut frame = insert(b"k", b"v", 10);
    // The client's clock stands at 1970.
    frame[120..126].copy_from_slice(&[0, 0, 0, 0, 0, 1]);
    client.send(&frame);
    client.clock.advance(Duration::from_secs(9));
    assert_eq!(client.send(&read(b"k")), hit(b"v", START + 9, 1));
    // The daemon's wall clock jumps; the TTL does not follow, and the time told does.
    client.clock.jump_wall_clock(-3_600_000);
    assert_eq!(client.send(&read(b"k")), hit(b"v", START + 9 - 3600, 1));
}

#[test]
fn a_time_left_beyond_the_frame_is_told_as_its_most() {
    let mut client = Client::greeted();
    client.set_with("k", "v", expiring(Expiry::After(Duration::from_secs(1_000_000))));
    let mut old = client.beside();
    assert_eq!(old.send(&read(b"k")), hit(b"v", START, 65_535));
    client.clock.advance(Duration::from_secs(1_000_000 - 65_535));
    assert_eq!(
        old.send(&read(b"k")),
        hit(b"v", START + 1_000_000 - 65_535, 65_535)
    );
    client.clock.advance(Duration::from_secs(1));
    assert_eq!(
        old.send(&read(b"k")),
        hit(b"v", START + 1_000_000 - 65_534, 65_534)
    );
}

#[test]
fn a_value_that_the_frame_cannot_carry_whole_is_an_error_and_never_cut() {
    let mut client = Client::greeted();
    let mut old = client.beside();
    for (value, carried) in [
        (vec![b'v'; 56], true),
        (vec![b'v'; 57], false),
        (vec![b'v'; 100_000], false),
        (b"ends in NUL\0".to_vec(), false),
        (b"NUL \0 inside".to_vec(), true),
        (b"\xff\xfe".to_vec(), true),
        (Vec::new(), true),
    ] {
        client.status(&set("k", &value));
        let expected = if carried {
            hit(&value, START, 0)
        } else {
            b"E\n".to_vec()
        };
        assert_eq!(
            old.send(&read(b"k")),
            expected,
            "a value of {} bytes",
            value.len()
        );
    }
}

#[test]
fn what_is_wrapped_around_a_value_is_never_taken_for_it() {
    let mut client = Client::greeted();
    let mut old = client.beside();
    for tag in 0..=255 {
        let options = SetOptions {
            tag: Tag(tag),
            ..SetOptions::default()
        };
        assert_eq!(client.set_with("k", "value", options), Status::OK);
        let expected = match tag {
            64..=71 => b"E\n".to_vec(),
            _ => hit(b"value", START, 0),
        };
        assert_eq!(old.send(&read(b"k")), expected, "tag {tag}");
    }
    let typed = SetOptions {
        tag: Tag::TYPED,
        ..SetOptions::default()
    };
    assert_eq!(client.set_with("k", "\u{9}image/pngvalue", typed), Status::OK);
    assert_eq!(
        old.send(&read(b"k")),
        hit(b"value", START, 0),
        "the bytes without their type"
    );
}

#[test]
fn what_came_in_by_version_1_is_text_for_version_2() {
    let mut old = Client::new();
    old.send(&insert("ключ".as_bytes(), "значение".as_bytes(), 0));
    let mut client = old.beside();
    client.greet();
    let answer = client.ask(&get("ключ"));
    assert_eq!((answer.tag, &answer.body[..]), (Tag::TEXT, "значение".as_bytes()));
}

#[test]
fn bytes_that_are_not_utf_8_are_an_error_and_change_nothing() {
    let mut client = Client::new();
    client.send(&insert(b"k", b"v", 0));
    for (what, frame) in [
        ("key of an insert", insert(b"\xff", b"v", 0)),
        ("value of an insert", insert(b"k", b"\xc3", 0)),
        ("surrogate in a value", insert(b"k", &[0xed, 0xa0, 0x80], 0)),
        ("key of a get", read(b"\xc3")),
        ("key of a remove", fixed_frame(b'R', b"\xfe", b"", 0)),
    ] {
        assert_eq!(client.send(&frame), b"E\n", "{what}");
    }
    assert_eq!(client.cache.len(), 1);
    assert_eq!(client.send(&read(b"k")), hit(b"v", START, 0));
    // What a get says behind its key is not looked at.
    let mut frame = read(b"k");
    frame[64..].fill(0xff);
    assert_eq!(client.send(&frame), hit(b"v", START, 0));
}

#[test]
fn a_command_that_nobody_knows_is_answered_and_the_connection_goes_on() {
    let mut client = Client::new();
    client.send(&insert(b"k", b"v", 0));
    for letter in (0..=255u8).filter(|letter| !b"IGRH".contains(letter)) {
        assert_eq!(
            client.send(&fixed_frame(letter, b"k", b"w", 0)),
            b"E\n",
            "{letter:#04x}"
        );
    }
    assert_eq!(client.send(&read(b"k")), hit(b"v", START, 0));
}

#[test]
fn an_entry_above_the_daemons_limits_is_an_error() {
    let mut client = Client::of(Cache::builder().max_key_bytes(5).max_value_bytes(5));
    assert_eq!(client.send(&insert(b"12345", b"12345", 0)), b"I\n");
    assert_eq!(client.send(&insert(b"123456", b"v", 0)), b"E\n");
    assert_eq!(client.send(&insert(b"12345", b"123456", 0)), b"E\n");
    assert_eq!(client.send(&read(b"12345")), hit(b"12345", START, 0));
    assert_eq!(client.send(&read(b"123456")), b"E\n");
    assert_eq!(client.send(&fixed_frame(b'R', b"123456", b"", 0)), b"E\n");
}

#[test]
fn a_snapshot_without_a_directory_is_an_error() {
    let mut client = Client::new();
    assert_eq!(client.send(&fixed_frame(b'H', b"", b"", 0)), b"E\n");
    assert_eq!(
        client.send(&fixed_frame(b'H', b"\xff", b"\xff", 9)),
        b"E\n",
        "the rest of the frame means nothing"
    );
}
