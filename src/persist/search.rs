//! Looking for what is intact in a stretch of a file that is not, and for what has become of the rest. Every search is bounded: who chooses the
//! values chooses what the stretch looks like.

use super::format::{
    BLOCK_HEADER, Claim, Content, Note, RECORD_PREFIX, Record, SEQUENCES, fingerprint, read_block,
    read_claim, read_record, syndrome,
};

/// Bytes over which checksums may be computed in vain, beside some times as many as there are.
const IN_VAIN: usize = 16 << 20;
/// A record longer than this is not searched for a flipped bit: one in a hundred would look as if it had one.
const MOST_SEARCHED: usize = 4 << 20;
/// CRC-32C, reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

pub(super) enum Found<'a> {
    /// So many bytes lie before it.
    Record(usize, Record<'a>),
    Nothing,
    /// The stretch is made so that searching it would take for ever.
    TooMuchToSearch,
}

/// The next record that is intact and may follow.
pub(super) fn next_intact(generation: u64, bytes: &[u8], expected: u32) -> Found<'_> {
    // So many records can lie in so many bytes, at the most.
    let most = u32::try_from(bytes.len() / (RECORD_PREFIX + 10) + 1)
        .unwrap_or(SEQUENCES)
        .min(SEQUENCES / 2);
    let mut budget = Budget::for_bytes(bytes.len());
    for skipped in 0..bytes.len() {
        let rest = &bytes[skipped..];
        let Some(claim) = read_claim(rest) else {
            continue;
        };
        let ahead = (claim.sequence + SEQUENCES - expected) % SEQUENCES;
        if ahead > most {
            continue;
        }
        if !is_followed(&claim, rest) && !budget.allows(claim.len) {
            return Found::TooMuchToSearch;
        }
        if let Some(record) = read_record(generation, rest) {
            return Found::Record(skipped, record);
        }
    }
    Found::Nothing
}

/// Whether the record behind this one names it: then it is hardly by chance that it makes sense.
fn is_followed(claim: &Claim<'_>, bytes: &[u8]) -> bool {
    read_claim(&bytes[claim.len..]).is_some_and(|next| {
        next.sequence == (claim.sequence + 1) % SEQUENCES
            && (next.previous == 0 || next.previous == fingerprint(claim.key))
    })
}

/// The next block of a snapshot that is intact, and how many bytes lie before it; `None` also if it would take for ever to find it.
pub(super) fn next_block(generation: u64, bytes: &[u8], expected: u32) -> Option<(usize, u32)> {
    let mut budget = Budget::for_bytes(bytes.len());
    // So many blocks can lie in so many bytes, at the most.
    let most = u64::from(expected) + (bytes.len() / BLOCK_HEADER) as u64;
    (1..bytes.len()).find_map(|skipped| {
        let rest = &bytes[skipped..];
        let header = rest.first_chunk::<BLOCK_HEADER>()?;
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (length, sequence, count) = (number(4) as usize, number(8), number(12) as usize);
        // An entry has at least four bytes.
        let makes_sense = length <= rest.len() - BLOCK_HEADER
            && sequence >= expected
            && u64::from(sequence) <= most
            && count <= length / 4
            && (count == 0) == (length == 0);
        if !makes_sense || !budget.allows(length) {
            return None;
        }
        read_block(generation, rest).map(|block| (skipped, block.sequence))
    })
}

/// How many bytes more may be looked at in vain.
struct Budget(usize);

impl Budget {
    fn for_bytes(len: usize) -> Self {
        Budget(len.saturating_mul(4).saturating_add(IN_VAIN))
    }

