//! A cache beside your process, not inside its heap.
#![doc = include_str!("../docs/crate.md")]

mod cache;
#[doc(hidden)]
pub mod persist;
#[doc(hidden)]
pub mod protocol;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod transport;

pub use cache::typed::{
    InsertOptions, KeyHasher, Op, RandomState, TooHeavy, TypedBuilder, TypedCache, TypedEntry, TypedIter,
};
#[doc(hidden)]
pub use cache::typed::{Lookup, Raced, Ticket};
pub use cache::{
    BuildError, Builder, Cache, CasOutcome, Clock, Condition, Cursor, Entry, Error, Expiry, ManualClock,
    Page, PolicyKind, RemovalCause, ScanEntry, SetOptions, Stats, Tag, TimeLeft, UnknownPolicy, Value,
};

/// The Rust code of the README runs as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
