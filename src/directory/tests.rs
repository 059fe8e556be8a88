//! What a cache in a directory promises to programs. What a crash leaves is a copy of the files at the moment a call has returned: nothing that is
//! still in memory is in it. `tests/persistent.rs` does the same with real deaths.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::{OnDiskError, OpenError, PersistentBuilder, Recover, SyncMode};
use crate::persist::tests::hooked_disk::{HookedDisk, no_room};
use crate::persist::tests::quick_disk::quick_disk;
use crate::persist::tests::{Scratch, contents};
use crate::{Cache, Condition, Error, Expiry, SetOptions, TimeLeft};

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// On a disk that syncs nothing: no test here pulls the plug.
fn builder(scratch: &Scratch) -> PersistentBuilder {
    let mut builder = Cache::builder().dir(scratch.path());
    builder.options.disk = quick_disk();
    builder
}

fn set(cache: &Cache, key: &str, value: &str) {
    assert_eq!(cache.set(key, value, SetOptions::default()), Ok(true), "{key}");
}

/// What would be there had the process died now.
fn after_death(scratch: &Scratch) -> Contents {
    let copy = Scratch::new();
    copy.set_files(&scratch.files());
    let cache = builder(&copy).recover(Recover::Strict).open().unwrap();
    contents(&cache)
}

fn pairs(expected: &[(&str, &str)]) -> Contents {
    let bytes = |text: &str| text.as_bytes().to_vec();
    expected
        .iter()
        .map(|(key, value)| (bytes(key), bytes(value)))
        .collect()
}

#[test]
fn each_change_is_on_the_disk_when_the_call_that_made_it_has_returned() {
    type Change = fn(&Cache);
    let changes: [(Change, &[(&str, &str)]); 13] = [
        (|cache| set(cache, "a", "1"), &[("a", "1")]),
        (
            |cache| {
                let many = ["b", "c", "d", "e"].map(|key| (key, "2", SetOptions::default()));
                assert_eq!(cache.set_many(many), vec![Ok(true); 4]);
            },
            &[("a", "1"), ("b", "2"), ("c", "2"), ("d", "2"), ("e", "2")],
        ),
        (
            |cache| assert!(cache.remove("b")),
            &[("a", "1"), ("c", "2"), ("d", "2"), ("e", "2")],
        ),
        (
            |cache| assert_eq!(cache.remove_many(["c", "x"]), [true, false]),
            &[("a", "1"), ("d", "2"), ("e", "2")],
        ),
        (
            |cache| assert!(cache.take("d").is_some()),
            &[("a", "1"), ("e", "2")],
        ),
        (
            |cache| assert_eq!(cache.increment("n", 3, Expiry::Never), Ok(3)),
            &[("a", "1"), ("e", "2"), ("n", "3")],
        ),
        (
            |cache| {
                let outcome = cache.compare_and_set("a", "1", "9", SetOptions::default());
                assert_eq!(outcome, Ok(crate::CasOutcome::Stored));
            },
            &[("a", "9"), ("e", "2"), ("n", "3")],
        ),
        (
            // One in the past: gone.
            |cache| assert!(cache.touch("n", Expiry::After(Duration::ZERO))),
            &[("a", "9"), ("e", "2")],
        ),
        (
            |cache| {
                let ttl = SetOptions::ttl(Duration::from_secs(3600));
                assert_eq!(cache.set("t", "4", ttl), Ok(true));
                assert!(cache.persist("t"));
            },
            &[("a", "9"), ("e", "2"), ("t", "4")],
        ),
        (
            |cache| assert!(!cache.remove("absent")),
            &[("a", "9"), ("e", "2"), ("t", "4")],
        ),
        (
            |cache| assert_eq!(cache.clear_prefix("t"), 1),
            &[("a", "9"), ("e", "2")],
        ),
        (|cache| assert_eq!(cache.clear(), 2), &[]),
        (|cache| set(cache, "a", "last"), &[("a", "last")]),
    ];
    for sync in [SyncMode::Always, SyncMode::EverySecond, SyncMode::Never] {
        let scratch = Scratch::new();
        let cache = builder(&scratch).sync(sync).open().unwrap();
        for (number, (change, expected)) in changes.iter().enumerate() {
            change(&cache);
            assert_eq!(
                after_death(&scratch),
                pairs(expected),
                "change {number}, {sync:?}"
            );
        }
    }
}

