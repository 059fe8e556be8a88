//! Any command: owned parts from which a `Command` is borrowed, for proptest.

use std::time::Duration;

use proptest::prelude::*;

use crate::protocol::command::{Command, Keys, Writes};
use crate::{Condition, Expiry, SetOptions, Tag};

type Bytes = Vec<u8>;

/// An entry of a SET_MANY.
#[derive(Debug, Clone)]
pub(super) struct Write {
    key: Bytes,
    value: Bytes,
    options: SetOptions,
}

#[derive(Debug, Clone)]
pub(super) enum Plan {
    Hello(u16, u16, u32, Bytes),
    Ping(Bytes, Tag),
    Stats,
    Get(Bytes, bool),
    Set(Write),
    Remove(Bytes),
    Take(Bytes, bool),
    Contains(Bytes),
    Touch(Bytes, Expiry),
    TimeLeft(Bytes),
    Increment(Bytes, i64, Expiry),
    CompareAndSet(Bytes, Write),
    Clear(Bytes),
    Scan(u64, u32, Bytes, bool),
    Snapshot,
    /// The keys, and the same as they go over the wire.
    GetMany(Vec<Bytes>, Bytes),
    SetMany(Vec<Write>, Bytes),
    RemoveMany(Vec<Bytes>, Bytes),
}

/// One item of a batch, in words.
type Item = (Bytes, Bytes, SetOptions);

impl Plan {
    pub(super) fn command(&self) -> Command<'_> {
        match self {
            Plan::Hello(lowest, highest, features, name) => Command::Hello {
                lowest: *lowest,
                highest: *highest,
                features: *features,
                name,
            },
            Plan::Ping(payload, tag) => Command::Ping { payload, tag: *tag },
            Plan::Stats => Command::Stats,
            Plan::Get(key, with_ttl) => Command::Get {
                key,
                with_ttl: *with_ttl,
            },
            Plan::Set(Write { key, value, options }) => Command::Set {
                key,
                value,
                options: *options,
            },
            Plan::Remove(key) => Command::Remove { key },
            Plan::Take(key, with_ttl) => Command::Take {
                key,
                with_ttl: *with_ttl,
            },
            Plan::Contains(key) => Command::Contains { key },
            Plan::Touch(key, expiry) => Command::Touch { key, expiry: *expiry },
            Plan::TimeLeft(key) => Command::TimeLeft { key },
            Plan::Increment(key, delta, when_created) => Command::Increment {
                key,
                delta: *delta,
                when_created: *when_created,
            },
            Plan::CompareAndSet(expected, Write { key, value, options }) => Command::CompareAndSet {
                key,
                expected,
                value,
                // A CAS has no further condition.
                options: SetOptions {
                    condition: Condition::Always,
                    ..*options
                },
            },
            Plan::Clear(prefix) => Command::Clear { prefix },
            Plan::Scan(cursor, limit, prefix, with_values) => Command::Scan {
                cursor: *cursor,
                limit: *limit,
                prefix,
                with_values: *with_values,
            },
            Plan::Snapshot => Command::Snapshot,
            Plan::GetMany(keys, items) => Command::GetMany(Keys {
                count: count(keys),
                items,
            }),
            Plan::RemoveMany(keys, items) => Command::RemoveMany(Keys {
                count: count(keys),
                items,
            }),
            Plan::SetMany(writes, items) => Command::SetMany(Writes {
                count: count(writes),
                items,
            }),
        }
    }

    /// The items of a batch as they were read, each beside the one that was planned.
    pub(super) fn walk(&self, command: &Command<'_>) -> Vec<(Option<Item>, Option<Item>)> {
        let planned: Vec<Item> = match self {
            Plan::GetMany(keys, _) | Plan::RemoveMany(keys, _) => keys
                .iter()
                .map(|key| (key.clone(), Vec::new(), SetOptions::default()))
                .collect(),
            Plan::SetMany(writes, _) => writes
                .iter()
                .map(|write| (write.key.clone(), write.value.clone(), write.options))
                .collect(),
            _ => Vec::new(),
        };
        let read: Vec<Item> = match command {
            Command::GetMany(keys) | Command::RemoveMany(keys) => keys
                .iter()
                .map(|key| (key.to_vec(), Vec::new(), SetOptions::default()))
                .collect(),
            Command::SetMany(writes) => writes
                .iter()
                .map(|(key, value, options)| (key.to_vec(), value.to_vec(), options))
                .collect(),
            _ => Vec::new(),
        };
        let len = planned.len().max(read.len());
        (0..len)
            .map(|at| (read.get(at).cloned(), planned.get(at).cloned()))
            .collect()
    }
}

