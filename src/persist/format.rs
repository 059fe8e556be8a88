//! The bytes of the files: headers, journal records, snapshot blocks. Pure; `docs/persistence.md` has the tables.
//!
//! ```text
//! file     magic 8 | version u32 | generation u64 | created, Unix ms, u64 | crc u32                           32 bytes
//! record   crc u32 | length u32 | sequence u24 | kind u8 | previous key's fingerprint u32 | tag u8 |
//!          key length varint | [deadline, Unix ms, u48] | key | value
//! block    crc u32 | length u32 | sequence u32 | entries u32 | entries
//! entry    kind u8 | tag u8 | key length varint | value length varint | [deadline u48] | key | value           little-endian
//! ```
//! Each CRC is CRC-32C over the file's generation and all that follows the CRC, so that nothing of another generation passes for
//! this one's. A record also names the key of the one before it by a fingerprint: if that one is damaged, recovery
//! knows which key it cannot trust any more.

use byteorder::{ByteOrder, LittleEndian};

use crate::Tag;

/// Length of a file's header.
pub const FILE_HEADER: usize = 32;
/// The version of both formats.
pub const VERSION: u32 = 1;
/// Bytes of a record before its key length.
const RECORD_FIXED: usize = 17;
/// Bytes of a record that its length field does not count: the CRC and the length.
pub const RECORD_PREFIX: usize = 8;
/// The least that the length field of a record can say: a key length of one byte and nothing more.
const LEAST_RECORD: usize = RECORD_FIXED + 1 - RECORD_PREFIX;
/// Bytes of a block before its entries.
pub const BLOCK_HEADER: usize = 16;
/// Deadlines have 48 bits: the year 10889.
const DEADLINE: usize = 6;
/// The latest deadline that can be written.
pub const LAST_DEADLINE: u64 = (1 << 48) - 1;
/// Sequences of records are counted modulo this.
pub const SEQUENCES: u32 = 1 << 24;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Changes, one after the other.
    Journal,
    /// Everything that was there.
    Snapshot,
}

impl FileKind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            FileKind::Journal => b"\xF5RCJRNL\n",
            FileKind::Snapshot => b"\xF5RCSNAP\n",
        }
    }
}

/// The first 32 bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// Counts up with each snapshot.
    pub generation: u64,
    /// When the file was begun, in Unix milliseconds.
    pub created: u64,
}

/// What is wrong with some bytes, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage(pub String);

impl FileHeader {
    /// The bytes at the beginning of the file.
    pub fn encode(self, kind: FileKind) -> [u8; FILE_HEADER] {
        let mut bytes = [0; FILE_HEADER];
        bytes[..8].copy_from_slice(kind.magic());
        LittleEndian::write_u32(&mut bytes[8..], VERSION);
        LittleEndian::write_u64(&mut bytes[12..], self.generation);
        LittleEndian::write_u64(&mut bytes[20..], self.created);
        let crc = crc32c::crc32c(&bytes[..28]);
        LittleEndian::write_u32(&mut bytes[28..], crc);
        bytes
    }

    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(kind: FileKind, bytes: &[u8]) -> Result<Self, Damage> {
        let Some(bytes) = bytes.first_chunk::<FILE_HEADER>() else {
            return Err(Damage(format!(
                "the file has {} bytes and its header {FILE_HEADER}",
                bytes.len()
            )));
        };
        if bytes[..8] != *kind.magic() {
            return Err(Damage(format!(
                "the file begins with {:02x?}: it is no {kind:?}",
                &bytes[..8]
            )));
        }
        if crc32c::crc32c(&bytes[..28]) != LittleEndian::read_u32(&bytes[28..]) {
            return Err(Damage("the checksum of the file's header is wrong".to_owned()));
        }
        let version = LittleEndian::read_u32(&bytes[8..]);
        if version != VERSION {
            return Err(Damage(format!(
                "the file has format version {version} and this program reads {VERSION}: use a newer program"
            )));
        }
        Ok(FileHeader {
            generation: LittleEndian::read_u64(&bytes[12..]),
            created: LittleEndian::read_u64(&bytes[20..]),
        })
    }
}

/// Whether the beginning of a file is what was written there, be it the header of this format or of another.
pub fn header_is_intact(bytes: &[u8]) -> bool {
    bytes
        .first_chunk::<FILE_HEADER>()
        .is_some_and(|bytes| crc32c::crc32c(&bytes[..28]) == LittleEndian::read_u32(&bytes[28..]))
}

