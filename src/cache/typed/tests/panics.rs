//! Code of the user's that panics: the cache must be in order afterwards, and serve all others.

use std::cell::Cell;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::InsertOptions;

thread_local! {
    /// What is to panic next, and after how many times of not doing so.
    static FUSE: Cell<Option<(Where, u32)>> = const { Cell::new(None) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Hash,
    Eq,
    CloneKey,
    CloneValue,
    Drop,
    Weigher,
    Listener,
    Closure,
}

fn burn(place: Where) {
    match FUSE.get() {
        Some((armed, 0)) if armed == place => {
            FUSE.set(None);
            panic!("as asked for, in {place:?}");
        }
        Some((armed, left)) if armed == place => FUSE.set(Some((armed, left - 1))),
        _ => {}
    }
}

#[derive(Debug)]
struct Key(u32);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn(Where::Hash);
        // Some are alike, so that keys are compared in vain as well.
        (self.0 % 16).hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        burn(Where::Eq);
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Key {
        burn(Where::CloneKey);
        Key(self.0)
    }
}

/// Counts how many there are.
#[derive(Debug)]
struct Value(u32, Arc<AtomicU32>);

impl Value {
    fn new(number: u32, alive: &Arc<AtomicU32>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Value(number, Arc::clone(alive))
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        burn(Where::CloneValue);
        Value::new(self.0, &self.1)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
        if !std::thread::panicking() {
            burn(Where::Drop);
        }
    }
}

#[test]
fn a_panic_anywhere_leaves_the_cache_in_order() {
    let places = [
        Where::Hash,
        Where::Eq,
        Where::CloneKey,
        Where::CloneValue,
        Where::Drop,
        Where::Weigher,
        Where::Listener,
        Where::Closure,
    ];
    let alive = Arc::new(AtomicU32::new(0));
    let new = |number| Value::new(number, &alive);
    type Call<'a> = Box<dyn Fn(&TypedCache<Key, Value>) + 'a>;
    let calls: Vec<Call<'_>> = vec![
        Box::new(|cache| drop(cache.get(&Key(17)))),
        Box::new(|cache| drop(cache.get(&Key(99)))),
        Box::new(|cache| drop(cache.get_many(&[Key(1), Key(17), Key(33)]))),
        Box::new(|cache| cache.insert(Key(17), new(1))),
        Box::new(|cache| cache.insert(Key(97), new(2))),
        Box::new(|cache| {
            let _ = cache.insert_with(Key(18), new(3), InsertOptions::ttl(Duration::ZERO));
        }),
        Box::new(|cache| drop(cache.remove(&Key(19)))),
        Box::new(|cache| {
            cache.touch(&Key(20), crate::Expiry::After(millis(1)));
        }),
        Box::new(|cache| drop(cache.iter().collect::<Vec<_>>())),
        Box::new(|cache| {
            cache.retain(|key, _| {
                burn(Where::Closure);
                key.0 % 3 > 0
            });
        }),
        Box::new(|cache| {
            cache.entry(Key(21)).upsert(|value| {
                // Not after the new one is made: what a function was about to give is lost if the drop of an argument panics.
                drop(value);
                burn(Where::Closure);
                new(4)
            });
        }),
        Box::new(|cache| {
            cache.entry(Key(98)).or_insert_with(|| {
                burn(Where::Closure);
                new(5)
            });
        }),
        Box::new(|cache| {
            cache.entry(Key(22)).compute(|_| {
                burn(Where::Closure);
                crate::Op::Remove
            });
        }),
        Box::new(|cache| cache.run_pending()),
        Box::new(|cache| {
            cache.clear();
        }),
    ];
    let mut panics = 0;
    for place in places {
        for (number, call) in calls.iter().enumerate() {
            for after in 0..3 {
                let (cache, hands) = standing(|builder| {
                    builder
                        .max_items(40)
                        .weigher(|_, _| {
                            burn(Where::Weigher);
                            1
                        })
                        .eviction_listener(|_, _, _| burn(Where::Listener))
                });
                for key in 0..40 {
                    let options = if key % 4 == 3 {
                        InsertOptions::ttl(millis(1))
                    } else {
                        InsertOptions::default()
                    };
                    cache.insert_with(Key(key), new(key), options).unwrap();
                }
                hands.advance(millis(1));
                FUSE.set(Some((place, after)));
                panics += u32::from(catch_unwind(AssertUnwindSafe(|| call(&cache))).is_err());
                FUSE.set(None);
                let what = format!("call {number} after {after} times of {place:?}");
                cache.validate();
                cache.insert(Key(1), new(1));
                assert_eq!(cache.get(&Key(1)).map(|value| value.0), Some(1), "{what}");
                let held = cache.len();
                assert_eq!(
                    u64::from(alive.load(Ordering::SeqCst)),
                    held,
                    "values alive: {what}"
                );
                drop(cache);
                // The background thread may have the last handle for a moment.
                crate::cache::tests::eventually(&what, || alive.load(Ordering::SeqCst) == 0);
            }
        }
    }
    assert!(panics > 40, "only {panics} calls panicked");
}

#[test]
fn a_listener_that_panics_harms_nobody() {
    let told = Arc::new(AtomicU32::new(0));
    let listener = {
        let told = Arc::clone(&told);
        move |_, _, _| {
            told.fetch_add(1, Ordering::SeqCst);
            panic!("as asked for");
        }
    };
    let (cache, hands) = standing(|builder| builder.max_items(2).eviction_listener(listener));
    for key in 0..5 {
        cache
            .insert_with(key, key, InsertOptions::ttl(millis(1)))
            .unwrap();
    }
    hands.advance(millis(1));
    cache.run_pending();
    assert_eq!(told.load(Ordering::SeqCst), 5);
    assert_eq!(cache.len(), 0);
}