#[test]
fn deadlines_and_the_order_of_use_come_back() {
    let scratch = Scratch::new();
    let open = || {
        let mut builder = Cache::builder().max_items(3).dir(scratch.path());
        builder.options.disk = quick_disk();
        builder.open().unwrap()
    };
    let cache = open();
    let hour = Duration::from_secs(3600);
    set(&cache, "a", "1");
    cache.set("b", "2", SetOptions::ttl(hour)).unwrap();
    set(&cache, "c", "3");
    assert!(cache.get("a").is_some());
    cache.close().unwrap();
    let cache = open();
    assert!(matches!(cache.time_left("b"), Some(TimeLeft::Left(left)) if left < hour));
    assert_eq!(cache.time_left("a"), Some(TimeLeft::Forever));
    set(&cache, "d", "4");
    // "b" is the coldest now, since "a" was read.
    assert_eq!(contents(&cache), pairs(&[("a", "1"), ("c", "3"), ("d", "4")]));
}

#[test]
fn a_directory_has_one_cache_and_the_second_is_told_who_has_it() {
    let scratch = Scratch::new();
    let cache = builder(&scratch).open().unwrap();
    let second = builder(&scratch).open();
    let Err(error @ OpenError::InUse { .. }) = second else {
        panic!("it is taken: {second:?}");
    };
    assert!(
        error.to_string().contains("by another cache of this process"),
        "{error}"
    );
    cache.close().unwrap();
    builder(&scratch).open().unwrap();
}

#[test]
fn the_last_handle_that_is_dropped_closes_the_cache_whichever_it_is() {
    let scratch = Scratch::new();
    let cache = builder(&scratch).open().unwrap();
    let clone = cache.clone();
    set(&cache, "a", "1");
    drop(cache);
    let other = thread::spawn(move || {
        set(&clone, "b", "2");
        clone
    });
    let clone = other.join().unwrap();
    set(&clone, "c", "3");
    assert!(matches!(builder(&scratch).open(), Err(OpenError::InUse { .. })));
    drop(clone);
    let cache = builder(&scratch).open().unwrap();
    let report = cache.directory().unwrap().recovery();
    assert!(
        report.to_string().is_empty() && report.recovered() == 3,
        "{report:?}"
    );
    assert_eq!(contents(&cache), pairs(&[("a", "1"), ("b", "2"), ("c", "3")]));
}

#[test]
fn caches_of_one_process_have_nothing_in_common() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let first = builder(&one).open().unwrap();
    let second = builder(&two).sync(SyncMode::Always).open().unwrap();
    let memory = Cache::builder().build().unwrap();
    for (cache, value) in [(&first, "1"), (&second, "2"), (&memory, "3")] {
        set(cache, "key", value);
    }
    first.close().unwrap();
    second.remove("key");
    set(&second, "other", "2");
    assert_eq!(after_death(&one), pairs(&[("key", "1")]));
    assert_eq!(after_death(&two), pairs(&[("other", "2")]));
    assert_eq!(memory.get("key").unwrap().value, "3");
    memory.close().unwrap();
    set(&memory, "key", "4");
}