/// A change, absolute: replaying it twice is replaying it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key holds this value from now on.
    Set {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// What the value is.
        tag: Tag,
        /// When it expires, in Unix milliseconds; `None` = never.
        deadline: Option<u64>,
    },
    /// The key holds nothing from now on.
    Remove {
        /// The key.
        key: &'a [u8],
    },
    /// The entry of the key, if there is one, expires then.
    Deadline {
        /// The key.
        key: &'a [u8],
        /// Unix milliseconds; `None` = never.
        deadline: Option<u64>,
    },
    /// Nothing is there under keys that begin so, from now on.
    Clear {
        /// Empty: all keys.
        prefix: &'a [u8],
    },
}

const SET: u8 = 1;
const REMOVE: u8 = 2;
const DEADLINE_CHANGE: u8 = 3;
const CLEAR: u8 = 4;
const FOLLOWS: u8 = 5;
const SYNCED: u8 = 6;
/// Added to a kind when a deadline follows.
const WITH_DEADLINE: u8 = 0x80;

impl<'a> Change<'a> {
    /// The key that changes; none if there may be several.
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Change::Set { key, .. } | Change::Remove { key } | Change::Deadline { key, .. } => Some(key),
            Change::Clear { .. } => None,
        }
    }

    /// By this the next record names the key of this one; 0 is "all keys".
    pub fn fingerprint(&self) -> u32 {
        self.key().map_or(0, fingerprint)
    }

    fn parts(&self) -> (u8, Tag, &'a [u8], &'a [u8], Option<u64>) {
        match *self {
            Change::Set {
                key,
                value,
                tag,
                deadline,
            } => (SET, tag, key, value, deadline),
            Change::Remove { key } => (REMOVE, Tag::BYTES, key, &[], None),
            Change::Deadline { key, deadline } => (DEADLINE_CHANGE, Tag::BYTES, key, &[], deadline),
            Change::Clear { prefix } => (CLEAR, Tag::BYTES, prefix, &[], None),
        }
    }
}

/// What a journal says about itself, between the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The journal of the generation before had so many bytes when the first change of this one was made. The first record, unless there was none.
    Follows(u64),
    /// What stands before this offset was synced.
    Synced(u64),
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Something changed.
    Change(Change<'a>),
    /// Something about the journal.
    Note(Note),
}

impl Content<'_> {
    /// By this the next record names the key of this one.
    pub fn fingerprint(&self) -> u32 {
        match self {
            Content::Change(change) => change.fingerprint(),
            // If it is lost, no key is.
            Content::Note(_) => fingerprint(&[]),
        }
    }
}

/// A key as the next record names it: never 0. Not keyed: it goes to the disk.
pub fn fingerprint(key: &[u8]) -> u32 {
    crc32c::crc32c(key).max(1)
}

/// Where a record stands in its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Generation of the journal.
    pub generation: u64,
    /// Number of the record in its journal, modulo [`SEQUENCES`].
    pub sequence: u32,
    /// Of the key of the record before; 0 for the first, and after a `Clear`.
    pub previous: u32,
}

/// Appends a record without its value, which the caller appends, and returns at which byte of `out` it begins, for
/// [`seal_record`].
pub fn begin_record(place: Place, change: &Change<'_>, out: &mut Vec<u8>) -> usize {
    let (kind, tag, key, value, deadline) = change.parts();
    let kind = kind | if deadline.is_some() { WITH_DEADLINE } else { 0 };
    push_head(place, kind, tag, key, value.len(), deadline, out)
}

fn push_head(
    place: Place,
    kind: u8,
    tag: Tag,
    key: &[u8],
    value_len: usize,
    deadline: Option<u64>,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let mut fixed = [0; RECORD_FIXED];
    LittleEndian::write_u24(&mut fixed[8..], place.sequence % SEQUENCES);
    fixed[11] = kind;
    LittleEndian::write_u32(&mut fixed[12..], place.previous);
    fixed[16] = tag.0;
    out.extend_from_slice(&fixed);
    push_varint(key.len(), out);
    push_deadline(deadline, out);
    out.extend_from_slice(key);
    let length = out.len() - start - RECORD_PREFIX + value_len;
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    LittleEndian::write_u32(&mut out[start + 4..], length);
    start
}

