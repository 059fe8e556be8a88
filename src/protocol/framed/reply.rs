//! Replies of version 2: `Reply` → bytes; and bytes → a line for people, for `rustcache decode`.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{FOREVER, Fields, HEADER, TooShort, flag, header, op, wire_len};
use crate::cache::millis_rounded_up;
use crate::protocol::command::{Reply, Value};
use crate::protocol::outbox::Outbox;
use crate::protocol::status::Status;
use crate::{ScanEntry, Tag, TimeLeft};

/// Appends the reply to the request with this id.
pub fn encode_reply(id: u32, reply: &Reply<'_>, out: &mut Outbox) {
    match reply {
        Reply::Status(status) => out.push(&header(id, status.0, 0, 0, 0, 0)),
        Reply::Value {
            value,
            tag,
            time_left,
        } => encode_value(id, value, *tag, *time_left, out),
        Reply::TimeLeft(time_left) => fields(id, &millis(*time_left).to_le_bytes(), out),
        Reply::Number(number) => fields(id, &number.to_le_bytes(), out),
        Reply::Count(count) => fields(id, &count.to_le_bytes(), out),
        Reply::Page { next, entries } => encode_page(id, *next, entries, out),
        Reply::Statuses(statuses) => {
            out.push(&header(id, Status::OK.0, 0, 0, 0, 4 + statuses.len()));
            out.push(&wire_len(statuses.len()).to_le_bytes());
            let bytes: Vec<u8> = statuses.iter().map(|status| status.0).collect();
            out.push(&bytes);
        }
        Reply::Error(refusal) => {
            let text = refusal.text.as_bytes();
            out.push(&header(id, refusal.status.0, 0, Tag::TEXT.0, 0, text.len()));
            out.push(text);
        }
        Reply::Hello {
            lowest,
            highest,
            chosen,
            features,
            limits,
            name,
        } => {
            out.push(&header(id, Status::OK.0, 0, Tag::TEXT.0, 0, 24 + name.len()));
            for number in [*lowest, *highest, *chosen, 0] {
                out.push(&number.to_le_bytes());
            }
            for number in [*features, limits.key, limits.value, limits.frame] {
                out.push(&number.to_le_bytes());
            }
            out.push(name.as_bytes());
        }
    }
}

/// Appends the reply to the request with this id that is a value.
#[inline]
pub fn encode_value(id: u32, value: &Value<'_>, tag: Tag, time_left: Option<TimeLeft>, out: &mut Outbox) {
    let bytes: &[u8] = match value {
        Value::Borrowed(bytes) => bytes,
        Value::Shared(bytes) => bytes,
    };
    let ttl = time_left.map(|time_left| millis(time_left).to_le_bytes());
    let ttl = ttl.as_ref().map_or(&[][..], |ttl| &ttl[..]);
    let header = header(id, Status::OK.0, 0, tag.0, 0, ttl.len() + bytes.len());
    match value {
        Value::Borrowed(bytes) if ttl.is_empty() => out.push_parts([&header, bytes]),
        Value::Borrowed(bytes) => out.push_parts([&header, ttl, bytes]),
        Value::Shared(bytes) => {
            out.push_parts([&header, ttl]);
            out.push_shared(bytes.clone());
        }
    }
}

fn push_value(value: &Value<'_>, out: &mut Outbox) {
    match value {
        Value::Borrowed(bytes) => out.push(bytes),
        Value::Shared(bytes) => out.push_shared(bytes.clone()),
    }
}

fn fields(id: u32, bytes: &[u8], out: &mut Outbox) {
    out.push(&header(id, Status::OK.0, 0, 0, 0, bytes.len()));
    out.push(bytes);
}

/// An item of a SCAN: zero, tag, u16 zero, u32 key length, u32 value length, u64 milliseconds left, key, value.
const SCAN_ITEM: usize = 20;

fn encode_page(id: u32, next: u64, entries: &[ScanEntry], out: &mut Outbox) {
    let items: usize = entries
        .iter()
        .map(|entry| SCAN_ITEM + entry.key.len() + entry.value.as_ref().map_or(0, Bytes::len))
        .sum();
    out.push(&header(id, Status::OK.0, 0, 0, 0, 12 + items));
    out.push(&next.to_le_bytes());
    out.push(&wire_len(entries.len()).to_le_bytes());
    for entry in entries {
        out.push(&[0, entry.tag.0, 0, 0]);
        out.push(&wire_len(entry.key.len()).to_le_bytes());
        out.push(&wire_len(entry.value_len).to_le_bytes());
        out.push(&millis(entry.time_left).to_le_bytes());
        out.push(&entry.key);
        if let Some(value) = &entry.value {
            out.push(value);
        }
    }
}

/// Items of a GET_MANY, encoded one by one while they are found; then [`encode_items_header`] and [`finish_items`].
/// An item: u8 status, u8 tag, u16 zero, u32 value length, value.
pub fn encode_value_item(status: Status, tag: Tag, value: &Value<'_>, items: &mut Outbox) {
    let len = match value {
        Value::Borrowed(bytes) => bytes.len(),
        Value::Shared(bytes) => bytes.len(),
    };
    items.push(&[status.0, tag.0, 0, 0]);
    items.push(&wire_len(len).to_le_bytes());
    push_value(value, items);
}

