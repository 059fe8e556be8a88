//! Who takes part: one trait for what is measured, and the list of all that implement it. The only place that knows how many policies
//! `rustcache` has. How a participant is called is in `contender/`; what is done with it is not decided here.

mod ours;
mod rivals;
pub(crate) mod typed;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustcache::Builder;
use rustcache::PolicyKind;

use crate::drive::Driven;
use crate::workload::KEY_BYTES;

/// What is measured of a cache of bytes. Reads look at the value: whoever hands out a reference has not yet touched it.
pub(crate) trait Contender: Send {
    /// A byte of the value under the key.
    fn get(&mut self, key: &[u8]) -> Option<u8>;

    /// As many gets, with whatever the participant offers for many: most offer nothing. Gives the number of hits.
    fn get_batch(&mut self, keys: &[[u8; KEY_BYTES]]) -> u64 {
        let mut hits = 0;
        for key in keys {
            hits += u64::from(std::hint::black_box(self.get(key)).is_some());
        }
        hits
    }

    fn insert(&mut self, key: &[u8], value: &[u8]);

    /// Only for a participant that was built with `Shape::ttl`.
    fn insert_until(&mut self, key: &[u8], value: &[u8], deadline: Deadline) {
        let _ = deadline;
        self.insert(key, value);
    }

    /// Entries held, work that was put off included.
    fn len(&mut self) -> u64;

    /// Does work that was put off, if the participant puts any off: evictions, and the removal of expired entries.
    fn maintain(&mut self) {}

    /// Another handle to the same cache, for another thread.
    fn twin(&self) -> Option<Box<dyn Driven>> {
        None
    }
}

/// A moment, as each participant wants to be told it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) instant: Instant,
    pub(crate) unix_millis: u64,
}

/// How large a cache may grow.
#[derive(Debug, Clone)]
pub(crate) enum Limit {
    Items(u64),
    /// Bytes, and about how many entries that will be, for those who want to know.
    Bytes(u64, u64, Weigh),
}

impl Limit {
    pub(crate) fn items(&self) -> usize {
        match *self {
            Limit::Items(items) | Limit::Bytes(_, items, _) => {
                usize::try_from(items).expect("it fits into memory")
            }
        }
    }

    fn capacity(&self) -> u64 {
        match *self {
            Limit::Items(items) => items,
            Limit::Bytes(bytes, ..) => bytes,
        }
    }

    fn weigh(&self) -> Weigh {
        match self {
            Limit::Items(_) => Weigh::One,
            Limit::Bytes(_, _, weigh) => weigh.clone(),
        }
    }
}

/// What an entry counts for in a rival: `rustcache` has its own idea of that.
#[derive(Debug, Clone)]
pub(crate) enum Weigh {
    One,
    /// Key and value, and nothing for what goes around them.
    Payload,
    /// By the length of the value, for keys of one length.
    Table(Arc<HashMap<usize, u32>>),
}

impl Weigh {
    pub(crate) fn of(&self, key: usize, value: usize) -> u64 {
        match self {
            Weigh::One => 1,
            Weigh::Payload => (key + value) as u64,
            Weigh::Table(table) => u64::from(*table.get(&value).expect("every length is in the table")),
        }
    }
}

/// How a participant is built.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) limit: Limit,
    /// One shard where that can be chosen, or as many as the participant thinks fit.
    pub(crate) one_shard: bool,
    /// Whether more than one thread will use it.
    pub(crate) shared: bool,
    /// Whether entries will have deadlines.
    pub(crate) ttl: bool,
}

/// How a rival holds a value: `Box` is smallest, `Arc` is read without a copy.
pub(crate) trait Held: for<'a> From<&'a [u8]> + AsRef<[u8]> + Clone + Send + Sync + 'static {}
impl Held for Box<[u8]> {}
impl Held for Arc<[u8]> {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    Boxed,
    Shared,
}

/// A participant. Which subset takes part in what is said by the flags.
#[derive(Clone, Copy)]
pub(crate) struct Participant {
    pub(crate) name: &'static str,
    /// The package in Cargo.lock; `None` for ours, and for what is no cache.
    pub(crate) package: Option<&'static str>,
    pub(crate) kind: Kind,
    pub(crate) has_ttl: bool,
    /// Whether its hit ratio is another one than that of one before it in the list.
    pub(crate) has_own_order: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Ours(fn(Builder) -> Builder),
    Rival(fn(&Shape, Values) -> Box<dyn Driven>),
    /// Does nothing: what the loop, the clock and the machine cost.
    Nothing,
}

/// The policy that all are compared with, and the one that every user of `rustcache` has who does not choose.
pub(crate) const BASE: &str = "rustcache lru";
/// The one whose hit ratio the targets speak of.
pub(crate) const ADAPTIVE: &str = "rustcache adaptive";
pub(crate) const NOTHING: &str = "nothing";

