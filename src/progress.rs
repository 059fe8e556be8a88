//! A line on the terminal that says how far something has come, for those who wait longer than a second. Nothing where nobody looks.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustcache::persist::inspect::Progress;

const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// Does the work, and shows meanwhile how far it has come.
pub(crate) fn shown<T>(progress: &Progress, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut wait = PATIENCE;
            let mut longest = 0;
            while is_done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = EVERY;
                let (what, percent) = progress.percent();
                let line = format!("{what}: {percent} %");
                longest = longest.max(line.len());
                // Nothing can be done about a terminal that is gone.
                let _ = write!(io::stderr(), "\r{line:<longest$}");
            }
            if longest > 0 {
                let _ = write!(io::stderr(), "\r{:longest$}\r", "");
            }
        });
        let result = work();
        drop(done);
        result
    })
}
