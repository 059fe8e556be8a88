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
//! The engine knows nothing of this: it shows its changes to an observer, under the lock of a shard, which only appends to memory.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "some are only there to be told of: see log.rs")
)]

pub mod disk;
pub mod format;
mod image;
pub mod inspect;
mod journal;
mod keeper;
mod ledger;
mod load;
mod lock;
mod opening;
mod reading;
pub mod recovery;
pub mod repair;
pub mod replay;
mod scribe;
mod search;
mod snapshot;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod window;

pub use image::{OnDamage, RestoreError, Restored, SnapshotError};
pub use journal::{Failure, JournalStats, Sync};
pub use opening::{LoadStats, Opening, Waker};
pub use recovery::{Recover, Recovery};
pub(crate) use store::remedy;
pub use store::{OnDiskError, OpenError, SnapshotProgress, Store, StoreOptions, StoreStats};
