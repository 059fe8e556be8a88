//! Reading one file back: every intact record or block is applied, in order; what is damaged never is. Knows nothing of directories.
//!
//! Nothing stale may come of it. A damaged record may have overwritten or removed a key, so what was there before under that key cannot be
//! trusted: the next record tells which key that was, by its fingerprint. If that is lost too, nothing older is kept. Better a miss than a stale value.

use std::io::{self, Read};

use super::format::{
    BLOCK_HEADER, Change, Content, Damage, FILE_HEADER, FileHeader, FileKind, Note, RECORD_PREFIX, SEQUENCES,
    SnapshotEntry, entries, read_block, read_record,
};
use super::search::{self, Found};
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
    /// Up to where the file could be read, damage included.
    pub end: u64,
    /// When the file was begun, in Unix milliseconds, if that can be read.
    pub created: Option<u64>,
    /// Whether everything older was dropped, since it could not be trusted any more.
    pub dropped_older: bool,
}

/// A disk writes no less than this.
const SECTOR: usize = 512;
/// Bytes of a record that are asked for to learn its length.
const PEEK: usize = 64;
/// How far an intact record is searched behind a damaged one, in bytes: no record is longer.
const SEARCHED: usize = (1 << 30) + (1 << 20);

/// Replays a journal by itself. `generation` is that of its name.
///
/// # Errors
/// When the file cannot be read. Damage is no error.
pub fn replay_journal(file: Box<dyn Read>, generation: u64, sink: &mut impl Sink) -> io::Result<FileReport> {
    replay_journal_after(None, file, generation, sink)
}

/// Replays a journal that continues another one, of which so many bytes could be read.
///
/// # Errors
/// When the file cannot be read. Damage is no error.
pub fn replay_journal_after(
    mut former: Option<u64>,
    file: Box<dyn Read>,
    generation: u64,
    sink: &mut impl Sink,
) -> io::Result<FileReport> {
    let mut window = Window::new(file);
    let mut report = FileReport::default();
    if !read_header(&mut window, FileKind::Journal, generation, &mut report)? {
        return Ok(report);
    }
    let mut expected = 0;
    let mut previous = 0;
    loop {
        let offset = window.offset();
        report.end = offset;
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
            if let Some(end) = former.take() {
                check_end_of_former(end, &record.content, sink, &mut report);
            }
            if let Content::Change(change) = &record.content {
                sink.change(change);
                report.applied += 1;
            }
            expected = (expected + 1) % SEQUENCES;
            previous = record.content.fingerprint();
            let len = record.len;
            window.advance(len);
            continue;
        }
        let rest = window.look(SEARCHED)?;
        let found = search::next_intact(generation, rest, expected);
        if let Found::Record(skipped, record) = &found
            && has_hole(&rest[..*skipped], offset)
            && search::flipped(generation, &rest[..*skipped], expected, *skipped).is_none()
            && !search::is_noted_as_synced(generation, &rest[*skipped..], record, offset)
        {
            // A write of which a power cut has left some blocks and not others. Nothing from here on was synced.
            report.torn_at = Some(offset);
            return Ok(report);
        }
        if former.take().is_some() {
            // What would have said whether the former journal is whole cannot be read.
            distrust_all(sink, &mut report);
        }
        match found {
            Found::Record(skipped, record) => {
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
            Found::Nothing => {
                tail(generation, rest, expected, previous, offset, sink, &mut report);
                return Ok(report);
            }
            Found::TooMuchToSearch => {
                distrust_all(sink, &mut report);
                report
                    .damage
                    .push(format!("everything from offset {offset} on: what is there looks too much like records to be searched for them"));
                return Ok(report);
            }
        }
    }
}

/// The first record of a journal says how long the former one was when it was left: if some of that is missing, so are changes.
fn check_end_of_former(end: u64, first: &Content<'_>, sink: &mut impl Sink, report: &mut FileReport) {
    let damage = match first {
        Content::Note(Note::Follows(len)) if *len == end => return,
        Content::Note(Note::Follows(len)) => {
            format!("the journal before this one had {len} bytes, of which {end} can be read")
        }
        _ => "it does not say how long the journal before it was".to_owned(),
    };
    report.damage.push(damage);
    distrust_all(sink, report);
}

/// The records in a damaged stretch may have changed keys; after it comes a record that names the last of those keys.
fn distrust(last_key: u32, lost: u32, sink: &mut impl Sink, report: &mut FileReport) {
    match (lost, last_key) {
        (0, _) => {}
        (1, fingerprint) if fingerprint != 0 => sink.forget(fingerprint),
        _ => distrust_all(sink, report),
    }
}

/// Nobody knows which keys have changed.
fn distrust_all(sink: &mut impl Sink, report: &mut FileReport) {
    sink.change(&Change::Clear { prefix: &[] });
    report.dropped_older = true;
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
            report.end = offset + rest.len() as u64;
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
    // What follows the last byte that is not zero may be a part of its value: as much of it as the record says.
    if let Some(fingerprint) = search::flipped(generation, rest, expected, len) {
        return Some(fingerprint);
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
        let rest = window.look(SEARCHED)?;
        let next = search::next_block(generation, rest, expected);
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

/// Reads the header. A damaged one does not make the rest worthless: its generation is in the file's name, and in each checksum.
fn read_header(
    window: &mut Window<'_>,
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
    if kind == FileKind::Journal && is_blank(bytes) && is_blank(window.look(SEARCHED)?) {
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
