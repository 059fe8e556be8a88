//! Locks of keys by threads and by tasks. Each order of steps is tried by loom.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::KeyLocks;

const MILLI: Duration = Duration::from_millis(1);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "not within a minute: {what}"
        );
        thread::yield_now();
    }
}

fn locks() -> Arc<KeyLocks<u8>> {
    Arc::new(KeyLocks::new(2))
}

/// All the same, so that keys are told apart by themselves alone.
const HASH: u64 = 0;

#[test]
fn one_thread_at_a_time_has_the_lock_of_a_key() {
    let locks = locks();
    let inside: [AtomicBool; 2] = Default::default();
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let (locks, inside) = (&locks, &inside);
            scope.spawn(move || {
                for turn in 0..2_000_usize {
                    let key = (thread + turn) % 2;
                    let guard = match turn % 3 {
                        0 => Some(locks.lock(HASH, u8::try_from(key).unwrap())),
                        1 => locks.try_lock(HASH, u8::try_from(key).unwrap()),
                        _ => {
                            let deadline = Instant::now() + MILLI / 100;
                            locks.lock_until(HASH, u8::try_from(key).unwrap(), deadline)
                        }
                    };
                    if guard.is_some() {
                        assert!(!inside[key].swap(true, Ordering::Relaxed), "two have it");
                        assert!(inside[key].swap(false, Ordering::Relaxed));
                    }
                }
            });
        }
    });
    assert_eq!(locks.held(), 0);
}

#[test]
fn those_who_wait_get_the_lock_in_the_order_in_which_they_came() {
    let locks = locks();
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let guard = locks.lock(HASH, 1);
        for n in 0..5 {
            let (locks, order) = (&locks, &order);
            scope.spawn(move || {
                let _guard = locks.lock(HASH, 1);
                order.lock().unwrap().push(n);
            });
            until("it is in line", || locks.waiting() == n + 1);
        }
        drop(guard);
    });
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(locks.held(), 0);
}

#[test]
fn a_thread_takes_its_own_lock_again_and_others_get_it_after_the_last_guard() {
    let locks = locks();
    let first = locks.lock(HASH, 1);
    let second = locks.lock(HASH, 1);
    let third = locks.try_lock(HASH, 1).unwrap();
    let fourth = locks.lock_until(HASH, 1, Instant::now()).unwrap();
    let is_free = || thread::scope(|scope| scope.spawn(|| locks.try_lock(HASH, 1).is_some()).join().unwrap());
    for guard in [second, first, fourth] {
        drop(guard);
        assert!(!is_free());
    }
    drop(third);
    assert_eq!(locks.held(), 0);
    assert!(is_free());
}

#[test]
fn who_gives_up_leaves_the_line() {
    let locks = locks();
    let guard = locks.lock(HASH, 1);
    thread::scope(|scope| {
        let gives_up = || locks.lock_until(HASH, 1, Instant::now() + MILLI).is_none();
        assert!(scope.spawn(gives_up).join().unwrap());
        assert!(scope.spawn(|| locks.try_lock(HASH, 1).is_none()).join().unwrap());
    });
    assert_eq!((locks.held(), locks.waiting()), (1, 0));
    drop(guard);
    assert_eq!(locks.held(), 0);
}

#[test]
fn a_panic_lets_the_lock_go_and_poisons_nothing() {
    let locks = locks();
    thread::scope(|scope| {
        let panics = scope.spawn(|| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _guard = locks.lock(HASH, 1);
                until("somebody waits", || locks.waiting() == 1);
                panic!("as it should");
            }));
            assert!(panicked.is_err());
        });
        until("it has the lock", || locks.held() == 1);
        drop(locks.lock(HASH, 1));
        panics.join().unwrap();
    });
    assert_eq!(locks.held(), 0);
}

#[test]
fn many_locks_leave_no_room_behind() {
    let locks = Arc::new(KeyLocks::new(1));
    let guards: Vec<_> = (0..10_000_u64).map(|key| locks.lock(key << 20, key)).collect();
    assert_eq!(locks.held(), 10_000);
    drop(guards);
    assert_eq!(locks.held(), 0);
    let part = crate::sync::lock(&locks.parts[0]);
    assert!(part.locks.capacity() <= super::KEPT_ROOM);
}

