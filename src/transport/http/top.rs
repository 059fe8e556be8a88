//! Which keys are read most and which entries are largest, found by looking at a few of them: what that costs has a bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use crate::protocol::media;
use crate::session::traffic::Reads;
use crate::{Cache, Cursor, TimeLeft};

use super::v1::names::{Name, seconds_left};
use super::v1::query::Number;

/// Keys that are counted at the same time: those that make up one of so many reads are found for certain.
const COUNTED: usize = 256;
/// Longer keys are not counted: so many bytes each would take too much memory.
const LONGEST_COUNTED: usize = 1024;
/// Reads of a second that are looked at, or somewhat more.
const LOOKED_AT: u64 = 1000;
/// A read counts for about so many seconds.
const WINDOW: f64 = 60.0;
/// Entries examined by one question, and the time between two that examine.
const EXAMINED: usize = 10_000;
const PAUSE: Duration = Duration::from_secs(1);
/// The largest that are remembered, and what their keys take together at most, in bytes.
const MOST: usize = 100;
const MOST_BYTES: usize = 1 << 20;
/// What is told of one but its name and type takes no more, in bytes.
const TOLD: usize = 160;
pub(super) const LIMIT: Number = Number {
    name: "limit",
    least: 1,
    most: MOST,
    by_default: 20,
};

#[derive(Debug)]
pub(super) struct Top {
    reads: AtomicU64,
    /// One of so many reads is looked at.
    every: AtomicU64,
    hot: Mutex<Hot>,
    large: Mutex<Large>,
}

#[derive(Debug, Default)]
struct Hot {
    keys: Vec<HotKey>,
    /// Reads, when the last second began.
    before: u64,
}

#[derive(Debug)]
struct HotKey {
    key: Box<[u8]>,
    /// Reads that are not forgotten yet.
    weight: f64,
}

#[derive(Debug, Default)]
struct Large {
    cursor: Cursor,
    last: Option<Instant>,
    /// Largest first.
    found: Vec<(usize, Bytes)>,
    examined: usize,
}

