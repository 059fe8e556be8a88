//! What a connection begins with: which first byte, which versions, and what happens when it is none of them.

use super::*;
use crate::protocol::golden::{unhex, vectors};
use crate::session::Broken;

#[test]
fn the_worked_example_of_the_documentation_is_answered_as_it_says() {
    let mut client = Client::of(Cache::builder());
    let name = concat!("rustcache ", env!("CARGO_PKG_VERSION"));
    let reply = client.send(&unhex(
        "f55243f5 14000000 00000000 01000000 00000000 0200 0200 00000000",
    ));
    let mut expected = unhex(
        "f55243f5 33000000 00000000 00000100 00000000 0200 0200 0200 0000 00000000 00000100 00000004 00000204",
    );
    expected[4] = 0x24 + u8::try_from(name.len()).expect("short");
    expected.extend_from_slice(name.as_bytes());
    assert_eq!(reply, expected);
    let reply = client.send(&unhex(
        "16000000 01000000 11080100 01000000 e803000000000000 6b 76",
    ));
    assert_eq!(reply, unhex("0c000000 01000000 00000000 00000000"));
    let reply = client.send(&unhex("0d000000 02000000 10000000 01000000 6b"));
    assert_eq!(reply, unhex("0d000000 02000000 00000100 00000000 76"));
    let reply = client.send(&unhex("0c000000 03000000 10000000 05000000"));
    let [answer] = &answers(&reply)[..] else {
        panic!("{reply:02x?} is not one reply");
    };
    assert_eq!((answer.id, answer.status), (3, Status::BAD_FRAME));
    assert!(!client.is_broken());
}

#[test]
fn every_malformed_golden_frame_gets_its_error_and_ends_the_connection_only_where_it_says_so() {
    for vector in vectors(2, "request") {
        if !vector.has("error") {
            continue;
        }
        let mut client = Client::new();
        if vector.text("op") == "HELLO" {
            client.send(&PREFACE);
        } else {
            client.greet();
        }
        let reply = client.send(&vector.bytes());
        let [answer] = &answers(&reply)[..] else {
            panic!("{}: {reply:02x?} is not one reply", vector.name());
        };
        assert_eq!(answer.status.name(), vector.text("error"), "{}", vector.name());
        assert_eq!(answer.id, vector.number::<u32>("id"), "{}", vector.name());
        assert!(!answer.text().is_empty(), "{}", vector.name());
        assert_eq!(client.is_broken(), vector.has("ends"), "{}", vector.name());
        if !vector.has("ends") {
            assert_eq!(client.get("k"), None, "{}: goes on", vector.name());
        }
    }
}

#[test]
fn the_highest_version_in_common_is_chosen() {
    for (lowest, highest) in [(2, 2), (1, 2), (0, 9), (2, u16::MAX), (0, u16::MAX)] {
        let mut client = Client::new();
        client.send(&PREFACE);
        let answer = client.ask(&hello(lowest, highest));
        assert_eq!(answer.status, Status::OK, "{lowest} to {highest}");
        assert_eq!(
            answer.body[..8],
            [2, 0, 2, 0, 2, 0, 0, 0],
            "{lowest} to {highest}"
        );
    }
}

#[test]
fn a_client_without_a_common_version_is_told_both_ranges() {
    for (lowest, highest) in [(0, 1), (3, 3), (3, u16::MAX), (0, 0), (3, 2)] {
        let mut client = Client::new();
        client.send(&PREFACE);
        let answer = client.ask(&hello(lowest, highest));
        assert_eq!(
            answer.status,
            Status::UNSUPPORTED_VERSION,
            "{lowest} to {highest}"
        );
        let ranges = [format!("{lowest} to {highest}"), "2 to 2".to_owned()];
        for range in ranges {
            assert!(answer.text().contains(&range), "{}", answer.text());
        }
        assert!(client.is_broken() && !client.session.wants_input());
        assert_eq!(client.send(&greeting()), b"", "nothing is answered after the end");
    }
}

#[test]
fn features_that_nobody_knows_are_ignored() {
    let mut client = Client::new();
    client.send(&PREFACE);
    let answer = client.ask(&Command::Hello {
        lowest: 2,
        highest: 2,
        features: u32::MAX,
        name: b"from the future",
    });
    assert_eq!(answer.status, Status::OK);
    assert_eq!(answer.u32_at(8), 0, "features in common");
}

/// With a name of 225 bytes, the first byte of the HELLO frame is the first of the preface as well.
#[test]
fn a_name_may_have_any_length() {
    for len in (0..600).chain([1000, 10_000]) {
        let mut client = Client::new();
        client.send(&PREFACE);
        let answer = client.ask(&Command::Hello {
            lowest: 2,
            highest: 2,
            features: 0,
            name: &vec![b'n'; len],
        });
        assert_eq!(answer.status, Status::OK, "a name of {len} bytes");
    }
}

