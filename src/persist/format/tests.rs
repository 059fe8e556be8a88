//! The bytes of the files: written, read, and with every bit flipped.

use super::*;
use proptest::prelude::*;

const PLACE: Place = Place {
    generation: 7,
    sequence: 41,
    previous: 99,
};

fn change() -> impl Strategy<Value = (u8, Vec<u8>, Vec<u8>, u8, Option<u64>)> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    (
        0u8..4,
        bytes(200),
        bytes(300),
        any::<u8>(),
        prop::option::of(0..=LAST_DEADLINE),
    )
}

fn as_change((kind, key, value, tag, deadline): &(u8, Vec<u8>, Vec<u8>, u8, Option<u64>)) -> Change<'_> {
    match kind {
        0 => Change::Set {
            key,
            value,
            tag: Tag(*tag),
            deadline: *deadline,
        },
        1 => Change::Remove { key },
        2 => Change::Deadline {
            key,
            deadline: *deadline,
        },
        _ => Change::Clear { prefix: key },
    }
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written_and_no_flipped_bit_passes(change in change(), bit in any::<prop::sample::Index>()) {
        let change = as_change(&change);
        let mut bytes = Vec::new();
        push_record(PLACE, &change, &mut bytes);
        let len = bytes.len();
        prop_assert_eq!(read_record(7, &bytes), Some(Record { place: PLACE, content: Content::Change(change), len }));
        prop_assert_eq!(read_record(8, &bytes), None, "of another generation");
        prop_assert_eq!(read_record(7, &bytes[..len - 1]), None, "cut");
        let bit = bit.index(len * 8);
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(read_record(7, &flipped), None);
    }

    #[test]
    fn random_bytes_are_no_record_and_no_block(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(read_record(7, &bytes), None);
        prop_assert_eq!(read_block(7, &bytes), None);
        for _ in entries(&bytes) {}
    }

    #[test]
    fn a_block_is_read_as_it_was_written(changes in prop::collection::vec(change(), 0..20)) {
        let mut bytes = Vec::new();
        let written: Vec<_> = changes.iter()
            .map(|(_, key, value, tag, deadline)| SnapshotEntry { key, value, tag: Tag(*tag), deadline: *deadline })
            .collect();
        for entry in &written { push_entry(entry, &mut bytes); }
        let header = block_header(7, 3, u32::try_from(written.len()).unwrap(), &bytes);
        let block = [&header[..], &bytes].concat();
        let read = read_block(7, &block).unwrap();
        prop_assert_eq!((read.sequence, read.count as usize, read.len), (3, written.len(), block.len()));
        prop_assert_eq!(entries(read.entries).collect::<Vec<_>>(), written);
        prop_assert_eq!(read_block(8, &block), None);
    }
}

#[test]
fn a_record_costs_at_most_24_bytes_beside_a_short_key_and_its_value() {
    for (deadline, cost) in [(None, 18), (Some(1), 24)] {
        let mut bytes = Vec::new();
        let change = Change::Set {
            key: &[1; 20],
            value: &[2; 56],
            tag: Tag::TEXT,
            deadline,
        };
        push_record(PLACE, &change, &mut bytes);
        assert_eq!(bytes.len(), 20 + 56 + cost);
    }
}

#[test]
fn a_file_header_with_any_flipped_bit_is_refused() {
    let header = FileHeader {
        generation: 3,
        created: 1_700_000_000_000,
    };
    let bytes = header.encode(FileKind::Journal);
    assert_eq!(FileHeader::decode(FileKind::Journal, &bytes), Ok(header));
    assert!(FileHeader::decode(FileKind::Snapshot, &bytes).is_err());
    for bit in 0..FILE_HEADER * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(
            FileHeader::decode(FileKind::Journal, &flipped).is_err(),
            "bit {bit}"
        );
    }
    for len in 0..FILE_HEADER {
        assert!(FileHeader::decode(FileKind::Journal, &bytes[..len]).is_err());
    }
}

proptest! {
    #[test]
    fn a_note_is_read_as_it_was_written_and_no_flipped_bit_passes(number: u64, follows: bool, bit in any::<prop::sample::Index>()) {
        let note = if follows { Note::Follows(number) } else { Note::Synced(number) };
        let mut bytes = Vec::new();
        push_note(PLACE, note, &mut bytes);
        let len = bytes.len();
        prop_assert_eq!(read_record(7, &bytes), Some(Record { place: PLACE, content: Content::Note(note), len }));
        let bit = bit.index(len * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(read_record(7, &bytes), None);
    }
}
