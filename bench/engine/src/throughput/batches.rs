//! What a batch of gets gains over single ones by the number of shards: the fewer keys of a batch are in one shard, the harder it is to wait for several of them at once.

use crate::Settings;
use crate::contender::{BY_SHARDS, Limit, Shape, Values};
use crate::drive::{BATCH, Load, turn};
use crate::report::{Target, count, median, rate, table, times};
use crate::workload::uniform;

/// What is asked of the largest number of shards.
const LEAST_GAIN: f64 = 2.0;

/// Rates of the rounds for a number of shards.
#[derive(Debug)]
struct Row {
    name: &'static str,
    entries: u64,
    single: Vec<f64>,
    batched: Vec<f64>,
}

#[derive(Debug)]
pub(super) struct Batches(Vec<Row>);

/// One thread; single and batched gets of the same keys by turns.
pub(super) fn measure(settings: &Settings, sizes: &[u64]) -> Batches {
    let mut rows = Vec::new();
    for &entries in sizes {
        let shape = Shape {
            // Room for all entries in each shard, however unevenly hashes spread them.
            limit: Limit::Items(entries + entries / 4 + 64 * 1024),
            one_shard: false,
            shared: false,
            ttl: false,
        };
        let len = usize::try_from(entries.clamp(10_000, 2_000_000)).expect("two million at most");
        for participant in BY_SHARDS {
            eprintln!(
                "throughput: {} entries, batches: {}",
                count(entries),
                participant.name
            );
            let mut row = Row {
                name: participant.name,
                entries,
                single: Vec::new(),
                batched: Vec::new(),
            };
            let mut cache = participant.make(&shape, Values::Shared);
            cache.run(&Load::Insert(0..entries));
            for round in 0..settings.rounds {
                let gets = uniform(entries, len, round);
                let mut rate_of = |load| {
                    let done = turn(cache.as_mut(), &load, 1).expect("one thread needs no handle");
                    done.per_second()
                };
                row.single.push(rate_of(Load::Get(&gets)));
                row.batched.push(rate_of(Load::GetBatch(&gets)));
            }
            rows.push(row);
        }
    }
    Batches(rows)
}

impl Row {
    fn gain(&self) -> f64 {
        let gains = self.batched.iter().zip(&self.single);
        median(gains.map(|(batched, single)| batched / single).collect())
    }
}

impl Batches {
    pub(super) fn table(&self) -> String {
        let rows = self.0.iter().map(|row| {
            vec![
                row.name.to_owned(),
                count(row.entries),
                rate(median(row.single.clone())),
                rate(median(row.batched.clone())),
                times(row.gain()),
            ]
        });
        let batched = format!("in batches of {BATCH}");
        let head = ["", "entries", "get, uniform", &batched, "gain"];
        "### Batches by the number of shards, one thread\n\n".to_owned() + &table(&head, rows)
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = Target> {
        let most = BY_SHARDS.last().map(|participant| participant.name);
        let judged = self.0.iter().filter(move |row| Some(row.name) == most);
        judged.map(|row| {
            let name = format!(
                "{}, {}, batch-of-{BATCH} get ÷ get: at least {LEAST_GAIN}",
                count(row.entries),
                row.name
            );
            Target::judged(name, Some(row.gain()), times, |gain| gain >= LEAST_GAIN)
        })
    }
}
