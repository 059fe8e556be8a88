//! The loops that are timed. They are compiled for each participant by itself, so that a call costs what it costs in a program: only a
//! whole turn goes through a `dyn`.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::{Contender, Deadline};
use crate::histogram::Histogram;
use crate::workload::{KEY_BYTES, VALUE_BYTES, key, value};

/// How many keys a batch has.
pub(crate) const BATCH: usize = 64;

/// One turn.
#[derive(Debug, Clone)]
pub(crate) enum Load<'a> {
    /// Writes these keys, one after the other.
    Insert(Range<u64>),
    Get(&'a [u32]),
    GetBatch(&'a [u32]),
    /// Reads, and writes what was not there.
    GetOrInsert(&'a [u32]),
    /// Reads all but every tenth, which is written.
    Mixed(&'a [u32]),
    /// Reads a key of the list and writes the next fresh one, by turns.
    Churn(&'a [u32], u64),
}

impl<'a> Load<'a> {
    pub(crate) fn ops(&self) -> u64 {
        match self {
            Load::Insert(keys) => keys.end - keys.start,
            Load::Get(keys) | Load::GetBatch(keys) | Load::GetOrInsert(keys) | Load::Mixed(keys) => {
                keys.len() as u64
            }
            Load::Churn(keys, _) => 2 * keys.len() as u64,
        }
    }

    /// About equal parts, one for each thread.
    pub(crate) fn parts(&self, threads: usize) -> Vec<Load<'a>> {
        let chunks = |keys: &'a [u32]| keys.chunks(keys.len().div_ceil(threads).max(1));
        match self {
            Load::Insert(keys) => {
                let each = (keys.end - keys.start).div_ceil(threads as u64);
                (0..threads as u64)
                    .map(|thread| keys.start + thread * each)
                    .map(|from| Load::Insert(from..keys.end.min(from + each)))
                    .collect()
            }
            Load::Get(keys) => chunks(keys).map(Load::Get).collect(),
            Load::GetBatch(keys) => chunks(keys).map(Load::GetBatch).collect(),
            Load::GetOrInsert(keys) => chunks(keys).map(Load::GetOrInsert).collect(),
            Load::Mixed(keys) => chunks(keys).map(Load::Mixed).collect(),
            Load::Churn(keys, from) => chunks(keys)
                .scan(*from, |from, keys| {
                    let part = Load::Churn(keys, *from);
                    *from += keys.len() as u64;
                    Some(part)
                })
                .collect(),
        }
    }
}

/// What a turn came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) ops: u64,
    pub(crate) hits: u64,
    pub(crate) time: Duration,
}

impl Turn {
    pub(crate) fn per_second(&self) -> f64 {
        self.ops as f64 / self.time.as_secs_f64()
    }
}

/// A participant together with the loops, compiled for it.
pub(crate) trait Driven: Contender {
    /// Does all of a load; the number of reads that hit.
    fn run(&mut self, load: &Load<'_>) -> u64;

    /// As `run`, with the time of each operation noted, until `until` has passed.
    fn run_noting(&mut self, load: &Load<'_>, times: &mut Histogram, until: Option<Instant>);

    /// Writes these keys with one deadline.
    fn fill_until(&mut self, keys: Range<u64>, deadline: Deadline);
}

impl<C: Contender> Driven for C {
    fn run(&mut self, load: &Load<'_>) -> u64 {
        if let Load::GetBatch(keys) = load {
            let mut batch = [[0; KEY_BYTES]; BATCH];
            let mut hits = 0;
            for numbers in keys.chunks(BATCH) {
                for (key_of, &number) in batch.iter_mut().zip(numbers) {
                    *key_of = key(number.into());
                }
                hits += self.get_batch(&batch[..numbers.len()]);
            }
            return hits;
        }
        each(self, load, &mut Unheeded)
    }

    fn run_noting(&mut self, load: &Load<'_>, times: &mut Histogram, until: Option<Instant>) {
        let last = Instant::now();
        each(self, load, &mut Noted { times, last, until });
    }

    fn fill_until(&mut self, keys: Range<u64>, deadline: Deadline) {
        for number in keys {
            self.insert_until(&key(number), &value(number), deadline);
        }
    }
}

/// Who is told of what is done one by one.
trait Pace {
    /// The keys of the next operations have been made.
    fn ready(&mut self);
    /// An operation is done; whether to go on.
    fn done(&mut self) -> bool;
}

struct Unheeded;

impl Pace for Unheeded {
    fn ready(&mut self) {}

    fn done(&mut self) -> bool {
        true
    }
}

struct Noted<'a> {
    times: &'a mut Histogram,
    last: Instant,
    until: Option<Instant>,
}

impl Pace for Noted<'_> {
    fn ready(&mut self) {
        self.last = Instant::now();
    }

    fn done(&mut self) -> bool {
        let now = Instant::now();
        self.times.note(now - self.last);
        self.last = now;
        self.until.is_none_or(|until| now < until)
    }
}

/// A key to read and one to write, with what is written.
type Step = ([u8; KEY_BYTES], [u8; KEY_BYTES], [u8; VALUE_BYTES]);

/// Does a load one by one; the number of reads that hit.
#[inline(always)]
fn each<C: Contender>(cache: &mut C, load: &Load<'_>, pace: &mut impl Pace) -> u64 {
    let mut hits = 0;
    let mut get = |cache: &mut C, key: &[u8]| {
        let found = black_box(cache.get(key)).is_some();
        hits += u64::from(found);
        found
    };
    match load {
        Load::Insert(keys) => steps(
            keys.clone().map(|number| (number, number)),
            pace,
            |pace, _, step| {
                cache.insert(&step.1, &step.2);
                pace.done()
            },
        ),
        Load::Get(keys) | Load::GetBatch(keys) => steps(numbers(keys), pace, |pace, _, step| {
            get(cache, &step.0);
            pace.done()
        }),
        Load::GetOrInsert(keys) => steps(numbers(keys), pace, |pace, _, step| {
            if !get(cache, &step.0) {
                cache.insert(&step.1, &step.2);
            }
            pace.done()
        }),
        Load::Mixed(keys) => steps(numbers(keys), pace, |pace, turn, step| {
            if turn % 10 == 9 {
                cache.insert(&step.1, &step.2);
            } else {
                get(cache, &step.0);
            }
            pace.done()
        }),
        Load::Churn(keys, from) => {
            let pairs = numbers(keys).zip(*from..).map(|((read, _), fresh)| (read, fresh));
            steps(pairs, pace, |pace, _, step| {
                get(cache, &step.0);
                let more = pace.done();
                cache.insert(&step.1, &step.2);
                pace.done() && more
            });
        }
    }
    hits
}

fn numbers(keys: &[u32]) -> impl Iterator<Item = (u64, u64)> {
    keys.iter().map(|&number| (number.into(), number.into()))
}

/// Keys and values are made some dozens ahead, as they lie in the buffer of a program that has just received them: bytes that were written a moment ago one by
/// one cannot be read as words until they have left the processor's store buffer, and whoever hashes them would be measured waiting for that.
#[inline(always)]
fn steps<P: Pace>(
    mut numbers: impl Iterator<Item = (u64, u64)>,
    pace: &mut P,
    mut each: impl FnMut(&mut P, usize, &Step) -> bool,
) {
    let mut block: Vec<Step> = Vec::with_capacity(BATCH);
    let mut turn = 0;
    loop {
        block.clear();
        block.extend(
            numbers
                .by_ref()
                .take(BATCH)
                .map(|(read, write)| (key(read), key(write), value(write))),
        );
        if block.is_empty() {
            return;
        }
        pace.ready();
        for step in &block {
            if !each(pace, turn, step) {
                return;
            }
            turn += 1;
        }
    }
}

/// One turn with as many threads, of which each has its part of the load. `None` if there is no handle for a second thread.
pub(crate) fn turn(cache: &mut dyn Driven, load: &Load<'_>, threads: usize) -> Option<Turn> {
    let ops = load.ops();
    if threads == 1 {
        let began = Instant::now();
        let hits = cache.run(load);
        let time = began.elapsed();
        return Some(Turn { ops, hits, time });
    }
    let parts = load.parts(threads);
    let handles: Option<Vec<_>> = parts.iter().map(|_| cache.twin()).collect();
    let handles = handles?;
    let barrier = Barrier::new(parts.len());
    let (mut began, mut ended) = (None::<Instant>, None::<Instant>);
    let mut hits = 0;
    thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter()
            .zip(handles)
            .map(|(part, mut handle)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let began = Instant::now();
                    let hits = handle.run(part);
                    (began, Instant::now(), hits)
                })
            })
            .collect();
        for thread in threads {
            let (from, to, found) = thread.join().expect("no participant panics");
            began = Some(began.map_or(from, |began| began.min(from)));
            ended = Some(ended.map_or(to, |ended| ended.max(to)));
            hits += found;
        }
    });
    let time = ended? - began?;
    Some(Turn { ops, hits, time })
}
