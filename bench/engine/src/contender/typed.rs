//! The caches of objects: what is measured of them, what they hold, and how each is called, as its documentation says to. All hash with ahash, and have as many shards as
//! they take by themselves.

use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;
use rustcache::TypedCache;

use crate::typed::Driven;
use crate::workload;

/// All that take part, ours first.
pub(crate) const PARTICIPANTS: [&str; 3] = ["rustcache typed", "quick_cache", "moka"];

type QuickCache<P> = quick_cache::sync::Cache<
    <P as Payload>::Key,
    <P as Payload>::Value,
    quick_cache::UnitWeighter,
    RandomState,
>;

/// What is kept.
pub(crate) trait Payload: Sized + 'static {
    const NAME: &'static str;
    type Key: Hash + Eq + Clone + Send + Sync + 'static;
    type Value: Clone + Send + Sync + 'static;

    fn key(number: u64) -> Self::Key;
    fn value(number: u64) -> Self::Value;

    /// The participant of this name, for so many entries.
    fn make(name: &str, capacity: u64) -> Box<dyn Driven<Self>> {
        let items = usize::try_from(capacity).expect("it fits into memory");
        match name {
            "quick_cache" => {
                let cache: QuickCache<Self> = quick_cache::sync::Cache::with(
                    items,
                    capacity,
                    quick_cache::UnitWeighter,
                    RandomState::new(),
                    quick_cache::sync::DefaultLifecycle::default(),
                );
                Box::new(cache)
            }
            "moka" => {
                let builder = moka::sync::Cache::<Self::Key, Self::Value>::builder().max_capacity(capacity);
                Box::new(builder.build_with_hasher(RandomState::new()))
            }
            _ => {
                let builder = TypedCache::<Self::Key, Self::Value>::builder().max_items(capacity);
                Box::new(builder.build().expect("the limit is in range"))
            }
        }
    }
}

/// `u64` → `u64`.
#[derive(Debug)]
pub(crate) struct Numbers;

impl Payload for Numbers {
    const NAME: &'static str = "u64 → u64";
    type Key = u64;
    type Value = u64;

    fn key(number: u64) -> u64 {
        number
    }

    fn value(number: u64) -> u64 {
        number
    }
}

/// `String` → `Arc<[u8]>`, of 20 and 56 bytes.
#[derive(Debug)]
pub(crate) struct Texts;

impl Payload for Texts {
    const NAME: &'static str = "String → Arc<[u8]>";
    type Key = String;
    type Value = Arc<[u8]>;

    fn key(number: u64) -> String {
        str::from_utf8(&workload::key(number))
            .expect("digits and letters")
            .to_owned()
    }

    fn value(number: u64) -> Arc<[u8]> {
        workload::value(number).as_slice().into()
    }
}

/// What is measured of a cache of objects.
pub(crate) trait Objects<P: Payload>: Sync {
    fn get(&self, key: &P::Key) -> Option<P::Value>;
    fn insert(&self, key: P::Key, value: P::Value);
    /// The value under the key, or that of this number, which is then there.
    fn get_or_insert(&self, key: P::Key, number: u64) -> P::Value;
}

impl<P: Payload> Objects<P> for TypedCache<P::Key, P::Value> {
    fn get(&self, key: &P::Key) -> Option<P::Value> {
        TypedCache::get(self, key)
    }

    fn insert(&self, key: P::Key, value: P::Value) {
        TypedCache::insert(self, key, value);
    }

    fn get_or_insert(&self, key: P::Key, number: u64) -> P::Value {
        self.get_with(&key, || P::value(number))
    }
}

impl<P: Payload> Objects<P> for QuickCache<P> {
    fn get(&self, key: &P::Key) -> Option<P::Value> {
        self.get(key)
    }

    fn insert(&self, key: P::Key, value: P::Value) {
        self.insert(key, value);
    }

    fn get_or_insert(&self, key: P::Key, number: u64) -> P::Value {
        let found = self.get_or_insert_with::<_, std::convert::Infallible>(&key, || Ok(P::value(number)));
        let Ok(value) = found;
        value
    }
}

impl<P: Payload> Objects<P> for moka::sync::Cache<P::Key, P::Value, RandomState> {
    fn get(&self, key: &P::Key) -> Option<P::Value> {
        self.get(key)
    }

    fn insert(&self, key: P::Key, value: P::Value) {
        self.insert(key, value);
    }

    fn get_or_insert(&self, key: P::Key, number: u64) -> P::Value {
        self.get_with(key, || P::value(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Load;

    #[test]
    fn all_find_what_was_inserted_and_insert_what_is_not_found() {
        for name in PARTICIPANTS {
            for hits in [found::<Numbers>(name), found::<Texts>(name)] {
                assert_eq!(hits, [50, 100], "{name}");
            }
        }
    }

    fn found<P: Payload>(name: &str) -> [u64; 2] {
        let cache = P::make(name, 1000);
        let keys: Vec<u32> = (0..100).collect();
        cache.run(&Load::Insert(0..50));
        let before = cache.run(&Load::Get(&keys));
        cache.run(&Load::GetOrInsert(&keys));
        [before, cache.run(&Load::Get(&keys))]
    }
}
