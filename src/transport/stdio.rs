//! A session on stdin and stdout, or any such pair of descriptors: pipe, socketpair, file or terminal.
//!
//! Reading never waits for a writer that waits for us: while the client does not read, replies gather in the outbox up to its limit, and
//! input is taken as long as there is room. Descriptors are shared with other processes, so none is made non-blocking: a socket is
//! written with MSG_DONTWAIT; a pipe is opened once more, for us alone; and where that cannot be done, only as much is written as
//! POLLOUT promises to take.
//!
//! While nothing waits to be written, a socket is simply read: a `poll` before that would be half as many system calls again in every
//! round trip. What ends such a read is a watcher, which shuts the socket down.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, read, write, writev};
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, sendmsg, shutdown};

use crate::session::Session;

/// POSIX: a pipe that polls writable takes this much without blocking.
const PIPE_BUF: usize = 4096;
/// Slices handed to the kernel at once.
const SLICES: usize = 64;
/// How long a stop may take while the client does not read its replies.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How a connection came to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed its side; everything was answered and flushed. So many bytes at the end were no whole frame.
    Closed {
        /// Bytes dropped.
        incomplete: usize,
    },
    /// The client broke the protocol: see [`Session::broken`]. It was told.
    Broken,
    /// The client went away without reading so many bytes of replies, or while the session [is loading](Session::is_loading).
    ReaderGone {
        /// Bytes not written.
        unread: usize,
    },
    /// We were told to stop. What had been read was answered, unless the session [is loading](Session::is_loading); so many bytes of replies could not be written in time.
    Stopped {
        /// Bytes not written.
        unread: usize,
    },
}

/// How a descriptor is written without blocking for ever.
#[derive(Debug)]
enum Sink {
    Socket,
    File,
    /// A pipe, opened once more and non-blocking: several times as fast as in the small steps below.
    OwnPipe(OwnedFd),
    /// A terminal, or a pipe on a system that cannot open it again.
    InSteps,
}

impl Sink {
    fn of(output: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(match FileType::from_raw_mode(fstat(output)?.st_mode) {
            FileType::Socket => Sink::Socket,
            FileType::RegularFile => Sink::File,
            FileType::Fifo => opened_again(output).map_or(Sink::InSteps, Sink::OwnPipe),
            _ => Sink::InSteps,
        })
    }
}

