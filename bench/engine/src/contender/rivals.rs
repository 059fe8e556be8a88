//! The rivals, each as its documentation says to use it. All hash with ahash, as `rustcache` does, so that it is not the hash that is
//! compared; a shard, a policy or a capacity is as its default has it unless one shard is asked for.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::{Contender, Deadline, Held, Limit, Shape, Values, Weigh, alone_or_locked};
use crate::drive::Driven;

type Key = Box<[u8]>;

fn seen(value: &impl AsRef<[u8]>) -> u8 {
    value.as_ref().first().copied().unwrap_or(0)
}

/// One function for both ways of holding values.
macro_rules! either {
    ($name:ident, $generic:ident) => {
        pub(super) fn $name(shape: &Shape, values: Values) -> Box<dyn Driven> {
            match values {
                Values::Boxed => $generic::<Box<[u8]>>(shape),
                Values::Shared => $generic::<Arc<[u8]>>(shape),
            }
        }
    };
}

either!(quick_cache, make_quick_cache);
either!(quick_cache_unsync, make_quick_cache_unsync);
either!(moka, make_moka);
either!(foyer, make_foyer);
either!(lru, make_lru);
either!(hashlink, make_hashlink);

#[derive(Clone)]
struct Weigher(Weigh);

impl<V: Held> quick_cache::Weighter<Key, V> for Weigher {
    fn weight(&self, key: &Key, value: &V) -> u64 {
        self.0.of(key.len(), value.as_ref().len())
    }
}

struct QuickCache<V>(Arc<quick_cache::sync::Cache<Key, V, Weigher, RandomState>>);

fn quick_cache_options(shape: &Shape) -> quick_cache::Options {
    let mut options = quick_cache::OptionsBuilder::new();
    options
        .estimated_items_capacity(shape.limit.items())
        .weight_capacity(shape.limit.capacity());
    options.build().expect("both are set")
}

fn make_quick_cache<V: Held>(shape: &Shape) -> Box<dyn Driven> {
    Box::new(QuickCache::<V>(Arc::new(quick_cache::sync::Cache::with_options(
        quick_cache_options(shape),
        Weigher(shape.limit.weigh()),
        RandomState::new(),
        quick_cache::sync::DefaultLifecycle::default(),
    ))))
}

impl<V: Held> Contender for QuickCache<V> {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.0.get(key).map(|value| seen(&value))
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    fn len(&mut self) -> u64 {
        self.0.len() as u64
    }

    fn twin(&self) -> Option<Box<dyn Driven>> {
        Some(Box::new(QuickCache(Arc::clone(&self.0))))
    }
}

struct QuickCacheUnsync<V>(quick_cache::unsync::Cache<Key, V, Weigher, RandomState>);

fn make_quick_cache_unsync<V: Held>(shape: &Shape) -> Box<dyn Driven> {
    let cache = quick_cache::unsync::Cache::with_options(
        quick_cache_options(shape),
        Weigher(shape.limit.weigh()),
        RandomState::new(),
        quick_cache::unsync::DefaultLifecycle::default(),
    );
    alone_or_locked(shape, QuickCacheUnsync::<V>(cache))
}

impl<V: Held> Contender for QuickCacheUnsync<V> {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.0.get(key).map(seen)
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    fn len(&mut self) -> u64 {
        self.0.len() as u64
    }
}

struct Moka<V>(moka::sync::Cache<Key, V, RandomState>);

/// A value that knows when it goes, and the policy that asks it.
type Dated<V> = (V, Option<Instant>);
struct MokaUntil<V>(moka::sync::Cache<Key, Dated<V>, RandomState>);
struct AtItsDeadline;

impl<V> moka::Expiry<Key, Dated<V>> for AtItsDeadline {
    fn expire_after_create(&self, _: &Key, value: &Dated<V>, created: Instant) -> Option<Duration> {
        value
            .1
            .map(|deadline| deadline.saturating_duration_since(created))
    }

    fn expire_after_update(
        &self,
        key: &Key,
        value: &Dated<V>,
        updated: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, value, updated)
    }
}

fn moka_weight(weigh: &Weigh, key: &Key, value: &impl Held) -> u32 {
    u32::try_from(weigh.of(key.len(), value.as_ref().len())).unwrap_or(u32::MAX)
}

fn make_moka<V: Held>(shape: &Shape) -> Box<dyn Driven> {
    let weigh = shape.limit.weigh();
    let by_bytes = matches!(shape.limit, Limit::Bytes(..));
    let capacity = shape.limit.capacity();
    if shape.ttl {
        let mut builder = moka::sync::Cache::builder()
            .max_capacity(capacity)
            .expire_after(AtItsDeadline);
        if by_bytes {
            builder = builder.weigher(move |key: &Key, value: &Dated<V>| moka_weight(&weigh, key, &value.0));
        }
        return Box::new(MokaUntil(builder.build_with_hasher(RandomState::new())));
    }
    let mut builder = moka::sync::Cache::builder().max_capacity(capacity);
    if by_bytes {
        builder = builder.weigher(move |key: &Key, value: &V| moka_weight(&weigh, key, value));
    }
    Box::new(Moka(builder.build_with_hasher(RandomState::new())))
}

