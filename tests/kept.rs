//! What holds of a cache in a directory that has a time to idle, or a listener.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustcache::{Cache, Clock, Expiry, OnDamage, Op, RemovalCause, SetOptions, TimeLeft, WeakCache};

/// Removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("rustcache-kept-{name}-{}", std::process::id()));
        Scratch(directory)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_ttl_is_kept_on_disk_and_the_time_to_idle_counts_anew() {
    let scratch = Scratch::new("idle");
    let (clock, hands) = Clock::manual();
    // The files have times of the system's, and what is written in the future is not trusted.
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let ahead = i64::try_from(today).unwrap() - i64::try_from(clock.unix_millis()).unwrap();
    hands.jump_wall_clock(ahead);
    let open = || {
        let builder = Cache::builder().clock(clock.clone()).time_to_idle(seconds(60));
        builder.dir(&scratch.0).open().unwrap()
    };
    let cache = open();
    cache.set("ttl", "v", SetOptions::ttl(seconds(200))).unwrap();
    cache.set("plain", "v", SetOptions::default()).unwrap();
    // Uses change nothing that is on the disk.
    for _ in 0..3 {
        hands.advance(seconds(40));
        assert!(cache.get("ttl").is_some() && cache.get("plain").is_some());
    }
    drop(cache);
    // Nothing runs, so nothing is idle; but the TTL goes on.
    hands.advance(seconds(70));
    let cache = open();
    cache.validate();
    assert_eq!(cache.time_left("plain"), Some(TimeLeft::Left(seconds(60))));
    assert!(
        matches!(cache.time_left("ttl"), Some(TimeLeft::Left(left)) if left <= seconds(10) && left > seconds(9))
    );
    hands.advance(seconds(59));
    assert!(cache.contains("plain") && !cache.contains("ttl"));
    hands.advance(seconds(1));
    assert!(!cache.contains("plain"));
}

#[test]
fn a_listener_that_writes_to_a_kept_cache_has_its_writes_kept() {
    let scratch = Scratch::new("listener");
    let (sender, receiver) = mpsc::channel();
    let cache = Cache::builder()
        .max_items(2)
        .shards(1)
        .eviction_listener(move |key, entry, cause| drop(sender.send((key, entry, cause))))
        .dir(&scratch.0)
        .open()
        .unwrap();
    for key in ["a", "b", "c"] {
        cache.set(key, "v", SetOptions::default()).unwrap();
    }
    assert!(cache.remove("b"));
    let told: Vec<_> = receiver.try_iter().map(|(key, _, cause)| (key, cause)).collect();
    assert_eq!(
        told,
        [
            ("a".into(), RemovalCause::MaxItems),
            ("b".into(), RemovalCause::Removed)
        ]
    );
}

#[test]
fn what_is_computed_restored_and_retained_is_there_after_a_restart() {
    let scratch = Scratch::new("compute");
    let open = || Cache::builder().dir(&scratch.0).open().unwrap();
    let mut image = Vec::new();
    let other = Cache::builder().build().unwrap();
    other.set("restored", "v", SetOptions::default()).unwrap();
    other.snapshot(&mut image).unwrap();

    let cache = open();
    for _ in 0..3 {
        let count = |found: Option<&rustcache::Entry>| [found.map_or(0, |entry| entry.value[0]) + 1];
        cache.entry("count").expiry(Expiry::Never).upsert(count).unwrap();
    }
    cache.set("computed away", "v", SetOptions::default()).unwrap();
    cache
        .entry("computed away")
        .compute(|_| Op::<&str>::Remove)
        .unwrap();
    cache.set("not retained", "v", SetOptions::default()).unwrap();
    assert_eq!(cache.retain(|key, _| key != b"not retained"), 1);
    assert_eq!(cache.restore(&image[..], OnDamage::Fail).unwrap().entries, 1);
    drop(cache);

    let cache = open();
    assert_eq!(cache.get("count").unwrap().value, [3]);
    assert!(cache.contains("restored"));
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_snapshot_of_a_directory_is_one_of_a_cache() {
    let scratch = Scratch::new("snapshot");
    let cache = Cache::builder().dir(&scratch.0).open().unwrap();
    cache.set("k", "v", SetOptions::default()).unwrap();
    cache.directory().unwrap().snapshot().unwrap();
    let names = std::fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("snapshot-")
    };
    let snapshot = names.into_iter().find(name).unwrap();
    let restored = Cache::builder()
        .restore(std::fs::File::open(snapshot).unwrap())
        .unwrap();
    assert_eq!(restored.get("k").unwrap().value, "v");
}

