//! Code of the user's that calls the cache from where it is called by the cache. None of it may wait for itself; each test would hang if it did.

use super::*;
use crate::InsertOptions;

/// Calls a cache when it is dropped.
#[derive(Clone)]
struct Caller {
    cache: Arc<Mutex<Option<TypedCache<u32, Caller>>>>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        let cache = self.cache.lock().unwrap().clone();
        if let Some(cache) = cache {
            assert!(!cache.contains(&1_000_000));
            cache.stats();
        }
    }
}

#[test]
fn a_drop_may_call_the_cache() {
    let (cache, hands) = standing(|builder| builder.max_items(10));
    let slot = Arc::new(Mutex::new(None));
    let caller = || Caller {
        cache: Arc::clone(&slot),
    };
    *slot.lock().unwrap() = Some(cache.clone());
    for key in 0..20 {
        cache.insert(key, caller());
        cache.insert(key, caller());
    }
    drop(cache.get(&19));
    drop(cache.remove(&19));
    drop(cache.get_many(&[18, 17]));
    cache.retain(|&key, _| key != 18);
    cache
        .insert_with(17, caller(), InsertOptions::ttl(millis(1)))
        .unwrap();
    cache
        .insert_with(16, caller(), InsertOptions::ttl(millis(0)))
        .unwrap();
    hands.advance(millis(1));
    cache.run_pending();
    cache.clear();
    *slot.lock().unwrap() = None;
    cache.validate();
}

#[test]
fn a_weigher_may_call_the_cache() {
    let slot: Arc<Mutex<Option<TypedCache<u32, u32>>>> = Arc::default();
    let weigher = {
        let slot = Arc::clone(&slot);
        move |key: &u32, _: &u32| {
            let cache = slot.lock().unwrap().clone();
            cache.map_or(1, |cache| {
                cache.get(&(key - 1)).map_or(1, u64::from) + cache.len()
            })
        }
    };
    let (cache, _) = standing(|builder| builder.max_weight(1_000).weigher(weigher));
    cache.insert(1, 7);
    *slot.lock().unwrap() = Some(cache.clone());
    cache.insert(2, 8);
    assert_eq!(cache.stats().bytes, 1 + 7 + 1);
    *slot.lock().unwrap() = None;
}

#[test]
fn a_listener_may_call_the_cache_and_make_more_entries_leave() {
    let slot: Arc<Mutex<Option<TypedCache<u32, u32>>>> = Arc::default();
    let told: Told<u32, u32> = Arc::default();
    let listener = {
        let (slot, told) = (Arc::clone(&slot), Arc::clone(&told));
        move |key: u32, value, cause| {
            told.lock().unwrap().push((key, value, cause));
            let cache = slot.lock().unwrap().clone();
            // The first that goes comes back once, and makes the next one go.
            if let Some(cache) = cache.filter(|_| value == 0) {
                cache.insert(key, 1);
            }
        }
    };
    let (cache, _) = standing(|builder| builder.max_items(2).eviction_listener(listener));
    *slot.lock().unwrap() = Some(cache.clone());
    cache.insert(1, 0);
    cache.insert(2, 0);
    cache.insert(3, 0);
    let keys: Vec<_> = told
        .lock()
        .unwrap()
        .iter()
        .map(|&(key, value, _)| (key, value))
        .collect();
    assert_eq!(keys, [(1, 0), (2, 0), (3, 0), (1, 1)]);
    assert_eq!((cache.get(&2), cache.get(&3)), (Some(1), Some(1)));
    *slot.lock().unwrap() = None;
}

#[test]
fn closures_may_call_the_cache() {
    let (cache, _) = standing(|builder| builder);
    for key in 0..1_000 {
        cache.insert(key, key);
    }
    cache.retain(|key, _| {
        cache.insert(key + 10_000, 0);
        cache.remove(key).is_none()
    });
    cache.invalidate_if(|key, _| cache.get(key).is_none());
    for (key, _) in cache.iter() {
        cache.remove(&key);
    }
    assert_eq!(
        cache.entry(5).or_insert_with(|| cache.entry(6).or_insert(1) + 1),
        2
    );
    assert_eq!(
        cache.entry(5).compute(|_| {
            cache.remove(&6);
            crate::Op::Remove
        }),
        None
    );
    assert_eq!(cache.len(), 0);
    cache.validate();
}

#[test]
fn a_listener_that_writes_each_time_is_never_called_from_within_itself() {
    const WRITES: u32 = 100_000;
    let slot: Arc<Mutex<Option<TypedCache<u32, u32>>>> = Arc::default();
    let told = Arc::new(Mutex::new(0));
    let listener = {
        let (slot, told) = (Arc::clone(&slot), Arc::clone(&told));
        move |key, value, _| {
            // Held all the while: a call from within would wait for itself.
            let mut told = told.try_lock().expect("not from within itself");
            *told += 1;
            let cache = slot.lock().unwrap().clone();
            if let Some(cache) = cache.filter(|_| *told < WRITES) {
                cache.insert(key, value);
            }
        }
    };
    let (cache, _) = standing(|builder| builder.max_items(1).eviction_listener(listener));
    *slot.lock().unwrap() = Some(cache.clone());
    cache.insert(1, 1);
    cache.insert(2, 2);
    assert_eq!(*told.lock().unwrap(), WRITES);
    *slot.lock().unwrap() = None;
}

#[test]
fn what_leaves_another_cache_by_a_listener_is_told_in_its_turn() {
    let bytes_told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&bytes_told);
    let bytes = crate::Cache::builder()
        .max_items(1)
        .eviction_listener(move |key, _, _| telling.lock().unwrap().push(key.to_vec()))
        .build()
        .unwrap();
    let listener = {
        let (bytes, bytes_told) = (bytes.clone(), Arc::clone(&bytes_told));
        move |key: u8, _: u8, _| {
            // It would wait for itself, if the other listener were called now.
            let _told = bytes_told.lock().unwrap();
            bytes.set([key], "v", Default::default()).unwrap();
        }
    };
    let (cache, _) = standing(|builder| builder.max_items(1).eviction_listener(listener));
    for key in 0..4 {
        cache.insert(key, 0);
    }
    assert_eq!(*bytes_told.lock().unwrap(), [[0], [1]]);
}
