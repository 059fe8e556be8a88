//! Requests of version 2: bytes → `Command`, and for `rustcache encode` and the tests the other way.

use std::time::Duration;

use byteorder::{ByteOrder, LittleEndian};

use super::{Fields, HEADER, TooShort, flag, header, op, wire_len};
use crate::protocol::command::{Command, Keys, Writes};
use crate::protocol::status::{Refusal, Status};
use crate::{Condition, Expiry, SetOptions, Tag};

/// A frame that asks for something.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// To be put into the reply.
    pub id: u32,
    /// What is asked for, or why it cannot be told.
    pub command: Result<Command<'a>, Refusal>,
}

/// Decodes a frame that [`next`](super::next) found whole.
///
/// # Panics
/// If it is shorter than a header.
#[inline(always)]
pub fn decode_request(frame: &[u8]) -> Request<'_> {
    let Some((header, rest)) = frame.split_first_chunk::<HEADER>() else {
        panic!("a frame of {} bytes is shorter than a header", frame.len());
    };
    let &[_, _, _, _, id0, id1, id2, id3, op, flags, tag, zero, key @ ..] = header;
    let head = Head {
        op,
        flags,
        tag: Tag(tag),
        zero,
        key_len: u32::from_le_bytes(key),
    };
    let id = u32::from_le_bytes([id0, id1, id2, id3]);
    Request {
        id,
        command: head.decode(Fields(rest)),
    }
}

/// The keys of the requests for one key that lie whole in `bytes`, as many as there is room for: how many, and the length of all frames up to the
/// last of them. Nothing is checked: a hint for who wants to know what will be asked for.
pub fn keys_ahead<'a>(bytes: &'a [u8], keys: &mut [&'a [u8]]) -> (usize, usize) {
    let (mut count, mut done) = (0, 0);
    while count < keys.len()
        && let Some(head) = bytes.get(done..done + HEADER)
    {
        let len = LittleEndian::read_u32(head) as usize + 4;
        let Some(frame) = bytes.get(done..done + len) else {
            break;
        };
        let fields = match head[8] {
            op::GET | op::REMOVE | op::TAKE | op::CONTAINS | op::TTL => 0,
            op::SET | op::TOUCH => match (head[9] & flag::EXPIRY) >> flag::EXPIRY_SHIFT {
                2 | 3 => 8,
                _ => 0,
            },
            _ => usize::MAX - HEADER,
        };
        let key_len = LittleEndian::read_u32(&head[12..]) as usize;
        let key = frame.get(HEADER + fields..).and_then(|rest| rest.get(..key_len));
        if let Some(key) = key {
            keys[count] = key;
            count += 1;
        }
        done += len;
    }
    (count, done)
}

struct Head {
    op: u8,
    flags: u8,
    tag: Tag,
    zero: u8,
    key_len: u32,
}