/// Appends a whole record that is no change.
pub fn push_note(place: Place, note: Note, out: &mut Vec<u8>) {
    let (kind, number) = match note {
        Note::Follows(len) => (FOLLOWS, len),
        Note::Synced(offset) => (SYNCED, offset),
    };
    let value = number.to_le_bytes();
    let start = push_head(place, kind, Tag::BYTES, &[], value.len(), None, out);
    seal_record(place.generation, &mut out[start..], &value);
    out.extend_from_slice(&value);
}

/// Writes the CRC of a record whose bytes without its value are `head`.
pub fn seal_record(generation: u64, head: &mut [u8], value: &[u8]) {
    let crc = crc32c::crc32c_append(crc_of(generation, &head[4..]), value);
    LittleEndian::write_u32(head, crc);
}

/// Appends a whole record.
pub fn push_record(place: Place, change: &Change<'_>, out: &mut Vec<u8>) {
    let start = begin_record(place, change, out);
    let value = change.parts().3;
    seal_record(place.generation, &mut out[start..], value);
    out.extend_from_slice(value);
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it says that it stands.
    pub place: Place,
    /// What it says.
    pub content: Content<'a>,
    /// Its length in bytes.
    pub len: usize,
}

/// What a record says of itself, if that makes sense; its checksum was not looked at.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Its length in bytes: no more than there are.
    pub len: usize,
    /// Where it says that it stands.
    pub sequence: u32,
    /// Of the key before.
    pub previous: u32,
    kind: u8,
    deadline: Option<u64>,
    /// Its key.
    pub key: &'a [u8],
    value: &'a [u8],
}

/// What the bytes at the beginning of `bytes` would say if they were a record. Costs next to nothing: recovery asks this at every byte of a damaged stretch.
pub fn read_claim(bytes: &[u8]) -> Option<Claim<'_>> {
    let length = LittleEndian::read_u32(bytes.get(4..8)?) as usize;
    let len = length.checked_add(RECORD_PREFIX)?;
    let kind = *bytes.get(11)?;
    if length < LEAST_RECORD || len > bytes.len() || !(SET..=SYNCED).contains(&(kind & !WITH_DEADLINE)) {
        return None;
    }
    let record = &bytes[..len];
    let mut rest = &record[RECORD_FIXED..];
    let key_len = take_varint(&mut rest)?;
    let deadline = take_deadline(kind, &mut rest)?;
    let (key, value) = rest.split_at_checked(key_len)?;
    Some(Claim {
        len,
        sequence: LittleEndian::read_u24(&record[8..]),
        previous: LittleEndian::read_u32(&record[12..]),
        kind,
        deadline,
        key,
        value,
    })
}

/// By how much the checksum of a record of this length is off: 0 if it is intact.
pub fn syndrome(generation: u64, record: &[u8]) -> u32 {
    crc_of(generation, &record[4..]) ^ LittleEndian::read_u32(record)
}

/// The record at the beginning of `bytes`; `None` if there is none that is whole and intact.
pub fn read_record(generation: u64, bytes: &[u8]) -> Option<Record<'_>> {
    let claim = read_claim(bytes)?;
    let Claim {
        len,
        sequence,
        previous,
        kind,
        deadline,
        key,
        value,
    } = claim;
    if syndrome(generation, &bytes[..len]) != 0 {
        return None;
    }
    let number = || Some(u64::from_le_bytes(value.try_into().ok()?));
    let content = match kind & !WITH_DEADLINE {
        SET => Content::Change(Change::Set {
            key,
            value,
            tag: Tag(bytes[16]),
            deadline,
        }),
        REMOVE => Content::Change(Change::Remove { key }),
        DEADLINE_CHANGE => Content::Change(Change::Deadline { key, deadline }),
        CLEAR => Content::Change(Change::Clear { prefix: key }),
        FOLLOWS => Content::Note(Note::Follows(number()?)),
        _ => Content::Note(Note::Synced(number()?)),
    };
    let place = Place {
        generation,
        sequence,
        previous,
    };
    Some(Record { place, content, len })
}

/// The key of a record whose value is damaged, judged by all that is not the checksum: it stands where it says, follows what it says, and is as long
/// as it says.
pub fn unchecked_key(bytes: &[u8], expected: u32, previous: u32) -> Option<&[u8]> {
    let fixed = bytes.first_chunk::<RECORD_FIXED>()?;
    let kind = fixed[11];
    let fits = LittleEndian::read_u32(&fixed[4..]) as usize + RECORD_PREFIX == bytes.len()
        && LittleEndian::read_u24(&fixed[8..]) == expected
        && LittleEndian::read_u32(&fixed[12..]) == previous
        && (SET..CLEAR).contains(&(kind & !WITH_DEADLINE));
    let mut rest = &bytes[RECORD_FIXED..];
    let key_len = take_varint(&mut rest)?;
    take_deadline(kind, &mut rest)?;
    rest.get(..key_len).filter(|_| fits)
}

