//! Looking at entries, and loading what may not be there.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::TypedCache;

#[test]
fn peeking_neither_counts_nor_makes_an_entry_the_most_recently_used_one() {
    let cache = Cache::builder().max_items(2).build().unwrap();
    set(&cache, "a", "1");
    set(&cache, "b", "2");
    let before = cache.stats();
    assert_eq!(cache.peek("a").unwrap().value, "1");
    assert!(cache.peek("nothing").is_none());
    assert_eq!(cache.stats(), before);
    set(&cache, "c", "3");
    assert!(cache.peek("a").is_none());
}

#[test]
fn what_a_loader_does_not_find_is_not_stored_and_asked_for_again() {
    let (cache, runs) = (Cache::builder().build().unwrap(), AtomicU32::new(0));
    let nothing = || {
        runs.fetch_add(1, Ordering::Relaxed);
        None::<&str>
    };
    assert_eq!(cache.optionally_get_with("k", nothing), None);
    assert_eq!(cache.optionally_get_with("k", nothing), None);
    assert_eq!((runs.into_inner(), cache.len()), (2, 0));
    assert_eq!(cache.optionally_get_with("k", || Some("v")).unwrap().value, "v");
    assert_eq!(
        cache.optionally_get_with("k", || None::<&str>).unwrap().value,
        "v"
    );
}

#[test]
fn a_loader_that_may_find_nothing_and_asks_for_its_own_key_does_not_wait_for_itself() {
    let cache = Cache::builder().build().unwrap();
    let outer = cache.optionally_get_with("k", || {
        assert_eq!(cache.optionally_get_with("k", || None::<&str>), None);
        cache
            .optionally_get_with("k", || Some("inner"))
            .map(|entry| entry.value)
    });
    assert_eq!(outer.unwrap().value, "inner");
}

#[test]
fn a_load_of_what_may_not_be_there_can_go_on_in_another_thread() {
    fn can_be_sent(_: impl Send) {}
    let cache = Cache::builder().build().unwrap();
    can_be_sent(cache.optionally_get_with_async("k", async || Some("v")));
    let cache = TypedCache::<u32, u32>::builder().build().unwrap();
    can_be_sent(cache.optionally_get_with_async(&1, async || Some(1)));
}