#[test]
fn what_was_stored_while_another_thread_closes_the_cache_is_there_and_the_rest_is_told() {
    for round in 0..20 {
        let scratch = Scratch::new();
        let cache = builder(&scratch).open().unwrap();
        let begun = AtomicUsize::new(0);
        let stored: Vec<usize> = thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let (cache, begun) = (&cache, &begun);
                    scope.spawn(move || {
                        let mut stored = 0;
                        loop {
                            let key = format!("{writer}-{stored}");
                            match cache.set(key, "v", SetOptions::default()) {
                                Ok(stored) => assert!(stored),
                                Err(Error::Closed | Error::NotDurable { .. }) => return stored,
                                Err(error) => panic!("{error}"),
                            }
                            stored += 1;
                            begun.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            while begun.load(Ordering::Relaxed) < 10 * round {
                thread::yield_now();
            }
            cache.close().unwrap();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        // Closing again does nothing, nor do handles that are left: another may have the directory.
        let reopened = builder(&scratch).recover(Recover::Strict).open().unwrap();
        let before = scratch.files();
        cache.remove("0-0");
        cache.close().unwrap();
        assert!(cache.flush().is_err() && cache.directory().unwrap().snapshot().is_err());
        drop(cache);
        assert_eq!(scratch.files(), before);
        for (writer, stored) in stored.into_iter().enumerate() {
            for number in 0..stored {
                assert!(
                    reopened.contains(format!("{writer}-{number}")),
                    "round {round}: {writer}-{number}"
                );
            }
        }
    }
}

#[test]
fn once_the_disk_has_failed_writes_are_refused_until_a_snapshot_is_complete() {
    let scratch = Scratch::new();
    let fails = Arc::new(AtomicBool::new(false));
    let mut builder = Cache::builder().dir(scratch.path());
    builder.options.disk = HookedDisk::new({
        let fails = Arc::clone(&fails);
        move |operation, _| match operation {
            "write" | "create" if fails.load(Ordering::SeqCst) => no_room(),
            _ => Ok(()),
        }
    });
    let cache = builder.open().unwrap();
    set(&cache, "a", "1");
    set(&cache, "b", "1");
    fails.store(true, Ordering::SeqCst);

    let error = cache.set("a", "2", SetOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::NotDurable { cause } if cause.contains("journal-")),
        "{error}"
    );
    let refused = cache.set("a", "3", SetOptions::default()).unwrap_err();
    assert!(matches!(refused, Error::DiskFailed { .. }), "{refused}");
    assert_eq!(
        cache.set_many([("a", "3", SetOptions::default())]),
        [Err(refused.clone())]
    );
    assert_eq!(cache.increment("n", 1, Expiry::Never), Err(refused.clone()));
    assert_eq!(
        cache.compare_and_set("a", "2", "3", SetOptions::default()),
        Err(refused)
    );
    // What cannot say no is done in memory; that it is not on the disk is told by the rest.
    assert!(cache.remove("b"));
    assert!(!cache.contains("b"));
    assert!(cache.flush().is_err());
    assert!(cache.directory().unwrap().failure().is_some());
    assert!(cache.directory().unwrap().snapshot().is_err());
    assert_eq!(after_death(&scratch), pairs(&[("a", "1"), ("b", "1")]));

    fails.store(false, Ordering::SeqCst);
    cache.directory().unwrap().snapshot().unwrap();
    cache.flush().unwrap();
    set(&cache, "c", "1");
    assert_eq!(after_death(&scratch), pairs(&[("a", "2"), ("c", "1")]));
}

#[test]
fn a_set_of_many_that_cannot_be_written_tells_so_for_each_that_was_done() {
    let scratch = Scratch::new();
    let fails = Arc::new(AtomicBool::new(false));
    let mut builder = Cache::builder().max_value_bytes(10).dir(scratch.path());
    builder.options.disk = HookedDisk::new({
        let fails = Arc::clone(&fails);
        move |operation, _| match operation {
            "write" if fails.load(Ordering::SeqCst) => no_room(),
            _ => Ok(()),
        }
    });
    let cache = builder.open().unwrap();
    fails.store(true, Ordering::SeqCst);
    let if_present = SetOptions {
        condition: Condition::IfPresent,
        ..SetOptions::default()
    };
    let results = cache.set_many([
        ("a", "1", SetOptions::default()),
        ("b", "far too long", SetOptions::default()),
        ("c", "1", if_present),
    ]);
    assert!(
        matches!(
            &results[..],
            [
                Err(Error::NotDurable { .. }),
                Err(Error::ValueTooLong { .. }),
                Ok(false)
            ]
        ),
        "{results:?}"
    );
}

#[test]
fn in_memory_mode_writes_go_on_when_the_disk_has_failed() {
    let scratch = Scratch::new();
    let mut builder = Cache::builder()
        .dir(scratch.path())
        .on_disk_error(OnDiskError::Memory);
    builder.options.disk = HookedDisk::new(|operation, name| match operation {
        "write" if name.starts_with("journal-") => no_room(),
        _ => Ok(()),
    });
    let cache = builder.open().unwrap();
    set(&cache, "a", "1");
    set(&cache, "a", "2");
    assert!(cache.directory().unwrap().failure().is_some());
    assert!(cache.close().is_err());
    assert_eq!(cache.set("a", "3", SetOptions::default()), Err(Error::Closed));
}

/// A gate at which syncs wait.
#[derive(Default)]
struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
    arrived: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let closed = self.is_closed.lock().unwrap();
        drop(self.changed.wait_while(closed, |closed| *closed).unwrap());
    }

    fn set(&self, closed: bool) {
        *self.is_closed.lock().unwrap() = closed;
        self.changed.notify_all();
    }
}