impl Head {
    #[inline(always)]
    fn decode<'a>(&self, rest: Fields<'a>) -> Result<Command<'a>, Refusal> {
        let all = rest.0.len();
        if self.zero != 0 {
            return Err(bad(format!(
                "byte 11 of the frame is {:#04x} and must be zero",
                self.zero
            )));
        }
        let known_flags = match self.op {
            op::GET | op::TAKE => flag::WITH_TTL,
            op::SCAN => flag::WITH_VALUES,
            op::SET => flag::CONDITION | flag::EXPIRY,
            op::TOUCH | op::INCR | op::CAS => flag::EXPIRY,
            _ => 0,
        };
        let unknown_flags = self.flags & !known_flags;
        let command = self.command(rest).map_err(|refused| match refused {
            Refused::TooShort => bad(format!(
                "op {:#04x} with flags {:#04x} and a key of {} bytes does not fit into the {all} bytes after the header",
                self.op, self.flags, self.key_len
            )),
            Refused::Because(refusal) => refusal,
        })?;
        if unknown_flags != 0 {
            return Err(bad(format!(
                "op {:#04x} has no flag {unknown_flags:#04x}",
                self.op
            )));
        }
        Ok(command)
    }

    #[inline(always)]
    fn command<'a>(&self, mut fields: Fields<'a>) -> Result<Command<'a>, Refused> {
        let with_ttl = self.flags & flag::WITH_TTL != 0;
        Ok(match self.op {
            op::GET => Command::Get {
                key: self.last_key(fields)?,
                with_ttl,
            },
            op::SET => {
                let options = SetOptions {
                    tag: self.tag,
                    expiry: expiry(self.flags, &mut fields)?,
                    condition: condition(self.flags)?,
                };
                let key = self.key(&mut fields)?;
                Command::Set {
                    key,
                    value: fields.0,
                    options,
                }
            }
            op::REMOVE => Command::Remove {
                key: self.last_key(fields)?,
            },
            op::TAKE => Command::Take {
                key: self.last_key(fields)?,
                with_ttl,
            },
            op::CONTAINS => Command::Contains {
                key: self.last_key(fields)?,
            },
            op::TOUCH => {
                let expiry = expiry(self.flags, &mut fields)?;
                if expiry == Expiry::Keep {
                    return Err(bad("TOUCH cannot KEEP the deadline: that would change nothing").into());
                }
                Command::Touch {
                    key: self.last_key(fields)?,
                    expiry,
                }
            }
            op::TTL => Command::TimeLeft {
                key: self.last_key(fields)?,
            },
            op::INCR => {
                let delta = fields.u64()?.cast_signed();
                let when_created = expiry(self.flags, &mut fields)?;
                Command::Increment {
                    key: self.last_key(fields)?,
                    delta,
                    when_created,
                }
            }
            op::CAS => {
                let expected_len = fields.u32()? as usize;
                let expiry = expiry(self.flags, &mut fields)?;
                let key = self.key(&mut fields)?;
                let expected = fields.bytes(expected_len)?;
                let options = SetOptions {
                    tag: self.tag,
                    expiry,
                    condition: Condition::Always,
                };
                Command::CompareAndSet {
                    key,
                    expected,
                    value: fields.0,
                    options,
                }
            }
            op::CLEAR => Command::Clear {
                prefix: self.last_key(fields)?,
            },
            op::SCAN => {
                let (cursor, limit) = (fields.u64()?, fields.u32()?);
                if !(1..=10_000).contains(&limit) {
                    return Err(bad(format!(
                        "the limit of a SCAN is {limit} and must be from 1 to 10000"
                    ))
                    .into());
                }
                let with_values = self.flags & flag::WITH_VALUES != 0;
                Command::Scan {
                    cursor,
                    limit,
                    prefix: self.last_key(fields)?,
                    with_values,
                }
            }
            op::SNAPSHOT => {
                self.no_key()?;
                self.nothing_more(fields, Command::Snapshot)?
            }
            op::STATS => {
                self.no_key()?;
                self.nothing_more(fields, Command::Stats)?
            }
            op::PING => {
                self.no_key()?;
                Command::Ping {
                    payload: fields.0,
                    tag: self.tag,
                }
            }
            op::HELLO => {
                let (lowest, highest, features) = (fields.u16()?, fields.u16()?, fields.u32()?);
                self.no_key()?;
                Command::Hello {
                    lowest,
                    highest,
                    features,
                    name: fields.0,
                }
            }
            op::GET_MANY => Command::GetMany(self.keys(fields)?),
            op::SET_MANY => Command::SetMany(self.writes(fields)?),
            op::REMOVE_MANY => Command::RemoveMany(self.keys(fields)?),
            unknown => {
                let text =
                    format!("op {unknown:#04x} is unknown to this daemon: it may be older than the client");
                return Err(Refusal::new(Status::UNKNOWN_OP, text).into());
            }
        })
    }

    fn key<'a>(&self, fields: &mut Fields<'a>) -> Result<&'a [u8], Refused> {
        Ok(fields.bytes(self.key_len as usize)?)
    }

    /// The key of an op that has no value.
    fn last_key<'a>(&self, mut fields: Fields<'a>) -> Result<&'a [u8], Refused> {
        let key = self.key(&mut fields)?;
        self.nothing_more(fields, key)
    }

    fn no_key(&self) -> Result<(), Refusal> {
        match self.key_len {
            0 => Ok(()),
            len => Err(bad(format!(
                "op {:#04x} has no key, and the frame says that its key is {len} bytes long",
                self.op
            ))),
        }
    }

    fn nothing_more<T>(&self, fields: Fields<'_>, result: T) -> Result<T, Refused> {
        match fields.0.len() {
            0 => Ok(result),
            more => Err(bad(format!(
                "{more} bytes are left over after op {:#04x} with a key of {} bytes",
                self.op, self.key_len
            ))
            .into()),
        }
    }

    fn keys<'a>(&self, mut fields: Fields<'a>) -> Result<Keys<'a>, Refused> {
        let count = fields.u32()?;
        self.no_key()?;
        let items = fields.0;
        for _ in 0..count {
            let key_len = fields.u32()? as usize;
            fields.bytes(key_len)?;
        }
        self.nothing_more(fields, Keys { count, items })
    }

    fn writes<'a>(&self, mut fields: Fields<'a>) -> Result<Writes<'a>, Refused> {
        let count = fields.u32()?;
        self.no_key()?;
        let items = fields.0;
        for _ in 0..count {
            write(&mut fields)?;
        }
        self.nothing_more(fields, Writes { count, items })
    }
}

