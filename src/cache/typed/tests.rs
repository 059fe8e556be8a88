//! Tests of typed caches as a whole. `model` compares one with a textbook; `promises` are named after what they keep; `loading` is about reading through it; `panics` about code of the user's that
//! fails, `reentry` about code that calls the cache; `concurrency` has several threads; `looking` is about what neither counts nor refreshes, and about many at once; `raw` is about the lower layer.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod concurrency;
mod loading;
mod looking;
mod model;
mod panics;
mod promises;
mod raw;
mod reentry;

use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{RemovalCause, TypedBuilder, TypedCache};
use crate::{Clock, ManualClock};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A cache of one list on a clock that stands still.
fn standing<K, V>(
    configure: impl FnOnce(TypedBuilder<K, V>) -> TypedBuilder<K, V>,
) -> (TypedCache<K, V>, ManualClock)
where
    K: Hash + Eq + Send + 'static,
    V: Clone + Send + 'static,
{
    let (clock, hands) = Clock::manual();
    let builder = configure(TypedCache::builder().clock(clock).shards(1));
    (builder.build().unwrap(), hands)
}

/// What a listener was told.
type Told<K, V> = Arc<Mutex<Vec<(K, V, RemovalCause)>>>;

fn listening<K, V>(builder: TypedBuilder<K, V>) -> (TypedBuilder<K, V>, Told<K, V>)
where
    K: Send + 'static,
    V: Send + 'static,
{
    let told: Told<K, V> = Arc::default();
    let listener = {
        let told = Arc::clone(&told);
        move |key, value, cause| told.lock().unwrap().push((key, value, cause))
    };
    (builder.eviction_listener(listener), told)
}
