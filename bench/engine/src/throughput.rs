//! `throughput`: operations per second, ours and each rival by turns. Both of a pair are alive at the same time, each operation is timed
//! with the one and at once with the other, and only ratios inside a round are compared: the machine drifts by more than they differ.

mod batches;

use std::collections::BTreeMap;

use crate::Settings;
use crate::contender::{BASE, Limit, Participant, Shape, Values, participants};
use crate::drive::{BATCH, Driven, Load, turn};
use crate::report::{Target, count, heading, median, rate, table, target_table, times};
use crate::workload::{uniform, zipf};

use batches::Batches;

const ZIPF: f64 = 0.99;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Op {
    Fill,
    Get,
    Batch,
    Zipf,
    Insert,
    GetOrInsert,
}

const OPS: [(Op, &str); 6] = [
    (Op::Fill, "fill"),
    (Op::Get, "get, uniform"),
    (Op::Batch, "the same in batches of 64"),
    (Op::Zipf, "get, Zipf 0.99"),
    (Op::Insert, "insert, evicting"),
    (Op::GetOrInsert, "get or insert, Zipf 0.99"),
];

/// Under which conditions a figure was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    entries: u64,
    threads: usize,
    op: Op,
    /// The participant that was measured by turns with the base.
    rival: &'static str,
    /// Whether this is the base.
    base: bool,
}

#[derive(Debug, Default)]
struct Measured {
    rates: BTreeMap<Place, Vec<f64>>,
    /// Two threads over one, on the same cache.
    gains: BTreeMap<Place, Vec<f64>>,
    notes: Vec<String>,
}

impl Measured {
    fn rate(&self, entries: u64, threads: usize, op: Op, name: &str) -> f64 {
        let of_it = self.rates.iter().filter(|(place, _)| {
            place.entries == entries
                && place.threads == threads
                && place.op == op
                && (if place.base { BASE } else { place.rival }) == name
        });
        median(of_it.flat_map(|(_, rates)| rates).copied().collect())
    }

    fn gain(&self, entries: u64, op: Op, name: &str) -> f64 {
        let of_it = self.gains.iter().filter(|(place, _)| {
            place.entries == entries
                && place.op == op
                && (if place.base { BASE } else { place.rival }) == name
        });
        median(of_it.flat_map(|(_, gains)| gains).copied().collect())
    }

    /// The base over a rival: the median of the rounds' ratios.
    fn ratio(&self, entries: u64, threads: usize, op: Op, rival: &'static str) -> f64 {
        let at = |base| Place {
            entries,
            threads,
            op,
            rival,
            base,
        };
        let (Some(ours), Some(theirs)) = (self.rates.get(&at(true)), self.rates.get(&at(false))) else {
            return f64::NAN;
        };
        median(
            ours.iter()
                .zip(theirs)
                .map(|(ours, theirs)| ours / theirs)
                .collect(),
        )
    }
}

pub(crate) fn throughput(settings: &Settings) -> Result<String, String> {
    let sizes = settings.entries(&[1_000_000, 10_000_000], 10_000);
    let all = settings.chosen(participants());
    let mut measured = Measured::default();
    let [base, others @ ..] = all.as_slice() else {
        return Err("there is nobody to be measured".to_owned());
    };
    for &entries in &sizes {
        for threads in [1, 2] {
            // With nobody to compare it with, the base is measured beside itself.
            let rivals = if others.is_empty() {
                std::slice::from_ref(base)
            } else {
                others
            };
            for rival in rivals {
                for number in 0..settings.rounds {
                    eprintln!(
                        "throughput: {} entries, {threads} thread(s), {}: round {} of {}",
                        count(entries),
                        rival.name,
                        number + 1,
                        settings.rounds
                    );
                    round(&mut measured, [base, rival], entries, threads, number);
                }
            }
        }
    }
    let batches = batches::measure(settings, &sizes);
    Ok(report(settings, &measured, &batches, &sizes, &all))
}

