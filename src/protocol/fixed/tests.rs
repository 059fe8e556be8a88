//! Version 1 against the golden vectors, both ways; its rounding; and replies read from a stream that comes in pieces.

use proptest::prelude::*;

use super::*;
use crate::protocol::golden::{Vector, vectors};

/// A time that a daemon may tell.
const NOW: u64 = 0x67b9_fc18;

fn frame(bytes: &[u8]) -> [u8; FRAME] {
    bytes.try_into().expect("a frame of 128 bytes")
}

fn letter_of(vector: &Vector) -> Option<Letter> {
    match vector.text("op") {
        "INSERT" => Some(Letter::Insert),
        "GET" => Some(Letter::Get),
        "REMOVE" => Some(Letter::Remove),
        "SNAPSHOT" => Some(Letter::Snapshot),
        _ => None,
    }
}

#[test]
fn every_golden_request_is_read_as_what_it_says() {
    for vector in vectors(1, "request") {
        let frame = frame(&vector.bytes());
        let (key, value) = (vector.hex("key_hex"), vector.hex("value_hex"));
        let decoded = decode(&frame);
        if vector.has("error") {
            assert_eq!(decoded, None, "{}", vector.name());
            continue;
        }
        let ttl: u16 = vector.number("ttl_s");
        let command = match vector.text("op") {
            "INSERT" => Command::Set {
                key: &key,
                value: &value,
                options: SetOptions {
                    tag: Tag::TEXT,
                    expiry: match ttl {
                        0 => Expiry::Never,
                        _ => Expiry::After(Duration::from_secs(ttl.into())),
                    },
                    condition: Condition::Always,
                },
            },
            "GET" => Command::Get {
                key: &key,
                with_ttl: true,
            },
            "REMOVE" => Command::Remove { key: &key },
            "SNAPSHOT" => Command::Snapshot,
            other => panic!("{}: op {other}", vector.name()),
        };
        let letter = letter_of(&vector).expect("a letter");
        assert_eq!(decoded, Some((letter, command)), "{}", vector.name());
    }
}

#[test]
fn every_golden_request_is_written_as_it_is() {
    for vector in vectors(1, "request") {
        let Some(letter) = letter_of(&vector) else {
            continue;
        };
        let (key, value) = (vector.hex("key_hex"), vector.hex("value_hex"));
        let encoded = encode(
            letter,
            &key,
            &value,
            vector.number("time"),
            vector.number("ttl_s"),
        );
        assert_eq!(encoded, Some(frame(&vector.bytes())), "{}", vector.name());
    }
}

#[test]
fn every_golden_reply_is_written_as_it_is() {
    for vector in vectors(1, "reply") {
        let expected = vector.bytes();
        match vector.text("status") {
            "HIT" => {
                let ttl: u16 = vector.number("ttl_s");
                let time_left = match ttl {
                    0 => TimeLeft::Forever,
                    _ => TimeLeft::Left(Duration::from_secs(ttl.into())),
                };
                let reply = encode_hit(&vector.hex("value_hex"), time_left, vector.number("time"));
                assert_eq!(
                    reply.as_ref().map(|reply| &reply[..]),
                    Some(&expected[..]),
                    "{}",
                    vector.name()
                );
            }
            "ERROR" => assert_eq!(ERROR, expected, "{}", vector.name()),
            _ => {
                let letter = letter_of(&vector).expect("a letter");
                assert_eq!(letter.short_reply(), expected, "{}", vector.name());
            }
        }
    }
}

#[test]
fn every_golden_reply_is_read_as_what_it_says() {
    for vector in vectors(1, "reply") {
        let bytes = vector.bytes();
        let (reply, len) = decode_reply(&bytes, true).expect("a reply");
        assert_eq!(len, bytes.len(), "{}", vector.name());
        match vector.text("status") {
            "HIT" => assert_eq!(
                reply,
                Reply::Hit {
                    value: &vector.hex("value_hex"),
                    time: vector.number("time"),
                    ttl: vector.number("ttl_s"),
                },
                "{}",
                vector.name()
            ),
            _ => assert_eq!(reply, Reply::Short(bytes[0]), "{}", vector.name()),
        }
    }
}

