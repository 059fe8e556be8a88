//! For debugging from a shell: words → frames, and replies → lines. The verbs are in `cli.rs`, the bytes in `protocol/`.

use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustcache::protocol::command::Command;
use rustcache::protocol::fixed::{self, Letter};
use rustcache::protocol::framed::{self, Next, PREFACE, VERSIONS, op, shown};
use rustcache::{Condition, Expiry, SetOptions, Tag};

use crate::cli::{Encode, Ttl, Verb};

/// A frame length that no daemon goes beyond, for reading replies of any.
const MOST_FRAME: u32 = u32::from_le_bytes(PREFACE) - 1;

/// The bytes of a request.
///
/// # Errors
/// A line that says what does not fit.
pub(crate) fn encode(request: &Encode) -> Result<Vec<u8>, String> {
    let value = match &request.verb {
        Verb::Insert { value, .. } | Verb::Cas { value, .. } if value == "-" => {
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|error| format!("cannot read stdin: {error}"))?;
            bytes
        }
        Verb::Insert { value, .. } | Verb::Cas { value, .. } => value.clone().into_bytes(),
        _ => Vec::new(),
    };
    if request.protocol == 1 {
        encode_fixed(&request.verb, &value)
    } else {
        Ok(encode_framed(&request.verb, &value))
    }
}