impl<V: Held> Contender for Moka<V> {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.0.get(key).map(|value| seen(&value))
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    fn len(&mut self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    fn maintain(&mut self) {
        self.0.run_pending_tasks();
    }

    fn twin(&self) -> Option<Box<dyn Driven>> {
        Some(Box::new(Moka(self.0.clone())))
    }
}

impl<V: Held> Contender for MokaUntil<V> {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.0.get(key).map(|value| seen(&value.0))
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), (value.into(), None));
    }

    fn insert_until(&mut self, key: &[u8], value: &[u8], deadline: Deadline) {
        self.0.insert(key.into(), (value.into(), Some(deadline.instant)));
    }

    // Not the pending work as well: that is what `maintain` is measured by.
    fn len(&mut self) -> u64 {
        self.0.entry_count()
    }

    fn maintain(&mut self) {
        self.0.run_pending_tasks();
    }
}

struct Foyer<V: Held>(foyer_memory::Cache<Key, V, RandomState>);

fn make_foyer<V: Held>(shape: &Shape) -> Box<dyn Driven> {
    let capacity = usize::try_from(shape.limit.capacity()).expect("it fits into memory");
    let weigh = shape.limit.weigh();
    let mut builder = foyer_memory::CacheBuilder::new(capacity)
        .with_hash_builder(RandomState::new())
        .with_weighter(move |key: &Key, value: &V| {
            usize::try_from(weigh.of(key.len(), value.as_ref().len())).expect("it is in memory")
        });
    if shape.one_shard {
        builder = builder.with_shards(1);
    }
    Box::new(Foyer(builder.build()))
}

impl<V: Held> Contender for Foyer<V> {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.0.get(key).map(|entry| seen(entry.value()))
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    fn len(&mut self) -> u64 {
        self.0.entries() as u64
    }

    fn twin(&self) -> Option<Box<dyn Driven>> {
        Some(Box::new(Foyer(self.0.clone())))
    }
}

/// An LRU list of somebody else that counts entries; bytes are counted around it.
struct Counted<L> {
    list: L,
    weigh: Weigh,
    /// `None` if the list itself keeps to a number of entries.
    max_weight: Option<u64>,
    weight: u64,
}

trait List<V>: Send {
    fn read(&mut self, key: &[u8]) -> Option<&V>;
    fn write(&mut self, key: Key, value: V) -> Option<V>;
    fn evict(&mut self) -> Option<(Key, V)>;
    fn count(&self) -> usize;
}

impl<V: Held> List<V> for lru::LruCache<Key, V, RandomState> {
    fn read(&mut self, key: &[u8]) -> Option<&V> {
        self.get(key)
    }

    fn write(&mut self, key: Key, value: V) -> Option<V> {
        self.put(key, value)
    }

    fn evict(&mut self) -> Option<(Key, V)> {
        self.pop_lru()
    }

    fn count(&self) -> usize {
        self.len()
    }
}

impl<V: Held> List<V> for hashlink::LruCache<Key, V, RandomState> {
    fn read(&mut self, key: &[u8]) -> Option<&V> {
        self.get(key)
    }

    fn write(&mut self, key: Key, value: V) -> Option<V> {
        self.insert(key, value)
    }

    fn evict(&mut self) -> Option<(Key, V)> {
        self.remove_lru()
    }

    fn count(&self) -> usize {
        self.len()
    }
}

/// So that `Counted` knows what its list holds.
struct Of<V, L>(L, std::marker::PhantomData<V>);

impl<V: Held, L: List<V>> Contender for Counted<Of<V, L>> {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.list.0.read(key).map(seen)
    }

    fn insert(&mut self, key: &[u8], value: &[u8]) {
        let list = &mut self.list.0;
        let Some(max_weight) = self.max_weight else {
            list.write(key.into(), value.into());
            return;
        };
        let weight = self.weigh.of(key.len(), value.len());
        // One that can never fit takes the place of nothing.
        if weight > max_weight {
            return;
        }
        let old = list.write(key.into(), value.into());
        self.weight += weight;
        self.weight -= old.map_or(0, |old| self.weigh.of(key.len(), old.as_ref().len()));
        while self.weight > max_weight {
            let (key, value) = list.evict().expect("what weighs something is there");
            self.weight -= self.weigh.of(key.len(), value.as_ref().len());
        }
    }

    fn len(&mut self) -> u64 {
        self.list.0.count() as u64
    }
}

fn counted<V: Held, L: List<V> + 'static>(
    shape: &Shape,
    limited: fn(usize) -> L,
    unlimited: fn() -> L,
) -> Box<dyn Driven> {
    let (list, max_weight) = match shape.limit {
        Limit::Items(_) => (limited(shape.limit.items()), None),
        Limit::Bytes(bytes, ..) => (unlimited(), Some(bytes)),
    };
    let counted = Counted {
        list: Of(list, std::marker::PhantomData::<V>),
        weigh: shape.limit.weigh(),
        max_weight,
        weight: 0,
    };
    alone_or_locked(shape, counted)
}

fn make_lru<V: Held>(shape: &Shape) -> Box<dyn Driven> {
    counted::<V, lru::LruCache<Key, V, RandomState>>(
        shape,
        |items| {
            let items = NonZeroUsize::new(items).expect("room for one at least");
            lru::LruCache::with_hasher(items, RandomState::new())
        },
        || lru::LruCache::unbounded_with_hasher(RandomState::new()),
    )
}

fn make_hashlink<V: Held>(shape: &Shape) -> Box<dyn Driven> {
    counted::<V, hashlink::LruCache<Key, V, RandomState>>(
        shape,
        |items| hashlink::LruCache::with_hasher(items, RandomState::new()),
        || hashlink::LruCache::with_hasher(usize::MAX, RandomState::new()),
    )
}
