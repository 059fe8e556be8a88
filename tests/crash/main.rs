//! Deaths of the daemon, and of what is under it, at any moment: the binary is killed, its disk fails, its power goes, and the directory is never torn.
//! What the persistence layer does about damaged bytes is tested in `src/persist/tests/`; how the daemon lives with a directory, in `tests/daemon/`.

mod clock;
mod directory;
mod faults;
mod holes;
mod kills;
mod model;
mod play;
mod power;
mod script;
#[path = "../daemon/support.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the daemon, which use all of it"
)]
mod support;
