//! Every golden vector of version 2, both ways: bytes are what the vector says, and what it says is those bytes.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::protocol::command::{Keys, Value, Writes};
use crate::protocol::golden::{Vector, vectors};
use crate::{Condition, Expiry, ScanEntry, SetOptions, TimeLeft};

/// The parts of a vector that a command borrows.
struct Parts {
    key: Vec<u8>,
    value: Vec<u8>,
    expected: Vec<u8>,
    new: Vec<u8>,
}

impl Parts {
    fn of(vector: &Vector) -> Self {
        let hex = |field| {
            if vector.has(field) {
                vector.hex(field)
            } else {
                Vec::new()
            }
        };
        Parts {
            key: hex("key_hex"),
            value: hex("value_hex"),
            expected: hex("expected_hex"),
            new: hex("new_hex"),
        }
    }
}

fn expiry_of(vector: &Vector) -> Expiry {
    let expiry = vector.inner("expiry");
    match expiry.text("kind") {
        "DEFAULT" => Expiry::Default,
        "NEVER" => Expiry::Never,
        "TTL" => Expiry::After(Duration::from_millis(expiry.number("ms"))),
        "DEADLINE" => Expiry::At(expiry.number("ms")),
        "KEEP" => Expiry::Keep,
        other => panic!("expiry kind {other}"),
    }
}

fn options_of(vector: &Vector) -> SetOptions {
    let condition = if vector.has("condition") {
        vector.text("condition")
    } else {
        "ALWAYS"
    };
    SetOptions {
        tag: Tag(vector.number("tag")),
        expiry: expiry_of(vector),
        condition: match condition {
            "ALWAYS" => Condition::Always,
            "IF_ABSENT" => Condition::IfAbsent,
            "IF_PRESENT" => Condition::IfPresent,
            other => panic!("condition {other}"),
        },
    }
}

fn command_of<'a>(vector: &Vector, parts: &'a Parts) -> Command<'a> {
    let Parts {
        key,
        value,
        expected,
        new,
    } = parts;
    match vector.text("op") {
        "HELLO" => Command::Hello {
            lowest: vector.number("lowest"),
            highest: vector.number("highest"),
            features: vector.number("features"),
            name: value,
        },
        "PING" => Command::Ping {
            payload: value,
            tag: Tag(vector.number("tag")),
        },
        "STATS" => Command::Stats,
        "GET" => Command::Get {
            key,
            with_ttl: vector.flag("with_ttl"),
        },
        "SET" => Command::Set {
            key,
            value,
            options: options_of(vector),
        },
        "REMOVE" => Command::Remove { key },
        "TAKE" => Command::Take {
            key,
            with_ttl: vector.flag("with_ttl"),
        },
        "CONTAINS" => Command::Contains { key },
        "TOUCH" => Command::Touch {
            key,
            expiry: expiry_of(vector),
        },
        "TTL" => Command::TimeLeft { key },
        "INCR" => Command::Increment {
            key,
            delta: vector.number("delta"),
            when_created: expiry_of(vector),
        },
        "CAS" => Command::CompareAndSet {
            key,
            expected,
            value: new,
            options: options_of(vector),
        },
        "CLEAR" => Command::Clear { prefix: key },
        "SCAN" => Command::Scan {
            cursor: vector.number("cursor"),
            limit: vector.number("limit"),
            prefix: key,
            with_values: vector.flag("with_values"),
        },
        "SNAPSHOT" => Command::Snapshot,
        "GET_MANY" => Command::GetMany(keys_of(vector, value)),
        "REMOVE_MANY" => Command::RemoveMany(keys_of(vector, value)),
        "SET_MANY" => Command::SetMany(Writes {
            count: vector.number("count"),
            items: value,
        }),
        other => panic!("op {other}"),
    }
}

fn keys_of<'a>(vector: &Vector, items: &'a [u8]) -> Keys<'a> {
    Keys {
        count: vector.number("count"),
        items,
    }
}

/// What is in a batch is what its vector lists.
fn assert_items(vector: &Vector, command: &Command<'_>) {
    match command {
        Command::GetMany(keys) | Command::RemoveMany(keys) => {
            let listed: Vec<_> = vector
                .items("items")
                .iter()
                .map(|item| item.hex("key_hex"))
                .collect();
            let read: Vec<_> = keys.iter().map(<[u8]>::to_vec).collect();
            assert_eq!(read, listed, "{}", vector.name());
            assert_eq!(keys.count() as usize, read.len(), "{}", vector.name());
        }
        Command::SetMany(writes) => {
            let listed: Vec<_> = vector
                .items("items")
                .iter()
                .map(|item| (item.hex("key_hex"), item.hex("value_hex"), options_of(item)))
                .collect();
            let read: Vec<_> = writes
                .iter()
                .map(|(key, value, options)| (key.to_vec(), value.to_vec(), options))
                .collect();
            assert_eq!(read, listed, "{}", vector.name());
            assert_eq!(writes.count() as usize, read.len(), "{}", vector.name());
        }
        _ => {}
    }
}

