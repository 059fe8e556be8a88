//! How much a session has done, and how long it took, for other threads to read while it goes on. Of most commands only that there was one is counted: looking at
//! the clock takes a good part of what a read in a batch takes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::histogram::{Counts, Histogram};
use crate::protocol::command::Command;

/// One command of so many is timed, and looked at. A prime, so that clients which take turns are all seen.
pub(crate) const TIMED_OF: u32 = 251;
/// Keys that are kept between two looks at them, and the longest.
const MOST_READS: usize = 1024;
const LONGEST_READ: usize = 1024;

/// What commands are told by.
pub(crate) const KINDS: [&str; 8] = ["get", "set", "delete", "batch", "keys", "clear", "incr", "other"];

fn kind(command: &Command<'_>) -> usize {
    match command {
        Command::Get { .. } => 0,
        Command::Set { .. } | Command::CompareAndSet { .. } => 1,
        Command::Remove { .. } | Command::Take { .. } => 2,
        Command::GetMany(_) | Command::SetMany(_) | Command::RemoveMany(_) => 3,
        Command::Scan { .. } => 4,
        Command::Clear { .. } => 5,
        Command::Increment { .. } => 6,
        _ => 7,
    }
}

/// Counters of a session: how many commands there were, as of the end of its last round.
#[derive(Debug)]
pub struct Traffic {
    commands: AtomicU64,
    refusals: AtomicU64,
    /// Of one command in `TIMED_OF`, by kind, in the order of `KINDS`.
    latencies: [Histogram; KINDS.len()],
    /// Whether somebody asks for `reads`.
    is_watched: AtomicBool,
    reads: Mutex<Reads>,
}

/// Keys that were read, of those commands that were looked at.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) keys: Vec<Box<[u8]>>,
    /// How many there were: more than are kept, perhaps.
    pub(crate) seen: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            commands: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            latencies: std::array::from_fn(|_| Histogram::new()),
            is_watched: AtomicBool::new(false),
            reads: Mutex::default(),
        }
    }
}

impl Traffic {
    /// Commands answered.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Those of them that were answered with an error.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, commands: u64, refusals: u64) {
        self.commands.store(commands, Ordering::Relaxed);
        self.refusals.store(refusals, Ordering::Relaxed);
    }

    /// By kind, of one command in `TIMED_OF`.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = (&'static str, Counts)> {
        KINDS
            .into_iter()
            .zip(self.latencies.iter().map(Histogram::counts))
    }

    /// One that was looked at is done.
    #[cold]
    pub(super) fn took(&self, command: &Command<'_>, took: Duration) {
        self.latencies[kind(command)].record(took);
        if !self.is_watched.load(Ordering::Relaxed) {
            return;
        }
        // Whoever finds it locked leaves one out.
        if let Ok(mut reads) = self.reads.try_lock() {
            match command {
                Command::Get { key, .. } => reads.add(key),
                Command::GetMany(keys) => keys.iter().for_each(|key| reads.add(key)),
                _ => {}
            }
        }
    }

    /// From now on, somebody asks which keys are read.
    pub(crate) fn watch(&self) {
        self.is_watched.store(true, Ordering::Relaxed);
    }

    /// The keys that were read since this was last called.
    pub(crate) fn take_reads(&self) -> Reads {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *reads)
    }
}

impl Reads {
    fn add(&mut self, key: &[u8]) {
        self.seen += 1;
        if self.keys.len() < MOST_READS && key.len() <= LONGEST_READ {
            self.keys.push(key.into());
        }
    }

    /// How many reads each of the keys stands for.
    pub(crate) fn weight(&self) -> u64 {
        u64::from(TIMED_OF) * self.seen / (self.keys.len() as u64).max(1)
    }
}
