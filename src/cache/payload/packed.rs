//! Small entries as bytes: a header, the key, the value. Pure; where the bytes lie is not known here.
//!
//! ```text
//! key_len u8 | tag u8 | value_len u16, never FFFF | key | value
//! ```

use super::super::entry::Tag;
use super::super::pages::LONGEST;

pub(super) const HEADER: usize = 4;
const MOST_KEY: usize = u8::MAX as usize;

/// The number of bytes that an entry takes, if it is to be packed at all.
#[inline]
pub(super) const fn packed_len(key: usize, value: usize) -> Option<usize> {
    if key > MOST_KEY || value > LONGEST - HEADER {
        return None;
    }
    let len = HEADER + key + value;
    if len > LONGEST { None } else { Some(len) }
}

/// Writes an entry. `place` must be at least as long as `packed_len` says.
#[expect(clippy::cast_possible_truncation, reason = "`packed_len` has seen to it")]
pub(super) fn write(place: &mut [u8], key: &[u8], value: &[u8], tag: Tag) {
    let header = [key.len() as u8, tag.0].into_iter();
    let header = header.chain((value.len() as u16).to_le_bytes());
    place.iter_mut().zip(header).for_each(|(to, from)| *to = from);
    let value_from = HEADER + key.len();
    place[HEADER..value_from].copy_from_slice(key);
    place[value_from..value_from + value.len()].copy_from_slice(value);
}

/// The key, the value and what follows it, the length of the value, and the tag of an entry that was written.
#[inline]
pub(super) fn read(place: &[u8]) -> (&[u8], &[u8], usize, Tag) {
    let [key_len, tag, low, high] = header(place);
    let (key, value_and_on) = place[HEADER..].split_at(usize::from(key_len));
    let len = usize::from(u16::from_le_bytes([low, high]));
    (key, value_and_on, len, Tag(tag))
}

#[inline]
pub(super) fn key(place: &[u8]) -> &[u8] {
    &place[HEADER..HEADER + usize::from(header(place)[0])]
}

#[inline]
fn header(place: &[u8]) -> [u8; HEADER] {
    *place.first_chunk().expect("a place is longer than a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was_written() {
        for key_len in [0, 1, 7, 254, 255] {
            for value_len in [0, 1, 300, LONGEST - HEADER - key_len] {
                let (key_bytes, value) = (vec![1; key_len], vec![2; value_len]);
                let len = packed_len(key_len, value_len).unwrap();
                let mut place = vec![9; len.max(8)];
                write(&mut place, &key_bytes, &value, Tag::JSON);
                let (key_read, value_and_on, read_len, tag) = read(&place);
                assert_eq!((key_read, tag), (&key_bytes[..], Tag::JSON));
                assert_eq!(value_and_on[..read_len], value);
                assert_eq!(key(&place), key_bytes);
            }
        }
        assert_eq!(packed_len(256, 0), None);
        assert_eq!(packed_len(0, LONGEST - HEADER + 1), None);
        assert_eq!(packed_len(0, usize::MAX), None);
    }
}