#[test]
fn limits_are_told_as_they_are() {
    for (key, value, frame) in [
        (65_536, 67_108_864, 67_239_936),
        (1_000_000, 5_000_000, 6_065_536),
        (250, 1000, 2 << 20),
        (1 << 30, 1 << 30, 0x8001_0000),
    ] {
        let builder = Cache::builder()
            .max_key_bytes(key as usize)
            .max_value_bytes(value as usize);
        let mut client = Client::of(builder);
        client.send(&PREFACE);
        let answer = client.ask(&hello(2, 2));
        let told = [12, 16, 20].map(|at| answer.u32_at(at));
        assert_eq!(told, [key, value, frame]);
    }
}

#[test]
fn a_preface_and_a_hello_may_come_again_between_any_frames() {
    let mut client = Client::new();
    let joined = [
        greeting(),
        request(1, &set("k", b"v")),
        greeting(),
        PREFACE.to_vec(),
        request(2, &get("k")),
        greeting(),
    ]
    .concat();
    let reply = client.send(&joined);
    let prefaces = reply.windows(4).filter(|bytes| *bytes == PREFACE).count();
    assert_eq!(prefaces, 4, "each preface is answered with one");
    let position = |part: &[u8]| {
        reply
            .windows(part.len())
            .position(|bytes| bytes == part)
            .expect("answered")
    };
    let stored = position(&unhex("0c000000 01000000 00000000 00000000"));
    let found = position(&unhex("0d000000 02000000 00000000 00000000 76"));
    assert!(stored < found);
    assert!(!client.is_broken());
    assert_eq!(client.get("k").as_deref(), Some("v"));
}

#[test]
fn a_first_frame_that_is_not_hello_ends_the_connection_and_does_nothing() {
    let mut unknown_op = request(9, &Command::Stats);
    unknown_op[8] = 0x7f;
    let mut bad_hello = request(9, &hello(2, 2));
    bad_hello[9] = 0x80;
    for (first, part) in [
        (request(9, &set("k", b"v")), "HELLO"),
        (unknown_op, "0x7f"),
        (bad_hello, "flag 0x80"),
    ] {
        let mut client = Client::new();
        client.send(&PREFACE);
        let reply = client.send(&[&first[..], &greeting(), &request(1, &set("l", b"v"))].concat());
        let [answer] = &answers(&reply)[..] else {
            panic!("{reply:02x?} is not one reply");
        };
        assert_eq!((answer.id, answer.status), (9, Status::HANDSHAKE_REQUIRED));
        assert!(
            answer.text().contains(part) && answer.text().contains("HELLO"),
            "{}",
            answer.text()
        );
        assert!(client.is_broken());
        assert_eq!(client.cache.len(), 0);
    }
}

#[test]
fn requests_may_follow_without_waiting_for_the_answer_to_hello() {
    let mut client = Client::new();
    let reply = client.send(&[greeting(), request(1, &set("k", b"v")), request(2, &get("k"))].concat());
    let [_, stored, found] = &answers(&reply[4..])[..] else {
        panic!("{reply:02x?} is not three replies");
    };
    assert_eq!((stored.id, stored.status), (1, Status::OK));
    assert_eq!((found.id, &found.body[..]), (2, &b"v"[..]));
}

#[test]
fn a_wrong_preface_is_refused_at_its_first_wrong_byte_and_the_same_however_it_is_cut() {
    for wrong in 1..4 {
        let mut bytes = PREFACE;
        bytes[wrong] ^= 1;
        let mut whole = Client::new();
        let reply = whole.send(&[&bytes[..], &greeting()].concat());
        assert_eq!(
            reply[..4],
            PREFACE,
            "a client of version 2 can read what is wrong"
        );
        let [answer] = &answers(&reply[4..])[..] else {
            panic!("{reply:02x?} is not one reply");
        };
        assert_eq!(answer.status, Status::HANDSHAKE_REQUIRED);
        assert!(whole.is_broken());

        let mut cut = Client::new();
        let mut pieces = Vec::new();
        for byte in bytes {
            assert_eq!(
                pieces.is_empty(),
                !cut.is_broken(),
                "refused at the wrong byte, and then nothing more"
            );
            pieces.extend(cut.send(&[byte]));
        }
        assert_eq!(pieces, reply);
    }
}

#[test]
fn a_first_byte_of_no_protocol_is_answered_with_an_error_and_ends_the_connection() {
    for first in 0..=255u8 {
        if b"IGRH\xf5".contains(&first) {
            continue;
        }
        let mut client = Client::new();
        let reply = client.send(&[&[first][..], &greeting()].concat());
        assert_eq!(reply, b"E\n", "{first:#04x}");
        assert_eq!(client.session.broken(), Some(&Broken::UnknownProtocol(first)));
        assert!(!client.session.wants_input());
        let line = client.session.broken().expect("broken").to_string();
        assert!(line.contains(&format!("{first:#04x}")), "{line}");
    }
}

#[test]
fn nothing_is_said_before_something_is_asked() {
    let mut client = Client::new();
    assert_eq!(client.send(b""), b"");
    assert!(client.session.wants_input());
    assert_eq!(client.send(&PREFACE[..3]), b"");
    assert_eq!(client.send(&PREFACE[3..]), PREFACE);
}