impl<'a> Keys<'a> {
    /// The keys, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut fields = Fields(self.items);
        std::iter::from_fn(move || {
            let len = fields.u32().ok()? as usize;
            fields.bytes(len).ok()
        })
    }
}

impl<'a> Writes<'a> {
    /// The key, the value and the options of each entry, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8], SetOptions)> + use<'a> {
        let mut fields = Fields(self.items);
        std::iter::from_fn(move || write(&mut fields).ok())
    }
}

/// An entry of a SET_MANY: flags, tag, u16 zero, u32 key length, u32 value length, u64 expiry, key, value.
fn write<'a>(fields: &mut Fields<'a>) -> Result<(&'a [u8], &'a [u8], SetOptions), Refused> {
    let (flags, tag, zero) = (fields.u8()?, fields.u8()?, fields.u16()?);
    let (key_len, value_len) = (fields.u32()? as usize, fields.u32()? as usize);
    let mut time = Fields(fields.bytes(8)?);
    let (key, value) = (fields.bytes(key_len)?, fields.bytes(value_len)?);
    if zero != 0 || flags & !(flag::CONDITION | flag::EXPIRY) != 0 {
        return Err(bad(format!(
            "an item of a SET_MANY has the unknown flags {flags:#04x}, {zero:#06x}"
        ))
        .into());
    }
    let options = SetOptions {
        tag: Tag(tag),
        expiry: expiry(flags, &mut time)?,
        condition: condition(flags)?,
    };
    if time.0.iter().any(|&byte| byte != 0) {
        return Err(bad(format!(
            "an item of a SET_MANY has an expiry, and the kind in its flags {flags:#04x} has none: it must be zero"
        ))
        .into());
    }
    Ok((key, value, options))
}

fn condition(flags: u8) -> Result<Condition, Refusal> {
    match flags & flag::CONDITION {
        0 => Ok(Condition::Always),
        1 => Ok(Condition::IfAbsent),
        2 => Ok(Condition::IfPresent),
        unknown => Err(bad(format!(
            "condition {unknown} is unknown: there are 0, 1 and 2"
        ))),
    }
}

fn expiry(flags: u8, fields: &mut Fields<'_>) -> Result<Expiry, Refused> {
    Ok(match (flags & flag::EXPIRY) >> flag::EXPIRY_SHIFT {
        0 => Expiry::Default,
        1 => Expiry::Never,
        2 => Expiry::After(Duration::from_millis(fields.u64()?)),
        3 => Expiry::At(fields.u64()?),
        4 => Expiry::Keep,
        unknown => return Err(bad(format!("expiry kind {unknown} is unknown: there are 0 to 4")).into()),
    })
}

enum Refused {
    TooShort,
    Because(Refusal),
}

impl From<TooShort> for Refused {
    fn from(_: TooShort) -> Self {
        Refused::TooShort
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused::Because(refusal)
    }
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::new(Status::BAD_FRAME, text)
}