/// An entry of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEntry<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// What the value is.
    pub tag: Tag,
    /// When it expires, in Unix milliseconds; `None` = never.
    pub deadline: Option<u64>,
}

/// The most bytes of an entry beside its key and value.
const ENTRY_MOST: usize = 2 + 5 + 5 + 6;

/// Appends an entry to the entries of a block.
pub fn push_entry(entry: &SnapshotEntry<'_>, out: &mut Vec<u8>) {
    out.reserve(ENTRY_MOST + entry.key.len() + entry.value.len());
    out.push(
        SET | if entry.deadline.is_some() {
            WITH_DEADLINE
        } else {
            0
        },
    );
    out.push(entry.tag.0);
    push_varint(entry.key.len(), out);
    push_varint(entry.value.len(), out);
    push_deadline(entry.deadline, out);
    out.extend_from_slice(entry.key);
    out.extend_from_slice(entry.value);
}

/// The header of a block with these entries. A block of no entries is the last of its file.
pub fn block_header(generation: u64, sequence: u32, count: u32, entries: &[u8]) -> [u8; BLOCK_HEADER] {
    let mut header = [0; BLOCK_HEADER];
    LittleEndian::write_u32(&mut header[4..], u32::try_from(entries.len()).unwrap_or(u32::MAX));
    LittleEndian::write_u32(&mut header[8..], sequence);
    LittleEndian::write_u32(&mut header[12..], count);
    let crc = crc32c::crc32c_append(crc_of(generation, &header[4..]), entries);
    LittleEndian::write_u32(&mut header, crc);
    header
}

/// A block that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its number in the file, from 0.
    pub sequence: u32,
    /// How many entries it says it has.
    pub count: u32,
    /// Its entries: see [`entries`].
    pub entries: &'a [u8],
    /// Its length in bytes.
    pub len: usize,
}

/// The block at the beginning of `bytes`; `None` if there is none that is whole and intact.
pub fn read_block(generation: u64, bytes: &[u8]) -> Option<Block<'_>> {
    let header = bytes.first_chunk::<BLOCK_HEADER>()?;
    let length = LittleEndian::read_u32(&header[4..]) as usize;
    let entries = bytes[BLOCK_HEADER..].get(..length)?;
    let crc = crc32c::crc32c_append(crc_of(generation, &header[4..]), entries);
    if crc != LittleEndian::read_u32(header) {
        return None;
    }
    Some(Block {
        sequence: LittleEndian::read_u32(&header[8..]),
        count: LittleEndian::read_u32(&header[12..]),
        entries,
        len: BLOCK_HEADER + length,
    })
}

/// The entries of a block. Ends early at an entry that cannot be read, which an intact block does not have.
pub fn entries(mut bytes: &[u8]) -> impl Iterator<Item = SnapshotEntry<'_>> {
    std::iter::from_fn(move || {
        let (&kind, rest) = bytes.split_first()?;
        let (&tag, mut rest) = rest.split_first()?;
        let key_len = take_varint(&mut rest)?;
        let value_len = take_varint(&mut rest)?;
        let deadline = take_deadline(kind, &mut rest)?;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        bytes = rest;
        Some(SnapshotEntry {
            key,
            value,
            tag: Tag(tag),
            deadline,
        })
    })
}

fn crc_of(generation: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&generation.to_le_bytes()), bytes)
}

fn push_deadline(deadline: Option<u64>, out: &mut Vec<u8>) {
    if let Some(deadline) = deadline {
        out.extend_from_slice(&deadline.min(LAST_DEADLINE).to_le_bytes()[..DEADLINE]);
    }
}

fn take_deadline(kind: u8, bytes: &mut &[u8]) -> Option<Option<u64>> {
    if kind & WITH_DEADLINE == 0 {
        return Some(None);
    }
    let (deadline, rest) = bytes.split_at_checked(DEADLINE)?;
    *bytes = rest;
    Some(Some(LittleEndian::read_u48(deadline)))
}

/// LEB128: seven bits a byte, the lowest first, the top bit set on all but the last.
fn push_varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    out.push(low_bits(number));
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits")]
const fn low_bits(number: usize) -> u8 {
    (number & 0x7f) as u8
}

fn take_varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
