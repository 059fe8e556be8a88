//! A fork does not wait for ever for a thread that the file system keeps waiting, and the child says why it cannot open a directory. In a file, and so in a process, of its own: nothing else may run while it forks.

#![cfg(unix)]
#![allow(unsafe_code, reason = "forking is")]

use rustcache::{Cache, ForkedLocks};
use rustix::process::{Pid, WaitOptions, waitpid};

#[test]
fn a_child_that_was_forked_while_a_lock_file_stood_still_refuses_directories() {
    let directory = std::env::temp_dir().join(format!("rustcache-stalled-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);

    // What a thread has that waits for its file system.
    let stalled = ForkedLocks::hold();
    let locks = ForkedLocks::hold();
    // SAFETY: no other thread of the parent holds a lock that the child takes.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: it ends the child, should that wait for a lock that nobody gives up.
        unsafe { libc::alarm(60) };
        let run = || {
            locks.leave_to_parent();
            let again = ForkedLocks::hold();
            again.leave_to_parent();
            let opened = Cache::builder().dir(&directory).open();
            let error = opened.expect_err("its locks cannot be had").to_string();
            assert!(error.contains("was forked while"), "{error}");
            Cache::builder().build().expect("a cache without a directory");
        };
        let is_right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok();
        // SAFETY: it ends here, without the destructors of the parent.
        unsafe { libc::_exit(i32::from(!is_right)) }
    }
    drop((locks, stalled));
    let child = Pid::from_raw(child).expect("a child");
    let ended = waitpid(Some(child), WaitOptions::empty()).expect("a child to wait for");
    assert_eq!(ended.and_then(|(_, status)| status.exit_status()), Some(0));

    let cache = Cache::builder().dir(&directory).open().expect("the parent can");
    drop(cache);
    let _ = std::fs::remove_dir_all(&directory);
}
