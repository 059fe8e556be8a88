//! Single flight in each order in which the steps of threads may happen: `.ci/run`, step "loom".

#![allow(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::model::Model;
use super::{LoadError, Stopped, load};
use crate::sync::model_of_three;

const KEY: u8 = 1;

/// A model, and how many loaders of its key run and have run.
struct Test {
    model: Model,
    running: AtomicU32,
    loads: AtomicU32,
}

impl Test {
    fn new() -> Arc<Self> {
        Arc::new(Test {
            model: Model::new(),
            running: AtomicU32::new(0),
            loads: AtomicU32::new(0),
        })
    }

    /// Loads 7, and fails if another does so at the same time.
    fn load(&self) -> u32 {
        let loader = || {
            assert_eq!(
                self.running.fetch_add(1, Ordering::SeqCst),
                0,
                "two loaders at once"
            );
            self.loads.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            self.running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(7)
        };
        load(&self.model.ask(KEY), loader).unwrap()
    }

    /// A load that panics, if it comes to that; what it gives otherwise. (A panic that nobody is told of: loom tries many.)
    fn panic(&self) -> Option<u32> {
        let panics = || -> Result<u32, Infallible> { resume_unwind(Box::new("as it should")) };
        let loaded = catch_unwind(AssertUnwindSafe(|| load(&self.model.ask(KEY), panics).unwrap()));
        loaded.ok()
    }

    fn fail(&self) -> Result<u32, LoadError<&'static str>> {
        load(&self.model.ask(KEY), || Err("no such thing")).map_err(LoadError::from)
    }

    fn check(&self, value: Option<u32>) {
        assert_eq!((self.model.get(KEY), self.model.flights()), (value, 0));
    }
}

#[test]
fn loom_one_loader_runs_and_all_get_what_it_brings() {
    model_of_three(|| {
        let test = Test::new();
        let others = [0, 1].map(|_| {
            let test = Arc::clone(&test);
            thread::spawn(move || test.load())
        });
        assert_eq!(test.load(), 7);
        others
            .into_iter()
            .for_each(|other| assert_eq!(other.join().unwrap(), 7));
        assert_eq!(test.loads.load(Ordering::SeqCst), 1);
        test.check(Some(7));
    });
}

#[test]
fn loom_after_a_panic_somebody_else_loads() {
    loom::model(|| {
        let test = Test::new();
        let other = {
            let test = Arc::clone(&test);
            thread::spawn(move || test.load())
        };
        assert!(matches!(test.panic(), None | Some(7)));
        assert_eq!(other.join().unwrap(), 7);
        test.check(Some(7));
    });
}

#[test]
fn loom_an_error_is_told_to_who_waits_and_not_kept() {
    loom::model(|| {
        let test = Test::new();
        let other = {
            let test = Arc::clone(&test);
            thread::spawn(move || test.fail())
        };
        let failed = [test.fail(), other.join().unwrap()];
        for failed in failed {
            assert!(matches!(failed, Err(LoadError::Failed(error)) if *error == "no such thing"));
        }
        test.check(None);
    });
}

#[test]
fn loom_what_was_loaded_before_a_removal_is_gone_after_it() {
    loom::model(|| {
        let test = Test::new();
        let truth = Arc::new(AtomicU32::new(1));
        let read = |test: &Test, truth: &AtomicU32| {
            let loader = || Ok::<_, Infallible>(truth.load(Ordering::SeqCst));
            load(&test.model.ask(KEY), loader).unwrap()
        };
        let other = {
            let (test, truth) = (Arc::clone(&test), Arc::clone(&truth));
            thread::spawn(move || read(&test, &truth))
        };
        truth.store(2, Ordering::SeqCst);
        test.model.write(KEY, None);
        assert_eq!(read(&test, &truth), 2);
        assert!((1..=2).contains(&other.join().unwrap()));
        test.check(Some(2));
    });
}

#[test]
fn loom_of_two_loaders_that_wait_for_each_other_one_is_told() {
    loom::model(|| {
        let test = Test::new();
        let asks_for_other = |test: &Test, key: u8, other: u8| {
            let loader = || {
                let inner = load(&test.model.ask(other), || Ok::<_, Infallible>(7));
                Ok::<_, Infallible>(match inner {
                    Ok(value) => value,
                    Err(Stopped::Failed(never)) => match *never {},
                    Err(Stopped::Reentrant(_)) => 7,
                })
            };
            load(&test.model.ask(key), loader).unwrap()
        };
        let other = {
            let test = Arc::clone(&test);
            thread::spawn(move || asks_for_other(&test, 2, 1))
        };
        assert_eq!(asks_for_other(&test, 1, 2), 7);
        assert_eq!(other.join().unwrap(), 7);
        assert_eq!(test.model.flights(), 0);
    });
}

#[cfg(feature = "async")]
mod tasks {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::flight::asynchronous::load_async;
    use crate::sync::block_on;

    impl Test {
        /// Polls a load once and gives it up; its loader would never end.
        fn give_up(&self) {
            let call = self.model.ask(KEY);
            let loader = std::future::pending::<Result<u32, Infallible>>;
            let mut future = pin!(load_async(&call, loader));
            let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(7))));
        }

        fn load_as_task(&self) -> u32 {
            let call = self.model.ask(KEY);
            let loader = || std::future::ready(Ok::<_, Infallible>(7));
            block_on(load_async(&call, loader)).unwrap()
        }
    }

    #[test]
    fn loom_a_task_that_is_dropped_hands_over() {
        model_of_three(|| {
            let test = Test::new();
            let others = [Test::load, Test::load_as_task].map(|load: fn(&Test) -> u32| {
                let test = Arc::clone(&test);
                thread::spawn(move || load(&test))
            });
            test.give_up();
            others
                .into_iter()
                .for_each(|other| assert_eq!(other.join().unwrap(), 7));
            test.check(Some(7));
        });
    }

    #[test]
    fn loom_a_task_is_woken_by_what_a_thread_loads() {
        loom::model(|| {
            let test = Test::new();
            let other = {
                let test = Arc::clone(&test);
                thread::spawn(move || test.load())
            };
            assert_eq!(test.load_as_task(), 7);
            assert_eq!(other.join().unwrap(), 7);
            test.check(Some(7));
        });
    }
}
