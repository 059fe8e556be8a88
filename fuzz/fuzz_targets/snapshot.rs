//! The reader of snapshots: any bytes, and snapshots as the daemon writes them with damage in them. It never panics, and reads nothing that was not
//! written; what it does not read, it reports.
#![no_main]

#[path = "support/checked.rs"]
mod checked;
#[path = "support/damage.rs"]
mod damage;
#[path = "support/noise.rs"]
mod noise;

use arbitrary::Arbitrary;
use checked::{Checked, Written};
use damage::{Damage, file};
use libfuzzer_sys::fuzz_target;
use rustcache::Tag;
use rustcache::persist::format::{FileKind, SnapshotEntry, block_header, push_entry};
use rustcache::persist::replay::replay_snapshot;

const GENERATION: u64 = 3;

#[derive(Debug, Arbitrary)]
enum Input {
    Noise {
        with_header: bool,
        bytes: Vec<u8>,
    },
    Damaged {
        blocks: Vec<Vec<Entry>>,
        damage: Vec<Damage>,
    },
}

#[derive(Debug, Arbitrary)]
struct Entry {
    key: u16,
    len: u16,
    fill: u8,
    tag: u8,
    deadline: Option<u16>,
}

fuzz_target!(|input: Input| {
    match input {
        Input::Noise { with_header, bytes } => {
            let header = if with_header { header() } else { Vec::new() };
            noise::noise(header, &bytes, |file, sink| {
                replay_snapshot(file, GENERATION, sink)
            });
        }
        Input::Damaged { blocks, damage } => damaged(&blocks, &damage),
    }
});

fn header() -> Vec<u8> {
    noise::header(FileKind::Snapshot, GENERATION)
}

fn damaged(blocks: &[Vec<Entry>], damage: &[Damage]) {
    let (snapshot, written) = write(blocks);
    let entries: u64 = blocks.iter().map(|block| block.len() as u64).sum();
    let mut whole = Checked::against(written.clone());
    let report = replay_snapshot(file(&snapshot), GENERATION, &mut whole).expect("memory can be read");
    assert_eq!(report.applied, entries);
    assert!(report.damage.is_empty() && report.torn_at.is_none(), "{report:?}");

    let mut hit = snapshot.clone();
    damage.iter().for_each(|damage| damage.hit(&mut hit));
    let mut sink = Checked::against(written);
    let report = replay_snapshot(file(&hit), GENERATION, &mut sink).expect("memory can be read");
    assert!(report.applied <= entries, "{report:?}");
    let is_named = !report.damage.is_empty() || report.torn_at.is_some();
    assert!(report.applied == entries || is_named, "{report:?}");
}

/// Each key once, as in a cache.
fn write(blocks: &[Vec<Entry>]) -> (Vec<u8>, Written) {
    let mut snapshot = header();
    let mut written = Written::new();
    let mut sequence = 0;
    let mut number = 0u32;
    for block in blocks.iter().filter(|block| !block.is_empty()) {
        let mut bytes = Vec::new();
        for entry in block {
            number += 1;
            let key = [
                &number.to_le_bytes()[..],
                &vec![b'k'; usize::from(entry.key) % 300],
            ]
            .concat();
            let value = vec![entry.fill; usize::from(entry.len) % 6000];
            let deadline = entry.deadline.map(u64::from);
            push_entry(
                &SnapshotEntry {
                    key: &key,
                    value: &value,
                    tag: Tag(entry.tag),
                    deadline,
                },
                &mut bytes,
            );
            written
                .entry(key)
                .or_default()
                .insert((value, entry.tag, deadline));
        }
        let count = u32::try_from(block.len()).expect("few");
        snapshot.extend(block_header(GENERATION, sequence, count, &bytes));
        snapshot.extend(bytes);
        sequence += 1;
    }
    snapshot.extend(block_header(GENERATION, sequence, 0, &[]));
    (snapshot, written)
}
