//! What goes in and what comes out: the golden frames, frames in pieces, large values, and bytes that mean nothing.

use std::thread;

use rustcache::Tag;
use rustcache::protocol::command::Command as Request;
use rustcache::protocol::status::Status;

use crate::golden::{unhex, vectors};
use crate::support::*;

/// The golden vector of this name.
fn golden(protocol: u64, kind: &str, name: &str) -> Vec<u8> {
    vectors(protocol, kind)
        .iter()
        .find(|vector| vector.name() == name)
        .unwrap_or_else(|| panic!("no {kind} is called {name:?}"))
        .bytes()
}

/// A bare OK.
fn ok(id: u8) -> Vec<u8> {
    unhex(&format!("0c000000 {id:02x}000000 00000000 00000000"))
}

#[test]
fn golden_frames_of_version_2_are_answered_with_golden_replies() {
    let request = |name| golden(2, "request", name);
    let reply = |name| golden(2, "reply", name);
    let store = |id, key: &'static [u8], value: &'static [u8], tag| {
        let mut bytes = frame(id, &set(key, value));
        bytes[10] = tag;
        bytes
    };
    let script = [
        (request("ping with bytes"), reply("ping answered")),
        (request("get"), reply("get miss")),
        (store(1, b"k", b"v", 1), reply("set stored")),
        (request("get"), reply("get hit")),
        (request("contains"), reply("contains, there")),
        (request("ttl"), reply("ttl never")),
        (request("set IF_PRESENT DEFAULT"), {
            let mut reply = reply("set not stored");
            reply[4] = 32;
            reply
        }),
        (request("remove"), reply("remove found")),
        (request("remove"), reply("remove not found")),
        (request("contains"), reply("contains, not there")),
        (request("ttl"), reply("ttl of nothing")),
        (request("touch TTL"), reply("touch of nothing")),
        (request("take"), reply("take miss")),
        (store(5, b"k", b"\xff\x0f\"\x01a", 3), ok(5)),
        (request("take"), reply("take hit")),
        (request("set of empty key and value"), ok(81)),
        (request("get of the empty key"), reply("get hit, empty value")),
        (store(5, b"n", b"41", 1), ok(5)),
        (request("incr DEFAULT by 1"), reply("incr answered")),
        (request("cas DEFAULT"), reply("cas, no value")),
        (store(5, b"k", b"old", 1), ok(5)),
        (request("cas DEFAULT"), reply("cas done")),
        (request("cas DEFAULT"), reply("cas, another value")),
        (request("touch TTL"), reply("touch done")),
        (request("get many of none"), reply("get many of none answered")),
        (store(5, b"a", b"v", 1), ok(5)),
        (request("remove many"), reply("remove many answered")),
    ];
    for link in LINKS {
        let mut daemon = Daemon::new(link);
        daemon.write(&unhex("f55243f5"));
        daemon.write(&request("hello without a name"));
        assert_eq!(daemon.read(4), unhex("f55243f5"));
        // All but the package's version, and the length that follows from it.
        let hello = reply("hello accepted");
        let got = daemon.answer();
        assert_eq!((got.status, got.tag), (Status::OK, Tag::TEXT));
        assert_eq!(got.body[..24 + 10], hello[16..16 + 24 + 10]);

        let requests: Vec<u8> = script.iter().flat_map(|(request, _)| request.clone()).collect();
        daemon.write(&requests);
        for (request, reply) in &script {
            assert_eq!(
                daemon.read(reply.len()),
                *reply,
                "{link:?}: the answer to {request:02x?}"
            );
        }
        let end = daemon.finish();
        assert_eq!((end.code, end.output.len()), (Some(0), 0), "{link:?}: {end:?}");
    }
}

#[test]
fn golden_frames_of_version_1_are_answered_as_the_table_says() {
    for link in LINKS {
        let mut daemon = Daemon::new(link);
        for vector in vectors(1, "request") {
            let inserted = vector.text("op") == "INSERT" && !vector.has("error");
            daemon.write(&vector.bytes());
            let expected: &[u8] = match vector.text("op") {
                _ if vector.has("error") => b"E\n",
                "INSERT" => b"I\n",
                // It was inserted by a vector before, and may have expired if this machine is very slow.
                "GET" => match daemon.read(2)[..] {
                    [b'G', b'\n'] => continue,
                    _ => {
                        assert_eq!(daemon.read(63).last(), Some(&b'\n'), "{}", vector.name());
                        continue;
                    }
                },
                "REMOVE" => b"R\n",
                _ => b"E\n",
            };
            assert_eq!(daemon.read(2), expected, "{link:?}: {}", vector.name());
            let ttl: u16 = vector.number("ttl_s");
            if !inserted || (1..60).contains(&ttl) {
                continue;
            }
            daemon.write(&fixed_frame(b'G', &vector.hex("key_hex"), b""));
            let hit = daemon.read(65);
            let value = vector.hex("value_hex");
            assert_eq!(hit[..value.len()], value, "{link:?}: {}", vector.name());
            assert!(hit[value.len()..56].iter().all(|&byte| byte == 0));
            let time = u64::from_be_bytes([0, 0, hit[56], hit[57], hit[58], hit[59], hit[60], hit[61]]);
            assert!((1_000_000_000..1 << 33).contains(&time), "{time}");
            let left = u16::from_be_bytes([hit[62], hit[63]]);
            assert!(left <= ttl && (left > 0) == (ttl > 0), "{left} s of {ttl}");
            assert_eq!(hit[64], b'\n');
        }
        assert_eq!(daemon.finish().code, Some(0));
    }
}

