//! `typed`: operations per second of the caches of objects, `u64` → `u64` and `String` → `Arc<[u8]>`, ours and each rival by turns. As in `throughput`, both of a pair
//! are alive at the same time and only ratios inside a round are compared. How a participant is called is in `contender/typed.rs`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::Settings;
use crate::contender::typed::{Numbers, Objects, PARTICIPANTS, Payload, Texts};
use crate::drive::{BATCH, Load, Turn};
use crate::report::{Target, count, heading, median, rate, table, target_table, times};
use crate::workload::{uniform, zipf};

const ZIPF: f64 = 0.99;
const BASE: &str = PARTICIPANTS[0];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Op {
    Fill,
    Get,
    GetWith,
    Zipf,
    Insert,
    GetOrInsert,
}

const OPS: [(Op, &str); 6] = [
    (Op::Fill, "fill"),
    (Op::Get, "get, uniform"),
    (Op::GetWith, "get_with, all hit"),
    (Op::Zipf, "get, Zipf 0.99"),
    (Op::Insert, "insert, evicting"),
    (Op::GetOrInsert, "get or insert, Zipf 0.99"),
];

/// A participant together with the loops, compiled for it.
pub(crate) trait Driven<P>: Sync {
    /// Does all of a load; the number of reads that hit.
    fn run(&self, load: &Load<'_>) -> u64;
}

impl<P: Payload, C: Objects<P>> Driven<P> for C {
    fn run(&self, load: &Load<'_>) -> u64 {
        let mut hits = 0;
        match load {
            Load::Insert(keys) => blocks(keys.clone(), entry::<P>, |(key, value)| self.insert(key, value)),
            Load::Get(keys) => blocks(numbers(keys), P::key, |key| {
                hits += u64::from(black_box(self.get(&key)).is_some());
            }),
            Load::GetOrInsert(keys) => {
                let keyed = |number| (P::key(number), number);
                blocks(numbers(keys), keyed, |(key, number)| {
                    black_box(self.get_or_insert(key, number));
                });
            }
            Load::GetBatch(_) | Load::Mixed(_) | Load::Churn(..) => {
                unreachable!("not a load of this part: {load:?}")
            }
        }
        hits
    }
}

fn numbers(keys: &[u32]) -> impl Iterator<Item = u64> {
    keys.iter().map(|&number| number.into())
}

fn entry<P: Payload>(number: u64) -> (P::Key, P::Value) {
    (P::key(number), P::value(number))
}

/// Keys and values are made some dozens ahead, as in `drive`.
fn blocks<T>(mut numbers: impl Iterator<Item = u64>, make: impl Fn(u64) -> T, mut each: impl FnMut(T)) {
    let mut block = Vec::with_capacity(BATCH);
    loop {
        block.extend(numbers.by_ref().take(BATCH).map(&make));
        if block.is_empty() {
            return;
        }
        block.drain(..).for_each(&mut each);
    }
}

/// One turn with as many threads, of which each has its part of the load.
fn turn<P>(cache: &dyn Driven<P>, load: &Load<'_>, threads: usize) -> Turn {
    let ops = load.ops();
    let parts = load.parts(threads);
    let barrier = Barrier::new(parts.len() + 1);
    let (hits, time) = thread::scope(|scope| {
        let workers: Vec<_> = parts
            .iter()
            .map(|part| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let began = Instant::now();
                    (cache.run(part), began, Instant::now())
                })
            })
            .collect();
        barrier.wait();
        let done: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().expect("no participant panics"))
            .collect();
        let began = done.iter().map(|&(_, began, _)| began).min();
        let ended = done.iter().map(|&(.., ended)| ended).max();
        let time = began.zip(ended).map(|(began, ended)| ended - began);
        (
            done.iter().map(|&(hits, ..)| hits).sum(),
            time.unwrap_or_default(),
        )
    });
    Turn { ops, hits, time }
}

/// Under which conditions a figure was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    payload: &'static str,
    entries: u64,
    threads: usize,
    op: Op,
    /// The participant that was measured by turns with the base.
    rival: &'static str,
    /// Whether this is the base.
    base: bool,
}

#[derive(Debug, Default)]
struct Measured(BTreeMap<Place, Vec<f64>>);

impl Measured {
    fn rate(&self, at: Place, name: &str) -> f64 {
        let of_it = self.0.iter().filter(|(place, _)| {
            let is_it = Place {
                rival: place.rival,
                base: place.base,
                ..at
            } == **place;
            is_it && (if place.base { BASE } else { place.rival }) == name
        });
        median(of_it.flat_map(|(_, rates)| rates).copied().collect())
    }

    /// One operation of the base over another of it: the median of the rounds' ratios.
    fn ratio_of_ops(&self, at: Place, [op, other]: [Op; 2]) -> f64 {
        let of_base = |op| {
            let places = self.0.iter();
            places.filter(move |(place, _)| {
                Place {
                    rival: place.rival,
                    base: true,
                    op,
                    ..at
                } == **place
            })
        };
        let pairs = of_base(op).zip(of_base(other));
        let ratios =
            pairs.flat_map(|((_, ops), (_, others))| ops.iter().zip(others).map(|(op, other)| op / other));
        median(ratios.collect())
    }

    /// The base over a rival: the median of the rounds' ratios.
    fn ratio(&self, at: Place) -> f64 {
        let rates = |base| self.0.get(&Place { base, ..at });
        let (Some(ours), Some(theirs)) = (rates(true), rates(false)) else {
            return f64::NAN;
        };
        let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
        median(ratios.collect())
    }
}

