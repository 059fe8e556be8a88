//! The one background thread of the process: gives back the memory of expired entries, and frees what is too large to be freed
//! by a caller. It is started by the first cache that needs it and ends when there is nothing left to watch. Code of the user's that runs here (a listener,
//! a `Drop`) may panic without harm to anybody else. A process that was forked has no such thread: it gets one by a `Pause`, or when somebody looks.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::unharmed::unharmed;
use super::watch::Watch;

/// How often expired entries are looked for. An entry that nobody reads gives its memory back this long after its deadline, and a little. A thread
/// that has nothing to do waits as long before it ends: a lock that is taken and freed, an entry with a TTL each time, must not start one each time.
const PERIOD: Duration = Duration::from_millis(250);
/// At each so manieth write with a deadline, a thread looks whether it has come into a child process: asking for its id is a system call.
const LOOKS_EVERY: u32 = 64;
/// No process has this id.
const NOWHERE: u32 = 0;

/// Something with deadlines.
pub(super) trait Watched: Send + Sync {
    /// Removes what has expired; `false` if there is nothing left that will.
    fn tick(&self) -> bool;
}

struct Rounds {
    /// What has deadlines now. Also while a round is made: a child that is forked then looks after all of it.
    watched: Vec<Weak<dyn Watched>>,
    garbage: Vec<Box<dyn Any + Send>>,
    /// While the thread runs code of caches.
    is_at_work: bool,
    /// While it runs code of the program's, by `Outside`.
    is_outside: bool,
    /// While there is one, no work is begun.
    pauses: usize,
    /// Those of the pauses that have not waited for the thread to come back from outside: it may not come back meanwhile.
    without_it: usize,
}

static ROUNDS: Mutex<Rounds> = Mutex::new(Rounds {
    watched: Vec::new(),
    garbage: Vec::new(),
    is_at_work: false,
    is_outside: false,
    pauses: 0,
    without_it: 0,
});
static WORK: Condvar = Condvar::new();
/// What a `Pause` waits for, or what waits for the end of one.
static TURN: Condvar = Condvar::new();
/// The process in which the thread runs, or `NOWHERE`. Written under the lock of the rounds.
static RUNS_IN: AtomicU32 = AtomicU32::new(NOWHERE);

thread_local! {
    static IS_THIS_THREAD: Cell<bool> = const { Cell::new(false) };
    static WRITES: Cell<u32> = const { Cell::new(0) };
}

/// Whether this is the background thread.
#[doc(hidden)]
pub fn is_background_thread() -> bool {
    IS_THIS_THREAD.get()
}

/// For programs that fork, and go on in the child: while there is one of these, the background thread does nothing, or is outside. What it guards is in order then, and nothing of it is locked by a thread
/// that the child does not have, if the fork itself is made under `ForkedRounds`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Pause {
    is_without_it: bool,
}

impl Pause {
    /// Waits until the background thread has nothing in hand; or, after this time, until it is outside: code of the program's may wait for the very thread that makes the pause.
    pub fn begin(patience: Duration) -> Self {
        let end = Instant::now() + patience;
        let mut rounds = lock();
        rounds.pauses += 1;
        let mut is_without_it = false;
        // The background thread itself may fork.
        while rounds.is_at_work && !is_background_thread() {
            let left = end.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                rounds = TURN
                    .wait_timeout(rounds, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            } else if rounds.is_outside {
                rounds.without_it += 1;
                is_without_it = true;
                break;
            } else {
                rounds = wait_for_turn(rounds);
            }
        }
        Pause { is_without_it }
    }