    fn allows(&mut self, len: usize) -> bool {
        match self.0.checked_sub(len) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

/// Whether a later record says that the file was synced beyond `offset`. `record` is the first of those in `bytes`.
pub(super) fn is_noted_as_synced(generation: u64, bytes: &[u8], record: &Record<'_>, offset: u64) -> bool {
    let mut rest = bytes;
    let mut expected = record.place.sequence;
    loop {
        let Some(record) = read_record(generation, rest) else {
            match next_intact(generation, rest, expected) {
                Found::Record(skipped, _) if skipped > 0 => {
                    rest = &rest[skipped..];
                    continue;
                }
                _ => return false,
            }
        };
        if matches!(record.content, Content::Note(Note::Synced(upto)) if upto > offset) {
            return true;
        }
        expected = (record.place.sequence + 1) % SEQUENCES;
        rest = &rest[record.len..];
    }
}

/// If one bit of the record at the beginning of `bytes` was flipped, the fingerprint of its key. It is at least `least` bytes long.
pub(super) fn flipped(generation: u64, bytes: &[u8], expected: u32, least: usize) -> Option<u32> {
    let fits = |bytes: &[u8]| {
        read_record(generation, bytes)
            .filter(|record| record.place.sequence == expected && record.len >= least)
            .map(|record| record.content.fingerprint())
    };
    let len = RECORD_PREFIX + u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    if let Some(record) = bytes.get(..len).filter(|record| record.len() <= MOST_SEARCHED)
        && let Some(bit) = flipped_bit(generation, record)
    {
        let mut mended = record.to_vec();
        mended[bit / 8] ^= 1 << (bit % 8);
        if let Some(fingerprint) = fits(&mended) {
            return Some(fingerprint);
        }
    }
    // In its length: then all else is intact, but where it ends is not known.
    let mut copy = bytes[..bytes.len().min(MOST_SEARCHED)].to_vec();
    (32..64).find_map(|bit| {
        copy[bit / 8] ^= 1 << (bit % 8);
        let found = fits(&copy);
        copy[bit / 8] ^= 1 << (bit % 8);
        found
    })
}

/// Which bit must be flipped for the checksum to be right, if it is one. The CRC is linear: how far it is off depends on the place of the
/// bit alone, counted from the end, so one walk over the places is enough.
fn flipped_bit(generation: u64, record: &[u8]) -> Option<usize> {
    let off = syndrome(generation, record);
    if off.count_ones() == 1 {
        return usize::try_from(off.trailing_zeros()).ok();
    }
    let mut by = POLYNOMIAL;
    // A CRC takes the lowest bit of a byte first; the first four bytes are the checksum itself.
    for bit in (4 * 8..record.len() * 8).rev() {
        if by == off {
            return Some(bit);
        }
        by = (by >> 1) ^ if by & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tag;
    use crate::persist::format::{Change, Place, push_record};

    const PLACE: Place = Place {
        generation: 7,
        sequence: 41,
        previous: 99,
    };

    fn record(value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let change = Change::Set {
            key: b"key",
            value,
            tag: Tag::BYTES,
            deadline: Some(5),
        };
        push_record(PLACE, &change, &mut bytes);
        bytes
    }

    #[test]
    fn every_flipped_bit_is_found_and_two_are_not_taken_for_one() {
        let bytes = record(&[7; 300]);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                flipped(7, &damaged, 41, bytes.len()),
                Some(fingerprint(b"key")),
                "bit {bit}"
            );
            if !(32..64).contains(&bit) {
                assert_eq!(flipped_bit(7, &damaged), Some(bit));
            }
            let other = (bit + 1000) % (bytes.len() * 8);
            damaged[other / 8] ^= 1 << (other % 8);
            assert_eq!(
                flipped(7, &damaged, 41, bytes.len()),
                None,
                "bits {bit} and {other}"
            );
        }
    }

    #[test]
    fn values_that_look_like_records_do_not_make_a_search_take_for_ever() {
        // Each eight bytes claim to be a record up to about the end, of a sequence that may follow.
        let len: usize = 8 << 20;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let left = u32::try_from(len - bytes.len()).expect("small");
            bytes.extend_from_slice(&left.saturating_sub(100).to_le_bytes());
            bytes.extend_from_slice(&[42, 0, 0, 1]);
        }
        assert!(matches!(
            next_intact(7, &bytes, 41),
            Found::TooMuchToSearch | Found::Nothing
        ));
        assert_eq!(next_block(7, &bytes, 0), None);
    }
}
