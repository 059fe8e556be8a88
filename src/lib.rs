//! A cache beside your process, not inside its heap.
#![doc = include_str!("../docs/crate.md")]
#![cfg_attr(feature = "persist", doc = include_str!("../docs/crate/snapshots.md"))]
#![cfg_attr(feature = "serde", doc = include_str!("../docs/crate/values.md"))]
#![cfg_attr(all(feature = "persist", unix), doc = include_str!("../docs/crate/directory.md"))]
#![doc = include_str!("../docs/crate/costs.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "persist", unix)),
    allow(
        dead_code,
        unused_imports,
        reason = "the engine shows its changes, and all that it holds, to whoever keeps them, whether that is there or not"
    )
)]

mod cache;
#[cfg(all(feature = "cache-ro", unix))]
pub mod compat;
#[cfg(all(feature = "persist", unix))]
mod directory;
#[cfg(feature = "serde")]
mod encoding;
mod flight;
#[cfg(all(feature = "daemon", unix))]
mod histogram;
mod key_lock;
#[cfg(all(feature = "persist", unix))]
mod log;
#[cfg(feature = "persist")]
#[doc(hidden)]
pub mod persist;
#[cfg(feature = "daemon")]
#[doc(hidden)]
pub mod protocol;
mod seat;
#[cfg(all(feature = "daemon", unix))]
#[doc(hidden)]
pub mod session;
mod sync;
#[cfg(all(feature = "daemon", unix))]
#[doc(hidden)]
pub mod transport;

pub use cache::typed::{
    InsertOptions, KeyHasher, Op, RandomState, TooHeavy, TypedBuilder, TypedCache, TypedEntry, TypedIter,
    TypedLoad, WeakTypedCache,
};
#[doc(hidden)]
pub use cache::typed::{Likeness, Lookup, RawWalk, RawWrite};
pub use cache::{
    BuildError, Builder, Cache, CasOutcome, Clock, Computed, Condition, Cursor, Entry, EntrySelector, Error,
    Expiry, Iter, Load, ManualClock, Page, PolicyKind, RemovalCause, ScanEntry, SetOptions, Stats, Tag,
    TimeLeft, UnknownPolicy, Value, WeakCache,
};
#[doc(hidden)]
pub use cache::{ForkedRounds, Outside, Pause, is_background_thread};
#[cfg(all(feature = "persist", unix))]
pub use directory::{
    Directory, DirectoryStats, DiskError, OnDiskError, OpenError, PersistentBuilder, Recover, RecoveryReport,
    SyncMode,
};
#[cfg(feature = "serde")]
pub use encoding::{EncodedIter, EncodedLoadError, EncodedView, EncodingError};
pub use flight::LoadError;
#[cfg(feature = "async")]
pub use key_lock::AsyncKeyGuard;
pub use key_lock::KeyGuard;
#[cfg(all(feature = "persist", unix))]
#[doc(hidden)]
pub use persist::ForkedLocks;
#[cfg(feature = "persist")]
pub use persist::{OnDamage, RestoreError, Restored, SnapshotError};

/// The Rust code of the documents runs as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/crate/README.md")]
#[doc = include_str!("../docs/switching/rust.md")]
struct Documents;
