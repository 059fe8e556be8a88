//! Reading one file back: every intact record or block is applied, in order; what is damaged never is. Knows nothing of directories.
//!
//! Nothing stale may come of it. A damaged record may have overwritten or removed a key, so what was there before under that key cannot be
//! trusted: the next record tells which key that was, by its fingerprint. If that is lost too, nothing older is kept. Better a miss than a stale value.

use std::io::{self, Read};

use super::format::{
    BLOCK_HEADER, Change, Damage, FILE_HEADER, FileHeader, FileKind, RECORD_PREFIX, Record, SEQUENCES,
    SnapshotEntry, entries, read_block, read_record, sequence_of,
};
use super::window::Window;

/// Where what is read goes.
pub trait Sink {
    /// An entry of a snapshot. They come coldest first.
    fn entry(&mut self, entry: &SnapshotEntry<'_>);
    /// Many of them.
    fn entries(&mut self, entries: &[SnapshotEntry<'_>]) {
        for entry in entries {
            self.entry(entry);
        }
    }
    /// A change, in the order in which they were made.
    fn change(&mut self, change: &Change<'_>);
    /// What is there under keys with this fingerprint may be stale: forget it.
    fn forget(&mut self, fingerprint: u32);
}

/// What was found in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// Records or entries that were applied.
    pub applied: u64,
    /// Records that are known to be lost.
    pub lost: u64,
    /// Each stretch that could not be read, in words for people, with its offset.
    pub damage: Vec<String>,
    /// Where an unfinished write at the end begins, if there is one. It was never acknowledged.
    pub torn_at: Option<u64>,
    /// When the file was begun, in Unix milliseconds, if that can be read.
    pub created: Option<u64>,
    /// Whether everything older was dropped, since it could not be trusted any more.
    pub dropped_older: bool,
}

/// A record longer than this is not searched for a flipped bit, but in its header and key.
const SEARCHED_WHOLE: usize = 4096;
/// A disk writes no less than this.
const SECTOR: usize = 512;
/// Bytes of a record that are asked for to learn its length.
const PEEK: usize = 64;

/// Replays a journal. `generation` is that of its name.
///
/// # Errors
/// When the file cannot be read. Damage is no error.
pub fn replay_journal(file: Box<dyn Read>, generation: u64, sink: &mut impl Sink) -> io::Result<FileReport> {
    let mut window = Window::new(file);
    let mut report = FileReport::default();
    if !read_header(&mut window, FileKind::Journal, generation, &mut report)? {
        return Ok(report);
    }
    let mut expected = 0;
    let mut previous = 0;
    loop {
        let offset = window.offset();
        let head = window.look(PEEK)?;
        if head.is_empty() {
            return Ok(report);
        }
        let len = head.first_chunk::<RECORD_PREFIX>().map_or(0, |prefix| {
            u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize + RECORD_PREFIX
        });
        if let Some(record) = read_record(generation, window.look(len)?)
            && record.place.sequence == expected
            && record.place.previous == previous
        {
            sink.change(&record.change);
            report.applied += 1;
            expected = (expected + 1) % SEQUENCES;
            previous = record.change.fingerprint();
            let len = record.len;
            window.advance(len);
            continue;
        }
        let rest = window.look_at_rest()?;
        match next_intact(generation, rest, expected) {
            Some((skipped, record)) => {
                let lost = (record.place.sequence + SEQUENCES - expected) % SEQUENCES;
                distrust(record.place.previous, lost, sink, &mut report);
                report.lost += u64::from(lost);
                report
                    .damage
                    .push(format!("{skipped} bytes at offset {offset}, {lost} records"));
                expected = record.place.sequence;
                previous = record.place.previous;
                window.advance(skipped);
            }
            None => {
                tail(generation, rest, expected, previous, offset, sink, &mut report);
                return Ok(report);
            }
        }
    }
}

/// The records in a damaged stretch may have changed keys; after it comes a record that names the last of those keys.
fn distrust(last_key: u32, lost: u32, sink: &mut impl Sink, report: &mut FileReport) {
    match (lost, last_key) {
        (0, _) => {}
        (1, fingerprint) if fingerprint != 0 => sink.forget(fingerprint),
        _ => {
            sink.change(&Change::Clear { prefix: &[] });
            report.dropped_older = true;
        }
    }
}

/// The next record that is intact and may follow, and how many bytes lie before it.
fn next_intact(generation: u64, bytes: &[u8], expected: u32) -> Option<(usize, Record<'_>)> {
    // So many records can lie in so many bytes, at the most.
    let most = u32::try_from(bytes.len() / (RECORD_PREFIX + 10) + 1)
        .unwrap_or(SEQUENCES)
        .min(SEQUENCES / 2);
    (0..bytes.len()).find_map(|skipped| {
        let bytes = &bytes[skipped..];
        // Checked first, because it costs nothing: values may be full of lengths that make sense.
        let sequence = sequence_of(bytes)?;
        let ahead = (sequence + SEQUENCES - expected) % SEQUENCES;
        if ahead > most {
            return None;
        }
        Some((skipped, read_record(generation, bytes)?))
    })
}

/// What is left has no intact record in it: an unfinished write, or damage to the last record.
fn tail(
    generation: u64,
    rest: &[u8],
    expected: u32,
    previous: u32,
    offset: u64,
    sink: &mut impl Sink,
    report: &mut FileReport,
) {
    let len = rest
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    match damaged_record(generation, rest, len, offset, expected, previous) {
        Some(fingerprint) => {
            distrust(fingerprint, 1, sink, report);
            report.lost += 1;
            report.damage.push(format!(
                "{} bytes at offset {offset}, the last record",
                rest.len()
            ));
        }
        None => report.torn_at = Some(offset),
    }
}

/// The fingerprint of the key of a record that was written whole and damaged later, as far as that can be told.
fn damaged_record(
    generation: u64,
    rest: &[u8],
    len: usize,
    offset: u64,
    expected: u32,
    previous: u32,
) -> Option<u32> {
    let searched = if len <= SEARCHED_WHOLE {
        SEARCHED_WHOLE
    } else {
        PEEK
    };
    let mut copy = rest.to_vec();
    // What follows the last byte that is not zero may be a part of its value: as much of it as the record says.
    for bit in 0..searched.min(rest.len()) * 8 {
        copy[bit / 8] ^= 1 << (bit % 8);
        if let Some(record) = read_record(generation, &copy)
            && record.place.sequence == expected
            && record.len >= len
        {
            return Some(record.change.fingerprint());
        }
        copy[bit / 8] ^= 1 << (bit % 8);
    }
    let said = rest.first_chunk::<RECORD_PREFIX>().map_or(0, |prefix| {
        u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize + RECORD_PREFIX
    });
    let whole = if (len..=rest.len()).contains(&said) {
        said
    } else {
        len
    };
    if whole < rest.len() || has_hole(&rest[..whole], offset) {
        return None;
    }
    super::format::unchecked_key(&rest[..whole], expected, previous).map(super::format::fingerprint)
}

/// Whether a sector of the file was never written: a power cut may leave the length of a write, and the end of it, without its middle.
fn has_hole(bytes: &[u8], offset: u64) -> bool {
    let into_sector = usize::try_from(offset % SECTOR as u64).unwrap_or(0);
    let whole_sectors = bytes.get((SECTOR - into_sector) % SECTOR..).unwrap_or_default();
    whole_sectors
        .chunks_exact(SECTOR)
        .any(|sector| sector.iter().all(|&byte| byte == 0))
}

/// Loads a snapshot. `generation` is that of its name.
///
/// # Errors
/// When the file cannot be read. Damage is no error: the entries in it are missing.
pub fn replay_snapshot(file: Box<dyn Read>, generation: u64, sink: &mut impl Sink) -> io::Result<FileReport> {
    let mut window = Window::new(file);
    let mut report = FileReport::default();
    if !read_header(&mut window, FileKind::Snapshot, generation, &mut report)? {
        return Ok(report);
    }
    let mut expected = 0;
    loop {
        let offset = window.offset();
        let head = window.look(BLOCK_HEADER)?;
        if head.is_empty() {
            report
                .damage
                .push(format!("the file ends at offset {offset}, before its last block"));
            return Ok(report);
        }
        let len = head.first_chunk::<BLOCK_HEADER>().map_or(0, |header| {
            u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize + BLOCK_HEADER
        });
        if let Some(block) = read_block(generation, window.look(len)?)
            && block.sequence == expected
        {
            if block.count == 0 {
                return Ok(report);
            }
            let entries: Vec<_> = entries(block.entries).collect();
            sink.entries(&entries);
            report.applied += entries.len() as u64;
            expected += 1;
            let len = block.len;
            window.advance(len);
            continue;
        }
        let rest = window.look_at_rest()?;
        let next = (1..rest.len()).find_map(|skipped| {
            let block = read_block_cheaply(generation, &rest[skipped..])?;
            (block >= expected).then_some((skipped, block))
        });
        match next {
            Some((skipped, sequence)) => {
                report.damage.push(format!("{skipped} bytes at offset {offset}"));
                expected = sequence;
                window.advance(skipped);
            }
            None => {
                report
                    .damage
                    .push(format!("{} bytes at offset {offset}, up to the end", rest.len()));
                return Ok(report);
            }
        }
    }
}

/// The sequence of the block at the beginning of `bytes`, its checksum computed only if the header makes sense.
fn read_block_cheaply(generation: u64, bytes: &[u8]) -> Option<u32> {
    let header = bytes.first_chunk::<BLOCK_HEADER>()?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (length, count) = (number(4) as usize, number(12) as usize);
    // An entry has at least four bytes.
    if length > bytes.len() || count > length / 4 || (count == 0) != (length == 0) {
        return None;
    }
    read_block(generation, bytes).map(|block| block.sequence)
}

/// Reads the header. A damaged one does not make the rest worthless: its generation is in the file's name, and in each checksum.
fn read_header(
    window: &mut Window,
    kind: FileKind,
    generation: u64,
    report: &mut FileReport,
) -> io::Result<bool> {
    let bytes = window.look(FILE_HEADER)?;
    if bytes.len() < FILE_HEADER {
        match kind {
            // Creating the file was all that was done, or not even that.
            FileKind::Journal => report.torn_at = Some(0),
            // It got its name when it was whole.
            FileKind::Snapshot => report.damage.push(format!(
                "the file ends after {} bytes, within its header",
                bytes.len()
            )),
        }
        return Ok(false);
    }
    let is_blank = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    if kind == FileKind::Journal && is_blank(bytes) && is_blank(window.look_at_rest()?) {
        // A power cut came before its header was synced, and so before anything was acknowledged.
        report.torn_at = Some(0);
        return Ok(false);
    }
    let bytes = window.look(FILE_HEADER)?;
    match FileHeader::decode(kind, bytes) {
        Ok(header) if header.generation == generation => report.created = Some(header.created),
        Ok(header) => {
            report.damage.push(format!(
                "it is of generation {} and its name says {generation}",
                header.generation
            ));
        }
        Err(Damage(text)) => report.damage.push(text),
    }
    window.advance(FILE_HEADER);
    Ok(true)
}
