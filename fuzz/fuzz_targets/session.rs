//! A session on a small cache: commands and noise, in pieces of any size, and a client that reads as it likes. The replies are whole,
//! what waits is bounded, and the cache is sound.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rustcache::protocol::framed::{Next, PREFACE, next};
use rustcache::protocol::status::Status;
use rustcache::session::Session;
use rustcache::{Cache, Clock};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    framed: bool,
    max_items: Option<u8>,
    max_bytes: Option<u16>,
    max_pending: u16,
    default_ttl: Option<u8>,
    turns: Vec<Turn<'a>>,
}

#[derive(Debug, Arbitrary)]
enum Turn<'a> {
    Frame {
        op: u8,
        flags: u8,
        key: u8,
        time: Option<u8>,
        numbers: [u16; 3],
        value: &'a [u8],
    },
    Batch {
        op: u8,
        flags: u8,
        items: Vec<(u8, u8)>,
    },
    Fixed {
        letter: u8,
        key: u8,
        ttl: u8,
        value: &'a [u8],
    },
    Noise(&'a [u8]),
    Read(u16),
    Pass(u16),
}

/// Longest key, value and reply.
const KEY: usize = 8;
const VALUE: usize = 2000;
const REPLY: usize = 2 << 20;

fuzz_target!(|input: Input<'_>| {
    let (clock, hands) = Clock::manual();
    let mut builder = Cache::builder()
        .clock(clock)
        .max_key_bytes(KEY)
        .max_value_bytes(VALUE);
    if let Some(items) = input.max_items {
        builder = builder.max_items(u64::from(items) + 1);
    }
    if let Some(bytes) = input.max_bytes {
        builder = builder.max_bytes(u64::from(bytes) + 4096);
    }
    if let Some(ttl) = input.default_ttl {
        builder = builder.default_ttl(Duration::from_millis(u64::from(ttl) + 1));
    }
    let cache = builder.build().expect("valid options");
    let mut session = Session::new(cache.clone(), usize::from(input.max_pending));
    let mut replies = Vec::new();
    if input.framed {
        send(&mut session, &PREFACE, &mut replies);
        let hello = frame(1, 0, b"", &[2, 0, 2, 0, 0, 0, 0, 0], b"");
        send(&mut session, &hello, &mut replies);
    }
    for turn in &input.turns {
        match turn {
            Turn::Read(count) => {
                read(&mut session, usize::from(*count), &mut replies);
                session.process();
            }
            Turn::Pass(millis) => hands.advance(Duration::from_millis(u64::from(*millis))),
            turn => send(&mut session, &bytes(turn, input.framed), &mut replies),
        }
        assert!(session.outbox().len() < usize::from(input.max_pending).max(1) + REPLY);
    }
    while {
        let more = session.process();
        read(&mut session, usize::MAX, &mut replies);
        more
    } {}
    cache.validate();
    if input.framed {
        check(&replies);
    }
});

/// Gives bytes to the session as a transport does: only while it wants them. What it never wants is not sent.
fn send(session: &mut Session, mut bytes: &[u8], replies: &mut Vec<u8>) {
    while !bytes.is_empty() {
        if !session.wants_input() {
            if session.broken().is_some() {
                return;
            }
            read(session, 1000, replies);
            session.process();
            continue;
        }
        let space = session.space();
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        session.received(count);
        bytes = &bytes[count..];
        session.process();
    }
}

fn read(session: &mut Session, most: usize, replies: &mut Vec<u8>) {
    let outbox = session.outbox();
    let mut left = most.min(outbox.len());
    while left > 0 {
        let front = outbox.front();
        let count = front.len().min(left);
        replies.extend_from_slice(&front[..count]);
        outbox.consume(count);
        left -= count;
    }
}

fn frame(op: u8, flags: u8, key: &[u8], fields: &[u8], value: &[u8]) -> Vec<u8> {
    let length = 12 + fields.len() + key.len() + value.len();
    let mut frame = u32::try_from(length).expect("short").to_le_bytes().to_vec();
    frame.extend_from_slice(&[9, 0, 0, 0, op, flags, 1, 0]);
    frame.extend_from_slice(&u32::try_from(key.len()).expect("short").to_le_bytes());
    for part in [fields, key, value] {
        frame.extend_from_slice(part);
    }
    frame
}

