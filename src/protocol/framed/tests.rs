//! Version 2 against the golden vectors, both ways; round trips of any command; and hostile bytes.

mod arbitrary;
mod golden;

use proptest::prelude::*;

use super::*;
use crate::Tag;
use crate::protocol::command::{Command, Reply, WireLimits};
use crate::protocol::outbox::Outbox;

fn frame_limit() -> u32 {
    WireLimits::new(64 << 10, 64 << 20).frame
}

fn encoded(id: u32, command: &Command<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(id, command, &mut bytes);
    bytes
}

fn replied(id: u32, reply: &Reply<'_>) -> Vec<u8> {
    let mut out = Outbox::new();
    encode_reply(id, reply, &mut out);
    written(&out)
}

fn written(out: &Outbox) -> Vec<u8> {
    out.slices(usize::MAX)
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

/// The error that a frame by itself is answered with.
fn refusal_of(bytes: &[u8]) -> Option<Refusal> {
    match next(bytes, frame_limit()) {
        Next::Frame(len) => {
            assert_eq!(len, bytes.len());
            decode_request(bytes).command.err()
        }
        Next::Hopeless { refusal, .. } => Some(refusal),
        other => panic!("{bytes:02x?} is {other:?}"),
    }
}

#[test]
fn limits_leave_room_for_the_longest_entry_and_for_a_page_of_a_scan() {
    assert_eq!(frame_limit(), 67_239_936, "as docs/protocol.md says");
    let least = WireLimits::new(1, 1).frame;
    assert!(least as usize >= 12 + 12 + 10_000 * 20 + (1 << 20), "{least}");
    let most = WireLimits::new(usize::MAX, usize::MAX);
    assert_eq!((most.key, most.value), (1 << 30, 1 << 30));
    assert!(u64::from(most.frame) > (1 << 31) && most.frame < u32::from_le_bytes(PREFACE));
}

#[test]
fn the_preface_is_found_between_frames_and_is_never_a_length() {
    let limit = WireLimits::new(usize::MAX, usize::MAX).frame;
    assert_eq!(next(&PREFACE, limit), Next::Preface);
    let mut bytes = PREFACE.to_vec();
    bytes.extend_from_slice(&encoded(0, &Command::Stats));
    assert_eq!(next(&bytes, limit), Next::Preface);
    assert_eq!(next(&bytes[4..], limit), Next::Frame(HEADER));
}

#[test]
fn a_part_of_a_frame_is_waited_for() {
    let frame = encoded(
        9,
        &Command::Ping {
            payload: &[7; 100],
            tag: Tag::BYTES,
        },
    );
    for len in 0..frame.len() {
        let Next::Incomplete(needed) = next(&frame[..len], frame_limit()) else {
            panic!("{len} bytes of {} are not waited for", frame.len());
        };
        assert!(
            len < needed && needed <= frame.len(),
            "{needed} needed after {len}"
        );
    }
    assert_eq!(next(&frame, frame_limit()), Next::Frame(frame.len()));
}

#[test]
fn a_length_at_the_limit_is_waited_for_and_one_above_is_hopeless() {
    let limit = frame_limit();
    for length in [12, limit] {
        assert_eq!(
            next(&length.to_le_bytes(), limit),
            Next::Incomplete(length as usize + 4)
        );
    }
    for length in [0, 11, limit + 1, u32::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        assert_eq!(
            next(&bytes, limit),
            Next::Incomplete(8),
            "the id is waited for, to answer it"
        );
        bytes.extend_from_slice(&77u32.to_le_bytes());
        let Next::Hopeless { id: 77, refusal } = next(&bytes, limit) else {
            panic!("a length of {length} is not hopeless");
        };
        assert_eq!(refusal.status, Status::FRAME_TOO_LONG);
        assert!(refusal.text.contains(&length.to_string()), "{}", refusal.text);
    }
}

#[test]
fn lengths_that_do_not_add_up_are_refused_with_a_text_that_names_them() {
    let frame = |op: u8, flags: u8, key_len: u32, rest: &[u8]| {
        let mut bytes = header(5, op, flags, 0, key_len as usize, rest.len()).to_vec();
        bytes.extend_from_slice(rest);
        bytes
    };
    let mut byte_11 = frame(op::GET, 0, 1, b"k");
    byte_11[11] = 0x77;
    for (what, bytes, part) in [
        ("byte 11", byte_11, "0x77"),
        ("a key beyond the frame", frame(op::GET, 0, 3, b"kk"), "3 bytes"),
        (
            "something after the key",
            frame(op::REMOVE, 0, 1, b"kvv"),
            "2 bytes are left",
        ),
        ("no key, but its length", frame(op::STATS, 0, 5, b""), "5 bytes"),
        (
            "no key, but its length",
            frame(op::SNAPSHOT, 0, 5, b""),
            "5 bytes",
        ),
        ("a key of a PING", frame(op::PING, 0, 1, b"k"), "1 bytes"),
        (
            "a key of a HELLO",
            frame(op::HELLO, 0, 1, &[2, 0, 2, 0, 0, 0, 0, 0, b'k']),
            "1 bytes",
        ),
        (
            "a key of a GET_MANY",
            frame(op::GET_MANY, 0, 1, &[0, 0, 0, 0, b'k']),
            "1 bytes",
        ),
        (
            "a key of a SET_MANY",
            frame(op::SET_MANY, 0, 1, &[0, 0, 0, 0, b'k']),
            "1 bytes",
        ),
        ("a value of STATS", frame(op::STATS, 0, 0, b"v"), "1 bytes"),
        (
            "a SCAN of no entries",
            frame(op::SCAN, 0, 0, &[0; 12]),
            "limit of a SCAN is 0",
        ),
        (
            "a SCAN of too many",
            frame(op::SCAN, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0x27, 0, 0]),
            "10001",
        ),
        ("a flag of nothing", frame(op::CONTAINS, 0x40, 1, b"k"), "0x40"),
        ("condition of a CAS", frame(op::CAS, 1, 1, b"\0\0\0\0k"), "0x01"),
        ("expiry kind 7", frame(op::SET, 0x1c, 1, b"k"), "kind 7"),
    ] {
        let refusal = refusal_of(&bytes).unwrap_or_else(|| panic!("{what} is not refused"));
        assert_eq!(refusal.status, Status::BAD_FRAME, "{what}");
        assert!(refusal.text.contains(part), "{what}: {}", refusal.text);
    }
}

