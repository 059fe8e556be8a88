//! The background thread of the process begins when a cache has deadlines and ends when none has. In a file, and so in a process, of
//! its own: no other test may need the thread meanwhile.

#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use rustcache::{Cache, Expiry, SetOptions};

fn running() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .any(|name| name.starts_with("rustcache-house"))
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "not within a minute: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_thread_runs_only_while_there_is_something_to_watch() {
    let cache = Cache::builder().build().expect("a cache");
    cache
        .set("no deadline", "v", SetOptions::default())
        .expect("it fits");
    assert!(!running());

    // It ends when all deadlines have passed, and begins anew with the next one.
    for _ in 0..2 {
        cache
            .set("soon", "v", SetOptions::ttl(Duration::from_millis(5)))
            .expect("it fits");
        eventually("the entry expires and the thread ends", || {
            cache.len() == 1 && !running()
        });
    }

    // It ends when deadlines are taken away or their entries removed.
    cache
        .set("later", "v", SetOptions::ttl(Duration::from_secs(3600)))
        .expect("it fits");
    cache
        .set("removed", "v", SetOptions::ttl(Duration::from_secs(3600)))
        .expect("it fits");
    eventually("there is a thread", running);
    assert!(cache.touch("later", Expiry::Never) && cache.remove("removed"));
    eventually("the thread ends without deadlines", || !running());

    // It ends when the caches are dropped.
    let others: Vec<_> = (0..10).map(|_| cache.clone()).collect();
    cache
        .set("later", "v", SetOptions::ttl(Duration::from_secs(3600)))
        .expect("it fits");
    drop(cache);
    eventually("there is a thread", running);
    std::thread::sleep(Duration::from_millis(600));
    assert!(running(), "there are other handles of the cache");
    drop(others);
    eventually("the thread ends without caches", || !running());
}
