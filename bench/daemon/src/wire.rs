//! What goes over the wire to each participant, and what comes back: requests are appended to a buffer, replies are checked.
//! Every reply to an operation has the same length, so whoever waits for a pipeline waits for a number of bytes. No I/O here.

use std::fmt;

/// Bytes of a key.
pub(crate) const KEY: usize = 20;
/// Bytes of a value.
pub(crate) const VALUE: usize = 56;
/// What a value is after its number.
const VALUE_END: [u8; VALUE - DIGITS] = *b"-a value of fifty-six bytes in all, more";
/// A key and a value end and begin with the number, in so many digits.
const DIGITS: usize = 16;
/// Keys are numbered below this, so that six digits are enough to tell them apart.
pub(crate) const MOST_KEYS: u32 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Of a key that is there.
    Get,
    /// Of a key that is there already, without a TTL.
    Set,
}

impl Operation {
    pub(crate) const ALL: [Self; 2] = [Self::Get, Self::Set];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Get => "get",
            Operation::Set => "set",
        })
    }
}

/// A protocol, as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Version 2 of ours: length-prefixed frames.
    Framed,
    /// Version 1 of ours: 128 bytes each.
    Fixed,
    /// Redis: RESP.
    Resp,
    /// memcached: the meta commands, of which the replies are shorter than those of its text commands.
    Meta,
    /// As many bytes as version 2 moves, each way; what they are does not matter.
    Echo,
}

const HEADER: usize = 16;
const FIXED_FRAME: usize = 128;
const GET: u8 = 0x10;
const SET: u8 = 0x11;
/// The tag of UTF-8 text.
const TEXT: u8 = 1;
/// What version 2 begins with, in both directions.
pub(crate) const PREFACE: [u8; 4] = [0xf5, 0x52, 0x43, 0xf5];
/// The first frame: versions 2 to 2, no features, no name.
pub(crate) const HELLO: [u8; 24] = [
    20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0,
];

