//! Moves bytes between a session and the world; knows nothing of what they mean.

pub mod stdio;
