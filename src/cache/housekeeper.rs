//! The one background thread of the process: gives back the memory of expired entries, and frees what is too large to be freed
//! by a caller. It is started by the first cache that needs it and ends when there is nothing left to watch.

use std::any::Any;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How often expired entries are looked for. An entry that nobody reads gives its memory back this long after its deadline, and a little.
const PERIOD: Duration = Duration::from_millis(250);

/// Something with deadlines.
pub(super) trait Watched: Send + Sync {
    /// Removes what has expired; `false` if there is nothing left that will.
    fn tick(&self) -> bool;
}

struct Rounds {
    /// What has deadlines now.
    watched: Vec<Weak<dyn Watched>>,
    garbage: Vec<Box<dyn Any + Send>>,
    running: bool,
}

static ROUNDS: Mutex<Rounds> = Mutex::new(Rounds {
    watched: Vec::new(),
    garbage: Vec::new(),
    running: false,
});
static WORK: Condvar = Condvar::new();

/// Watches until `tick` says that nothing is left. `false` if the system gave no thread: then reads and evictions alone reclaim.
pub(super) fn watch(watched: Weak<dyn Watched>) -> bool {
    give(|rounds| rounds.watched.push(watched))
}

/// Drops this soon, on the background thread (or here, if the system gave none).
pub(super) fn drop_later(garbage: Box<dyn Any + Send>) {
    let _ = give(|rounds| rounds.garbage.push(garbage));
}

fn give(work: impl FnOnce(&mut Rounds)) -> bool {
    let mut rounds = lock();
    work(&mut rounds);
    if !rounds.running {
        match thread::Builder::new()
            .name("rustcache-housekeeper".into())
            .spawn(run)
        {
            Ok(_) => rounds.running = true,
            Err(_) => {
                rounds.watched.clear();
                let garbage = std::mem::take(&mut rounds.garbage);
                drop(rounds);
                drop(garbage);
                return false;
            }
        }
    }
    WORK.notify_one();
    true
}

fn run() {
    let mut rounds = lock();
    loop {
        let garbage = std::mem::take(&mut rounds.garbage);
        let watched = std::mem::take(&mut rounds.watched);
        if garbage.is_empty() && watched.is_empty() {
            rounds.running = false;
            return;
        }
        drop(rounds);
        drop(garbage);
        // The last handle of a cache may be dropped while we tick it: then it is freed here.
        let remaining: Vec<_> = watched
            .into_iter()
            .filter(|weak| weak.upgrade().is_some_and(|cache| cache.tick()))
            .collect();
        rounds = lock();
        let idle = remaining.is_empty();
        rounds.watched.extend(remaining);
        if !idle && rounds.garbage.is_empty() {
            rounds = WORK
                .wait_timeout(rounds, PERIOD)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn lock() -> MutexGuard<'static, Rounds> {
    ROUNDS.lock().unwrap_or_else(PoisonError::into_inner)
}