#[test]
fn times_without_end_are_no_limit() {
    let scratch = Scratch::new("no-limit");
    let open = || {
        let builder = Cache::builder()
            .dir(&scratch.0)
            .last_snapshot_within(Duration::MAX);
        builder
            .snapshot_every(Duration::MAX)
            .lock_patience(Duration::MAX)
            .open()
            .unwrap()
    };
    let cache = open();
    cache.set("a", "1", SetOptions::default()).unwrap();
    cache.close().unwrap();
    drop(cache);
    let cache = open();
    assert!(has_snapshot(&scratch));
    cache.set("b", "2", SetOptions::default()).unwrap();
    drop(cache);
    let cache = open();
    assert!(cache.contains("a") && cache.contains("b"));
}

fn has_snapshot(scratch: &Scratch) -> bool {
    let mut files = std::fs::read_dir(&scratch.0).unwrap();
    files.any(|file| {
        file.unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("snapshot-")
    })
}

/// Takes bytes, and calls a closure before the first of them.
struct Calling<F>(Option<F>, Vec<u8>);

impl<F: FnOnce()> Write for Calling<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(call) = self.0.take() {
            call();
        }
        self.1.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const ENTRIES: u32 = 5_000;

fn filled(scratch: &Scratch) -> Cache {
    let cache = Cache::builder().dir(&scratch.0).open().unwrap();
    for n in 0..ENTRIES {
        cache
            .set(n.to_le_bytes(), [7; 100], SetOptions::default())
            .unwrap();
    }
    cache
}

#[test]
fn whoever_writes_a_snapshot_slowly_keeps_neither_the_directory_nor_its_end_waiting() {
    let scratch = Scratch::new("slow");
    let cache = filled(&scratch);
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let writing = {
        let cache = cache.clone();
        std::thread::spawn(move || {
            let call = || {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
            };
            let mut writer = Calling(Some(call), Vec::new());
            let written = cache.snapshot(&mut writer).unwrap();
            (written, writer.1)
        })
    };
    has_begun.recv().unwrap();
    cache.directory().unwrap().snapshot().unwrap();
    cache.set("more", "v", SetOptions::default()).unwrap();
    cache.close().unwrap();
    go_on.send(()).unwrap();
    let (written, bytes) = writing.join().unwrap();
    assert!(written >= ENTRIES.into());
    let restored = Cache::builder().restore(&bytes[..]).unwrap();
    assert!((0..ENTRIES).all(|n| restored.contains(n.to_le_bytes())));
    drop(cache);

    let cache = Cache::builder().dir(&scratch.0).open().unwrap();
    assert_eq!(cache.len(), u64::from(ENTRIES) + 1);
}

#[test]
fn a_writer_may_have_the_directory_write_a_snapshot_of_its_own() {
    let scratch = Scratch::new("nested");
    let cache = filled(&scratch);
    let mut writer = Calling(
        Some(|| cache.directory().unwrap().snapshot().unwrap()),
        Vec::new(),
    );
    assert_eq!(cache.snapshot(&mut writer).unwrap(), u64::from(ENTRIES));
    let restored = Cache::builder().restore(&writer.1[..]).unwrap();
    assert_eq!(restored.len(), u64::from(ENTRIES));
    assert_eq!(cache.directory().unwrap().stats().snapshots, 1);
}

#[test]
fn a_listener_with_a_weak_handle_of_its_cache_does_not_keep_the_directory() {
    let scratch = Scratch::new("weak");
    let itself: Arc<OnceLock<WeakCache>> = Arc::default();
    let of_listener = Arc::clone(&itself);
    let listening = Cache::builder()
        .max_items(1)
        .eviction_listener(move |key, _, cause| {
            if let Some(cache) = of_listener.get().and_then(WeakCache::upgrade) {
                assert!(cause == RemovalCause::Replaced && cache.contains(key));
            }
        });
    let cache = listening.dir(&scratch.0).open().unwrap();
    itself.set(cache.downgrade()).unwrap();
    cache.set("evicted", "nothing", SetOptions::default()).unwrap();
    // What is written by a handle that was weak is on the disk as well.
    let strong = cache.downgrade().upgrade().unwrap();
    strong
        .set("evicted", "still nothing", SetOptions::default())
        .unwrap();
    drop((cache, strong));
    assert!(itself.get().unwrap().upgrade().is_none());
    let cache = Cache::builder().dir(&scratch.0).open().unwrap();
    assert_eq!(cache.get("evicted").unwrap().value, "still nothing");
}

#[test]
fn an_empty_path_is_told_as_what_it_is() {
    let error = Cache::builder().dir("").open().unwrap_err().to_string();
    assert!(error.contains("\"\"") && error.contains("empty path"), "{error}");
}
