//! Every public type may go to, and be shared with, other threads; but for `KeyGuard`, which is its thread's, and loads, which are not shared. Fails to compile otherwise: there is nothing to run.

use rustcache::{
    BuildError, Builder, Cache, CasOutcome, Clock, Computed, Condition, Cursor, Entry, EntrySelector, Error,
    Expiry, InsertOptions, Iter, KeyHasher, Load, LoadError, ManualClock, Op, Page, PolicyKind, RandomState,
    RemovalCause, ScanEntry, SetOptions, Stats, Tag, TimeLeft, TooHeavy, TypedBuilder, TypedCache,
    TypedEntry, TypedIter, TypedLoad, UnknownPolicy, Value, WeakCache, WeakTypedCache,
};

macro_rules! assert_send_and_sync {
    ($($type:ty),* $(,)?) => {
        $(const _: () = {
            const fn check<T: Send + Sync + Unpin + 'static>() {}
            check::<$type>();
        };)*
    };
}

assert_send_and_sync!(
    BuildError,
    Builder,
    Cache,
    CasOutcome,
    Clock,
    Computed<Vec<u8>>,
    Condition,
    Cursor,
    Entry,
    EntrySelector<'static, String>,
    Error,
    Expiry,
    InsertOptions,
    Iter,
    KeyHasher,
    LoadError<String>,
    ManualClock,
    Op<Vec<u8>>,
    Page,
    PolicyKind,
    RandomState,
    RemovalCause,
    ScanEntry,
    SetOptions,
    Stats,
    Tag,
    TimeLeft,
    TooHeavy,
    TypedBuilder<String, u64>,
    TypedCache<String, u64>,
    TypedEntry<'static, String, u64, RandomState>,
    TypedIter<'static, String, u64, RandomState>,
    UnknownPolicy,
    Value,
    WeakCache,
    WeakTypedCache<String, u64>,
);

/// Whoever catches a panic may go on with a cache, whatever is in it.
const _: () = {
    const fn check<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    check::<Cache>();
    check::<WeakCache>();
    check::<TypedCache<String, std::cell::Cell<u64>>>();
    check::<WeakTypedCache<String, std::cell::Cell<u64>>>();
};

/// A load has a closure of its caller's, which nobody but itself calls.
const _: () = {
    const fn check<T: Send + Unpin + 'static>() {}
    check::<Load<'static, String>>();
    check::<TypedLoad<'static, str, String, u64, RandomState>>();
};

#[cfg(feature = "persist")]
assert_send_and_sync!(
    rustcache::Directory,
    rustcache::DirectoryStats,
    rustcache::DiskError,
    rustcache::OnDamage,
    rustcache::OnDiskError,
    rustcache::OpenError,
    rustcache::PersistentBuilder,
    rustcache::Recover,
    rustcache::RecoveryReport,
    rustcache::RestoreError,
    rustcache::Restored,
    rustcache::SnapshotError,
    rustcache::SyncMode,
);

#[cfg(feature = "async")]
assert_send_and_sync!(rustcache::AsyncKeyGuard);

#[cfg(feature = "cache-ro")]
assert_send_and_sync!(
    rustcache::compat::cache_ro::Cache,
    rustcache::compat::cache_ro::CacheConfig,
    rustcache::compat::cache_ro::Migration,
    rustcache::compat::cache_ro::Skipped,
);

// A view holds no value of its type: it may be shared whatever that is.
#[cfg(feature = "serde")]
assert_send_and_sync!(
    rustcache::EncodingError,
    rustcache::EncodedView<std::rc::Rc<u8>>,
    rustcache::EncodedIter<std::rc::Rc<u8>>,
);

/// A reader of this file would be puzzled by a test target in which nothing runs.
#[test]
fn every_public_type_is_send_and_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    check(&Cache::builder().build());
}
