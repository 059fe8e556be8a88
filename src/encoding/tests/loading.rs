//! A view loads what is missing once, and takes what it cannot read for missing.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::EncodedLoadError;

use super::*;

#[test]
fn many_who_ask_at_once_run_one_loader() {
    let cache = Cache::builder().build().unwrap();
    let (squares, runs, all_there) = (
        cache.encoded::<u64>("square:"),
        AtomicU32::new(0),
        Barrier::new(4),
    );
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                all_there.wait();
                let square = squares.get_with("7", || {
                    runs.fetch_add(1, Ordering::Relaxed);
                    49
                });
                assert_eq!(square, Ok(49));
            });
        }
    });
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(cache.get_as::<u64>("square:7"), Ok(Some(49)));
}

#[test]
fn what_cannot_be_read_is_loaded_anew_and_written_over() {
    let cache = Cache::builder().build().unwrap();
    let ages = cache.encoded::<u32>("age:");
    cache
        .set_as("age:ada", "of another type", SetOptions::default())
        .unwrap();
    cache
        .set("age:grace", "of another tag", SetOptions::default())
        .unwrap();
    for (name, age) in [("ada", 36), ("grace", 85)] {
        assert_eq!(ages.get_with(name, || age), Ok(age));
        assert_eq!(ages.get(name), Ok(Some(age)));
    }
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_loader_that_fails_leaves_what_could_not_be_read_removed_and_nothing_written() {
    let cache = Cache::builder().build().unwrap();
    let ages = cache.encoded::<u32>("age:");
    let failed = ages.try_get_with("ada", || "unknown".parse::<u32>());
    assert!(matches!(failed, Err(EncodedLoadError::Failed(_))), "{failed:?}");
    assert!(cache.is_empty());
    let wide = cache.encoded::<u128>("wide:");
    assert!(matches!(
        wide.get_with("1", || 1),
        Err(EncodingError::Encode { .. })
    ));
    let refused = wide.try_get_with("1", || Ok::<_, String>(1));
    assert!(
        matches!(refused, Err(EncodedLoadError::Encoding(_))),
        "{refused:?}"
    );
    assert!(cache.is_empty());
}

#[test]
fn a_loader_that_asks_for_its_own_key_does_not_wait_for_itself() {
    let cache = Cache::builder().build().unwrap();
    let ages = cache.encoded::<u32>("age:");
    let mut inner = None;
    let outer = ages.get_with("ada", || {
        inner = Some(ages.try_get_with("ada", || Ok::<_, String>(1)));
        ages.get_with("ada", || 2).unwrap() + 1
    });
    assert_eq!(outer, Ok(3));
    assert!(
        matches!(inner, Some(Err(EncodedLoadError::Reentrant))),
        "{inner:?}"
    );
    assert_eq!(ages.get("ada"), Ok(Some(3)));
}

#[test]
fn a_load_by_a_task_can_go_on_in_another_thread() {
    fn can_be_sent(_: impl Send) {}
    let cache = Cache::builder().build().unwrap();
    let ages = cache.encoded::<u32>("age:");
    can_be_sent(ages.get_with_async("ada", async || 36));
    can_be_sent(ages.try_get_with_async("ada", async || "36".parse::<u32>()));
}
