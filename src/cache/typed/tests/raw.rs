//! The lower layer: no comparison under a lock, and still one entry for each key.

use super::*;
use crate::{Expiry, InsertOptions, Likeness, Lookup, RawWalk, RawWrite, TimeLeft};
use std::sync::atomic::{AtomicBool, Ordering};

/// Can be compared only by hand.
#[derive(Debug, Clone)]
struct Object(Arc<u32>);

impl Object {
    fn new(number: u32) -> Self {
        Object(Arc::new(number))
    }

    /// As a key of another language is compared: slowly, and without a lock.
    fn equals(&self, other: &Object) -> bool {
        self.0 == other.0
    }
}

/// All keys have one of two hashes.
fn hash(key: &Object) -> u64 {
    0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::from(*key.0 % 2 + 1))
}

type Cache = TypedCache<Object, u32>;

fn cache() -> Cache {
    // No `Hash`, no `Eq`: it is built for others, and used with this layer alone.
    let builder: TypedBuilder<Object, u32> = TypedCache::builder();
    builder.max_items(8).shards(1).build_raw().unwrap()
}

/// What is known of a key that is looked for: those that were compared with it.
struct Sought<'k> {
    key: &'k Object,
    compared: Vec<(Object, bool)>,
    comparisons: usize,
}

impl<'k> Sought<'k> {
    fn new(key: &'k Object) -> Self {
        Sought {
            key,
            compared: Vec::new(),
            comparisons: 0,
        }
    }

    fn judge(&self, other: &Object) -> Likeness {
        if Arc::ptr_eq(&other.0, &self.key.0) {
            return Likeness::Same;
        }
        match self
            .compared
            .iter()
            .find(|(seen, _)| Arc::ptr_eq(&seen.0, &other.0))
        {
            Some((_, true)) => Likeness::Same,
            Some((_, false)) => Likeness::Different,
            None => Likeness::Unknown,
        }
    }

    fn compare(&mut self, candidates: Vec<Object>) {
        assert!(!candidates.is_empty(), "unsure of nothing");
        for candidate in candidates {
            self.comparisons += 1;
            let is_equal = self.key.equals(&candidate);
            self.compared.push((candidate, is_equal));
        }
    }

    fn settle<T>(&mut self, mut attempt: impl FnMut(&Self) -> Lookup<Object, T>) -> Option<T> {
        loop {
            match attempt(self) {
                Lookup::Hit(result) => return Some(result),
                Lookup::Miss => return None,
                Lookup::Unsure(candidates) => self.compare(candidates),
            }
        }
    }
}

fn get(cache: &Cache, key: &Object) -> Option<u32> {
    Sought::new(key).settle(|sought| cache.raw_get(hash(key), |other| sought.judge(other)))
}

fn remove(cache: &Cache, key: &Object) -> Option<u32> {
    let mut sought = Sought::new(key);
    let removed = sought.settle(|sought| cache.raw_remove(hash(key), |other| sought.judge(other)));
    removed.map(|(_, value)| value)
}

fn set_if(cache: &Cache, key: &Object, value: u32, admits: impl Fn(Option<&u32>) -> bool) -> bool {
    let mut sought = Sought::new(key);
    let mut entry = (key.clone(), value);
    loop {
        let judge = |other: &Object| sought.judge(other);
        match cache.raw_insert(hash(key), 1, entry, InsertOptions::default(), judge, &admits) {
            RawWrite::Stored => return true,
            RawWrite::Refused => return false,
            RawWrite::TooHeavy(refused) => panic!("{refused}"),
            RawWrite::Unsure(key, value, candidates) => {
                entry = (key, value);
                sought.compare(candidates);
            }
        }
    }
}

fn set(cache: &Cache, key: Object, value: u32) {
    assert!(set_if(cache, &key, value, |_| true));
}

#[test]
fn keys_are_told_apart_and_found_by_identity_or_by_comparison() {
    let cache = cache();
    let keys: Vec<_> = (0..6).map(Object::new).collect();
    for key in &keys {
        set(&cache, key.clone(), *key.0);
    }
    for key in &keys {
        assert_eq!(get(&cache, key), Some(*key.0));
        assert_eq!(get(&cache, &Object::new(*key.0)), Some(*key.0));
    }
    assert_eq!(get(&cache, &Object::new(77)), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.items), (12, 1, 6));
    set(&cache, Object::new(3), 33);
    assert_eq!((get(&cache, &keys[3]), cache.len()), (Some(33), 6));
    cache.validate();
}

#[test]
fn only_what_cannot_be_told_otherwise_is_handed_out_to_be_compared() {
    let cache = cache();
    for number in [1, 3, 5] {
        set(&cache, Object::new(number), number);
    }
    let key = Object::new(3);
    let (mut sought, mut rounds) = (Sought::new(&key), 0);
    let found = sought.settle(|sought| {
        rounds += 1;
        cache.raw_get(hash(&key), |other| sought.judge(other))
    });
    assert_eq!((found, rounds, sought.comparisons), (Some(3), 2, 3));
    // A judge that knows of each key leaves nothing to compare.
    let knows = |other: &Object| match other.equals(&key) {
        true => Likeness::Same,
        false => Likeness::Different,
    };
    assert!(matches!(cache.raw_get(hash(&key), knows), Lookup::Hit(3)));
    let other = Object::new(2);
    assert!(matches!(cache.raw_get(hash(&other), knows), Lookup::Miss));
}

