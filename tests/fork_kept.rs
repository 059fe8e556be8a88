//! A process that was forked has a copy of a cache, and not the directory in which its parent keeps it. In a file, and so in a process, of its own: nothing else may run while it forks.

#![cfg(unix)]
#![allow(unsafe_code, reason = "forking is")]

use std::time::{Duration, Instant};

use rustcache::{Cache, Error, ForkedLocks, OpenError, SetOptions};
use rustix::process::{Pid, WaitOptions, waitpid};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_child_leaves_the_directory_to_its_parent_and_looks_after_its_own_caches() {
    let directory = std::env::temp_dir().join(format!("rustcache-fork-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let parent = std::process::id();
    let cache = Cache::builder().dir(&directory).open().expect("a directory");
    cache
        .set("parent", "v", SetOptions::ttl(Duration::from_secs(3600)))
        .expect("room");

    let locks = ForkedLocks::hold();
    // SAFETY: no other thread of the parent holds a lock that the child takes.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let run = || {
            // Lets go of nothing that is the parent's.
            locks.leave_to_parent();
            let written = cache.set("child", "v", SetOptions::default());
            assert!(matches!(written, Err(Error::NotDurable { .. })), "{written:?}");
            drop(cache);
            let second = Cache::builder().dir(&directory).open();
            assert!(
                matches!(second, Err(OpenError::InUse { pid, .. }) if pid == Some(parent)),
                "{second:?}"
            );
            let own = Cache::builder().build().expect("a cache");
            own.set("soon", "v", SetOptions::ttl(SOON)).expect("it fits");
            let began = Instant::now();
            while !own.is_empty() {
                assert!(began.elapsed() < Duration::from_secs(30), "nobody looks after it");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let is_right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok();
        // SAFETY: it ends here, without the destructors of the parent.
        unsafe { libc::_exit(i32::from(!is_right)) }
    }
    drop(locks);
    let child = Pid::from_raw(child).expect("a child");
    let ended = waitpid(Some(child), WaitOptions::empty()).expect("a child to wait for");
    assert_eq!(ended.and_then(|(_, status)| status.exit_status()), Some(0));

    cache
        .set("after", "v", SetOptions::default())
        .expect("it is still the parent's");
    cache.close().expect("nothing failed");
    let cache = Cache::builder().dir(&directory).open().expect("it is free");
    assert!(cache.contains("parent") && cache.contains("after") && !cache.contains("child"));
    drop(cache);
    let _ = std::fs::remove_dir_all(&directory);
}