fn encode_fixed(verb: &Verb, value: &[u8]) -> Result<Vec<u8>, String> {
    let (letter, key, ttl) = match verb {
        Verb::Insert {
            key,
            ttl,
            if_absent: false,
            if_present: false,
            ..
        } => (Letter::Insert, key.as_str(), fixed_ttl(ttl)?),
        Verb::Get { key } => (Letter::Get, key.as_str(), 0),
        Verb::Remove { key } => (Letter::Remove, key.as_str(), 0),
        Verb::Snapshot => (Letter::Snapshot, "", 0),
        _ => return Err("frames of version 1 have no such command: add --protocol 2".to_owned()),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    if std::str::from_utf8(value).is_err() {
        return Err(
            "the value is not UTF-8, which a frame of version 1 must hold: add --protocol 2".to_owned(),
        );
    }
    if value.last() == Some(&0) {
        return Err(
            "the value ends in NUL, which a frame of version 1 cannot tell from padding: add --protocol 2"
                .to_owned(),
        );
    }
    let frame = fixed::encode(letter, key.as_bytes(), value, now, ttl).ok_or_else(|| {
        format!(
            "the key is {} bytes long and the value {}; a frame of version 1 holds {} and {}: add --protocol 2",
            key.len(),
            value.len(),
            fixed::KEY,
            fixed::VALUE
        )
    })?;
    Ok(frame.to_vec())
}

fn fixed_ttl(ttl: &Ttl) -> Result<u16, String> {
    let ttl = ttl.ttl.unwrap_or_default();
    match u16::try_from(ttl.as_secs()) {
        Ok(seconds) if ttl.subsec_nanos() == 0 => Ok(seconds),
        _ => Err(format!(
            "a TTL of {} does not fit into a frame of version 1, which holds whole seconds up to 65535: add --protocol 2",
            humantime::format_duration(ttl)
        )),
    }
}

fn encode_framed(verb: &Verb, value: &[u8]) -> Vec<u8> {
    let tag = if std::str::from_utf8(value).is_ok() {
        Tag::TEXT
    } else {
        Tag::BYTES
    };
    let write = |ttl: &Ttl, condition| {
        SetOptions::default()
            .with_tag(tag)
            .with_expiry(expiry(ttl))
            .with_condition(condition)
    };
    let command = match verb {
        Verb::Insert {
            key,
            ttl,
            if_absent,
            if_present,
            ..
        } => {
            let condition = match (if_absent, if_present) {
                (true, _) => Condition::IfAbsent,
                (_, true) => Condition::IfPresent,
                _ => Condition::Always,
            };
            Command::Set {
                key: key.as_bytes(),
                value,
                options: write(ttl, condition),
            }
        }
        Verb::Get { key } => Command::Get {
            key: key.as_bytes(),
            with_ttl: true,
        },
        Verb::Remove { key } => Command::Remove { key: key.as_bytes() },
        Verb::Snapshot => Command::Snapshot,
        Verb::Take { key } => Command::Take {
            key: key.as_bytes(),
            with_ttl: true,
        },
        Verb::Contains { key } => Command::Contains { key: key.as_bytes() },
        Verb::Touch { key, ttl } => Command::Touch {
            key: key.as_bytes(),
            expiry: expiry(ttl),
        },
        Verb::Ttl { key } => Command::TimeLeft { key: key.as_bytes() },
        Verb::Persist { key } => Command::Touch {
            key: key.as_bytes(),
            expiry: Expiry::Never,
        },
        Verb::Incr { key, delta, ttl } => Command::Increment {
            key: key.as_bytes(),
            delta: *delta,
            when_created: expiry(ttl),
        },
        Verb::Cas {
            key, expected, ttl, ..
        } => Command::CompareAndSet {
            key: key.as_bytes(),
            expected: expected.as_bytes(),
            value,
            options: write(ttl, Condition::Always),
        },
        Verb::Clear { prefix } => Command::Clear {
            prefix: prefix.as_bytes(),
        },
        Verb::Scan {
            prefix,
            cursor,
            limit,
        } => Command::Scan {
            cursor: *cursor,
            limit: *limit,
            prefix: prefix.as_bytes(),
            with_values: true,
        },
        Verb::Ping => Command::Ping {
            payload: b"pong",
            tag: Tag::TEXT,
        },
        Verb::Stats => Command::Stats,
    };
    let hello = Command::Hello {
        lowest: *VERSIONS.start(),
        highest: *VERSIONS.end(),
        features: 0,
        name: b"rustcache encode",
    };
    let mut bytes = PREFACE.to_vec();
    framed::encode_request(u32::from(op::HELLO), &hello, &mut bytes);
    let frame = bytes.len();
    framed::encode_request(0, &command, &mut bytes);
    // Replies do not say what they answer, so the id does: op, and flags above it.
    bytes[frame + 4] = bytes[frame + 8];
    bytes[frame + 5] = bytes[frame + 9];
    bytes
}

fn expiry(ttl: &Ttl) -> Expiry {
    match ttl.ttl {
        None => Expiry::Default,
        Some(Duration::ZERO) => Expiry::Never,
        Some(ttl) => Expiry::After(ttl),
    }
}

/// Prints a line for each reply that comes in, of either version.
///
/// # Errors
/// When reading or writing fails.
pub(crate) fn decode(mut replies: impl Read, mut lines: impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let mut version = None;
    let mut framed = false;
    let mut last_hello = String::new();
    loop {
        let count = match replies.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let at_end = count == 0;
        bytes.extend_from_slice(&chunk[..count]);
        if version.is_none() && (bytes.len() >= PREFACE.len() || at_end) {
            framed = bytes.starts_with(&PREFACE);
            version = Some(if framed {
                framed_line
            } else {
                fixed_line as NextLine
            });
        }
        let mut done = 0;
        while let Some((line, len)) = version.and_then(|next| next(&bytes[done..], at_end)) {
            let hello = framed && bytes.get(done + 4) == Some(&op::HELLO);
            done += len;
            match line {
                // Joined outputs of `encode` bring one handshake each; the second says nothing new.
                Some(line) if hello && line == last_hello => {}
                Some(line) => {
                    writeln!(lines, "{line}")?;
                    if hello {
                        last_hello = line;
                    }
                }
                None => {}
            }
        }
        bytes.drain(..done);
        lines.flush()?;
        if at_end {
            return Ok(());
        }
    }
}

/// What the first reply says, if it is worth a line, and its length. `None` if it is not there as a whole.
type NextLine = fn(&[u8], bool) -> Option<(Option<String>, usize)>;

fn framed_line(bytes: &[u8], at_end: bool) -> Option<(Option<String>, usize)> {
    match framed::next(bytes, MOST_FRAME) {
        Next::Preface => Some((None, PREFACE.len())),
        Next::Frame(len) => {
            let frame = &bytes[..len];
            Some((Some(framed::print_reply(frame, frame[4], frame[5])), len))
        }
        Next::Incomplete(_) if at_end && !bytes.is_empty() => Some((
            Some(format!("{} bytes of a reply that was cut short", bytes.len())),
            bytes.len(),
        )),
        Next::Incomplete(_) => None,
        Next::Hopeless { refusal, .. } => Some((Some(refusal.to_string()), bytes.len())),
    }
}

fn fixed_line(bytes: &[u8], at_end: bool) -> Option<(Option<String>, usize)> {
    let (reply, len) = fixed::decode_reply(bytes, at_end)?;
    let line = match reply {
        fixed::Reply::Hit { value, ttl: 0, .. } => format!("hit {} (never expires)", shown(value, Tag::TEXT)),
        fixed::Reply::Hit { value, ttl, .. } => format!("hit {} ({ttl} s left)", shown(value, Tag::TEXT)),
        fixed::Reply::Short(b'I') => "inserted".to_owned(),
        fixed::Reply::Short(b'G') => "miss".to_owned(),
        fixed::Reply::Short(b'R') => "removed".to_owned(),
        fixed::Reply::Short(b'H') => "snapshot written".to_owned(),
        fixed::Reply::Short(_) => "error".to_owned(),
        fixed::Reply::Garbage => format!(
            "{len} bytes that are no reply: {}",
            shown(&bytes[..len.min(64)], Tag::TEXT)
        ),
    };
    Some((Some(line), len))
}