#[test]
fn what_a_frame_cannot_hold_whole_is_refused() {
    let fits = |key: &[u8], value: &[u8]| encode(Letter::Insert, key, value, NOW, 0).is_some();
    assert!(fits(&[b'k'; KEY], &[b'v'; VALUE]));
    assert!(!fits(&[b'k'; KEY + 1], b"v"));
    assert!(!fits(b"k", &[b'v'; VALUE + 1]));
    assert!(fits(b"k\0k", b"v\0v"), "NUL inside is kept");
    assert!(!fits(b"k\0", b"v"));
    assert!(!fits(b"k", b"v\0"), "NUL at the end would be taken off");

    let carried = |value: &[u8]| encode_hit(value, TimeLeft::Forever, NOW).is_some();
    assert!(carried(&[b'v'; VALUE]) && carried(b"") && carried(b"a\0b"));
    assert!(!carried(&[b'v'; VALUE + 1]));
    assert!(!carried(b"v\0"));
}

#[test]
fn time_left_is_told_in_whole_seconds_rounded_up_and_zero_is_never() {
    for (millis, seconds) in [
        (0, 1),
        (1, 1),
        (999, 1),
        (1000, 1),
        (1001, 2),
        (59_999, 60),
        (65_534_001, 65_535),
        (65_535_000, 65_535),
        (65_535_001, 65_535),
        (u64::MAX, 65_535),
    ] {
        let left = TimeLeft::Left(Duration::from_millis(millis));
        let reply = encode_hit(b"v", left, NOW).expect("it fits");
        let ttl = u16::from_be_bytes([reply[62], reply[63]]);
        assert_eq!(ttl, seconds, "{millis} ms");
    }
    let never = encode_hit(b"v", TimeLeft::Forever, NOW).expect("it fits");
    assert_eq!(never[62..64], [0, 0]);
}

/// The value of a hit, with its time and TTL, or the letter of a short reply.
type Told = (Vec<u8>, Option<(u64, u16)>);

/// Reads as `rustcache decode` does: what has come so far is tried after each piece.
fn read_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Told> {
    let mut bytes = Vec::new();
    let mut replies = Vec::new();
    let mut take = |bytes: &mut Vec<u8>, at_end| {
        while let Some((reply, len)) = decode_reply(bytes, at_end) {
            replies.push(match reply {
                Reply::Hit { value, time, ttl } => (value.to_vec(), Some((time, ttl))),
                Reply::Short(letter) => (vec![letter], None),
                Reply::Garbage => panic!("{bytes:02x?} is taken for no reply"),
            });
            bytes.drain(..len);
        }
    };
    for piece in pieces {
        bytes.extend_from_slice(piece);
        take(&mut bytes, false);
    }
    take(&mut bytes, true);
    assert!(bytes.is_empty(), "{bytes:02x?} is left over");
    replies
}

#[test]
fn a_hit_whose_value_begins_like_a_short_reply_is_a_hit_however_the_stream_is_cut() {
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for value in [
        &b"G\n"[..],
        b"E\n",
        b"I\nG\nR\nE\n",
        b"",
        b"plain",
        &[b'\n'; VALUE],
        b"H\nG\n",
    ] {
        for letter in *b"IGREH" {
            stream.extend_from_slice(&[letter, b'\n']);
            expected.push((vec![letter], None));
        }
        stream.extend_from_slice(&encode_hit(value, TimeLeft::Forever, NOW).expect("it fits"));
        expected.push((value.to_vec(), Some((NOW, 0))));
    }
    for cut in 0..=stream.len() {
        let (first, second) = stream.split_at(cut);
        assert_eq!(read_in_pieces([first, second]), expected, "cut at {cut}");
    }
    assert_eq!(read_in_pieces(stream.chunks(1)), expected);
}

