//! What every protocol speaks of: commands, and what they are answered with. Borrowed from the bytes they came in.

use bytes::Bytes;

use crate::{Expiry, ScanEntry, SetOptions, Tag, TimeLeft};

use super::status::{Refusal, Status};

/// A request, whatever protocol it came in.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "docs/protocol.md describes each op and its fields")]
pub enum Command<'a> {
    Hello {
        lowest: u16,
        highest: u16,
        features: u32,
        name: &'a [u8],
    },
    Ping {
        payload: &'a [u8],
        tag: Tag,
    },
    Stats,
    Get {
        key: &'a [u8],
        with_ttl: bool,
    },
    Set {
        key: &'a [u8],
        value: &'a [u8],
        options: SetOptions,
    },
    Remove {
        key: &'a [u8],
    },
    Take {
        key: &'a [u8],
        with_ttl: bool,
    },
    Contains {
        key: &'a [u8],
    },
    Touch {
        key: &'a [u8],
        expiry: Expiry,
    },
    TimeLeft {
        key: &'a [u8],
    },
    Increment {
        key: &'a [u8],
        delta: i64,
        when_created: Expiry,
    },
    CompareAndSet {
        key: &'a [u8],
        expected: &'a [u8],
        value: &'a [u8],
        options: SetOptions,
    },
    Clear {
        prefix: &'a [u8],
    },
    Scan {
        cursor: u64,
        limit: u32,
        prefix: &'a [u8],
        with_values: bool,
    },
    Snapshot,
    GetMany(Keys<'a>),
    SetMany(Writes<'a>),
    RemoveMany(Keys<'a>),
}

impl Command<'_> {
    /// Whether it may change what is stored.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Command::Set { .. }
                | Command::Remove { .. }
                | Command::Take { .. }
                | Command::Touch { .. }
                | Command::Increment { .. }
                | Command::CompareAndSet { .. }
                | Command::Clear { .. }
                | Command::SetMany(_)
                | Command::RemoveMany(_)
        )
    }
}

/// What a command is answered with.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "docs/protocol.md describes each reply and its fields")]
pub enum Reply<'a> {
    /// A bare status without a text.
    Status(Status),
    Hello {
        lowest: u16,
        highest: u16,
        chosen: u16,
        features: u32,
        limits: WireLimits,
        name: &'a str,
    },
    Value {
        value: Value<'a>,
        tag: Tag,
        time_left: Option<TimeLeft>,
    },
    TimeLeft(TimeLeft),
    Number(i64),
    Count(u64),
    /// A next cursor of 0 is the end.
    Page {
        next: u64,
        entries: &'a [ScanEntry],
    },
    Statuses(&'a [Status]),
    Error(&'a Refusal),
}

/// The bytes of a value: borrowed for a moment, or shared and good for as long as it takes.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "said above")]
pub enum Value<'a> {
    Borrowed(&'a [u8]),
    Shared(Bytes),
}

/// What a connection may carry, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in docs/protocol.md")]
pub struct WireLimits {
    pub key: u32,
    pub value: u32,
    pub frame: u32,
}

impl WireLimits {
    /// What a frame may hold beside its longest key and value.
    const SLACK: u32 = 64 << 10;
    /// A page of a SCAN fits into a frame however small the other limits are: it holds at most 1 MiB, and 20 bytes more for each of 10,000 entries.
    const LEAST_FRAME: u32 = 2 << 20;

    /// The limits of connections to a cache with these limits, which the builder keeps at 1 GiB or less.
    pub fn new(key: usize, value: usize) -> Self {
        let narrow = |len: usize| u32::try_from(len).unwrap_or(1 << 30).min(1 << 30);
        let (key, value) = (narrow(key), narrow(value));
        WireLimits {
            key,
            value,
            frame: (key + value + Self::SLACK).max(Self::LEAST_FRAME),
        }
    }
}

/// The keys of a batch. Checked when made: walking over them finds exactly as many as counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keys<'a> {
    pub(super) count: u32,
    pub(super) items: &'a [u8],
}

/// The entries of a batch of writes. Checked when made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Writes<'a> {
    pub(super) count: u32,
    pub(super) items: &'a [u8],
}

impl Keys<'_> {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl Writes<'_> {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}
