//! Version 2: any bytes as a stream of frames. What is read is written again as something that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustcache::protocol::command::Command;
use rustcache::protocol::framed::{HEADER, Next, PREFACE, decode_request, encode_request, next, print_reply};

const LIMIT: u32 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    loop {
        let len = match next(rest, LIMIT) {
            Next::Incomplete(needed) => {
                assert!(rest.len() < needed && needed <= LIMIT as usize + 4);
                return;
            }
            Next::Hopeless { refusal, .. } => {
                assert!(refusal.status.is_error());
                return;
            }
            Next::Preface => PREFACE.len(),
            Next::Frame(len) => {
                assert!(HEADER <= len && len <= rest.len());
                frame(&rest[..len]);
                len
            }
        };
        rest = &rest[len..];
    }
});

fn frame(bytes: &[u8]) {
    let request = decode_request(bytes);
    match &request.command {
        Ok(command) => {
            let items = match command {
                Command::GetMany(keys) | Command::RemoveMany(keys) => (keys.count(), keys.iter().count()),
                Command::SetMany(writes) => (writes.count(), writes.iter().count()),
                _ => (0, 0),
            };
            assert_eq!(items.0 as usize, items.1);
            let mut again = Vec::new();
            encode_request(request.id, command, &mut again);
            assert_eq!(next(&again, LIMIT), Next::Frame(again.len()));
            assert_eq!(decode_request(&again), request);
            // The tag of an op that has none is the only thing that is read over.
            again[10] = bytes[10];
            assert_eq!(again, bytes);
        }
        Err(refusal) => assert!(refusal.status.is_error() && !refusal.text.is_empty()),
    }
    // As a reply to itself.
    let line = print_reply(bytes, bytes[8], bytes[9]);
    assert!(!line.chars().any(|c| c.is_control() && c != '\n'), "{line:?}");
}