#[test]
fn what_is_no_reply_is_said_to_be_none() {
    assert_eq!(decode_reply(b"", true), None);
    assert_eq!(decode_reply(b"G", false), None);
    assert_eq!(decode_reply(b"G", true), Some((Reply::Garbage, 1)));
    assert_eq!(decode_reply(b"X\n", true), Some((Reply::Garbage, 2)));
    assert_eq!(decode_reply(&[b'x'; 100], false), Some((Reply::Garbage, 100)));
    // 65 bytes with a newline at the end, but a time of 1970.
    let mut hit = encode_hit(b"Ghost", TimeLeft::Forever, 12).expect("it fits");
    assert_eq!(decode_reply(&hit, true), Some((Reply::Garbage, HIT)));
    hit[1] = b'\n';
    assert_eq!(decode_reply(&hit, true), Some((Reply::Short(b'G'), 2)));
}

fn any_reply() -> impl Strategy<Value = Told> {
    let value = prop::collection::vec(
        prop_oneof![
            1u8..=255,
            Just(1),
            Just(b'\n'),
            prop::sample::select(&b"IGREH"[..])
        ],
        0..=VALUE,
    );
    let time = prop_oneof![
        1_000_000_000..1u64 << 33,
        Just(1_000_000_000),
        Just((1 << 33) - 1)
    ];
    prop_oneof![
        3 => prop::sample::select(&b"IGREH"[..]).prop_map(|letter| (vec![letter], None)),
        1 => (value, time, any::<u16>()).prop_map(|(value, time, ttl)| (value, Some((time, ttl)))),
    ]
}

proptest! {
    /// The rule of `docs/protocol.md` for telling a hit from a short reply, whatever the values without NUL, times and TTLs.
    #[test]
    fn no_run_of_replies_is_read_as_another(replies in prop::collection::vec(any_reply(), 0..60), chunk in 1usize..200) {
        let mut stream = Vec::new();
        for (bytes, hit) in &replies {
            match *hit {
                None => stream.extend_from_slice(&[bytes[0], b'\n']),
                Some((time, ttl)) => {
                    let left = match ttl {
                        0 => TimeLeft::Forever,
                        _ => TimeLeft::Left(Duration::from_secs(ttl.into())),
                    };
                    stream.extend_from_slice(&encode_hit(bytes, left, time).expect("it fits"));
                }
            }
        }
        prop_assert_eq!(read_in_pieces(stream.chunks(chunk)), replies);
    }

    #[test]
    fn any_request_is_read_as_it_was_written(key in "[^\0]{0,63}", value in "\\PC{0,56}", time in 0u64..1 << 48, ttl: u16) {
        prop_assume!(key.len() <= KEY && !key.is_empty() && value.len() <= VALUE);
        let frame = encode(Letter::Insert, key.as_bytes(), value.as_bytes(), time, ttl).expect("it fits");
        let Some((Letter::Insert, Command::Set { key: key_read, value: value_read, .. })) = decode(&frame) else {
            panic!("{frame:02x?} is not read as an insert");
        };
        prop_assert_eq!((key_read, value_read), (key.as_bytes(), value.as_bytes()));
    }

    #[test]
    fn random_bytes_are_read_or_refused_and_reading_ends(bytes in prop::collection::vec(any::<u8>(), 0..400), letter in prop::sample::select(&b"IGRHX"[..])) {
        let mut frame = [0; FRAME];
        let len = bytes.len().min(FRAME);
        frame[..len].copy_from_slice(&bytes[..len]);
        frame[0] = letter;
        if let Some((_, Command::Set { key, value, .. })) = decode(&frame) {
            prop_assert!(!key.is_empty() && key.last() != Some(&0) && value.last() != Some(&0));
        }
        let mut rest = &bytes[..];
        while let Some((_, len)) = decode_reply(rest, true) {
            prop_assert!(0 < len && len <= rest.len());
            rest = &rest[len..];
        }
        prop_assert!(rest.is_empty());
    }
}
