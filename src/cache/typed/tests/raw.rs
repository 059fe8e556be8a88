//! The lower layer: no comparison under a lock, and still one entry for each key.

use super::*;
use crate::{InsertOptions, Lookup, Raced, Ticket};

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

/// The one of the candidates that is equal, and the others.
fn compare(key: &Object, candidates: Vec<(Object, Ticket)>) -> (Option<Ticket>, Vec<Ticket>) {
    let mut equal = None;
    let mut others = Vec::new();
    for (other, ticket) in candidates {
        if key.equals(&other) {
            equal = Some(ticket);
        } else {
            others.push(ticket);
        }
    }
    (equal, others)
}

fn get(cache: &Cache, key: &Object) -> Option<u32> {
    loop {
        match cache.raw_lookup(hash(key), |other| Arc::ptr_eq(&other.0, &key.0)) {
            Lookup::Hit(value) => return Some(value),
            Lookup::Miss => return None,
            Lookup::Candidates(candidates) => match compare(key, candidates) {
                (None, _) => {
                    cache.raw_miss(hash(key));
                    return None;
                }
                (Some(ticket), _) => {
                    if let Some(value) = cache.raw_read(hash(key), ticket) {
                        return Some(value);
                    }
                }
            },
        }
    }
}

fn set(cache: &Cache, key: Object, value: u32) {
    let mut entry = (key, value);
    loop {
        let hash = hash(&entry.0);
        let (over, seen) = compare(&entry.0, cache.raw_candidates(hash));
        match cache.raw_insert(hash, entry, InsertOptions::default(), over, &seen) {
            Ok(stored) => return assert_eq!(stored, Ok(true)),
            Err(Raced { key, value }) => entry = (key, value),
        }
    }
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
fn a_ticket_is_for_what_was_seen_and_nothing_else() {
    let cache = cache();
    let key = Object::new(1);
    set(&cache, key.clone(), 1);
    let seen = cache.raw_candidates(hash(&key));
    let [(_, ticket)] = seen[..] else {
        panic!("one candidate and not {}", seen.len());
    };
    set(&cache, key.clone(), 2);
    assert_eq!(cache.raw_read(hash(&key), ticket), None);
    assert!(cache.raw_remove(hash(&key), ticket).is_none());
    let options = InsertOptions::default();
    assert!(
        cache
            .raw_insert(hash(&key), (key.clone(), 3), options, Some(ticket), &[])
            .is_err()
    );
    // And a new entry is not written beside one that was not compared.
    assert!(
        cache
            .raw_insert(hash(&key), (key.clone(), 3), options, None, &[ticket])
            .is_err()
    );
    assert_eq!(get(&cache, &key), Some(2));
    let (ticket, _) = compare(&key, cache.raw_candidates(hash(&key)));
    let removed = cache.raw_remove(hash(&key), ticket.unwrap());
    assert_eq!(removed.map(|(_, value)| value), Some(2));
    assert_eq!(cache.len(), 0);
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
