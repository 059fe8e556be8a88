//! Bytes ↔ commands, in both directions and for both protocols. Pure: no I/O, no cache. `docs/protocol.md` is the specification.

pub mod command;
pub mod fixed;
pub mod framed;
pub mod media;
pub mod outbox;
pub mod status;
pub mod wrapped;

#[cfg(test)]
#[path = "../../tests/support/golden.rs"]
pub(crate) mod golden;