#[test]
fn with_sync_always_nothing_returns_before_the_sync_and_threads_share_one() {
    let scratch = Scratch::new();
    let gate = Arc::new(Gate::default());
    let mut builder = Cache::builder().dir(scratch.path()).sync(SyncMode::Always);
    builder.options.disk = HookedDisk::new({
        let gate = Arc::clone(&gate);
        move |operation, name| {
            if operation == "sync" && name.starts_with("journal-") {
                gate.pass();
            }
            Ok(())
        }
    });
    let cache = builder.open().unwrap();
    let syncs_before = gate.arrived.load(Ordering::SeqCst);
    gate.set(true);
    let returned = AtomicUsize::new(0);
    let write = &|key: String| {
        set(&cache, &key, "v");
        returned.fetch_add(1, Ordering::SeqCst);
    };
    thread::scope(|scope| {
        scope.spawn(|| write("first".into()));
        while gate.arrived.load(Ordering::SeqCst) == syncs_before {
            thread::yield_now();
        }
        for number in 0..8 {
            scope.spawn(move || write(number.to_string()));
        }
        // They are in memory, while the first still waits for its sync.
        while cache.len() < 9 {
            thread::yield_now();
        }
        assert_eq!(returned.load(Ordering::SeqCst), 0);
        gate.set(false);
    });
    assert_eq!(returned.load(Ordering::SeqCst), 9);
    // One for the first, one for all who waited meanwhile; or a third, for who came too late for that.
    assert!(gate.arrived.load(Ordering::SeqCst) - syncs_before <= 3);
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u8),
    SetTtl(u8, u8),
    SetMany(Vec<(u8, u8)>),
    Remove(u8),
    Take(u8),
    Increment(u8),
    Touch(u8),
    Clear,
    ClearPrefix(u8),
    Snapshot,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..8_u8;
    let step = prop_oneof![
        6 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Set(key, value)),
        2 => (key(), any::<u8>()).prop_map(|(key, value)| Step::SetTtl(key, value)),
        1 => prop::collection::vec((key(), any::<u8>()), 0..200).prop_map(Step::SetMany),
        3 => key().prop_map(Step::Remove),
        1 => key().prop_map(Step::Take),
        1 => key().prop_map(Step::Increment),
        1 => key().prop_map(Step::Touch),
        1 => Just(Step::Clear),
        1 => key().prop_map(Step::ClearPrefix),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

fn name(key: u8) -> String {
    format!("{}/{key}", key % 3)
}

fn apply(cache: &Cache, step: &Step) {
    let hour = SetOptions::ttl(Duration::from_secs(3600));
    match step {
        Step::Set(key, value) => set(cache, &name(*key), &value.to_string()),
        Step::SetTtl(key, value) => {
            cache.set(name(*key), value.to_string(), hour).unwrap();
        }
        Step::SetMany(many) => {
            let many = many
                .iter()
                .map(|&(key, value)| (name(key), value.to_string(), SetOptions::default()));
            assert!(cache.set_many(many).into_iter().all(|stored| stored == Ok(true)));
        }
        Step::Remove(key) => drop(cache.remove(name(*key))),
        Step::Take(key) => drop(cache.take(name(*key))),
        Step::Increment(key) => drop(cache.increment(name(*key), 1, Expiry::Never).unwrap()),
        Step::Touch(key) => drop(cache.touch(name(*key), Expiry::After(Duration::from_secs(60)))),
        Step::Clear => drop(cache.clear()),
        Step::ClearPrefix(key) => drop(cache.clear_prefix(format!("{}/", key % 3))),
        Step::Snapshot => {
            if let Some(directory) = cache.directory() {
                directory.snapshot().unwrap();
            }
        }
        Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The model is a cache in memory: whatever is done, a death at any moment between two calls leaves what it holds.
    #[test]
    fn a_death_between_two_calls_leaves_what_a_cache_in_memory_would_hold(steps in steps(), shards in 0..2_u32) {
        let scratch = Scratch::new();
        let open = || {
            let mut builder = Cache::builder().shards(1 << (2 * shards)).dir(scratch.path());
            builder.options.disk = quick_disk();
            builder.open().unwrap()
        };
        let model = Cache::builder().build().unwrap();
        let mut cache = open();
        for step in steps {
            if matches!(step, Step::Reopen) {
                drop(cache);
                cache = open();
            }
            apply(&cache, &step);
            apply(&model, &step);
            prop_assert_eq!(contents(&cache), contents(&model));
            prop_assert_eq!(after_death(&scratch), contents(&model), "{:?}", step);
        }
        cache.validate();
    }
}
