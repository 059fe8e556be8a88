//! Black-box tests of the daemon: the binary, started as a client starts it, over pipes and over sockets. What it says on the wire is tested byte for
//! byte in `src/session/tests.rs`; here it is how it lives, waits and ends.

mod directory;
mod disk;
mod ends;
#[path = "../support/golden.rs"]
mod golden;
mod inspect;
mod loading;
mod options;
mod pressure;
#[cfg(target_os = "linux")]
mod progress;
mod shell;
mod streams;
mod support;