/// A line for each policy of ours, the default one first:
/// `ours("rustcache s3-fifo", |builder| builder.policy(PolicyKind::S3Fifo))`.
const OURS: &[Participant] = &[
    ours(BASE, |builder| builder),
    ours("rustcache s3-fifo", |builder| builder.policy(PolicyKind::S3Fifo)),
    ours("rustcache tinylfu", |builder| builder.policy(PolicyKind::TinyLfu)),
    ours(ADAPTIVE, |builder| builder.policy(PolicyKind::Adaptive)),
];

/// The default policy by numbers of shards, for `Shape { one_shard: false, .. }`: the last is what a machine of 16 processors and more takes by itself.
pub(crate) const BY_SHARDS: &[Participant] = &[
    ours("1 shard", |builder| builder.shards(1)),
    ours("8 shards", |builder| builder.shards(8)),
    ours("64 shards", |builder| builder.shards(64)),
];

const RIVALS: &[Participant] = &[
    rival("quick_cache", "quick_cache", rivals::quick_cache, false),
    rival(
        "quick_cache unsync",
        "quick_cache",
        rivals::quick_cache_unsync,
        true,
    ),
    Participant {
        has_ttl: true,
        ..rival("moka", "moka", rivals::moka, true)
    },
    rival("foyer", "foyer-memory", rivals::foyer, true),
    rival("lru", "lru", rivals::lru, true),
    rival("hashlink", "hashlink", rivals::hashlink, false),
];

const fn ours(name: &'static str, configure: fn(Builder) -> Builder) -> Participant {
    Participant {
        name,
        package: None,
        kind: Kind::Ours(configure),
        has_ttl: true,
        has_own_order: true,
    }
}

const fn rival(
    name: &'static str,
    package: &'static str,
    make: fn(&Shape, Values) -> Box<dyn Driven>,
    has_own_order: bool,
) -> Participant {
    Participant {
        name,
        package: Some(package),
        kind: Kind::Rival(make),
        has_ttl: false,
        has_own_order,
    }
}

impl Participant {
    pub(crate) fn make(&self, shape: &Shape, values: Values) -> Box<dyn Driven> {
        match self.kind {
            Kind::Ours(configure) => ours::ours(shape, configure),
            Kind::Rival(make) => make(shape, values),
            Kind::Nothing => Box::new(Nothing),
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours(_))
    }
}

/// Everybody, ours first.
pub(crate) fn participants() -> Vec<Participant> {
    OURS.iter().chain(RIVALS).copied().collect()
}

pub(crate) fn nothing() -> Participant {
    Participant {
        name: NOTHING,
        package: None,
        kind: Kind::Nothing,
        has_ttl: false,
        has_own_order: false,
    }
}

pub(crate) fn named(name: &str) -> Result<Participant, String> {
    let mut all = participants();
    all.push(nothing());
    let names: Vec<_> = all.iter().map(|participant| participant.name).collect();
    let known = names.join(", ");
    all.into_iter()
        .find(|participant| participant.name == name)
        .ok_or_else(|| format!("there is no participant {name:?}: take one of {known}"))
}

/// What `rustcache` charges for entries with keys of `key` bytes and values of these lengths, asked of itself.
pub(crate) fn charges(key: usize, lengths: impl IntoIterator<Item = usize>) -> HashMap<usize, u32> {
    let cache = rustcache::Cache::builder()
        .shards(1)
        .build()
        .expect("no option is out of range");
    let key = vec![0; key];
    let mut value = Vec::new();
    let mut table = HashMap::new();
    for length in lengths {
        table.entry(length).or_insert_with(|| {
            value.resize(length.max(value.len()), 0);
            cache
                .set(&key, &value[..length], rustcache::SetOptions::default())
                .expect("there is no limit but that on the length");
            u32::try_from(cache.stats().bytes).expect("an entry of less than 4 GiB")
        });
    }
    table
}

/// A participant that is for one thread alone, for several: behind a lock, as a program would have it.
struct Locked<C>(Arc<Mutex<C>>);

impl<C: Contender + 'static> Locked<C> {
    fn with<R>(&self, f: impl FnOnce(&mut C) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<C: Contender + 'static> Contender for Locked<C> {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.with(|cache| cache.get(key))
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.with(|cache| cache.insert(key, value));
    }

    fn len(&mut self) -> u64 {
        self.with(Contender::len)
    }

    fn twin(&self) -> Option<Box<dyn Driven>> {
        Some(Box::new(Locked(Arc::clone(&self.0))))
    }
}

/// For one thread as it is, for several behind a lock.
fn alone_or_locked<C: Contender + 'static>(shape: &Shape, cache: C) -> Box<dyn Driven> {
    if shape.shared {
        Box::new(Locked(Arc::new(Mutex::new(cache))))
    } else {
        Box::new(cache)
    }
}

struct Nothing;

impl Contender for Nothing {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        key.last().copied()
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        std::hint::black_box((key, value));
    }

    fn len(&mut self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
