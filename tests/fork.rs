//! A process that was forked has none of the threads of the one before, and so no background thread that looks for what has expired. In a file, and so in a process, of its own: nothing else may
//! run while it forks.

#![cfg(unix)]
#![allow(unsafe_code, reason = "forking is")]

use std::time::{Duration, Instant};

use rustcache::{Cache, InsertOptions, SetOptions, TypedCache};
use rustix::process::{Pid, WaitOptions, waitpid};

const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_secs(3600);
/// Writes after which a cache has noticed, and some.
const MANY: u32 = 100;

fn eventually(holds: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > Duration::from_secs(30) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Runs this in a child, and gives its answer.
fn in_a_child(run: impl FnOnce() -> bool) -> bool {
    // SAFETY: the threads of the parent that may hold a lock meanwhile are this one, which does not, and those that wait: the one of the test runner for this one, and the background
    // thread for a deadline that is an hour away.
    match unsafe { libc::fork() } {
        0 => {
            let is_right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or(false);
            // SAFETY: it ends here, without the destructors of the parent.
            unsafe { libc::_exit(i32::from(!is_right)) }
        }
        child => {
            let child = Pid::from_raw(child).expect("a child");
            let (_, status) = waitpid(Some(child), WaitOptions::empty())
                .expect("a child to wait for")
                .expect("its end");
            status.exit_status() == Some(0)
        }
    }
}

#[test]
fn a_child_process_looks_after_the_caches_it_was_given_and_after_its_own() {
    let bytes = Cache::builder().build().expect("a cache");
    let objects: TypedCache<u32, u32> = TypedCache::builder().build().expect("a cache");
    bytes.set("later", "v", SetOptions::ttl(LATER)).expect("it fits");
    objects
        .insert_with(MANY, 0, InsertOptions::ttl(LATER))
        .expect("it fits");

    assert!(in_a_child(|| {
        for key in 0..MANY {
            bytes
                .set(key.to_le_bytes(), "v", SetOptions::ttl(SOON))
                .expect("it fits");
        }
        eventually(|| bytes.len() == 1)
    }));
    assert!(in_a_child(|| {
        for key in 0..MANY {
            objects
                .insert_with(key, 0, InsertOptions::ttl(SOON))
                .expect("it fits");
        }
        eventually(|| objects.len() == 1)
    }));
    // Whoever begins the thread anew, it looks after all.
    assert!(in_a_child(|| {
        bytes.set("soon", "v", SetOptions::ttl(SOON)).expect("it fits");
        let own = Cache::builder().build().expect("a cache");
        own.set("soon", "v", SetOptions::ttl(SOON)).expect("it fits");
        eventually(|| own.is_empty() && bytes.len() == 1)
    }));
    assert!(in_a_child(|| {
        bytes.set("soon", "v", SetOptions::ttl(SOON)).expect("it fits");
        bytes.run_pending();
        objects
            .insert_with(0, 0, InsertOptions::ttl(SOON))
            .expect("it fits");
        eventually(|| objects.len() == 1)
    }));
}
