//! Version 2: length-prefixed frames. Its twin is `node/protocol.ts`: same names, same order.
//!
//! ```text
//! 0 length u32 | 4 id u32 | 8 op or status | 9 flags | 10 tag | 11 zero | 12 key length u32 | 16 fields, key, value        little-endian
//! ```
//! Here: where frames begin and end, and the tables. `request` and `reply` know what is in them.

mod reply;
mod request;

use byteorder::{ByteOrder, LittleEndian};

use super::status::{Refusal, Status};

pub use reply::{
    encode_items_header, encode_reply, encode_value, encode_value_item, finish_items, print_reply, shown,
};
pub use request::{Request, decode_request, encode_request, keys_ahead};

/// What a connection begins with, in both directions. Taken for a length it is above any limit, so it can come again between frames.
pub const PREFACE: [u8; 4] = [0xF5, 0x52, 0x43, 0xF5];
/// The protocol versions that this code speaks.
pub const VERSIONS: std::ops::RangeInclusive<u16> = 2..=2;
/// Bytes before the fields.
pub const HEADER: usize = 16;
/// The least that the length field may say.
const LEAST_LENGTH: u32 = 12;
/// "Never expires" where milliseconds left are told.
pub const FOREVER: u64 = u64::MAX;

/// The ops, as the documentation numbers them.
#[expect(missing_docs, reason = "docs/protocol.md describes each")]
pub mod op {
    pub const HELLO: u8 = 0x01;
    pub const PING: u8 = 0x02;
    pub const STATS: u8 = 0x03;
    pub const GET: u8 = 0x10;
    pub const SET: u8 = 0x11;
    pub const REMOVE: u8 = 0x12;
    pub const TAKE: u8 = 0x13;
    pub const CONTAINS: u8 = 0x14;
    pub const TOUCH: u8 = 0x15;
    pub const TTL: u8 = 0x16;
    pub const INCR: u8 = 0x17;
    pub const CAS: u8 = 0x18;
    pub const CLEAR: u8 = 0x19;
    pub const SCAN: u8 = 0x1A;
    pub const SNAPSHOT: u8 = 0x1B;
    pub const GET_MANY: u8 = 0x20;
    pub const SET_MANY: u8 = 0x21;
    pub const REMOVE_MANY: u8 = 0x22;
}

/// Bits of the flags.
mod flag {
    pub(super) const WITH_TTL: u8 = 1;
    pub(super) const WITH_VALUES: u8 = 1;
    pub(super) const CONDITION: u8 = 0b11;
    pub(super) const EXPIRY: u8 = 0b111 << EXPIRY_SHIFT;
    pub(super) const EXPIRY_SHIFT: u8 = 2;
}

/// What the bytes of a connection begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// More bytes are needed: this many in all, as far as can be told.
    Incomplete(usize),
    /// The preface.
    Preface,
    /// A frame of this many bytes, its length field included.
    Frame(usize),
    /// Something that cannot be a frame: the connection is to be ended.
    Hopeless {
        /// The id, to answer it.
        id: u32,
        /// Why.
        refusal: Refusal,
    },
}

/// What `bytes` begin with. Looks at lengths alone.
pub fn next(bytes: &[u8], frame_limit: u32) -> Next {
    let Some(start) = bytes.first_chunk::<4>() else {
        return Next::Incomplete(HEADER);
    };
    if *start == PREFACE {
        return Next::Preface;
    }
    let length = u32::from_le_bytes(*start);
    if (LEAST_LENGTH..=frame_limit).contains(&length) {
        let whole = length as usize + 4;
        return if bytes.len() < whole {
            Next::Incomplete(whole)
        } else {
            Next::Frame(whole)
        };
    }
    let Some(id) = bytes.get(4..8) else {
        return Next::Incomplete(8);
    };
    let text = format!(
        "the frame says that {length} bytes follow; a frame has from {LEAST_LENGTH} to {frame_limit}: \
         check the limits that the handshake names, and that frames are written whole"
    );
    Next::Hopeless {
        id: LittleEndian::read_u32(id),
        refusal: Refusal::new(Status::FRAME_TOO_LONG, text),
    }
}

/// Reads integers from the front of a slice, and says so when it is too short.
struct Fields<'a>(&'a [u8]);

/// Fewer bytes than a field needs.
struct TooShort;

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], TooShort> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, TooShort> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Result<u16, TooShort> {
        self.bytes(2).map(LittleEndian::read_u16)
    }

    fn u32(&mut self) -> Result<u32, TooShort> {
        self.bytes(4).map(LittleEndian::read_u32)
    }

    fn u64(&mut self) -> Result<u64, TooShort> {
        self.bytes(8).map(LittleEndian::read_u64)
    }
}

/// A length as the wire has it. Everything that is encoded is below the frame limit, which has 32 bits.
fn wire_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The header of a frame whose fields, key and value are `rest` bytes long.
fn header(id: u32, op_or_status: u8, flags: u8, tag: u8, key_len: usize, rest: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    LittleEndian::write_u32(&mut header[0..], wire_len(rest + LEAST_LENGTH as usize));
    LittleEndian::write_u32(&mut header[4..], id);
    header[8..11].copy_from_slice(&[op_or_status, flags, tag]);
    LittleEndian::write_u32(&mut header[12..], wire_len(key_len));
    header
}

#[cfg(test)]
mod tests;