/// Fills both, has both do everything, and drops them.
fn round(measured: &mut Measured, pair: [&Participant; 2], entries: u64, threads: usize, number: u64) {
    let ops = (entries / 5).clamp(entries.min(1_000_000), 2_000_000);
    let len = usize::try_from(ops).expect("two million at most");
    // Room for all entries in each shard, however unevenly hashes spread them.
    let room = entries / 16 + 1024;
    let shape = Shape {
        limit: Limit::Items(entries + room),
        one_shard: threads == 1,
        shared: threads > 1,
        ttl: false,
    };
    let mut caches: [Box<dyn Driven>; 2] = pair.map(|participant| participant.make(&shape, Values::Shared));
    let gets = uniform(entries, len, number);
    let popular = zipf(entries, ZIPF, len, number);
    let wider = zipf(2 * entries, ZIPF, len, number);
    let mut fresh = entries;
    for (op, _) in OPS {
        if op == Op::Insert {
            // Until they are full: from here on each write evicts.
            let until = fresh + room + ops / 10;
            for cache in &mut caches {
                cache.run(&Load::Insert(fresh..until));
            }
            fresh = until;
        }
        let load = match op {
            Op::Fill => Load::Insert(0..entries),
            Op::Get => Load::Get(&gets),
            Op::Batch => Load::GetBatch(&gets),
            Op::Zipf => Load::Get(&popular),
            Op::Insert => Load::Insert(fresh..fresh + ops),
            Op::GetOrInsert => Load::GetOrInsert(&wider),
        };
        // Neither is always the first.
        let order = if number.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for which in order {
            let place = Place {
                entries,
                threads,
                op,
                rival: pair[1].name,
                base: which == 0,
            };
            let cache = caches[which].as_mut();
            let done = turn(cache, &load, threads).expect("all have handles for several threads");
            measured.rates.entry(place).or_default().push(done.per_second());
            if matches!(op, Op::Get | Op::Batch | Op::Zipf) && done.hits * 100 < done.ops * 99 {
                let name = pair[which].name;
                let share = 100.0 * done.hits as f64 / done.ops as f64;
                measured.notes.push(format!(
                    "- {name} found only {share:.1} % of the keys that had been written, at {} entries.",
                    count(entries)
                ));
            }
            if threads > 1 && op != Op::Fill {
                let again = match &load {
                    Load::Insert(keys) => Load::Insert(keys.start + ops..keys.end + ops),
                    other => other.clone(),
                };
                let alone = turn(cache, &again, 1).expect("one thread needs no handle");
                let gain = done.per_second() / alone.per_second();
                measured.gains.entry(place).or_default().push(gain);
            }
        }
        if op == Op::Insert {
            fresh += 2 * ops;
        }
    }
}

fn report(
    settings: &Settings,
    measured: &Measured,
    batches: &Batches,
    sizes: &[u64],
    all: &[Participant],
) -> String {
    let mut text = heading("throughput", settings.quick);
    text += &format!(
        "Entries of 20 + 56 bytes, keys as bytes; operations per second, medians of {} rounds. In each round the base ({BASE}) and one other are filled, and take turns at \
         each operation. One thread: one shard where that can be chosen. Two threads: as many shards as each takes by itself; lru, hashlink and quick_cache unsync behind a \
         mutex. A get touches the value; rivals hold `Arc<[u8]>`, so that theirs copies nothing. Only ours has a batched get: for the others it is 64 gets.\n\n",
        settings.rounds
    );
    let mut head = vec![String::new()];
    head.extend(OPS.map(|(_, name)| name.to_owned()));
    for &entries in sizes {
        for threads in [1, 2] {
            let title = if threads == 1 { "one thread" } else { "two threads" };
            text += &format!("### {} entries, {title}\n\n", count(entries));
            let rates = all.iter().map(|participant| {
                let mut row = vec![participant.name.to_owned()];
                row.extend(OPS.map(|(op, _)| rate(measured.rate(entries, threads, op, participant.name))));
                row
            });
            text += &table(&head, rates);
            text += &format!("{BASE} against each, medians of the rounds' ratios:\n\n");
            let ratios = all[1..].iter().map(|rival| {
                let mut row = vec![format!("÷ {}", rival.name)];
                row.extend(OPS.map(|(op, _)| times(measured.ratio(entries, threads, op, rival.name))));
                row
            });
            text += &table(&head, ratios);
        }
        text += &format!(
            "{} entries, two threads over one on the same cache:\n\n",
            count(entries)
        );
        let gains = all.iter().map(|participant| {
            let mut row = vec![participant.name.to_owned()];
            row.extend(OPS.map(|(op, _)| times(measured.gain(entries, op, participant.name))));
            row
        });
        text += &table(&head, gains);
    }
    text += &batches.table();
    let mut notes = measured.notes.clone();
    notes.sort();
    notes.dedup();
    for note in &notes {
        text += note;
        text += "\n";
    }
    if !notes.is_empty() {
        text += "\n";
    }
    if !settings.quick {
        text += "### Targets\n\n";
        let mut targets = targets(measured, sizes);
        targets.extend(batches.targets());
        text += &target_table(&targets);
    }
    text
}

fn targets(measured: &Measured, sizes: &[u64]) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut judge = |name: String, value: f64, least: f64| {
        targets.push(Target::judged(name, Some(value), times, |value| value >= least));
    };
    for &entries in sizes {
        let size = count(entries);
        for rival in ["quick_cache", "quick_cache unsync"] {
            if entries == 10_000_000 {
                judge(
                    format!("{size}, batch-of-{BATCH} get ÷ {rival}'s get: at least 2.5"),
                    measured.ratio(entries, 1, Op::Batch, rival),
                    2.5,
                );
            }
            for (op, name) in [(Op::Get, "get"), (Op::Insert, "insert")] {
                judge(
                    format!("{size}, single {name} ÷ {rival}: at least 1"),
                    measured.ratio(entries, 1, op, rival),
                    1.0,
                );
            }
        }
        for (op, name) in [(Op::Get, "get"), (Op::Insert, "insert")] {
            judge(
                format!("{size}, single {name} ÷ moka: at least 2"),
                measured.ratio(entries, 1, op, "moka"),
                2.0,
            );
        }
        for (op, name) in [
            (Op::Get, "get"),
            (Op::Batch, "batched get"),
            (Op::Insert, "insert"),
        ] {
            judge(
                format!("{size}, {name}, two threads ÷ one: at least 1.6"),
                measured.gain(entries, op, BASE),
                1.6,
            );
        }
    }
    targets
}
