//! Anything that can be done to a cache, its structure checked after each step; and what it serves is what was written last, not removed and
//! not expired. The engine's own tests compare more.
#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rustcache::{Cache, CasOutcome, Clock, Condition, Cursor, Expiry, PolicyKind, SetOptions};

#[derive(Debug, Arbitrary)]
struct Input {
    max_items: Option<u8>,
    max_bytes: Option<u16>,
    shards: u8,
    policy: u8,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Set {
        key: u8,
        len: u16,
        condition: u8,
        expiry: u8,
        time: u16,
    },
    SetMany {
        /// Keys and lengths.
        entries: Vec<(u8, u16)>,
        expiry: u8,
        time: u16,
    },
    Get(u8),
    GetMany(Vec<u8>),
    Take(u8),
    Remove(u8),
    RemoveMany(Vec<u8>),
    CompareAndSet {
        key: u8,
        /// Whether what the key should hold is expected, or something else.
        right: bool,
        len: u16,
        expiry: u8,
        time: u16,
    },
    Touch {
        key: u8,
        ttl: u16,
    },
    Persist(u8),
    Increment(u8),
    Clear,
    ClearPrefix(u8),
    Scan {
        prefix: u8,
        limit: u8,
    },
    Pass(u16),
    Reclaim,
}

/// What a key holds, and when it expires, unless it was evicted.
type Model = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn key(n: u8) -> Vec<u8> {
    // Some that share prefixes, some long, some about as long as the longest that is packed.
    let len = if n < 240 { n / 3 } else { 253 + (n - 240) / 6 };
    vec![b'a' + n % 3; usize::from(len)]
}

/// Any length; but more often one at which something changes: the size class, whether an entry is packed, whether a value is shared.
fn value_len(len: u16) -> usize {
    let by = usize::from(len >> 8);
    match len % 8 {
        0 | 1 => by % 80,
        2 => 240 + by % 40,
        3 => 4_000 + by % 100,
        4 => 16_384 - 4 + by % 8,
        _ => usize::from(len),
    }
}