#[test]
fn a_key_that_came_meanwhile_is_compared_before_anything_is_written_beside_it() {
    let cache = cache();
    let key = Object::new(1);
    let sought = Sought::new(&key);
    set(&cache, Object::new(1), 1);
    let entry = (key.clone(), 2);
    let judge = |other: &Object| sought.judge(other);
    let outcome = cache.raw_insert(hash(&key), 1, entry, InsertOptions::default(), judge, |_| true);
    let RawWrite::Unsure(_, 2, candidates) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(candidates.len(), 1);
    assert_eq!((get(&cache, &key), cache.len()), (Some(1), 1));
}

#[test]
fn a_write_is_done_only_if_what_is_there_admits_it() {
    let cache = cache();
    let key = Object::new(1);
    assert!(!set_if(&cache, &key, 1, |old| old.is_some()));
    assert!(set_if(&cache, &key, 1, |old| old.is_none()));
    assert!(!set_if(&cache, &key, 2, |old| old == Some(&7)));
    assert!(set_if(&cache, &key, 2, |old| old == Some(&1)));
    assert_eq!(remove(&cache, &Object::new(1)), Some(2));
    assert_eq!((remove(&cache, &key), cache.len()), (None, 0));
}

#[test]
fn what_expires_is_gone_for_the_lower_layer_too_and_can_be_kept_by_touching_it() {
    let (clock, hands) = Clock::manual();
    let builder: TypedBuilder<Object, u32> = TypedCache::builder();
    let cache = builder.shards(1).clock(clock).build_raw().unwrap();
    let (kept, lost) = (Object::new(1), Object::new(3));
    let second = Duration::from_secs(1);
    for (key, value) in [(&kept, 1), (&lost, 3)] {
        let same = |_: &Object| Likeness::Different;
        let written = cache.raw_insert(
            hash(key),
            1,
            (key.clone(), value),
            InsertOptions::ttl(second),
            same,
            |_| true,
        );
        assert!(matches!(written, RawWrite::Stored));
    }
    let touch = |key: &Object, expiry| {
        Sought::new(key).settle(|sought| cache.raw_touch(hash(key), expiry, |other| sought.judge(other)))
    };
    let peek = |key: &Object| {
        Sought::new(key).settle(|sought| cache.raw_peek(hash(key), |other| sought.judge(other)))
    };
    assert_eq!(touch(&kept, Expiry::After(3 * second)), Some(()));
    hands.advance(second);
    assert_eq!(peek(&Object::new(1)), Some((1, TimeLeft::Left(2 * second))));
    assert_eq!(
        (peek(&lost), touch(&lost, Expiry::Never), remove(&cache, &lost)),
        (None, None, None)
    );
    assert_eq!(touch(&kept, Expiry::After(Duration::ZERO)), Some(()));
    assert_eq!((get(&cache, &kept), cache.len()), (None, 0));
    cache.validate();
}

#[test]
fn the_coldest_is_what_would_be_evicted_next_and_looking_at_it_changes_nothing() {
    let cache = cache();
    assert!(cache.raw_coldest().is_none());
    let keys: Vec<Object> = (0..3).map(Object::new).collect();
    for (key, value) in keys.iter().zip(0..) {
        set(&cache, key.clone(), value);
    }
    get(&cache, &keys[0]);
    let before = cache.stats();
    for _ in 0..2 {
        assert_eq!(cache.raw_coldest().map(|(_, value)| value), Some(1));
    }
    assert_eq!(cache.stats(), before);
    remove(&cache, &keys[1]);
    assert_eq!(cache.raw_coldest().map(|(_, value)| value), Some(2));
}

#[test]
fn a_walk_shows_what_is_there_and_the_collector_sees_it_as_well() {
    let cache = cache();
    for number in 0..5 {
        set(&cache, Object::new(number), number);
    }
    let mut walk = RawWalk::begin();
    let mut seen = Vec::new();
    loop {
        let piece = cache.raw_walk(&mut walk);
        if piece.is_empty() {
            break;
        }
        seen.extend(piece.into_iter().map(|(_, value, _)| value));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    let mut sum = 0;
    let shown = cache.raw_try_each(|_, value| {
        sum += value;
        if *value < 100 { Ok(()) } else { Err(()) }
    });
    assert_eq!((shown, sum), (Ok(()), 10));
    drop(cache.raw_try_clear());
    assert_eq!(cache.len(), 0);
}

#[test]
fn what_expires_in_the_background_is_dropped_by_the_attendant_alone() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let builder: TypedBuilder<Object, u32> = TypedCache::builder();
    let attended = Arc::new(AtomicBool::new(false));
    let is_attended = Arc::clone(&attended);
    let builder = builder.shards(1).attendant(move |step| {
        is_attended.store(true, Ordering::SeqCst);
        while step() {}
        is_attended.store(false, Ordering::SeqCst);
    });
    let cache = builder
        .eviction_listener(move |_, _, cause| {
            let _ = sender.send((cause, attended.load(Ordering::SeqCst)));
        })
        .build_raw()
        .unwrap();
    for number in 0..500 {
        let key = Object::new(number);
        let options = InsertOptions::ttl(Duration::from_millis(1));
        let different = |_: &Object| Likeness::Different;
        cache.raw_insert(
            u64::from(number) << 8,
            1,
            (key, number),
            options,
            different,
            |_| true,
        );
    }
    for _ in 0..500 {
        let told = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(told, (RemovalCause::Expired, true));
    }
}

#[test]
fn threads_that_write_the_same_keys_leave_one_entry_for_each() {
    let cache = cache();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for turn in 0..2_000 {
                    let number = (turn * 7 + thread) % 5;
                    set(cache, Object::new(number), number);
                    if let Some(found) = get(cache, &Object::new(number)) {
                        assert_eq!(found, number);
                    }
                }
            });
        }
    });
    cache.validate();
    assert_eq!(cache.len(), 5);
}