/// The same pipe with flags of our own. `None` where there is no /proc, where the pipe belongs to another user, or where its reader is gone.
fn opened_again(pipe: BorrowedFd<'_>) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

/// Serves a session until it ends. A byte readable at `stop` means: answer what has been read, flush, and return. A socket is read no more by
/// anybody after that.
///
/// # Errors
/// When reading or writing fails, other than by the reader's going away.
pub fn serve(session: &mut Session, input: impl AsFd, output: impl AsFd, stop: impl AsFd) -> io::Result<End> {
    let (input, output, stop) = (input.as_fd(), output.as_fd(), stop.as_fd());
    if !is_socket(input)? {
        return serve_until(session, input, output, stop, None);
    }
    let told = AtomicBool::new(false);
    let (served, serving) = io::pipe()?;
    std::thread::scope(|scope| {
        let watcher = || {
            if wait_for_stop(stop, served.as_fd()) {
                told.store(true, Ordering::Release);
                // It fails when the other end is gone, and then the read ends by itself.
                let _ = shutdown(input, Shutdown::Read);
            }
        };
        std::thread::Builder::new()
            .name("rustcache-stop".to_owned())
            .spawn_scoped(scope, watcher)?;
        let end = serve_until(session, input, output, stop, Some(&told));
        drop(serving);
        end
    })
}

/// Serves a session until it ends. With `told`, its input is a socket that is shut down once that is true.
fn serve_until(
    session: &mut Session,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
    stop: BorrowedFd<'_>,
    told: Option<&AtomicBool>,
) -> io::Result<End> {
    let sink = Sink::of(output)?;
    let (woken, waker) = io::pipe()?;
    session.wake_with(move || {
        // A byte for each snapshot: they fit. Whoever would read it may be gone.
        let _ = write(&waker, &[0]);
    });
    let mut at_end = false;
    // Nobody is left at the other end of the input, though there may be something to read.
    let mut hung_up = false;
    let mut stop_by: Option<Instant> = None;
    loop {
        let more = session.process_round();
        match flush(session, output, &sink) {
            Ok(()) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => {
                return Ok(End::ReaderGone {
                    unread: session.outbox().len(),
                });
            }
            Err(error) => return Err(error.into()),
        }
        let unread = session.outbox().len();
        if more && session.can_go_on() {
            continue;
        }
        if unread == 0 && session.broken().is_some() {
            return Ok(End::Broken);
        }
        if session.is_loading() && stop_by.is_some() {
            return Ok(End::Stopped { unread });
        }
        let waits = session.awaits_wake();
        if unread == 0 && !waits {
            if stop_by.is_some() {
                return Ok(End::Stopped { unread });
            }
            if at_end {
                return Ok(End::Closed {
                    incomplete: session.unprocessed(),
                });
            }
        }
        if stop_by.is_some_and(|stop_by| Instant::now() >= stop_by) {
            return Ok(End::Stopped { unread });
        }

        let reading = !at_end && stop_by.is_none() && session.wants_input();
        let watching = match (session.is_loading(), reading, at_end || hung_up) {
            (false, ..) | (true, true, _) => None,
            (true, false, false) => Some(input),
            (true, false, true) => Some(output),
        };
        let ready = match told {
            Some(told) if reading && unread == 0 && !waits => Ready {
                input: true,
                stop: told.load(Ordering::Acquire),
                woken: false,
                hung_up: false,
            },
            _ => wait(
                (reading, input),
                (unread > 0, output),
                (stop_by.is_none(), stop),
                (waits, woken.as_fd()),
                watching,
                stop_by.map(|stop_by| stop_by.saturating_duration_since(Instant::now())),
            )?,
        };
        if ready.woken {
            read(&woken, &mut [0; 64])?;
        }
        if ready.hung_up {
            if at_end || hung_up {
                return Ok(End::ReaderGone { unread });
            }
            hung_up = true;
        }
        if ready.stop {
            stop_by = Some(Instant::now() + STOP_GRACE);
        } else if ready.input {
            match read(input, session.space()) {
                // The watcher's doing: the next turn sees that it was told.
                Ok(0) if told.is_some_and(|told| told.load(Ordering::Acquire)) => {}
                Ok(0) => at_end = true,
                Ok(count) => session.received(count),
                // A socket whose other end died with unread replies says so once.
                Err(Errno::CONNRESET) => at_end = true,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_socket(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Socket)
}

/// Waits until there is a byte at `stop`, or until the other end of `served` is closed: `false`.
fn wait_for_stop(stop: BorrowedFd<'_>, served: BorrowedFd<'_>) -> bool {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(stop, PollFlags::IN),
            PollFd::from_borrowed_fd(served, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) if !fds[1].revents().is_empty() => return false,
            Ok(_) if !fds[0].revents().is_empty() => return true,
            Ok(_) | Err(Errno::INTR) => {}
            // Then only the calls that poll for themselves notice a stop.
            Err(_) => return false,
        }
    }
}

struct Ready {
    input: bool,
    stop: bool,
    woken: bool,
    hung_up: bool,
}

/// Waits until one of those that are asked about can be read or written, or until the timeout.
fn wait(
    (ask_input, input): (bool, BorrowedFd<'_>),
    (ask_output, output): (bool, BorrowedFd<'_>),
    (ask_stop, stop): (bool, BorrowedFd<'_>),
    (ask_woken, woken): (bool, BorrowedFd<'_>),
    watching: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> io::Result<Ready> {
    let mut fds = Vec::with_capacity(5);
    let mut ask = |asked: bool, fd, flags| {
        asked.then(|| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            fds.len() - 1
        })
    };
    let input = ask(ask_input, input, PollFlags::IN);
    ask(ask_output, output, PollFlags::OUT);
    let stop = ask(ask_stop, stop, PollFlags::IN);
    let woken = ask(ask_woken, woken, PollFlags::IN);
    // Nothing is asked for: that it is hung up is told in any case.
    let watching = watching.and_then(|fd| ask(true, fd, PollFlags::empty()));
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let is_ready = |asked: Option<usize>| asked.is_some_and(|at| !fds[at].revents().is_empty());
    Ok(Ready {
        input: is_ready(input),
        stop: is_ready(stop),
        woken: is_ready(woken),
        hung_up: is_ready(watching),
    })
}

/// Writes what can be written without waiting.
fn flush(session: &mut Session, output: BorrowedFd<'_>, sink: &Sink) -> Result<(), Errno> {
    let outbox = session.outbox();
    while !outbox.is_empty() {
        let written = match sink {
            Sink::Socket => send(output, &outbox.slices(SLICES)),
            Sink::File => write(output, outbox.front()),
            Sink::OwnPipe(pipe) => writev(pipe, &outbox.slices(SLICES)),
            Sink::InSteps => {
                let mut fds = [PollFd::from_borrowed_fd(output, PollFlags::OUT)];
                match poll(
                    &mut fds,
                    Some(&Timespec {
                        tv_sec: 0,
                        tv_nsec: 0,
                    }),
                ) {
                    // A signal that came meanwhile makes poll fail even when it was not to wait; who calls polls again.
                    Ok(0) | Err(Errno::INTR) => return Ok(()),
                    Err(error) => return Err(error),
                    Ok(_) => {
                        let front = outbox.front();
                        write(output, &front[..front.len().min(PIPE_BUF)])
                    }
                }
            }
        };
        match written {
            Ok(count) => outbox.consume(count),
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A client that is gone is an error and no signal. Apple's systems cannot say so for one write; the runtime of Rust ignores that signal in any case.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::DONTWAIT;

fn send(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
    sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), SEND_FLAGS)
}

#[cfg(test)]
mod tests;
