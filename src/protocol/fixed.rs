//! Version 1: requests of 128 bytes, replies that end in a newline. Kept for ever, also for debugging from a shell.
//!
//! ```text
//! request   0 command | 1 key, 63, NUL padded | 64 value, 56, NUL padded | 120 time, u48 BE | 126 TTL in seconds, u16 BE
//! hit       0 value, 56, NUL padded | 56 time now | 62 TTL left | 64 '\n'            other replies: a letter and '\n'
//! ```

use std::time::Duration;

use byteorder::{BigEndian, ByteOrder};

use crate::{Condition, Expiry, SetOptions, Tag, TimeLeft};

use super::command::Command;

/// Length of a request in bytes.
pub const FRAME: usize = 128;
/// Longest key in bytes.
pub const KEY: usize = 63;
/// Longest value in bytes.
pub const VALUE: usize = 56;
/// Length of the reply to a `G` that hits, in bytes.
pub const HIT: usize = VALUE + 6 + 2 + 1;

/// The answer when a frame asks for what cannot be.
pub const ERROR: &[u8] = b"E\n";

const KEY_AT: usize = 1;
const VALUE_AT: usize = KEY_AT + KEY;
const TIME_AT: usize = VALUE_AT + VALUE;
const TTL_AT: usize = TIME_AT + 6;

/// The letters of the four commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it")]
pub enum Letter {
    Insert = b'I' as isize,
    Get = b'G' as isize,
    Remove = b'R' as isize,
    Snapshot = b'H' as isize,
}

impl Letter {
    /// The command of a frame's first byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b'I' => Letter::Insert,
            b'G' => Letter::Get,
            b'R' => Letter::Remove,
            b'H' => Letter::Snapshot,
            _ => return None,
        })
    }

    /// The short reply: done, or for `Get` missing.
    pub const fn short_reply(self) -> &'static [u8] {
        match self {
            Letter::Insert => b"I\n",
            Letter::Get => b"G\n",
            Letter::Remove => b"R\n",
            Letter::Snapshot => b"H\n",
        }
    }
}

/// What a frame asks for, and the letter that decides how it is answered. `None`: answer [`ERROR`].
pub fn decode(frame: &[u8; FRAME]) -> Option<(Letter, Command<'_>)> {
    let letter = Letter::from_byte(frame[0])?;
    let key = text(&frame[KEY_AT..VALUE_AT]);
    let command = match letter {
        Letter::Insert => {
            let ttl = BigEndian::read_u16(&frame[TTL_AT..]);
            let expiry = match ttl {
                0 => Expiry::Never,
                seconds => Expiry::After(Duration::from_secs(seconds.into())),
            };
            let options = SetOptions {
                tag: Tag::TEXT,
                expiry,
                condition: Condition::Always,
            };
            Command::Set {
                key: key.filter(|key| !key.is_empty())?,
                value: text(&frame[VALUE_AT..TIME_AT])?,
                options,
            }
        }
        Letter::Get => Command::Get {
            key: key.filter(|key| !key.is_empty())?,
            with_ttl: true,
        },
        Letter::Remove => Command::Remove { key: key? },
        Letter::Snapshot => Command::Snapshot,
    };
    Some((letter, command))
}

/// The keys of the frames that lie whole in `bytes`, as many as there is room for: how many, and the length of their frames. They are not checked.
pub fn keys_ahead<'a>(bytes: &'a [u8], keys: &mut [&'a [u8]]) -> (usize, usize) {
    let mut count = 0;
    for (key, frame) in keys.iter_mut().zip(bytes.chunks_exact(FRAME)) {
        *key = text(&frame[KEY_AT..VALUE_AT]).unwrap_or_default();
        count += 1;
    }
    (count, count * FRAME)
}

/// The reply to a `G` that hits; `None` if the value cannot be carried whole. `unix_seconds` is now.
pub fn encode_hit(value: &[u8], time_left: TimeLeft, unix_seconds: u64) -> Option<[u8; HIT]> {
    // Padding is taken off by the reader, so a value that ends in NUL would be cut.
    if value.len() > VALUE || value.last() == Some(&0) {
        return None;
    }
    let mut reply = [0; HIT];
    reply[..value.len()].copy_from_slice(value);
    BigEndian::write_u48(&mut reply[VALUE..], unix_seconds & ((1 << 48) - 1));
    BigEndian::write_u16(&mut reply[VALUE + 6..], ttl_seconds(time_left));
    reply[HIT - 1] = b'\n';
    Some(reply)
}

/// Whole seconds left, rounded up, at most 65535; 0 is never.
fn ttl_seconds(time_left: TimeLeft) -> u16 {
    match time_left {
        TimeLeft::Forever => 0,
        TimeLeft::Left(left) => {
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            // A live entry has time left, and 0 would read as "never".
            u16::try_from(seconds.max(1)).unwrap_or(u16::MAX)
        }
    }
}

/// A field without its padding, if it is UTF-8.
fn text(field: &[u8]) -> Option<&[u8]> {
    let len = field
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    std::str::from_utf8(&field[..len]).ok().map(str::as_bytes)
}

/// A request. `None` if the key or the value does not fit, or ends in NUL: that would be taken for padding.
pub fn encode(letter: Letter, key: &[u8], value: &[u8], unix_seconds: u64, ttl: u16) -> Option<[u8; FRAME]> {
    if key.len() > KEY || value.len() > VALUE || key.last() == Some(&0) || value.last() == Some(&0) {
        return None;
    }
    let mut frame = [0; FRAME];
    frame[0] = letter as u8;
    frame[KEY_AT..][..key.len()].copy_from_slice(key);
    frame[VALUE_AT..][..value.len()].copy_from_slice(value);
    BigEndian::write_u48(&mut frame[TIME_AT..], unix_seconds & ((1 << 48) - 1));
    BigEndian::write_u16(&mut frame[TTL_AT..], ttl);
    Some(frame)
}

/// A reply, as a reader who does not know the request sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A value, the daemon's time in Unix seconds, and the TTL left in seconds (0 = never).
    Hit {
        /// Without its padding.
        value: &'a [u8],
        /// Unix seconds.
        time: u64,
        /// Seconds; 0 = never.
        ttl: u16,
    },
    /// A letter alone: `I`, `G`, `R`, `H` or `E`.
    Short(u8),
    /// None of these.
    Garbage,
}

/// The first reply in `bytes` and its length. `None` if it takes more bytes to tell, unless `at_end`.
///
/// A value may begin as a short reply does. A hit is told by its last byte and by a plausible time: see `docs/protocol.md`.
pub fn decode_reply(bytes: &[u8], at_end: bool) -> Option<(Reply<'_>, usize)> {
    let plausible = 1_000_000_000..1 << 33;
    if let Some(hit) = bytes.get(..HIT) {
        let time = BigEndian::read_u48(&hit[VALUE..]);
        if hit[HIT - 1] == b'\n' && plausible.contains(&time) {
            let len = hit[..VALUE]
                .iter()
                .rposition(|&byte| byte != 0)
                .map_or(0, |last| last + 1);
            let reply = Reply::Hit {
                value: &hit[..len],
                time,
                ttl: BigEndian::read_u16(&hit[VALUE + 6..]),
            };
            return Some((reply, HIT));
        }
    } else if !at_end {
        return None;
    }
    match bytes {
        [] => None,
        [letter @ (b'I' | b'G' | b'R' | b'H' | b'E'), b'\n', ..] => Some((Reply::Short(*letter), 2)),
        _ => Some((Reply::Garbage, bytes.len())),
    }
}

#[cfg(test)]
mod tests;