/// The frame of a GET_MANY up to its items, which are `len` bytes.
pub fn encode_items_header(id: u32, count: u32, len: usize, out: &mut Outbox) {
    out.push(&header(id, Status::OK.0, 0, 0, 0, 4 + len));
    out.push(&count.to_le_bytes());
}

/// Moves the items behind their header.
pub fn finish_items(items: Outbox, out: &mut Outbox) {
    out.append(items);
}

/// Whole milliseconds, rounded up: what is there has at least one.
fn millis(time_left: TimeLeft) -> u64 {
    match time_left {
        TimeLeft::Forever => FOREVER,
        TimeLeft::Left(left) => millis_rounded_up(left).clamp(1, FOREVER - 1),
    }
}

/// A reply frame as a line for people. Frames do not say what they answer, so `op` and `flags` of the request are needed; unknown, the rest is
/// shown as a value.
pub fn print_reply(frame: &[u8], op: u8, flags: u8) -> String {
    let mut line = String::new();
    if describe(frame, op, flags, &mut line).is_err() {
        let _ = write!(line, "… cut short: the frame has {} bytes", frame.len());
    }
    line
}

fn describe(frame: &[u8], op: u8, flags: u8, line: &mut String) -> Result<(), TooShort> {
    let mut head = Fields(frame);
    head.bytes(8)?;
    let status = Status(head.u8()?);
    head.u8()?;
    let tag = Tag(head.u8()?);
    let mut rest = Fields(frame.get(HEADER..).ok_or(TooShort)?);
    line.push_str(status.name());
    if status != Status::OK {
        if !rest.0.is_empty() {
            let _ = write!(line, ": {}", harmless(&String::from_utf8_lossy(rest.0)));
        }
        return Ok(());
    }
    // Writing to a String cannot fail.
    let _ = match op {
        op::HELLO => {
            let (lowest, highest, chosen, _) = (rest.u16()?, rest.u16()?, rest.u16()?, rest.u16()?);
            let (_, key, value, frame) = (rest.u32()?, rest.u32()?, rest.u32()?, rest.u32()?);
            write!(
                line,
                " version {chosen} of {lowest} to {highest}, limits: key {key}, value {value}, frame {frame}, daemon {}",
                shown(rest.0, Tag::TEXT)
            )
        }
        op::GET | op::TAKE if flags & flag::WITH_TTL != 0 => {
            let ttl = shown_ttl(rest.u64()?);
            write!(line, " {} ({ttl})", shown(rest.0, tag))
        }
        op::TTL => write!(line, " {}", shown_ttl(rest.u64()?)),
        op::INCR => write!(line, " {}", rest.u64()?.cast_signed()),
        op::CLEAR => write!(line, " {} removed", rest.u64()?),
        op::SCAN => {
            let (next, count) = (rest.u64()?, rest.u32()?);
            let _ = match next {
                0 => write!(line, " {count} entries, the end"),
                _ => write!(line, " {count} entries, go on at {next}"),
            };
            for _ in 0..count {
                let (_, tag, _) = (rest.u8()?, rest.u8()?, rest.u16()?);
                let (key_len, value_len, ttl) = (rest.u32()? as usize, rest.u32()? as usize, rest.u64()?);
                let _ = write!(line, "\n  {}", shown(rest.bytes(key_len)?, Tag::TEXT));
                if flags & flag::WITH_VALUES != 0 {
                    let _ = write!(line, " = {}", shown(rest.bytes(value_len)?, Tag(tag)));
                }
                let _ = write!(line, " ({value_len} bytes, {})", shown_ttl(ttl));
            }
            Ok(())
        }
        op::GET_MANY => {
            for _ in 0..rest.u32()? {
                let (status, tag, _, len) =
                    (Status(rest.u8()?), rest.u8()?, rest.u16()?, rest.u32()? as usize);
                let value = rest.bytes(len)?;
                let _ = write!(line, "\n  {status}");
                if status == Status::OK {
                    let _ = write!(line, " {}", shown(value, Tag(tag)));
                }
            }
            Ok(())
        }
        op::SET_MANY | op::REMOVE_MANY => {
            for _ in 0..rest.u32()? {
                let _ = write!(line, "\n  {}", Status(rest.u8()?));
            }
            Ok(())
        }
        _ if rest.0.is_empty() && op != op::GET && op != op::TAKE && op != op::PING => Ok(()),
        _ => write!(line, " {}", shown(rest.0, tag)),
    };
    Ok(())
}

fn shown_ttl(millis: u64) -> String {
    match millis {
        FOREVER => "never expires".to_owned(),
        _ => format!("{millis} ms left"),
    }
}

/// Text in quotes and escaped, JSON as it is but for control characters, what is not text in hexadecimal: a terminal is never sent what a
/// value contains.
pub fn shown(bytes: &[u8], tag: Tag) -> String {
    match std::str::from_utf8(bytes) {
        Ok(json) if tag == Tag::JSON => harmless(json),
        Ok(text) => format!("{text:?}"),
        Err(_) => bytes.iter().fold(String::from("0x"), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

/// A text without the characters that a terminal obeys.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
