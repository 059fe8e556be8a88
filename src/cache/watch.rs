//! What threads tell each other without a lock: whether the housekeeper comes by, and whether somebody waits for a lock. No more than the two
//! protocols lives here, so that loom can try each order in which their steps may happen (`.ci/run`, step "loom").

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Whether somebody comes by to look for what has expired. Unset, it is set by who writes a deadline and sees that nobody does; and unset by who
/// comes by, before the last look.
///
/// Whatever happens at the same time: where a deadline is left, somebody comes by, and never two.
#[derive(Debug)]
pub(super) struct Watch {
    comes_by: AtomicBool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Watch {
            comes_by: AtomicBool::new(false),
        }
    }

    #[cfg(test)]
    pub(super) fn is_on(&self) -> bool {
        self.comes_by.load(Ordering::SeqCst)
    }

    /// To be asked after a deadline has been written and its lock released. If `true`, whoever asked has to see to it that somebody comes by.
    #[must_use]
    pub(super) fn is_to_begin(&self) -> bool {
        !self.comes_by.load(Ordering::SeqCst) && !self.comes_by.swap(true, Ordering::SeqCst)
    }

    /// It was to begin, and nobody can come by: the next who writes a deadline tries again.
    pub(super) fn could_not_begin(&self) {
        self.comes_by.store(false, Ordering::SeqCst);
    }

    /// Whether who comes by has to come by again. `is_any_left` has to look for deadlines, under their locks.
    #[must_use]
    pub(super) fn goes_on(&self, is_any_left: impl FnOnce() -> bool) -> bool {
        self.comes_by.store(false, Ordering::SeqCst);
        // A deadline that was written before its lock is taken here is seen; who writes one after that finds `comes_by` unset and begins anew.
        is_any_left() && !self.comes_by.swap(true, Ordering::SeqCst)
    }
}

/// Whether somebody waits for a lock: a hint for who takes it again and again. No memory is handed over by it, so that the order of its accesses is no
/// matter.
#[derive(Debug)]
pub(super) struct Waiting {
    threads: AtomicU32,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Waiting {
            threads: AtomicU32::new(0),
        }
    }

    /// Waits by `wait`.
    pub(super) fn during<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.threads.fetch_add(1, Ordering::Relaxed);
        let result = wait();
        self.threads.fetch_sub(1, Ordering::Relaxed);
        result
    }

    pub(super) fn is_anybody(&self) -> bool {
        self.threads.load(Ordering::Relaxed) > 0
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    /// A cache reduced to what counts here.
    struct Model {
        watch: Watch,
        /// Two shards: whether each has a deadline.
        deadlines: [Mutex<bool>; 2],
        /// How many come by.
        watchers: AtomicU32,
    }

    impl Model {
        fn new() -> Self {
            Model {
                watch: Watch::new(),
                deadlines: [Mutex::new(false), Mutex::new(false)],
                watchers: AtomicU32::new(0),
            }
        }

        fn write(&self, shard: usize) {
            *self.deadlines[shard].lock().unwrap() = true;
            if self.watch.is_to_begin() {
                let before = self.watchers.fetch_add(1, Ordering::SeqCst);
                assert_eq!(before, 0, "somebody came by already");
            }
        }

        fn is_any_left(&self) -> bool {
            self.deadlines.iter().any(|deadline| *deadline.lock().unwrap())
        }

        /// What who comes by does. `expired`: whether what is there is to go now.
        fn come_by(&self, expired: bool) {
            if expired {
                for deadline in &self.deadlines {
                    *deadline.lock().unwrap() = false;
                }
            }
            // Who leaves counts himself out before anybody else can come instead.
            self.watchers.fetch_sub(1, Ordering::SeqCst);
            if self.watch.goes_on(|| self.is_any_left()) {
                let before = self.watchers.fetch_add(1, Ordering::SeqCst);
                assert_eq!(before, 0, "somebody came by already");
            }
        }

        fn check(&self) {
            let watchers = self.watchers.load(Ordering::SeqCst);
            assert!(
                watchers == 1 || !self.is_any_left(),
                "a deadline is not looked after"
            );
        }
    }

    #[test]
    fn loom_a_deadline_is_always_looked_after_by_one() {
        for expired in [false, true] {
            loom::model(move || {
                let model = Arc::new(Model::new());
                model.write(0);
                let writers = [0, 1].map(|shard| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || model.write(shard))
                });
                model.come_by(expired);
                writers.into_iter().for_each(|writer| writer.join().unwrap());
                model.check();
            });
        }
    }

    #[test]
    fn loom_nobody_is_counted_as_waiting_once_all_have_had_the_lock() {
        loom::model(|| {
            let shared = Arc::new((Mutex::new(0), Waiting::new()));
            let others = [0, 1].map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let (lock, waiting) = &*shared;
                    *waiting.during(|| lock.lock().unwrap()) += 1;
                })
            });
            let (lock, waiting) = &*shared;
            if waiting.is_anybody() {
                thread::yield_now();
            }
            *lock.lock().unwrap() += 1;
            others.into_iter().for_each(|other| other.join().unwrap());
            assert!(!waiting.is_anybody());
            assert_eq!(*lock.lock().unwrap(), 3);
        });
    }
}
