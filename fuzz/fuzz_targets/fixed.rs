//! Version 1: any bytes as requests and as replies. What is read is written again as the same, and reading always ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustcache::protocol::command::Command;
use rustcache::protocol::fixed::{FRAME, Reply, decode, decode_reply, encode};

fuzz_target!(|data: &[u8]| {
    for frame in data.chunks_exact(FRAME) {
        let frame: &[u8; FRAME] = frame.try_into().expect("as long as a frame");
        let Some((letter, command)) = decode(frame) else {
            continue;
        };
        let (key, value) = match command {
            Command::Set { key, value, .. } => (key, value),
            Command::Get { key, .. } | Command::Remove { key } => (key, &[][..]),
            _ => continue,
        };
        let again = encode(
            letter,
            key,
            value,
            0,
            u16::from_be_bytes([frame[126], frame[127]]),
        );
        let again = again.expect("what came out of a frame fits into one");
        assert_eq!(decode(&again), Some((letter, command_of(&again))));
        assert_eq!(again[..64], frame[..64], "letter and key");
    }
    for at_end in [false, true] {
        let mut rest = data;
        while let Some((reply, len)) = decode_reply(rest, at_end) {
            assert!(0 < len && len <= rest.len());
            match reply {
                Reply::Hit { value, .. } => assert!(value.len() <= 56 && value.last() != Some(&0)),
                Reply::Short(letter) => assert!(b"IGRHE".contains(&letter)),
                Reply::Garbage => assert_eq!(len, rest.len()),
            }
            if at_end {
                // More bytes never change what was already told without being at the end.
                if let Some(sooner) = decode_reply(rest, false) {
                    assert_eq!(sooner, (reply, len));
                }
            }
            rest = &rest[len..];
        }
        assert!(!at_end || rest.is_empty());
    }
});

fn command_of(frame: &[u8; FRAME]) -> Command<'_> {
    decode(frame).expect("it was read before").1
}