thread_local! {
    /// What the keys below do when they are compared or dropped.
    static WHEN_TOUCHED: RefCell<Option<Arc<KeyLocks<Touchy>>>> = const { RefCell::new(None) };
    static TOUCHED: Cell<u32> = const { Cell::new(0) };
}

/// A key whose comparison and drop take locks of other keys, of the same hash.
#[derive(Debug)]
struct Touchy(u32);

impl Touchy {
    fn touch(&self) {
        let locks = WHEN_TOUCHED.with(|locks| locks.borrow_mut().take());
        if let Some(locks) = locks {
            TOUCHED.set(TOUCHED.get() + 1);
            let key = 1_000 + TOUCHED.get();
            thread::scope(|scope| {
                scope.spawn(|| drop(locks.lock(HASH, Touchy(key))));
            });
            WHEN_TOUCHED.with(|place| *place.borrow_mut() = Some(locks));
        }
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        self.touch();
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.touch();
    }
}

#[test]
fn keys_are_compared_and_dropped_without_our_lock() {
    let locks = Arc::new(KeyLocks::new(1));
    WHEN_TOUCHED.with(|place| *place.borrow_mut() = Some(Arc::clone(&locks)));
    let guards: Vec<_> = (0..5).map(|key| locks.lock(HASH, Touchy(key))).collect();
    let again = locks.lock(HASH, Touchy(3));
    assert_eq!(locks.held(), 5);
    drop(guards);
    drop(again);
    assert!(TOUCHED.get() > 15, "touched {} times", TOUCHED.get());
    WHEN_TOUCHED.with(|place| place.borrow_mut().take());
    assert_eq!(locks.held(), 0);
}

#[test]
fn what_is_done_under_the_lock_of_a_key_is_not_done_twice_at_once() {
    let locks = locks();
    let sums: Mutex<HashMap<u8, usize>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..500_u16 {
                    let key = u8::try_from(turn % 3).unwrap();
                    let _guard = locks.lock(u64::from(key) << 32, key);
                    let read = sums.lock().unwrap().get(&key).copied().unwrap_or(0);
                    thread::yield_now();
                    sums.lock().unwrap().insert(key, read + 1);
                }
            });
        }
    });
    assert_eq!(sums.into_inner().unwrap().values().sum::<usize>(), 2_000);
}

#[cfg(feature = "async")]
mod tasks {
    use std::pin::pin;
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_waits_in_the_line_of_the_threads_and_is_woken_when_it_has_the_lock() {
        let locks = locks();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);

        let guard = locks.lock(HASH, 1);
        let mut waits = pin!(locks.lock_async(HASH, 1));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        assert_eq!((locks.waiting(), woken.0.load(Ordering::Relaxed)), (1, 0));
        drop(guard);
        assert_eq!((locks.waiting(), woken.0.load(Ordering::Relaxed)), (0, 1));
        assert!(locks.try_lock(HASH, 1).is_none(), "it is the task's already");
        let Poll::Ready(guard) = waits.as_mut().poll(&mut context) else {
            panic!("it has been given the lock");
        };
        assert!(locks.try_lock_async(HASH, 1).is_none());
        thread::scope(|scope| {
            scope.spawn(move || drop(guard));
        });
        assert_eq!(locks.held(), 0);
    }

    #[test]
    fn a_task_that_is_dropped_in_line_loses_nothing() {
        let locks = locks();
        let mut context = Context::from_waker(Waker::noop());
        // Before it is given the lock, and after.
        for is_given in [false, true] {
            let guard = locks.lock(HASH, 1);
            let mut first = Box::pin(locks.lock_async(HASH, 1));
            let mut second = pin!(locks.lock_async(HASH, 1));
            assert!(first.as_mut().poll(&mut context).is_pending());
            assert!(second.as_mut().poll(&mut context).is_pending());
            if is_given {
                drop(guard);
                drop(first);
            } else {
                drop(first);
                assert_eq!(locks.waiting(), 1);
                drop(guard);
            }
            assert!(second.as_mut().poll(&mut context).is_ready());
            assert_eq!((locks.held(), locks.waiting()), (0, 0));
        }
    }
}
