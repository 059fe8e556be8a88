//! Which caches of the process are open, for the two functions of cache_ro that name none: `Cache::instance()` and `Cache::drop()`.
//!
//! The cache that was made last is held here, so that it stays until `Cache::drop()` even if its maker lets go of it, as `instance()` promises. Of the others there
//! are weak references: they live as long as their handles, as any other value does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Shared;

#[derive(Debug)]
struct Running {
    instance: Option<Arc<Shared>>,
    others: Vec<Weak<Shared>>,
}

static RUNNING: Mutex<Running> = Mutex::new(Running {
    instance: None,
    others: Vec::new(),
});

/// Nothing of anybody else's runs while it is held.
fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cache has been made.
pub(super) fn made(cache: &Arc<Shared>) {
    let former = {
        let mut running = running();
        let former = running.instance.replace(Arc::clone(cache));
        running.others.retain(|other| other.strong_count() > 0);
        running.others.extend(former.as_ref().map(Arc::downgrade));
        former
    };
    // May be the last handle, and closes a directory then.
    drop(former);
}

/// The cache that was made last.
pub(super) fn instance() -> Option<Arc<Shared>> {
    running().instance.clone()
}

/// Lets go of the cache that was made last, if it keeps itself in this directory and nobody else has a handle of it: it is closed by that.
pub(super) fn let_go_of(dir_path: &str) {
    let abandoned = {
        let mut running = running();
        let is_abandoned = |shared: &mut Arc<Shared>| {
            shared.config.persistent && shared.config.dir_path == dir_path && Arc::strong_count(shared) == 1
        };
        running.instance.take_if(is_abandoned)
    };
    drop(abandoned);
}

/// All that are open, and none is from now on.
pub(super) fn take_all() -> Vec<Arc<Shared>> {
    let mut running = running();
    let others = std::mem::take(&mut running.others);
    let others = others.into_iter().filter_map(|other| other.upgrade());
    running.instance.take().into_iter().chain(others).collect()
}

/// One of them is closed.
pub(super) fn closed(cache: &Arc<Shared>) {
    let instance = {
        let mut running = running();
        running
            .others
            .retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(cache)));
        running.instance.take_if(|instance| Arc::ptr_eq(instance, cache))
    };
    drop(instance);
}
