//! Locks of keys in each order in which the steps of threads may happen: `.ci/run`, step "loom".

#![allow(clippy::unwrap_used, reason = "tests")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::KeyLocks;
use crate::sync::model_of_three;

const HASH: u64 = 0;

struct Test {
    locks: Arc<KeyLocks<u8>>,
    inside: AtomicU32,
    turns: AtomicU32,
}

impl Test {
    fn new() -> Arc<Self> {
        Arc::new(Test {
            locks: Arc::new(KeyLocks::new(1)),
            inside: AtomicU32::new(0),
            turns: AtomicU32::new(0),
        })
    }

    /// What is done by who has the lock, and by one at a time.
    fn work(&self) {
        assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
        thread::yield_now();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    fn lock_and_work(&self) {
        let _guard = self.locks.lock(HASH, 1);
        self.work();
    }

    fn check(&self, turns: u32) {
        assert_eq!(self.turns.load(Ordering::SeqCst), turns);
        assert_eq!((self.locks.held(), self.locks.waiting()), (0, 0));
    }
}

fn spawn(test: &Arc<Test>, run: impl FnOnce(&Test) + 'static) -> thread::JoinHandle<()> {
    let test = Arc::clone(test);
    thread::spawn(move || run(&test))
}

#[test]
fn loom_one_has_the_lock_and_all_who_wait_get_it() {
    model_of_three(|| {
        let test = Test::new();
        let others = [0, 1].map(|_| spawn(&test, Test::lock_and_work));
        test.lock_and_work();
        others.into_iter().for_each(|other| other.join().unwrap());
        test.check(3);
    });
}

#[test]
fn loom_one_thread_takes_it_twice_while_another_waits() {
    loom::model(|| {
        let test = Test::new();
        let other = spawn(&test, Test::lock_and_work);
        let guard = test.locks.lock(HASH, 1);
        test.lock_and_work();
        test.work();
        drop(guard);
        other.join().unwrap();
        test.check(3);
    });
}

#[test]
fn loom_a_panic_gives_the_lock_on() {
    loom::model(|| {
        let test = Test::new();
        let other = spawn(&test, Test::lock_and_work);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = test.locks.lock(HASH, 1);
            test.work();
            resume_unwind(Box::new("as it should"));
        }));
        assert!(panicked.is_err());
        other.join().unwrap();
        test.check(2);
    });
}

#[cfg(feature = "async")]
mod tasks {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::sync::block_on;

    #[test]
    fn loom_a_task_that_is_dropped_in_line_gives_the_lock_on() {
        model_of_three(|| {
            let test = Test::new();
            let others = [
                spawn(&test, Test::lock_and_work),
                spawn(&test, |test| {
                    let _guard = block_on(test.locks.lock_async(HASH, 1));
                    test.work();
                }),
            ];
            {
                let mut gives_up = pin!(test.locks.lock_async(HASH, 1));
                let _ = gives_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            others.into_iter().for_each(|other| other.join().unwrap());
            test.check(2);
        });
    }
}
