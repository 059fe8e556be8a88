//! Moves bytes between a session and the world; knows nothing of what they mean.

#[cfg(feature = "http")]
pub mod http;
pub mod stdio;
