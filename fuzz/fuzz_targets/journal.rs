//! The reader of journals: any bytes, and journals as the daemon writes them with damage in them. It never panics, and reads nothing that was not written;
//! after a single flipped bit, nothing that was not written last.
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
use rustcache::persist::format::{Change, FileKind, Place, push_record};
use rustcache::persist::replay::replay_journal;

const GENERATION: u64 = 3;

#[derive(Debug, Arbitrary)]
enum Input {
    Noise { with_header: bool, bytes: Vec<u8> },
    Damaged { steps: Vec<Step>, damage: Vec<Damage> },
}

#[derive(Debug, Arbitrary)]
enum Step {
    Set {
        key: u8,
        len: u16,
        fill: u8,
        tag: u8,
        deadline: Option<u16>,
    },
    Remove(u8),
    Deadline {
        key: u8,
        deadline: Option<u16>,
    },
    Clear(Option<u8>),
}

fuzz_target!(|input: Input| {
    match input {
        Input::Noise { with_header, bytes } => {
            let header = if with_header { header() } else { Vec::new() };
            noise::noise(header, &bytes, |file, sink| {
                replay_journal(file, GENERATION, sink)
            });
        }
        Input::Damaged { steps, damage } => damaged(&steps, &damage),
    }
});

fn header() -> Vec<u8> {
    noise::header(FileKind::Journal, GENERATION)
}

fn damaged(steps: &[Step], damage: &[Damage]) {
    let (journal, written) = write(steps);
    let mut whole = Checked::against(written.clone());
    let report = replay_journal(file(&journal), GENERATION, &mut whole).expect("memory can be read");
    assert_eq!(report.applied, steps.len() as u64);
    assert!(report.damage.is_empty() && report.torn_at.is_none(), "{report:?}");

    let mut hit = journal.clone();
    damage.iter().for_each(|damage| damage.hit(&mut hit));
    let mut sink = Checked::against(written);
    let report = replay_journal(file(&hit), GENERATION, &mut sink).expect("memory can be read");
    if hit == journal {
        return;
    }
    assert!(report.applied <= steps.len() as u64, "{report:?}");
    if let [Damage::Flip { .. }] = damage {
        assert!(
            !report.damage.is_empty(),
            "a flipped bit is not reported: {report:?}"
        );
        for (key, value) in &sink.now {
            assert_eq!(Some(value), whole.now.get(key), "stale: {report:?}");
        }
    }
}

fn write(steps: &[Step]) -> (Vec<u8>, Written) {
    let mut journal = header();
    let mut written = Written::new();
    let mut place = Place {
        generation: GENERATION,
        sequence: 0,
        previous: 0,
    };
    for step in steps {
        let (key, value);
        let change = match *step {
            Step::Set {
                key: of,
                len,
                fill,
                tag,
                deadline,
            } => {
                (key, value) = (name(of), vec![fill; usize::from(len) % 6000]);
                let deadline = deadline.map(u64::from);
                let values = written.entry(key.clone()).or_default();
                values.insert((value.clone(), tag, deadline));
                Change::Set {
                    key: &key,
                    value: &value,
                    tag: Tag(tag),
                    deadline,
                }
            }
            Step::Remove(of) => {
                key = name(of);
                Change::Remove { key: &key }
            }
            Step::Deadline { key: of, deadline } => {
                key = name(of);
                let deadline = deadline.map(u64::from);
                Change::Deadline { key: &key, deadline }
            }
            Step::Clear(prefix) => {
                key = prefix.map_or_else(Vec::new, |of| vec![of % 3]);
                Change::Clear { prefix: &key }
            }
        };
        push_record(place, &change, &mut journal);
        place.sequence += 1;
        place.previous = change.fingerprint();
    }
    (journal, written)
}

/// Few keys, so that they are overwritten; some of them are long.
fn name(of: u8) -> Vec<u8> {
    let mut key = vec![of % 3, of % 16];
    key.resize(if of % 16 == 7 { 200 } else { 2 }, b'k');
    key
}