/// Few keys, so that they meet; some are too long.
fn key(n: u8) -> Vec<u8> {
    vec![b'a' + n % 4; usize::from(n / 4) % (KEY + 2)]
}

fn bytes(turn: &Turn<'_>, framed: bool) -> Vec<u8> {
    match turn {
        Turn::Frame {
            op,
            flags,
            key: n,
            time,
            numbers,
            value,
        } if framed => {
            let op = if *op < 8 { *op } else { 0x10 + op % 16 };
            let mut fields = Vec::new();
            match op {
                // INCR, CAS and SCAN.
                0x17 => fields.extend_from_slice(&i64::from(numbers[0] as i16).to_le_bytes()),
                0x18 => fields.extend_from_slice(&u32::from(numbers[0] % 16).to_le_bytes()),
                0x1a => {
                    fields.extend_from_slice(&u64::from(numbers[0]).to_le_bytes());
                    fields.extend_from_slice(&u32::from(numbers[1]).to_le_bytes());
                }
                _ => {}
            }
            if let Some(time) = time {
                fields.extend_from_slice(&u64::from(*time).to_le_bytes());
            }
            // Values of a length of their own, so that limits are met.
            let mut value = value.to_vec();
            if matches!(op, 0x11 | 0x18) && numbers[2] % 4 == 0 {
                value.resize(usize::from(numbers[2]) % (VALUE + 100), b'7');
            }
            frame(op, *flags, &key(*n), &fields, &value)
        }
        Turn::Batch { op, flags, items } if framed => {
            let op = 0x20 + op % 3;
            let mut value = Vec::new();
            for (n, len) in items {
                let key = key(*n);
                if op == 0x21 {
                    value.extend_from_slice(&[flags & 0b1_1111, 1, 0, 0]);
                }
                value.extend_from_slice(&u32::try_from(key.len()).expect("short").to_le_bytes());
                if op == 0x21 {
                    value.extend_from_slice(&u32::from(*len).to_le_bytes());
                    let time = if matches!(flags >> 2 & 7, 2 | 3) {
                        u64::from(*len)
                    } else {
                        0
                    };
                    value.extend_from_slice(&time.to_le_bytes());
                }
                value.extend_from_slice(&key);
                if op == 0x21 {
                    value.resize(value.len() + usize::from(*len), b'v');
                }
            }
            let count = u32::try_from(items.len()).expect("few").to_le_bytes();
            frame(op, 0, b"", &count, &value)
        }
        Turn::Fixed {
            letter,
            key: n,
            ttl,
            value,
        } if !framed => {
            let mut frame = vec![0; 128];
            frame[0] = b"IGRHX"[usize::from(*letter) % 5];
            let key = key(*n);
            frame[1..][..key.len()].copy_from_slice(&key);
            let len = value.len().min(56);
            frame[64..][..len].copy_from_slice(&value[..len]);
            frame[127] = *ttl;
            frame
        }
        Turn::Noise(noise) => noise.to_vec(),
        _ => Vec::new(),
    }
}

/// A stream of replies: prefaces and whole frames of known statuses.
fn check(mut replies: &[u8]) {
    while !replies.is_empty() {
        let len = match next(replies, u32::MAX) {
            Next::Preface => PREFACE.len(),
            Next::Frame(len) => {
                let status = Status(replies[8]);
                assert_ne!(status.name(), "UNKNOWN_STATUS", "{status:?}");
                assert_eq!(replies[9], 0);
                assert_eq!(replies[11..16], [0; 5]);
                assert!(!status.is_error() || std::str::from_utf8(&replies[16..len]).is_ok());
                assert!(len <= REPLY + 4);
                len
            }
            other => panic!("{other:?} where a reply should be"),
        };
        replies = &replies[len..];
    }
}