#[test]
fn an_item_of_a_set_many_that_says_what_cannot_be_is_refused() {
    let item = |flags: u8, zero: u8, expiry: u64| {
        let mut rest = vec![1, 0, 0, 0, flags, 1, zero, 0, 1, 0, 0, 0, 1, 0, 0, 0];
        rest.extend_from_slice(&expiry.to_le_bytes());
        rest.extend_from_slice(b"kv");
        let mut bytes = header(5, op::SET_MANY, 0, 0, 0, rest.len()).to_vec();
        bytes.extend_from_slice(&rest);
        refusal_of(&bytes)
    };
    assert_eq!(item(0, 0, 0), None);
    assert_eq!(item(2 << 2, 0, 1000), None);
    for (what, refusal) in [
        ("condition 3", item(3, 0, 0)),
        ("expiry kind 5", item(5 << 2, 0, 0)),
        ("an unknown flag", item(0x20, 0, 0)),
        ("zero that is not", item(0, 1, 0)),
        ("an expiry without its kind", item(1 << 2, 0, 1000)),
    ] {
        assert_eq!(
            refusal.map(|refusal| refusal.status),
            Some(Status::BAD_FRAME),
            "{what}"
        );
    }
}

#[test]
fn an_unknown_op_is_told_from_a_bad_frame() {
    let known = [1, 2, 3, 0x20, 0x21, 0x22].into_iter().chain(0x10..=0x1B);
    let known: Vec<u8> = known.collect();
    for op in 0..=255 {
        let refusal = refusal_of(&header(5, op, 0, 0, 0, 0));
        let unknown = refusal.is_some_and(|refusal| refusal.status == Status::UNKNOWN_OP);
        assert_eq!(unknown, !known.contains(&op), "op {op:#04x}");
    }
}

proptest! {
    #[test]
    fn any_command_is_read_as_it_was_written(plan in arbitrary::plan(), id: u32) {
        let command = plan.command();
        let bytes = encoded(id, &command);
        prop_assert_eq!(next(&bytes, frame_limit()), Next::Frame(bytes.len()));
        let request = decode_request(&bytes);
        prop_assert_eq!(request.id, id);
        prop_assert_eq!(&request.command, &Ok(command));
        for (is, should) in plan.walk(&request.command.expect("decoded")) {
            prop_assert_eq!(is, should);
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused_and_reading_ends(bytes in prop::collection::vec(any::<u8>(), 0..300), limit in 12u32..400) {
        read_all(&bytes, limit);
    }

    /// Bytes that are nearly frames reach further into the decoder.
    #[test]
    fn damaged_frames_are_read_or_refused(
        plans in prop::collection::vec(arbitrary::plan(), 1..5),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes: Vec<u8> = plans.iter().flat_map(|plan| encoded(1, &plan.command())).collect();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(&bytes, frame_limit());
        bytes.truncate(cut.index(bytes.len()));
        read_all(&bytes, frame_limit());
    }
}

/// Reads until nothing can be read any more. What is read must be written again as something that reads the same.
fn read_all(mut bytes: &[u8], limit: u32) {
    loop {
        let len = match next(bytes, limit) {
            Next::Incomplete(needed) => {
                assert!(needed > bytes.len());
                return;
            }
            Next::Preface => PREFACE.len(),
            Next::Hopeless { refusal, .. } => {
                assert!(refusal.status.is_error());
                return;
            }
            Next::Frame(len) => {
                let request = decode_request(&bytes[..len]);
                match &request.command {
                    Ok(command) => {
                        let again = encoded(request.id, command);
                        assert_eq!(decode_request(&again), request);
                    }
                    Err(refusal) => assert!(refusal.status.is_error() && !refusal.text.is_empty()),
                }
                // The shell tools print replies, which may be as damaged.
                for op in 0..=0x30 {
                    print_reply(&bytes[..len], op, 1);
                }
                len
            }
        };
        bytes = &bytes[len..];
    }
}