#[test]
fn the_end_of_the_input_ends_the_daemon_with_everything_answered() {
    let mut script = greeting();
    for id in 0..20_000u32 {
        let key = id.to_le_bytes();
        script.extend(frame(id, &set(&key, &key)));
        script.extend(frame(id, &get(&key)));
    }
    for link in LINKS {
        let end = Daemon::new(link).exchange(&script);
        assert_eq!(end.code, Some(0), "{link:?}: {}", end.log);
        assert_eq!(end.log, "", "{link:?}");
        let (answers, rest) = answers(&end.output);
        assert!(rest.is_empty(), "{link:?}");
        assert_eq!(answers.len(), 1 + 40_000, "{link:?}");
        for (id, pair) in (0..).zip(answers[1..].chunks(2)) {
            assert_eq!((pair[0].id, pair[0].status), (id, Status::OK), "{link:?}");
            assert_eq!(
                (pair[1].id, &pair[1].body[..]),
                (id, &id.to_le_bytes()[..]),
                "{link:?}"
            );
        }
    }
}

#[test]
fn a_daemon_that_is_asked_nothing_ends_with_its_input() {
    for link in LINKS {
        let end = Daemon::new(link).finish();
        assert_eq!(end.code, Some(0), "{link:?}: {end:?}");
        assert!(end.output.is_empty() && end.log.is_empty(), "{link:?}: {end:?}");
    }
}

#[test]
fn a_frame_in_pieces_is_one_frame_and_two_together_are_two() {
    for link in LINKS {
        let mut daemon = Daemon::new(link);
        let script = [
            fixed_frame(b'I', b"k", b"v"),
            fixed_frame(b'I', b"l", b"w"),
            fixed_frame(b'R', b"none", b""),
        ]
        .concat();
        for byte in &script[..384 - 1] {
            daemon.write(&[*byte]);
        }
        assert_eq!(daemon.read(4), b"I\nI\n", "{link:?}");
        daemon.write(&script[384 - 1..]);
        assert_eq!(daemon.read(2), b"R\n", "{link:?}");
        assert_eq!(daemon.exchange(&script).output, b"I\nI\nR\n", "{link:?}");
    }
}

#[test]
fn large_values_pipelined_both_ways_come_back_byte_for_byte() {
    const LEN: usize = 32 << 20;
    let values: Vec<Vec<u8>> = (0..3)
        .map(|number| Dice(99 + number as u64).bytes(LEN + 7 * number))
        .collect();
    let mut script = Vec::new();
    for (key, value) in (0u8..).zip(&values) {
        script.extend(frame(1, &set(&[key], value)));
    }
    // All are asked for, twice, before any is read.
    for key in [0, 1, 2, 2, 1, 0u8] {
        script.extend(frame(2, &get(&[key])));
    }
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        let mut input = daemon.input.take().expect("open");
        thread::scope(|scope| {
            let script = &script;
            scope.spawn(move || input.write_all(script).expect("the daemon reads"));
            for _ in &values {
                assert_eq!(daemon.answer().status, Status::OK, "{link:?}");
            }
            for key in [0, 1, 2, 2, 1, 0] {
                assert!(daemon.answer().body == values[key], "{link:?}: value {key}");
            }
        });
        assert_eq!(daemon.finish().code, Some(0), "{link:?}");
    }
}

#[test]
fn random_bytes_are_answered_or_refused_and_never_crash() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for round in 0..120 {
        let start = match round % 6 {
            0 => vec![],
            1 => fixed_frame(b"IGRH"[dice.below(4)], b"k", b"v"),
            2 => vec![b'I'],
            3 => vec![0xf5],
            _ => greeting(),
        };
        let len = dice.below(3000);
        let mut noise = dice.bytes(len);
        if round % 6 == 5 && noise.len() > 400 {
            // Small lengths and known ops, so that it gets further than the first frame.
            for frame in noise.chunks_exact_mut(40) {
                frame[..4].copy_from_slice(&[36, 0, 0, 0]);
                frame[8] = [0x10, 0x11, 0x18, 0x1a, 0x20, 0x21][usize::from(frame[8]) % 6];
                frame[9] &= 3;
                frame[11] = 0;
                frame[13..16].fill(0);
            }
        }
        let script = [start, noise].concat();
        let link = LINKS[round % 3];
        let end = Daemon::new(link).exchange(&script);
        assert!(
            matches!(end.code, Some(0 | 3)),
            "{link:?}: {:?} after {script:02x?}: {}",
            end.code,
            end.log
        );
        assert!(!end.log.contains("panicked"), "{}", end.log);
    }
}

#[test]
fn a_request_is_answered_while_the_next_is_not_there_yet() {
    for link in LINKS {
        let mut daemon = Daemon::greeted(link, &[], &[]);
        for round in 0..200u32 {
            let payload = round.to_le_bytes();
            let answer = daemon.ask(&Request::Ping {
                payload: &payload,
                tag: Tag::BYTES,
            });
            assert_eq!(answer.body, payload, "{link:?}");
        }
    }
}