pub(crate) fn typed(settings: &Settings) -> Result<String, String> {
    let sizes = settings.entries(&[100_000, 1_000_000], 10_000);
    let rivals: Vec<_> = PARTICIPANTS[1..]
        .iter()
        .copied()
        .filter(|name| settings.only.is_empty() || settings.only.iter().any(|only| only == name))
        .collect();
    let mut measured = Measured::default();
    for &entries in &sizes {
        for threads in [1, 2] {
            for &rival in &rivals {
                for number in 0..settings.rounds {
                    eprintln!(
                        "typed: {} entries, {threads} thread(s), {rival}: round {} of {}",
                        count(entries),
                        number + 1,
                        settings.rounds
                    );
                    round::<Numbers>(&mut measured, rival, entries, threads, number);
                    round::<Texts>(&mut measured, rival, entries, threads, number);
                }
            }
        }
    }
    Ok(report(settings, &measured, &sizes, &rivals))
}

/// Fills both, has both do everything, and drops them.
fn round<P: Payload>(
    measured: &mut Measured,
    rival: &'static str,
    entries: u64,
    threads: usize,
    number: u64,
) {
    let ops = entries.clamp(entries.min(400_000), 1_000_000);
    let len = usize::try_from(ops).expect("a million at most");
    // Room for all entries in each shard, however unevenly hashes spread them.
    let room = entries / 8 + 1024;
    let caches = [BASE, rival].map(|name| P::make(name, entries + room));
    let gets = uniform(entries, len, number);
    let popular = zipf(entries, ZIPF, len, number);
    let wider = zipf(2 * entries, ZIPF, len, number);
    let mut fresh = entries;
    for (op, _) in OPS {
        if op == Op::Insert {
            // Until they are full: from here on each write evicts.
            let until = fresh + 2 * room + ops / 10;
            for cache in &caches {
                cache.run(&Load::Insert(fresh..until));
            }
            fresh = until;
        }
        let load = match op {
            Op::Fill => Load::Insert(0..entries),
            Op::Get => Load::Get(&gets),
            Op::Zipf => Load::Get(&popular),
            Op::Insert => Load::Insert(fresh..fresh + ops),
            Op::GetWith => Load::GetOrInsert(&gets),
            Op::GetOrInsert => Load::GetOrInsert(&wider),
        };
        // Neither is always the first.
        let order = if number.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for which in order {
            let place = Place {
                payload: P::NAME,
                entries,
                threads,
                op,
                rival,
                base: which == 0,
            };
            let done = turn(caches[which].as_ref(), &load, threads);
            measured.0.entry(place).or_default().push(done.per_second());
        }
    }
}

fn places(sizes: &[u64]) -> impl Iterator<Item = (Place, String)> {
    let payloads = [Numbers::NAME, Texts::NAME];
    payloads.into_iter().flat_map(move |payload| {
        sizes.iter().flat_map(move |&entries| {
            [1, 2].map(|threads| {
                let place = Place {
                    payload,
                    entries,
                    threads,
                    op: Op::Get,
                    rival: BASE,
                    base: false,
                };
                let many = if threads == 1 { "one thread" } else { "two threads" };
                (place, format!("{payload}, {} entries, {many}", count(entries)))
            })
        })
    })
}

fn report(settings: &Settings, measured: &Measured, sizes: &[u64], rivals: &[&'static str]) -> String {
    let mut text = heading("caches of objects", settings.quick);
    text += &format!(
        "Objects as they are, without serialization; operations per second, medians of {} rounds. In each round the base ({BASE}, exact LRU in each shard) and one other are filled, and take \
         turns at each operation. Each has as many shards as it takes by itself for its size. A get clones the value.\n\n",
        settings.rounds
    );
    let mut head = vec![String::new()];
    head.extend(OPS.map(|(_, name)| name.to_owned()));
    for (place, title) in places(sizes) {
        text += &format!("### {title}\n\n");
        let at = |op| Place { op, ..place };
        let rates = std::iter::once(BASE).chain(rivals.iter().copied()).map(|name| {
            let mut row = vec![name.to_owned()];
            row.extend(OPS.map(|(op, _)| rate(measured.rate(at(op), name))));
            row
        });
        let ratios = rivals.iter().map(|&rival| {
            let mut row = vec![format!("{BASE} ÷ {rival}")];
            row.extend(OPS.map(|(op, _)| times(measured.ratio(Place { rival, ..at(op) }))));
            row
        });
        text += &table(&head, rates.chain(ratios).collect::<Vec<_>>());
    }
    if !settings.quick {
        text += "### Targets\n\n";
        text += &target_table(&targets(measured, sizes));
    }
    text
}

fn targets(measured: &Measured, sizes: &[u64]) -> Vec<Target> {
    let mut targets = Vec::new();
    for (place, title) in places(sizes) {
        for (op, name) in [(Op::Get, "get"), (Op::Insert, "insert")] {
            for (rival, least) in [("quick_cache", 1.0), ("moka", 2.0)] {
                targets.push(Target::judged(
                    format!("{title}: {name} ÷ {rival}: at least {least}"),
                    Some(measured.ratio(Place { op, rival, ..place })),
                    times,
                    |value| value >= least,
                ));
            }
        }
        targets.push(Target::judged(
            format!("{title}: get_with that hits ÷ get: at least 0.9"),
            Some(measured.ratio_of_ops(place, [Op::GetWith, Op::Get])),
            times,
            |value| value >= 0.9,
        ));
    }
    targets
}