fuzz_target!(|input: Input| {
    let (clock, hands) = Clock::manual();
    let shards = 1 << (input.shards % 3);
    let mut builder = Cache::builder()
        .clock(clock)
        .shards(shards)
        .policy(PolicyKind::ALL[usize::from(input.policy) % PolicyKind::ALL.len()]);
    if let Some(items) = input.max_items {
        builder = builder.max_items(u64::from(items) + 4);
    }
    if let Some(bytes) = input.max_bytes {
        builder = builder.max_bytes((u64::from(bytes) + 4096) * 4);
    }
    let cache = builder.build().expect("valid options");
    let mut model = Model::new();
    let mut now = 0;
    for (number, step) in input.steps.iter().enumerate() {
        model.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| now < deadline));
        match step {
            Step::Set {
                key: n,
                len,
                condition,
                expiry,
                time,
            } => {
                let key = key(*n);
                // Of every size class, and telling which step wrote it.
                let mut value = vec![number as u8; value_len(*len)];
                if *len == u16::MAX {
                    value = vec![b'1'];
                }
                let condition = match condition % 4 {
                    0 => Condition::IfAbsent,
                    1 => Condition::IfPresent,
                    _ => Condition::Always,
                };
                let kept = deadline_held(&cache, &model, &key);
                let (expiry, deadline) = expiry_of(&cache, *expiry, *time, now, kept);
                let options = SetOptions::default()
                    .with_expiry(expiry)
                    .with_condition(condition);
                match cache.set(&key, &value, options) {
                    Ok(true) => drop(model.insert(key, (value, deadline))),
                    Ok(false) => {}
                    Err(_) => drop(model.remove(&key)),
                }
            }
            Step::SetMany {
                entries,
                expiry,
                time,
            } => {
                // Not the one that keeps what each key has.
                let expiry = [0, 1, 3, 4][usize::from(expiry % 4)];
                let (expiry, deadline) = expiry_of(&cache, expiry, *time, now, None);
                let options = SetOptions::default().with_expiry(expiry);
                let entries: Vec<_> = entries
                    .iter()
                    .map(|&(n, len)| (key(n), vec![number as u8; value_len(len)], options))
                    .collect();
                let stored =
                    cache.set_many(entries.iter().map(|(key, value, options)| (key, value, *options)));
                assert_eq!(stored.len(), entries.len());
                for ((key, value, _), stored) in entries.into_iter().zip(stored) {
                    match stored {
                        Ok(true) => drop(model.insert(key, (value, deadline))),
                        Ok(false) => panic!("there was no condition"),
                        Err(_) => drop(model.remove(&key)),
                    }
                }
            }
            Step::GetMany(keys) => {
                let found = cache.get_many(keys.iter().map(|&n| key(n)));
                assert_eq!(found.len(), keys.len());
                for (&n, found) in keys.iter().zip(found) {
                    expect(&model, &key(n), found.map(|entry| entry.value.to_vec()));
                }
            }
            Step::RemoveMany(keys) => {
                let removed = cache.remove_many(keys.iter().map(|&n| key(n)));
                assert_eq!(removed.len(), keys.len());
                for (&n, was_there) in keys.iter().zip(removed) {
                    let was_written = model.remove(&key(n)).is_some();
                    assert!(!was_there || was_written);
                    assert!(!cache.contains(key(n)));
                }
            }
            Step::CompareAndSet {
                key: n,
                right,
                len,
                expiry,
                time,
            } => {
                let key = key(*n);
                let written = model.get(&key).map(|(value, _)| value.clone());
                let expected = match &written {
                    Some(value) if *right => value.clone(),
                    _ => b"nobody writes this".to_vec(),
                };
                let value = vec![number as u8; value_len(*len)];
                let kept = deadline_held(&cache, &model, &key);
                let (expiry, deadline) = expiry_of(&cache, *expiry, *time, now, kept);
                let options = SetOptions::default().with_expiry(expiry);
                match cache.compare_and_set(&key, &expected, &value, options) {
                    Ok(CasOutcome::Stored) => {
                        assert_eq!(written, Some(expected));
                        model.insert(key, (value, deadline));
                    }
                    Ok(CasOutcome::Mismatch) => assert!(written.is_some_and(|written| written != expected)),
                    Ok(_) => assert!(!cache.contains(&key)),
                    Err(_) => drop(model.remove(&key)),
                }
            }
            Step::Persist(n) => {
                if cache.persist(key(*n)) {
                    let entry = model.get_mut(&key(*n)).expect("what was kept was written");
                    entry.1 = None;
                }
            }
            Step::Get(n) => {
                let found = cache.get(key(*n));
                expect(&model, &key(*n), found.map(|entry| entry.value.to_vec()));
            }
            Step::Take(n) => {
                let found = cache.take(key(*n));
                expect(&model, &key(*n), found.map(|entry| entry.value.to_vec()));
                model.remove(&key(*n));
                assert!(!cache.contains(key(*n)));
            }
            Step::Remove(n) => {
                let was_there = cache.remove(key(*n));
                assert!(!was_there || model.contains_key(&key(*n)));
                model.remove(&key(*n));
                assert!(!cache.contains(key(*n)));
            }
            Step::Touch { key: n, ttl } => {
                let ttl = u64::from(*ttl);
                if cache.touch(key(*n), Expiry::After(Duration::from_millis(ttl))) {
                    let entry = model.get_mut(&key(*n)).expect("what was touched was written");
                    entry.1 = Some(now + ttl);
                }
            }
            Step::Increment(n) => {
                let deadline = deadline_held(&cache, &model, &key(*n));
                if let Ok(sum) = cache.increment(key(*n), 1, Expiry::Never) {
                    model.insert(key(*n), (sum.to_string().into_bytes(), deadline));
                }
            }
            Step::Clear => {
                cache.clear();
                model.clear();
                assert!(cache.is_empty());
            }
            Step::ClearPrefix(n) => {
                let prefix = key(*n);
                cache.clear_prefix(&prefix);
                model.retain(|key, _| !key.starts_with(&prefix));
            }
            Step::Scan { prefix, limit } => {
                let prefix = key(*prefix);
                let mut cursor = Some(Cursor::default());
                let mut seen = 0;
                while let Some(at) = cursor {
                    let page = cache.scan(at, &prefix, usize::from(*limit) + 1, true);
                    for entry in page.entries {
                        assert!(entry.key.starts_with(&prefix));
                        expect(&model, &entry.key, entry.value.map(|value| value.to_vec()));
                        seen += 1;
                    }
                    cursor = page.next;
                }
                assert!(seen <= cache.len());
            }
            Step::Pass(millis) => {
                hands.advance(Duration::from_millis(u64::from(*millis)));
                now += u64::from(*millis);
            }
            Step::Reclaim => {
                cache.run_pending();
                let expected = model
                    .values()
                    .filter(|(_, deadline)| deadline.is_none_or(|at| now < at));
                assert!(cache.len() <= expected.count() as u64);
            }
        }
        cache.validate();
    }
});

/// When to expire, as the cache and as the model has it.
fn expiry_of(cache: &Cache, expiry: u8, time: u16, now: u64, kept: Option<u64>) -> (Expiry, Option<u64>) {
    let time = u64::from(time);
    match expiry % 5 {
        0 => (Expiry::Never, None),
        1 => (Expiry::After(Duration::from_millis(time)), Some(now + time)),
        2 => (Expiry::Keep, kept),
        3 => (Expiry::At(cache.clock().unix_millis() + time), Some(now + time)),
        _ => (Expiry::Default, None),
    }
}

/// The deadline that an entry has, if it was not evicted.
fn deadline_held(cache: &Cache, model: &Model, key: &[u8]) -> Option<u64> {
    let (_, deadline) = model.get(key).filter(|_| cache.contains(key))?;
    *deadline
}

/// An entry may have been evicted, but what is there is what was written last.
fn expect(model: &Model, key: &[u8], found: Option<Vec<u8>>) {
    if let Some(value) = found {
        let (expected, _) = model
            .get(key)
            .expect("what is served was written and has not expired");
        assert!(value == *expected, "another value than the last one written");
    }
}
