//! The background thread: memory comes back without any read, and nothing is held on to. (That the thread ends is seen in `tests/housekeeper.rs`,
//! where it is alone in the process.)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::super::housekeeper::{self, Watched};
use super::super::payload::SHARED_FROM;
use super::super::{Cache, Expiry, SetOptions};
use super::{PLAIN, eventually, millis, standing};

#[test]
fn memory_of_expired_entries_comes_back_without_any_read() {
    let cache = Cache::builder().shards(4).build().unwrap();
    for n in 0..5_000u64 {
        cache
            .set(n.to_string(), "v", SetOptions::ttl(millis(20 + n % 50)))
            .unwrap();
    }
    cache
        .set("live", "v", SetOptions::ttl(millis(3_600_000)))
        .unwrap();
    cache.set("for ever", "v", PLAIN).unwrap();
    eventually("expired entries are gone", || cache.len() == 2);
    let stats = cache.stats();
    assert_eq!(
        (stats.expirations, stats.items_with_deadline, stats.misses),
        (5_000, 1, 0)
    );
    assert!(stats.bytes < 1_000);
    cache.validate();
}

#[test]
fn a_deadline_by_any_operation_is_looked_after() {
    type Write = fn(&Cache);
    let writes: [(&str, Write); 6] = [
        ("set", |cache| {
            cache.set("k", "v", SetOptions::ttl(millis(5))).unwrap();
        }),
        ("set at", |cache| {
            let expiry = Expiry::At(cache.clock().unix_millis() + 5);
            cache.set("k", "v", SetOptions { expiry, ..PLAIN }).unwrap();
        }),
        ("set_many", |cache| {
            cache.set_many([("k", "v", SetOptions::ttl(millis(5)))]);
        }),
        ("touch", |cache| {
            cache.set("k", "v", PLAIN).unwrap();
            cache.touch("k", Expiry::After(millis(5)));
        }),
        ("increment", |cache| {
            cache.increment("k", 1, Expiry::After(millis(5))).unwrap();
        }),
        ("compare_and_set", |cache| {
            cache.set("k", "v", PLAIN).unwrap();
            cache
                .compare_and_set("k", "v", "w", SetOptions::ttl(millis(5)))
                .unwrap();
        }),
    ];
    let caches = writes.map(|(name, write)| (name, write, Cache::builder().build().unwrap()));
    // Twice: after the first time they are not watched any more.
    for _ in 0..2 {
        for (_, write, cache) in &caches {
            write(cache);
        }
        for (name, _, cache) in &caches {
            eventually(name, || cache.is_empty());
            eventually("nothing left to watch", || !cache.inner.watch.is_on());
        }
    }
    let cache = Cache::builder().default_ttl(millis(5)).build().unwrap();
    cache.set("k", "v", PLAIN).unwrap();
    eventually("the default TTL", || cache.is_empty());
}

#[test]
fn a_dropped_cache_is_freed_though_it_is_watched() {
    let cache = Cache::builder().build().unwrap();
    cache
        .set("k", vec![0; SHARED_FROM], SetOptions::ttl(millis(3_600_000)))
        .unwrap();
    let value = Bytes::from(cache.get("k").unwrap().value);
    let inner = Arc::downgrade(&cache.inner);
    let other_handle = cache.clone();
    drop(cache);
    assert!(other_handle.contains("k"));
    drop(other_handle);
    // The housekeeper may just be looking at it.
    eventually("the cache is freed", || {
        inner.strong_count() == 0 && value.is_unique()
    });
}

#[test]
fn what_a_cleared_cache_held_is_freed_in_the_background() {
    let (cache, _) = standing(|b| b);
    cache.set("large", vec![0; SHARED_FROM], PLAIN).unwrap();
    let value = Bytes::from(cache.get("large").unwrap().value);
    for n in 0..2_000 {
        cache.set(n.to_string(), "v", PLAIN).unwrap();
    }
    assert!(!value.is_unique());
    assert_eq!(cache.clear(), 2_001);
    eventually("the value is freed", || value.is_unique());
}

#[test]
#[cfg(target_os = "linux")]
fn many_caches_share_one_thread() {
    let caches: Vec<_> = (0..100).map(|_| Cache::builder().build().unwrap()).collect();
    for cache in &caches {
        cache.set("soon", "v", SetOptions::ttl(millis(1))).unwrap();
        cache
            .set("later", "v", SetOptions::ttl(millis(3_600_000)))
            .unwrap();
    }
    eventually("all are looked after", || {
        caches.iter().all(|cache| cache.len() == 1)
    });
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok());
    assert_eq!(
        names.filter(|name| name.starts_with("rustcache-house")).count(),
        1
    );
}

/// What no cache does: panic when it is looked after.
struct Panicking;

