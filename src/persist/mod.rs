//! Keeping a cache in a directory: a journal of every change, and snapshots that let it be short.
//!
//! ```text
//! store.rs      Store: opens a directory, commits, ends
//! opening.rs    the same beside other work, and how far it has come
//! keeper.rs     snapshots, when they are due and what they make superfluous; a sync every second
//! scribe.rs     cache → changes
//! journal.rs    changes → memory → file            recovery.rs   which files, in which order
//! snapshot.rs   entries → file                     replay.rs     file → changes, past any damage
//! load.rs       changes → cache                   search.rs     what is intact in a damaged stretch
//! format.rs     the bytes of both                  disk.rs       what is asked of the file system
//! image.rs      a cache that is kept in no directory, as a snapshot to and from anywhere
//! inspect.rs    what is there, for people          repair.rs     what can be kept → a new directory
//! reading.rs    how they look, leaving no trace    ledger.rs     changes → what is there, without a cache
//! ```
//! Directories are kept as Unix does; `image.rs`, and what it needs of the format, is there everywhere.
//!
//! The engine knows nothing of this: it shows its changes to an observer, under the lock of a shard, which only appends to memory.

#![cfg_attr(
    not(unix),
    allow(dead_code, reason = "a part of the format is about directories alone")
)]
#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "some are only there to be told of: see log.rs")
)]

mod deadline;
#[cfg(unix)]
pub mod disk;
pub mod format;
mod image;
#[cfg(unix)]
pub mod inspect;
#[cfg(unix)]
mod journal;
#[cfg(unix)]
mod keeper;
#[cfg(unix)]
mod ledger;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod lock;
#[cfg(unix)]
mod opening;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod reading;
#[cfg(unix)]
pub mod recovery;
#[cfg(unix)]
pub mod repair;
#[cfg(unix)]
pub mod replay;
#[cfg(unix)]
mod scribe;
mod search;
#[cfg(unix)]
mod snapshot;
#[cfg(unix)]
mod store;
#[cfg(unix)]
#[cfg(test)]
pub(crate) mod tests;
mod window;

pub use image::{OnDamage, RestoreError, Restored, SnapshotError};
#[cfg(unix)]
pub use journal::{Failure, JournalStats, Sync};
#[cfg(unix)]
pub use lock::ForkedLocks;
#[cfg(unix)]
pub use opening::{LoadStats, Opening, Waker};
#[cfg(unix)]
pub use recovery::{Recover, Recovery};
#[cfg(unix)]
pub(crate) use store::remedy;
#[cfg(unix)]
pub use store::{OnDiskError, OpenError, SnapshotProgress, Store, StoreOptions, StoreStats};