/// Appends the frame of a command. Bytes are taken as they are: this checks no limits.
pub fn encode_request(id: u32, command: &Command<'_>, out: &mut Vec<u8>) {
    let mut fields = Vec::new();
    let (op, flags, tag, key, tail): (u8, u8, Tag, &[u8], [&[u8]; 2]) = match *command {
        Command::Hello {
            lowest,
            highest,
            features,
            name,
        } => {
            fields.extend_from_slice(&lowest.to_le_bytes());
            fields.extend_from_slice(&highest.to_le_bytes());
            fields.extend_from_slice(&features.to_le_bytes());
            let tag = if name.is_empty() { Tag::BYTES } else { Tag::TEXT };
            (op::HELLO, 0, tag, &[], [name, &[]])
        }
        Command::Ping { payload, tag } => (op::PING, 0, tag, &[], [payload, &[]]),
        Command::Stats => (op::STATS, 0, Tag::BYTES, &[], [&[], &[]]),
        Command::Get { key, with_ttl } => (op::GET, u8::from(with_ttl), Tag::BYTES, key, [&[], &[]]),
        Command::Set { key, value, options } => {
            let flags = condition_bits(options.condition) | encode_expiry(options.expiry, &mut fields);
            (op::SET, flags, options.tag, key, [value, &[]])
        }
        Command::Remove { key } => (op::REMOVE, 0, Tag::BYTES, key, [&[], &[]]),
        Command::Take { key, with_ttl } => (op::TAKE, u8::from(with_ttl), Tag::BYTES, key, [&[], &[]]),
        Command::Contains { key } => (op::CONTAINS, 0, Tag::BYTES, key, [&[], &[]]),
        Command::Touch { key, expiry } => (
            op::TOUCH,
            encode_expiry(expiry, &mut fields),
            Tag::BYTES,
            key,
            [&[], &[]],
        ),
        Command::TimeLeft { key } => (op::TTL, 0, Tag::BYTES, key, [&[], &[]]),
        Command::Increment {
            key,
            delta,
            when_created,
        } => {
            fields.extend_from_slice(&delta.to_le_bytes());
            (
                op::INCR,
                encode_expiry(when_created, &mut fields),
                Tag::BYTES,
                key,
                [&[], &[]],
            )
        }
        Command::CompareAndSet {
            key,
            expected,
            value,
            options,
        } => {
            fields.extend_from_slice(&wire_len(expected.len()).to_le_bytes());
            let flags = encode_expiry(options.expiry, &mut fields);
            (op::CAS, flags, options.tag, key, [expected, value])
        }
        Command::Clear { prefix } => (op::CLEAR, 0, Tag::BYTES, prefix, [&[], &[]]),
        Command::Scan {
            cursor,
            limit,
            prefix,
            with_values,
        } => {
            fields.extend_from_slice(&cursor.to_le_bytes());
            fields.extend_from_slice(&limit.to_le_bytes());
            (op::SCAN, u8::from(with_values), Tag::BYTES, prefix, [&[], &[]])
        }
        Command::Snapshot => (op::SNAPSHOT, 0, Tag::BYTES, &[], [&[], &[]]),
        Command::GetMany(Keys { count, items })
        | Command::RemoveMany(Keys { count, items })
        | Command::SetMany(Writes { count, items }) => {
            fields.extend_from_slice(&count.to_le_bytes());
            let op = match command {
                Command::GetMany(_) => op::GET_MANY,
                Command::RemoveMany(_) => op::REMOVE_MANY,
                _ => op::SET_MANY,
            };
            (op, 0, Tag::BYTES, &[], [items, &[]])
        }
    };
    let rest = fields.len() + key.len() + tail[0].len() + tail[1].len();
    out.reserve(HEADER + rest);
    out.extend_from_slice(&header(id, op, flags, tag.0, key.len(), rest));
    for part in [&fields[..], key, tail[0], tail[1]] {
        out.extend_from_slice(part);
    }
}

fn condition_bits(condition: Condition) -> u8 {
    match condition {
        Condition::Always => 0,
        Condition::IfAbsent => 1,
        Condition::IfPresent => 2,
    }
}

fn encode_expiry(expiry: Expiry, fields: &mut Vec<u8>) -> u8 {
    let (kind, time) = match expiry {
        Expiry::Default => (0, None),
        Expiry::Never => (1, None),
        Expiry::After(ttl) => (2, Some(crate::cache::millis_rounded_up(ttl))),
        Expiry::At(unix) => (3, Some(unix)),
        Expiry::Keep => (4, None),
    };
    if let Some(time) = time {
        fields.extend_from_slice(&time.to_le_bytes());
    }
    kind << flag::EXPIRY_SHIFT
}