impl Wire {
    /// Appends the request for the key of this number; `place` is its place in the pipeline.
    pub(crate) fn request(self, operation: Operation, number: u32, place: u32, out: &mut Vec<u8>) {
        let key = key(number);
        match (self, operation) {
            (Wire::Framed | Wire::Echo, Operation::Get) => {
                out.extend_from_slice(&header(KEY, place, GET, 0, KEY));
                out.extend_from_slice(&key);
            }
            (Wire::Framed | Wire::Echo, Operation::Set) => {
                out.extend_from_slice(&header(KEY + VALUE, place, SET, TEXT, KEY));
                out.extend_from_slice(&key);
                out.extend_from_slice(&value(number));
            }
            (Wire::Fixed, operation) => {
                let mut frame = [0; FIXED_FRAME];
                frame[1..=KEY].copy_from_slice(&key);
                frame[0] = b'G';
                if operation == Operation::Set {
                    frame[0] = b'I';
                    frame[64..64 + VALUE].copy_from_slice(&value(number));
                }
                out.extend_from_slice(&frame);
            }
            (Wire::Resp, Operation::Get) => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$20\r\n");
                out.extend_from_slice(&key);
                out.extend_from_slice(b"\r\n");
            }
            (Wire::Resp, Operation::Set) => {
                out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$20\r\n");
                out.extend_from_slice(&key);
                out.extend_from_slice(b"\r\n$56\r\n");
                out.extend_from_slice(&value(number));
                out.extend_from_slice(b"\r\n");
            }
            (Wire::Meta, Operation::Get) => {
                out.extend_from_slice(b"mg ");
                out.extend_from_slice(&key);
                out.extend_from_slice(b" v\r\n");
            }
            (Wire::Meta, Operation::Set) => {
                out.extend_from_slice(b"ms ");
                out.extend_from_slice(&key);
                out.extend_from_slice(b" 56\r\n");
                out.extend_from_slice(&value(number));
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Bytes of a request.
    pub(crate) fn request_len(self, operation: Operation) -> usize {
        let mut request = Vec::new();
        self.request(operation, 0, 0, &mut request);
        request.len()
    }

    /// What a reply is before and after its value. Without the place in the pipeline, which only version 2 has in it; nothing around a value in an
    /// echo is looked at.
    fn around(self, operation: Operation) -> (&'static [u8], &'static [u8]) {
        const HIT: &[u8] = &header(VALUE, 0, 0, TEXT, 0);
        const STORED: &[u8] = &header(0, 0, 0, 0, 0);
        match (self, operation) {
            (Wire::Framed | Wire::Echo, Operation::Get) => (HIT, b""),
            (Wire::Framed | Wire::Echo, Operation::Set) => (STORED, b""),
            (Wire::Fixed, Operation::Get) => (b"", b"\n"),
            (Wire::Fixed, Operation::Set) => (b"I\n", b""),
            (Wire::Resp, Operation::Get) => (b"$56\r\n", b"\r\n"),
            (Wire::Resp, Operation::Set) => (b"+OK\r\n", b""),
            (Wire::Meta, Operation::Get) => (b"VA 56\r\n", b"\r\n"),
            (Wire::Meta, Operation::Set) => (b"HD\r\n", b""),
        }
    }

    /// Bytes of each reply.
    pub(crate) fn reply_len(self, operation: Operation) -> usize {
        let (before, after) = self.around(operation);
        let value = match (operation, self) {
            (Operation::Set, _) => 0,
            // Six bytes of time and two of TTL as well.
            (Operation::Get, Wire::Fixed) => VALUE + 8,
            (Operation::Get, _) => VALUE,
        };
        before.len() + value + after.len()
    }

    /// Checks the replies to a pipeline: as many as there are numbers, all of them hits or acknowledgements, and each the value of its key.
    ///
    /// # Errors
    /// What the first wrong reply is.
    pub(crate) fn check(self, operation: Operation, numbers: &[u32], replies: &[u8]) -> Result<(), String> {
        let len = self.reply_len(operation);
        if replies.len() != numbers.len() * len {
            return Err(format!(
                "{} replies of {len} bytes came to {} bytes",
                numbers.len(),
                replies.len()
            ));
        }
        if self == Wire::Echo {
            return Ok(());
        }
        let (before, after) = self.around(operation);
        for ((reply, number), place) in replies.chunks_exact(len).zip(numbers).zip(0u32..) {
            let right = reply.ends_with(after)
                && match self {
                    // Today's daemon answers in order.
                    Wire::Framed => {
                        reply[..4] == before[..4]
                            && reply[4..8] == place.to_le_bytes()
                            && reply[8..HEADER] == before[8..]
                    }
                    _ => reply.starts_with(before),
                }
                && (operation == Operation::Set
                    || reply[before.len()..][..DIGITS] == key(*number)[KEY - DIGITS..]);
            if !right {
                return Err(format!(
                    "the reply to a {operation} of key {number}, at place {place} of {}, is {:?}",
                    numbers.len(),
                    String::from_utf8_lossy(reply)
                ));
            }
        }
        Ok(())
    }
}

/// A header of version 2; `rest` is the number of bytes after it.
const fn header(rest: usize, id: u32, op: u8, tag: u8, key: usize) -> [u8; HEADER] {
    // Keys and values are of fixed lengths here, below a hundred bytes.
    #[expect(clippy::cast_possible_truncation, reason = "below a hundred")]
    let (length, key) = ((12 + rest) as u8, key as u8);
    let [a, b, c, d] = id.to_le_bytes();
    [length, 0, 0, 0, a, b, c, d, op, 0, tag, 0, key, 0, 0, 0]
}

/// `key:` and the number in 16 digits. The client's own work must not be what is measured: no formatter, and no table that would take the place
/// of the server's data in the processor's caches.
fn key(number: u32) -> [u8; KEY] {
    let mut key = *b"key:0000000000000000";
    let mut rest = number;
    for digit in key[KEY - 6..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// The digits of the key, and what is the same in all.
fn value(number: u32) -> [u8; VALUE] {
    let mut value = [0; VALUE];
    value[..DIGITS].copy_from_slice(&key(number)[KEY - DIGITS..]);
    value[DIGITS..].copy_from_slice(&VALUE_END);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Wire; 5] = [Wire::Framed, Wire::Fixed, Wire::Resp, Wire::Meta, Wire::Echo];

    fn request(wire: Wire, operation: Operation) -> Vec<u8> {
        let mut out = Vec::new();
        wire.request(operation, 123_456, 7, &mut out);
        out
    }

    /// A right reply.
    fn reply(wire: Wire, operation: Operation, number: u32, place: u32) -> Vec<u8> {
        let (before, after) = wire.around(operation);
        let mut reply = before.to_vec();
        if wire == Wire::Framed {
            reply[4..8].copy_from_slice(&place.to_le_bytes());
        }
        if operation == Operation::Get {
            reply.extend_from_slice(&value(number));
        }
        reply.resize(wire.reply_len(operation) - after.len(), 0);
        reply.extend_from_slice(after);
        reply
    }

    #[test]
    fn requests_are_what_the_protocols_say() {
        let key = b"key:0000000000123456";
        let value = b"0000000000123456-a value of fifty-six bytes in all, more";
        let framed = [&[32, 0, 0, 0, 7, 0, 0, 0, 0x10, 0, 0, 0, 20, 0, 0, 0], &key[..]];
        assert_eq!(request(Wire::Framed, Operation::Get), framed.concat());
        let framed = [
            &[88, 0, 0, 0, 7, 0, 0, 0, 0x11, 0, 1, 0, 20, 0, 0, 0],
            &key[..],
            value,
        ];
        assert_eq!(request(Wire::Framed, Operation::Set), framed.concat());
        let fixed = [b"I", &key[..], &[0; 43], value, &[0; 8]];
        assert_eq!(request(Wire::Fixed, Operation::Set), fixed.concat());
        let meta = [b"ms ", &key[..], b" 56\r\n", value, b"\r\n"];
        assert_eq!(request(Wire::Meta, Operation::Set), meta.concat());
        let resp = [
            b"*3\r\n$3\r\nSET\r\n$20\r\n",
            &key[..],
            b"\r\n$56\r\n",
            value,
            b"\r\n",
        ];
        assert_eq!(request(Wire::Resp, Operation::Set), resp.concat());
    }

    #[test]
    fn an_echo_moves_as_many_bytes_as_version_2() {
        for operation in Operation::ALL {
            assert_eq!(
                Wire::Echo.request_len(operation),
                Wire::Framed.request_len(operation)
            );
            assert_eq!(Wire::Echo.reply_len(operation), Wire::Framed.reply_len(operation));
        }
        assert_eq!(Wire::Framed.reply_len(Operation::Get), 72);
        assert_eq!(Wire::Framed.reply_len(Operation::Set), 16);
    }

    #[test]
    fn right_replies_pass_and_any_damage_to_what_is_checked_does_not() {
        let numbers = [5, 999_999];
        for wire in ALL {
            for operation in Operation::ALL {
                let replies: Vec<u8> = numbers
                    .iter()
                    .zip(0..)
                    .flat_map(|(number, place)| reply(wire, operation, *number, place))
                    .collect();
                assert_eq!(
                    wire.check(operation, &numbers, &replies),
                    Ok(()),
                    "{wire:?} {operation}"
                );
                assert!(wire.check(operation, &numbers, &replies[1..]).is_err());
                assert!(wire.check(operation, &numbers[1..], &replies).is_err());
                if wire == Wire::Echo {
                    continue;
                }
                let len = wire.reply_len(operation);
                for at in [len, 2 * len - 1] {
                    let mut damaged = replies.clone();
                    damaged[at] ^= 1;
                    // A value is compared by its number: its last byte is only looked at where something follows it.
                    let seen = at == len || operation == Operation::Set || wire != Wire::Framed;
                    let result = wire.check(operation, &numbers, &damaged);
                    assert_eq!(result.is_err(), seen, "{wire:?} {operation} at {at}");
                }
            }
        }
    }

    #[test]
    fn a_value_of_another_key_is_noticed() {
        for wire in [Wire::Framed, Wire::Fixed, Wire::Resp, Wire::Meta] {
            let replies = reply(wire, Operation::Get, 1, 0);
            assert!(wire.check(Operation::Get, &[2], &replies).is_err(), "{wire:?}");
        }
    }
}
