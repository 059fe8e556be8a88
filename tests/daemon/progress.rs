//! The line that says on a terminal how far `inspect` and `repair` have come.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::directory::Scratch;
use crate::options::terminal;
use crate::support::*;

/// A directory whose lock file is a named pipe: whoever looks into it waits until the test has opened its other end.
fn slow() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let lock = scratch.path().join("lock");
    mknodat(CWD, &lock, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
    (scratch, lock)
}

fn inspect(scratch: &Scratch, stderr: Stdio) -> Child {
    let mut command = rustcache(&["inspect", scratch.text()], &[]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    command.spawn().expect("it starts")
}

fn let_go(lock: PathBuf) {
    drop(File::options().write(true).open(lock).expect("somebody reads"));
}

#[test]
fn who_waits_on_a_terminal_sees_a_line_which_is_gone_in_the_end_and_a_pipe_gets_none() {
    let (piped, lock_of_piped) = slow();
    let without_a_terminal = inspect(&piped, Stdio::piped());
    let (scratch, lock) = slow();
    let (controller, terminal) = terminal();
    let on_a_terminal = inspect(&scratch, terminal.into());
    let mut screen = File::from(controller);
    let mut shown = Vec::new();
    let mut more = |shown: &mut Vec<u8>| {
        let mut bytes = [0; 100];
        // The other end of a terminal is gone by an error.
        let count = screen.read(&mut bytes).unwrap_or(0);
        shown.extend_from_slice(&bytes[..count]);
        count > 0
    };
    while !shown.contains(&b'%') {
        assert!(more(&mut shown), "it has ended: {shown:?}");
    }
    let_go(lock);
    while more(&mut shown) {}
    let text = String::from_utf8(shown).expect("text");
    assert!(text.starts_with("\rreading: 0 %"), "{text:?}");
    let longest = text.split('\r').map(str::len).max().expect("a line");
    assert!(
        text.ends_with(&format!("\r{}\r", " ".repeat(longest))),
        "{text:?}"
    );
    let output = on_a_terminal.wait_with_output().expect("it ends");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("sound"),
        "{output:?}"
    );

    // It has waited for longer.
    let_go(lock_of_piped);
    let other = without_a_terminal.wait_with_output().expect("it ends");
    assert_eq!((other.status.code(), &other.stderr[..]), (Some(0), &b""[..]));
}