    /// Ends it, in the child: that has no background thread, and gets one if something is to be looked after.
    pub fn end_in_child(self) {
        let mut rounds = lock();
        // All other threads that have made one are not here.
        rounds.pauses = 1;
        rounds.without_it = usize::from(self.is_without_it);
        if !is_background_thread() {
            // Another one may have been started here, but has begun nothing: there was a pause.
            rounds.is_at_work = false;
            rounds.is_outside = false;
        }
        if RUNS_IN.load(Ordering::Relaxed) != this_process() {
            RUNS_IN.store(NOWHERE, Ordering::Relaxed);
        }
        if !rounds.watched.is_empty() || !rounds.garbage.is_empty() {
            // If there is none to be had, the next who needs one tries again.
            start(&rounds);
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut rounds = lock();
        rounds.pauses = rounds.pauses.saturating_sub(1);
        rounds.without_it = rounds.without_it.saturating_sub(usize::from(self.is_without_it));
        drop(rounds);
        TURN.notify_all();
    }
}

/// For the moment of a fork itself: while there is one of these, no other thread has locked what all caches of the process share, so that it is free in the child. Nothing that might wait for another
/// thread may be done meanwhile.
#[doc(hidden)]
pub struct ForkedRounds(#[expect(dead_code, reason = "it is held")] MutexGuard<'static, Rounds>);

impl ForkedRounds {
    /// To be called immediately before the fork, and dropped immediately after it, in both processes; waits for a moment at most.
    pub fn hold() -> Self {
        ForkedRounds(lock())
    }
}

/// The background thread may run code of the program's until this is dropped, and a pause may go on without it; the drop waits for the end of such pauses. Whoever enters sees to it that
/// nobody forks while the thread has anything locked: by a lock of an interpreter, say, that forks are made under, and that the thread lets go of in code of the program's alone.
#[doc(hidden)]
#[derive(Debug)]
pub struct Outside(());

impl Outside {
    /// To be called by the background thread alone, and not within another one.
    pub fn enter() -> Self {
        lock().is_outside = true;
        TURN.notify_all();
        Outside(())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let mut rounds = lock();
        while rounds.without_it > 0 {
            rounds = wait_for_turn(rounds);
        }
        rounds.is_outside = false;
    }
}

fn wait_for_turn(rounds: MutexGuard<'static, Rounds>) -> MutexGuard<'static, Rounds> {
    TURN.wait(rounds).unwrap_or_else(PoisonError::into_inner)
}

/// Watches until `tick` says that nothing is left. `false` if the system gave no thread: then reads and evictions alone reclaim.
pub(super) fn watch(watched: Weak<dyn Watched>) -> bool {
    let mut rounds = lock();
    // Nobody is woken: the next round is early enough.
    rounds.watched.push(watched);
    let runs = start(&rounds);
    if !runs {
        rounds.watched.pop();
    }
    runs
}

/// Drops this soon, on the background thread (or here, if the system gave none).
pub(super) fn drop_later(garbage: Box<dyn Any + Send>) {
    let mut rounds = lock();
    if start(&rounds) {
        rounds.garbage.push(garbage);
        WORK.notify_one();
    } else {
        drop(rounds);
        drop(garbage);
    }
}

/// To be called by whoever may have given a deadline, after the lock was released: has a cache watched that is not yet.
#[inline]
pub(super) fn see_to(watch: &Watch, watched: impl FnOnce() -> Weak<dyn Watched>) {
    if !watch.is_to_begin() {
        return look_for_a_fork();
    }
    if !self::watch(watched()) {
        watch.could_not_begin();
    }
}

/// To be called now and then by whoever gives deadlines to a cache that is watched already: in a child process, the thread begins anew.
#[inline]
fn look_for_a_fork() {
    let writes = WRITES.get().wrapping_add(1);
    WRITES.set(writes);
    if writes.is_multiple_of(LOOKS_EVERY) {
        begin_in_a_child();
    }
}

/// As `look_for_a_fork`, for whoever comes seldom.
#[cold]
pub(super) fn begin_in_a_child() {
    let ran_in = RUNS_IN.load(Ordering::Relaxed);
    if ran_in == NOWHERE || ran_in == this_process() {
        return;
    }
    match ROUNDS.try_lock() {
        Ok(rounds) => _ = start(&rounds),
        Err(TryLockError::Poisoned(rounds)) => _ = start(&rounds.into_inner()),
        // In the parent, by a thread that is not here.
        Err(TryLockError::WouldBlock) => {}
    }
}

/// Sees to it that the thread runs in this process; `false` if it does not.
fn start(_: &MutexGuard<'_, Rounds>) -> bool {
    let here = this_process();
    if RUNS_IN.load(Ordering::Relaxed) == here {
        return true;
    }
    let started = thread::Builder::new()
        .name("rustcache-housekeeper".into())
        .spawn(run)
        .is_ok();
    if started {
        RUNS_IN.store(here, Ordering::Relaxed);
    }
    started
}

/// Where there are no ids, there are no forks either.
fn this_process() -> u32 {
    if cfg!(unix) { std::process::id() } else { 1 }
}

/// Should the thread end by a panic of its own, the next who needs it starts another.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut rounds = lock();
            rounds.is_at_work = false;
            RUNS_IN.store(NOWHERE, Ordering::Relaxed);
            TURN.notify_all();
        }
    }
}

fn run() {
    IS_THIS_THREAD.set(true);
    let _ending = Ending;
    let mut next_round = Instant::now() + PERIOD;
    loop {
        let is_round = wait_until(next_round);
        let mut rounds = lock();
        // First, so that whoever makes a pause finds in the lists what there is. At work is another one only where this thread's listener has forked.
        while rounds.pauses > 0 || rounds.is_at_work {
            rounds = wait_for_turn(rounds);
        }
        let garbage = std::mem::take(&mut rounds.garbage);
        let watched = if is_round {
            rounds.watched.clone()
        } else {
            Vec::new()
        };
        if is_round && watched.is_empty() && garbage.is_empty() {
            rounds.watched = Vec::new();
            rounds.garbage = Vec::new();
            RUNS_IN.store(NOWHERE, Ordering::Relaxed);
            return;
        }
        rounds.is_at_work = true;
        drop(rounds);
        for one in garbage {
            unharmed(|| drop(one));
        }
        if is_round {
            let remaining: Vec<_> = watched.iter().filter(|watched| tick(watched)).collect();
            // Those that have come meanwhile are behind them.
            lock()
                .watched
                .splice(..watched.len(), remaining.into_iter().cloned());
            next_round = Instant::now() + PERIOD;
        }
        lock().is_at_work = false;
        TURN.notify_all();
    }
}

/// Whether it is time for a round; else there is garbage.
fn wait_until(next_round: Instant) -> bool {
    let mut rounds = lock();
    loop {
        let left = next_round.saturating_duration_since(Instant::now());
        if left.is_zero() || !rounds.garbage.is_empty() {
            return left.is_zero();
        }
        rounds = WORK
            .wait_timeout(rounds, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

impl fmt::Debug for ForkedRounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkedRounds").finish_non_exhaustive()
    }
}

/// The last handle of a cache may be dropped while we tick it: then it is freed here. One that panics is not looked after any more, but all others are.
fn tick(watched: &Weak<dyn Watched>) -> bool {
    unharmed(|| watched.upgrade().is_some_and(|cache| cache.tick())).unwrap_or(false)
}

fn lock() -> MutexGuard<'static, Rounds> {
    ROUNDS.lock().unwrap_or_else(PoisonError::into_inner)
}