/// As it is written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Top")]
pub(super) struct Told {
    hottest: Vec<Hottest>,
    biggest: Vec<Biggest>,
    examined: usize,
    items: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Hottest {
    #[serde(flatten)]
    name: Name,
    reads_per_second: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Biggest {
    #[serde(flatten)]
    name: Name,
    bytes: usize,
    r#type: String,
    tag: u8,
    ttl: Option<f64>,
}

impl Told {
    /// How long it is at most when it is written.
    pub(super) fn length(&self) -> usize {
        let hottest = self.hottest.iter().map(|one| one.name.told_length() + TOLD);
        let biggest = self.biggest.iter();
        let biggest = biggest.map(|one| one.name.told_length() + 2 * one.r#type.len() + TOLD);
        hottest.chain(biggest).sum::<usize>() + TOLD
    }

    /// What it takes at most, by itself and when it is written.
    pub(super) fn needed(&self) -> usize {
        let hottest = self.hottest.iter();
        let hottest = hottest.map(|one| one.name.told_length() + size_of::<Hottest>());
        let biggest = self.biggest.iter();
        let biggest = biggest.map(|one| one.name.told_length() + one.r#type.len() + size_of::<Biggest>());
        hottest.chain(biggest).sum::<usize>() + self.length()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Top {
    pub(super) fn new() -> Self {
        Top {
            reads: AtomicU64::new(0),
            every: AtomicU64::new(1),
            hot: Mutex::default(),
            large: Mutex::default(),
        }
    }

    /// A key was read.
    pub(super) fn saw(&self, key: &[u8]) {
        let every = self.every.load(Ordering::Relaxed).max(1);
        let is_looked_at = self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(every);
        if is_looked_at && key.len() <= LONGEST_COUNTED {
            // Whoever finds it locked has seen one that is not counted.
            if let Ok(mut hot) = self.hot.try_lock() {
                hot.count(key, every);
            }
        }
    }

    /// Keys were read by the session on stdin, which looks at some of them only.
    pub(super) fn saw_elsewhere(&self, reads: &Reads) {
        let mut hot = lock(&self.hot);
        for key in &reads.keys {
            hot.count(key, reads.weight());
        }
    }

    /// A second has passed.
    pub(super) fn tick(&self) {
        let reads = self.reads.load(Ordering::Relaxed);
        let mut hot = lock(&self.hot);
        let of_this_second = reads - std::mem::replace(&mut hot.before, reads);
        // Odd, so that clients which take turns are all seen.
        self.every
            .store((of_this_second / LOOKED_AT) | 1, Ordering::Relaxed);
        for key in &mut hot.keys {
            key.weight *= 1.0 - 1.0 / WINDOW;
        }
        hot.keys.retain(|key| key.weight >= 0.5);
    }

    pub(super) fn tell(&self, cache: &Cache, limit: usize) -> Told {
        let mut large = lock(&self.large);
        if large.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            large.examine(cache);
            large.last = Some(Instant::now());
        }
        let biggest = large.verify(cache, limit);
        Told {
            hottest: lock(&self.hot).hottest(limit),
            biggest,
            examined: large.examined,
            items: cache.len(),
        }
    }
}

impl Hot {
    /// Space-Saving: a key that is not counted takes the place, and the weight, of the one that counts least.
    #[expect(clippy::cast_precision_loss, reason = "a weight")]
    fn count(&mut self, key: &[u8], reads: u64) {
        let reads = reads as f64;
        if let Some(counted) = self.keys.iter_mut().find(|counted| *counted.key == *key) {
            counted.weight += reads;
        } else if self.keys.len() < COUNTED {
            self.keys.push(HotKey {
                key: key.into(),
                weight: reads,
            });
        } else if let Some(least) = self
            .keys
            .iter_mut()
            .min_by(|one, other| one.weight.total_cmp(&other.weight))
        {
            least.key = key.into();
            least.weight += reads;
        }
    }

    fn hottest(&self, limit: usize) -> Vec<Hottest> {
        let mut keys: Vec<&HotKey> = self.keys.iter().collect();
        keys.sort_unstable_by(|one, other| other.weight.total_cmp(&one.weight));
        let told = keys.iter().take(limit).map(|key| Hottest {
            name: Name::of(&key.key),
            reads_per_second: (key.weight / WINDOW * 1000.0).round() / 1000.0,
        });
        told.collect()
    }
}

impl Large {
    fn examine(&mut self, cache: &Cache) {
        let page = cache.scan(self.cursor, [], EXAMINED, false);
        self.examined = page.entries.len();
        self.cursor = page.next.unwrap_or_default();
        for entry in page.entries {
            let bytes = entry.key.len() + entry.value_len;
            if self.found.iter().any(|(_, key)| *key == entry.key) {
                continue;
            }
            let at = self.found.partition_point(|(other, _)| *other >= bytes);
            if at < MOST {
                self.found.insert(at, (bytes, entry.key));
                self.found.truncate(MOST);
            }
        }
        let mut keys = 0;
        self.found.retain(|(_, key)| {
            keys += key.len();
            keys <= MOST_BYTES
        });
    }

    /// What is still there, as it is now.
    fn verify(&mut self, cache: &Cache, limit: usize) -> Vec<Biggest> {
        self.found.retain_mut(|(bytes, key)| {
            let Some(entry) = cache.peek(&*key) else {
                return false;
            };
            *bytes = key.len() + entry.value.len();
            true
        });
        self.found.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let told = self.found.iter().filter_map(|(_, key)| {
            // It may have gone by now.
            let entry = cache.peek(key)?;
            let (media_type, _) = media::shown(entry.tag, &entry.value);
            Some(Biggest {
                name: Name::of(key),
                bytes: key.len() + entry.value.len(),
                r#type: media_type.into_owned(),
                tag: entry.tag.0,
                ttl: match entry.time_left {
                    TimeLeft::Forever => None,
                    TimeLeft::Left(left) => Some(seconds_left(left)),
                },
            })
        });
        told.take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SetOptions;

    #[test]
    fn a_key_that_is_read_often_is_found_among_many_that_are_not() {
        let top = Top::new();
        for read in 0..20_000 {
            if read % 4 == 0 {
                top.saw(b"hot");
            } else {
                top.saw(format!("cold:{read}").as_bytes());
            }
        }
        let hottest = lock(&top.hot).hottest(1);
        assert_eq!(hottest[0].name, Name::of(b"hot"));
    }

    #[test]
    fn keys_that_are_long_themselves_are_told_up_to_a_number_of_bytes() {
        let cache = Cache::builder().build().expect("a cache");
        for number in 0..MOST {
            let key = format!("{number:0>60000}");
            cache.set(key, "", SetOptions::default()).expect("room");
        }
        let top = Top::new();
        // A question looks at so many bytes of keys, and goes on with the next.
        for _ in 0..6 {
            let told = top.tell(&cache, MOST);
            assert!((1..=MOST_BYTES / 60_000).contains(&told.biggest.len()));
            assert!(serde_json::to_vec(&told).expect("JSON").len() <= told.length());
            lock(&top.large).last = None;
        }
        assert_eq!(lock(&top.large).found.len(), MOST_BYTES / 60_000);
    }

    #[test]
    fn what_is_no_longer_read_is_forgotten() {
        let top = Top::new();
        top.saw(b"once");
        for _ in 0..120 {
            top.tick();
        }
        assert!(lock(&top.hot).hottest(10).is_empty());
    }

    #[test]
    fn the_largest_are_told_as_they_are_now_and_not_those_that_are_gone() {
        let cache = Cache::builder().build().expect("a cache");
        for (key, len) in [
            ("small", 10),
            ("large", 10_000),
            ("larger", 20_000),
            ("gone", 30_000),
        ] {
            cache.set(key, vec![0; len], SetOptions::default()).expect("room");
        }
        let top = Top::new();
        assert_eq!(top.tell(&cache, 4).biggest.len(), 4);
        cache.remove("gone");
        cache.set("larger", "", SetOptions::default()).expect("room");
        let told = top.tell(&cache, 2).biggest;
        let names: Vec<&Name> = told.iter().map(|biggest| &biggest.name).collect();
        assert_eq!(names, [&Name::of(b"large"), &Name::of(b"small")]);
        assert_eq!(told[0].bytes, 10_005);
    }
}