#[test]
fn every_request_is_read_as_what_it_says_and_written_as_it_is() {
    let mut ops = std::collections::BTreeSet::new();
    for vector in vectors(2, "request") {
        if vector.has("error") {
            continue;
        }
        let (bytes, parts) = (vector.bytes(), Parts::of(&vector));
        let command = command_of(&vector, &parts);
        assert_eq!(
            next(&bytes, frame_limit()),
            Next::Frame(bytes.len()),
            "{}",
            vector.name()
        );
        let request = decode_request(&bytes);
        assert_eq!(request.id, vector.number::<u32>("id"), "{}", vector.name());
        let decoded = request
            .command
            .unwrap_or_else(|refusal| panic!("{}: {refusal}", vector.name()));
        assert_eq!(decoded, command, "{}", vector.name());
        assert_items(&vector, &decoded);
        assert_eq!(encoded(request.id, &command), bytes, "{}", vector.name());
        assert_eq!(bytes[8], vector.number::<u8>("op_code"), "{}", vector.name());
        assert_eq!(bytes[9], vector.number::<u8>("flags"), "{}", vector.name());
        ops.insert(bytes[8]);
    }
    assert_eq!(ops.len(), 18, "every op has a vector: {ops:02x?}");
}

#[test]
fn every_malformed_request_is_refused_with_its_error() {
    for vector in vectors(2, "request") {
        // Whether versions match is for the session to know.
        if !vector.has("error") || vector.text("error") == "UNSUPPORTED_VERSION" {
            continue;
        }
        let refusal =
            refusal_of(&vector.bytes()).unwrap_or_else(|| panic!("{} is not refused", vector.name()));
        assert_eq!(refusal.status.name(), vector.text("error"), "{}", vector.name());
    }
}

fn time_left_of(vector: &Vector) -> TimeLeft {
    match vector.number("ttl_ms") {
        u64::MAX => TimeLeft::Forever,
        millis => TimeLeft::Left(Duration::from_millis(millis)),
    }
}

fn status_of(vector: &Vector, field: &str) -> Status {
    let name = vector.text(field);
    let status = (0..=255)
        .map(Status)
        .find(|status| status.name() == name)
        .unwrap_or_else(|| panic!("no status {name}"));
    if vector.has("status_code") {
        assert_eq!(status.0, vector.number::<u8>("status_code"), "{name}");
    }
    status
}

fn scan_entry_of(vector: &Vector) -> ScanEntry {
    ScanEntry {
        key: vector.hex("key_hex").into(),
        value: vector
            .has("value_hex")
            .then(|| Bytes::from(vector.hex("value_hex"))),
        value_len: vector.number("value_length"),
        tag: Tag(vector.number("tag")),
        time_left: time_left_of(vector),
    }
}

/// The bytes of the reply that a vector describes, by the code that the daemon uses.
fn reply_bytes(vector: &Vector) -> Vec<u8> {
    let id = vector.number("id");
    let status = status_of(vector, "status");
    let value = if vector.has("value_hex") {
        vector.hex("value_hex")
    } else {
        Vec::new()
    };
    if status.is_error() {
        let text = String::from_utf8(value).expect("text");
        return replied(id, &Reply::Error(&Refusal { status, text }));
    }
    if status != Status::OK {
        return replied(id, &Reply::Status(status));
    }
    match vector.text("op") {
        "HELLO" => replied(
            id,
            &Reply::Hello {
                lowest: vector.number("lowest"),
                highest: vector.number("highest"),
                chosen: vector.number("chosen"),
                features: vector.number("features"),
                limits: WireLimits {
                    key: vector.number("key_limit"),
                    value: vector.number("value_limit"),
                    frame: vector.number("frame_limit"),
                },
                name: std::str::from_utf8(&value).expect("text"),
            },
        ),
        "PING" | "STATS" | "GET" | "TAKE" => {
            let tag = Tag(vector.number("tag"));
            let time_left = vector.has("ttl_ms").then(|| time_left_of(vector));
            let [borrowed, shared] =
                [Value::Borrowed(&value), Value::Shared(value.clone().into())].map(|value| {
                    replied(
                        id,
                        &Reply::Value {
                            value,
                            tag,
                            time_left,
                        },
                    )
                });
            assert_eq!(borrowed, shared, "{}", vector.name());
            borrowed
        }
        "TTL" => replied(id, &Reply::TimeLeft(time_left_of(vector))),
        "INCR" => replied(id, &Reply::Number(vector.number("number"))),
        "CLEAR" => replied(id, &Reply::Count(vector.number("removed"))),
        "SCAN" => {
            let entries: Vec<_> = vector.items("items").iter().map(scan_entry_of).collect();
            replied(
                id,
                &Reply::Page {
                    next: vector.number("next_cursor"),
                    entries: &entries,
                },
            )
        }
        "SET_MANY" | "REMOVE_MANY" => {
            let items = vector.items("items");
            let statuses: Vec<_> = items.iter().map(|item| status_of(item, "status")).collect();
            replied(id, &Reply::Statuses(&statuses))
        }
        "GET_MANY" => {
            let mut items = Outbox::new();
            for item in vector.items("items") {
                let value = item.hex("value_hex");
                encode_value_item(
                    status_of(&item, "status"),
                    Tag(item.number("tag")),
                    &Value::Borrowed(&value),
                    &mut items,
                );
            }
            let mut out = Outbox::new();
            encode_items_header(id, vector.number("count"), items.len(), &mut out);
            finish_items(items, &mut out);
            written(&out)
        }
        _ => replied(id, &Reply::Status(Status::OK)),
    }
}

