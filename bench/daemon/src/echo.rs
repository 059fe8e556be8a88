//! The floor: a child that takes requests and gives replies of the lengths that version 2 has, and does nothing else. What any server
//! that is spoken to like this must spend on moving the bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// As much as the daemon reads at once.
const READ: usize = 64 * 1024;

/// Answers every `request` bytes of stdin with `reply` bytes on stdout, until stdin ends.
///
/// # Errors
/// When reading or writing fails.
pub(crate) fn run(request: usize, reply: usize) -> io::Result<()> {
    // Without the buffers of the standard streams.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut buffer = vec![0; READ];
    let replies = vec![0; (READ / request + 1) * reply];
    let mut waiting = 0;
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        waiting += count;
        let whole = waiting / request;
        waiting %= request;
        output.write_all(&replies[..whole * reply])?;
    }
}
