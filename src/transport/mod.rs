//! Moves bytes between a session and the world; knows nothing of what they mean.

#[cfg(feature = "http")]
// tokio has no network there.
#[cfg(not(loom))]
pub mod http;
pub mod stdio;