impl Watched for Panicking {
    fn tick(&self) -> bool {
        panic!("on purpose, in a test");
    }
}

struct Counting(AtomicUsize);

impl Watched for Counting {
    fn tick(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst) < 2
    }
}

#[test]
fn one_that_panics_does_not_keep_others_from_being_looked_after() {
    let panicking: Arc<dyn Watched> = Arc::new(Panicking);
    let counting = Arc::new(Counting(AtomicUsize::new(0)));
    let also: Arc<dyn Watched> = Arc::clone(&counting) as Arc<dyn Watched>;
    for watched in [&panicking, &also] {
        let weak: Weak<dyn Watched> = Arc::downgrade(watched);
        assert!(housekeeper::watch(weak));
    }
    eventually("three rounds, and then no more", || {
        counting.0.load(Ordering::SeqCst) == 3
    });
    let cache = Cache::builder().build().unwrap();
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    eventually("later caches as well", || cache.is_empty());
}

/// Panics when it is dropped by the background thread.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if std::thread::current().name() == Some("rustcache-housekeeper") {
            self.0.fetch_add(1, Ordering::SeqCst);
            // What it is thrown with, too.
            std::panic::panic_any(Bomb(Arc::clone(&self.0)));
        }
    }
}

#[test]
fn a_drop_that_panics_on_the_background_thread_keeps_no_other_cache_from_being_looked_after() {
    let went_off = Arc::new(AtomicUsize::new(0));
    let bomb = || Bomb(Arc::clone(&went_off));
    housekeeper::drop_later(Box::new(bomb()));

    // The last handle of a cache goes while the thread looks after it.
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let captured = bomb();
    let builder = Cache::builder().eviction_listener(move |_, _, _| {
        let _ = &captured;
        begun.send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
    });
    let cache = builder.build().unwrap();
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    has_begun.recv().unwrap();
    drop(cache);
    go_on.send(()).unwrap();
    // Each by itself, and what it was thrown with.
    eventually("both go off", || went_off.load(Ordering::SeqCst) == 4);

    let cache = Cache::builder().build().unwrap();
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    eventually("other caches are looked after", || cache.is_empty());
}

/// Has something in hand until it is told to go on.
struct Busy {
    entered: std::sync::mpsc::Sender<&'static str>,
    go_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Watched for Busy {
    fn tick(&self) -> bool {
        self.entered.send("in hand").unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        self.entered.send("done").unwrap();
        false
    }
}

#[test]
fn a_pause_begins_when_nothing_is_in_hand_and_afterwards_all_goes_on() {
    let (sender, told) = std::sync::mpsc::channel();
    let (go_on, wait) = std::sync::mpsc::channel();
    let busy: Arc<dyn Watched> = Arc::new(Busy {
        entered: sender.clone(),
        go_on: wait.into(),
    });
    assert!(housekeeper::watch(Arc::downgrade(&busy)));
    assert_eq!(told.recv(), Ok("in hand"));
    let pausing = std::thread::spawn(move || {
        let _pause = housekeeper::Pause::begin(Duration::from_secs(3600));
        sender.send("paused").unwrap();
    });
    go_on.send(()).unwrap();
    assert_eq!((told.recv(), told.recv()), (Ok("done"), Ok("paused")));
    pausing.join().unwrap();
    let cache = Cache::builder().build().unwrap();
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    eventually("what comes later is looked after", || cache.is_empty());
}

struct Away {
    entered: std::sync::mpsc::Sender<&'static str>,
    go_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Watched for Away {
    fn tick(&self) -> bool {
        let outside = housekeeper::Outside::enter();
        self.entered.send("outside").unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        self.entered.send("coming back").unwrap();
        drop(outside);
        self.entered.send("back").unwrap();
        false
    }
}

#[test]
fn a_pause_does_not_wait_for_code_that_waits_for_it_and_that_does_not_come_back_meanwhile() {
    let (entered, told) = std::sync::mpsc::channel();
    let (go_on, wait) = std::sync::mpsc::channel();
    let away: Arc<dyn Watched> = Arc::new(Away {
        entered,
        go_on: wait.into(),
    });
    assert!(housekeeper::watch(Arc::downgrade(&away)));
    assert_eq!(told.recv(), Ok("outside"));
    let pause = housekeeper::Pause::begin(millis(1));
    go_on.send(()).unwrap();
    assert_eq!(told.recv(), Ok("coming back"));
    assert!(told.try_recv().is_err());
    drop(pause);
    assert_eq!(told.recv(), Ok("back"));
    let cache = Cache::builder().build().unwrap();
    cache.set("k", "v", SetOptions::ttl(millis(1))).unwrap();
    eventually("what comes later is looked after", || cache.is_empty());
}
