//! `rustcache` as a program calls it: public functions only.

use rustcache::{Builder, Cache, Expiry, SetOptions};

use super::{Contender, Deadline, Limit, Shape};
use crate::drive::Driven;
use crate::workload::KEY_BYTES;

pub(super) fn ours(shape: &Shape, configure: fn(Builder) -> Builder) -> Box<dyn Driven> {
    let builder = configure(Cache::builder());
    let builder = match shape.limit {
        Limit::Items(items) => builder.max_items(items),
        Limit::Bytes(bytes, ..) => builder.max_bytes(bytes),
    };
    let builder = if shape.one_shard {
        builder.shards(1)
    } else {
        builder
    };
    Box::new(Ours {
        cache: builder.build().expect("the limits are in range"),
    })
}

struct Ours {
    cache: Cache,
}

impl Contender for Ours {
    fn get(&mut self, key: &[u8]) -> Option<u8> {
        self.cache
            .get(key)
            .map(|entry| entry.value.first().copied().unwrap_or(0))
    }

    fn get_batch(&mut self, keys: &[[u8; KEY_BYTES]]) -> u64 {
        let entries = self.cache.get_many(keys);
        let mut hits = 0;
        for entry in entries.iter().flatten() {
            std::hint::black_box(entry.value.first());
            hits += 1;
        }
        hits
    }

    // An entry that can never fit is refused, which is a miss the next time: no other participant says more.
    fn insert(&mut self, key: &[u8], value: &[u8]) {
        let _ = self.cache.set(key, value, SetOptions::default());
    }

    fn insert_until(&mut self, key: &[u8], value: &[u8], deadline: Deadline) {
        let options = SetOptions::default().with_expiry(Expiry::At(deadline.unix_millis));
        let _ = self.cache.set(key, value, options);
    }

    fn len(&mut self) -> u64 {
        self.cache.len()
    }

    fn twin(&self) -> Option<Box<dyn Driven>> {
        Some(Box::new(Ours {
            cache: self.cache.clone(),
        }))
    }
}