fn count<T>(items: &[T]) -> u32 {
    items.len().try_into().expect("few")
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Default),
        Just(Expiry::Never),
        any::<u64>().prop_map(|millis| Expiry::After(Duration::from_millis(millis))),
        any::<u64>().prop_map(Expiry::At),
        Just(Expiry::Keep),
    ]
}

fn tag() -> impl Strategy<Value = Tag> {
    any::<u8>().prop_map(Tag)
}

fn write() -> impl Strategy<Value = Write> {
    let condition = prop::sample::select(vec![Condition::Always, Condition::IfAbsent, Condition::IfPresent]);
    (bytes(), bytes(), tag(), expiry(), condition).prop_map(|(key, value, tag, expiry, condition)| Write {
        key,
        value,
        options: SetOptions {
            tag,
            expiry,
            condition,
        },
    })
}

/// Keys as the wire has them, written by hand from `docs/protocol.md`.
fn wire_keys(keys: &[Bytes]) -> Bytes {
    let mut out = Vec::new();
    for key in keys {
        out.extend_from_slice(&count(key).to_le_bytes());
        out.extend_from_slice(key);
    }
    out
}

fn wire_writes(writes: &[Write]) -> Bytes {
    let mut out = Vec::new();
    for Write { key, value, options } in writes {
        let condition = match options.condition {
            Condition::Always => 0,
            Condition::IfAbsent => 1,
            Condition::IfPresent => 2,
        };
        let (kind, time) = match options.expiry {
            Expiry::Default => (0, 0),
            Expiry::Never => (1, 0),
            Expiry::After(ttl) => (2, u64::try_from(ttl.as_millis()).expect("made from a u64")),
            Expiry::At(unix) => (3, unix),
            Expiry::Keep => (4, 0),
        };
        out.extend_from_slice(&[condition | kind << 2, options.tag.0, 0, 0]);
        out.extend_from_slice(&count(key).to_le_bytes());
        out.extend_from_slice(&count(value).to_le_bytes());
        out.extend_from_slice(&time.to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    out
}

fn keys() -> impl Strategy<Value = (Vec<Bytes>, Bytes)> {
    prop::collection::vec(bytes(), 0..6).prop_map(|keys| {
        let items = wire_keys(&keys);
        (keys, items)
    })
}

/// Any command that a client can send.
pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let touch = expiry().prop_filter("TOUCH has no KEEP", |expiry| *expiry != Expiry::Keep);
    prop_oneof![
        (any::<u16>(), any::<u16>(), any::<u32>(), bytes())
            .prop_map(|(low, high, bits, name)| Plan::Hello(low, high, bits, name)),
        (bytes(), tag()).prop_map(|(payload, tag)| Plan::Ping(payload, tag)),
        Just(Plan::Stats),
        (bytes(), any::<bool>()).prop_map(|(key, ttl)| Plan::Get(key, ttl)),
        write().prop_map(Plan::Set),
        bytes().prop_map(Plan::Remove),
        (bytes(), any::<bool>()).prop_map(|(key, ttl)| Plan::Take(key, ttl)),
        bytes().prop_map(Plan::Contains),
        (bytes(), touch).prop_map(|(key, expiry)| Plan::Touch(key, expiry)),
        bytes().prop_map(Plan::TimeLeft),
        (bytes(), any::<i64>(), expiry())
            .prop_map(|(key, delta, expiry)| Plan::Increment(key, delta, expiry)),
        (bytes(), write()).prop_map(|(expected, write)| Plan::CompareAndSet(expected, write)),
        bytes().prop_map(Plan::Clear),
        (any::<u64>(), 1u32..=10_000, bytes(), any::<bool>())
            .prop_map(|(cursor, limit, prefix, values)| Plan::Scan(cursor, limit, prefix, values)),
        Just(Plan::Snapshot),
        keys().prop_map(|(keys, items)| Plan::GetMany(keys, items)),
        prop::collection::vec(write(), 0..6).prop_map(|writes| {
            let items = wire_writes(&writes);
            Plan::SetMany(writes, items)
        }),
        keys().prop_map(|(keys, items)| Plan::RemoveMany(keys, items)),
    ]
}
