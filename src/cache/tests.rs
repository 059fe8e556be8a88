//! Tests of the engine as a whole. `model` compares it with a textbook; `promises`, `deadlines` and `concurrency` are named after what they
//! keep; `policies` is about what holds with each of them; `reclaiming` is about the background thread;
//! `compaction` is about the memory of what is gone; `idle`, `listener`, `iteration`, `compute` and `transactions` about what each is named after.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod build;
mod compaction;
mod compute;
mod concurrency;
mod deadlines;
mod idle;
mod iteration;
mod listener;
mod loading;
mod looking;
mod model;
mod policies;
mod promises;
mod reclaiming;
mod reserving;
#[cfg(feature = "daemon")]
mod transactions;

use std::time::Duration;

use super::{Cache, Clock, Cursor, Entry, Expiry, ManualClock, SetOptions};

const PLAIN: SetOptions = SetOptions {
    tag: super::Tag::BYTES,
    expiry: Expiry::Default,
    condition: super::Condition::Always,
};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A cache of one list on a clock that stands still.
fn standing(configure: impl FnOnce(super::Builder) -> super::Builder) -> (Cache, ManualClock) {
    let (clock, hands) = Clock::manual();
    (
        configure(Cache::builder().clock(clock).shards(1))
            .build()
            .unwrap(),
        hands,
    )
}

fn text(entry: Option<Entry>) -> Option<String> {
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// Waits until something holds that another thread brings about; fails after a time that no machine needs.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "not within a minute: {what}"
        );
        std::thread::sleep(millis(2));
    }
}

fn set(cache: &Cache, key: &str, value: &str) {
    assert_eq!(cache.set(key, value, PLAIN), Ok(true), "{key}");
}

/// The keys of all live entries, sorted.
fn keys(cache: &Cache) -> Vec<String> {
    let page = cache.scan(Cursor::default(), "", 1_000, false);
    let mut keys: Vec<_> = page
        .entries
        .iter()
        .map(|entry| String::from_utf8(entry.key.to_vec()).unwrap())
        .collect();
    keys.sort();
    keys
}

/// The keys of all live entries, however many.
fn keys_of_all(cache: &Cache) -> Vec<String> {
    let mut keys = Vec::new();
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        let page = cache.scan(at, "", 1_000, false);
        keys.extend(
            page.entries
                .iter()
                .map(|entry| String::from_utf8(entry.key.to_vec()).unwrap()),
        );
        cursor = page.next;
    }
    keys
}