#[test]
fn every_reply_is_written_as_it_is() {
    let mut answered = std::collections::BTreeSet::new();
    for vector in vectors(2, "reply") {
        assert_eq!(reply_bytes(&vector), vector.bytes(), "{}", vector.name());
        answered.insert(vector.number::<u8>("op_code"));
    }
    assert_eq!(answered.len(), 18, "every op has a reply: {answered:02x?}");
}

#[test]
fn every_reply_is_printed_in_full_and_cut_anywhere_it_is_said_to_be_cut() {
    for vector in vectors(2, "reply") {
        let bytes = vector.bytes();
        let (op, flags) = (vector.number("op_code"), vector.number("op_flags"));
        let line = print_reply(&bytes, op, flags);
        assert!(line.starts_with(vector.text("status")), "{line}");
        assert!(!line.contains("cut short"), "{}: {line}", vector.name());
        for field in ["number", "removed", "key_limit", "value_limit", "frame_limit"] {
            if vector.has(field) {
                let number = vector.integer(field).to_string();
                assert!(line.contains(&number), "{}: {line}", vector.name());
            }
        }
        for len in 0..HEADER {
            let line = print_reply(&bytes[..len], op, flags);
            assert!(line.contains("cut short"), "{}: {line}", vector.name());
        }
        // Cut later, part of it may look whole; it must only not fail.
        for len in HEADER..bytes.len() {
            print_reply(&bytes[..len], op, flags);
        }
    }
}

#[test]
fn a_reply_is_printed_for_people_to_read() {
    let lines: Vec<String> = vectors(2, "reply")
        .iter()
        .map(|vector| {
            print_reply(
                &vector.bytes(),
                vector.number("op_code"),
                vector.number("op_flags"),
            )
        })
        .collect();
    for line in [
        "OK \"v\"",
        "OK {\"a\":1} (999 ms left)",
        "OK 0x8081 (never expires)",
        "OK 4294967301 removed",
        "OK 2 entries, go on at 77\n  \"user:1\" = \"hello\" (5 bytes, never expires)\n  \"\\0\" = \"\" (0 bytes, 250 ms left)",
        "OK 2 entries, the end\n  \"user:1\" (5 bytes, 1000 ms left)\n  \"\" (70000 bytes, never expires)",
        "OK\n  OK \"v\"\n  MISS\n  OK \"\"\n  DEFERRED",
        "OK\n  OK\n  NOT_STORED\n  TOO_LARGE\n  VALUE_TOO_LONG\n  KEY_TOO_LONG",
        "MISS",
        "BAD_FRAME: a key of 5 bytes does not fit into a frame of 12",
    ] {
        assert!(
            lines.contains(&line.to_owned()),
            "{line:?} is not among {lines:#?}"
        );
    }
}

#[test]
fn what_a_terminal_would_obey_is_never_printed() {
    let escape = "\u{1b}[2J\u{9b}31m\r\n\u{7f}";
    for tag in [Tag::BYTES, Tag::TEXT, Tag::JSON, Tag::V8] {
        for bytes in [escape.as_bytes(), b"\x1b[2J\xff"] {
            let mut lines = vec![shown(bytes, tag)];
            for status in [Status::OK, Status::INTERNAL] {
                let mut reply = header(1, status.0, 0, tag.0, 0, bytes.len()).to_vec();
                reply.extend_from_slice(bytes);
                lines.push(print_reply(&reply, op::PING, 0));
            }
            for line in lines {
                assert!(!line.chars().any(char::is_control), "{tag:?}: {line:?}");
            }
        }
    }
}
