//! What ends the daemon from outside: signals, and a disk that nothing can be kept on any more.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Readable once the daemon is to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    told: UnixStream,
    tell: Arc<UnixStream>,
    is_fatal: Arc<AtomicBool>,
}

impl Stop {
    /// SIGTERM stops it. SIGINT does if nobody is at the other end of stdin: else that and SIGHUP belong to the application, which gets them as well, and which closes stdin
    /// when it is done.
    pub(crate) fn on_signals(serves_stdio: bool) -> io::Result<Self> {
        let (told, tell) = UnixStream::pair()?;
        tell.set_nonblocking(true)?;
        pipe::register(SIGTERM, tell.try_clone()?)?;
        let ignored = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&ignored))?;
        if serves_stdio {
            flag::register(SIGINT, ignored)?;
        } else {
            pipe::register(SIGINT, tell.try_clone()?)?;
        }
        Ok(Stop {
            told,
            tell: Arc::new(tell),
            is_fatal: Arc::default(),
        })
    }

    /// To be called when nothing can be kept any more.
    pub(crate) fn on_fatal(&self) -> impl Fn() + Send + Sync + 'static {
        let (tell, is_fatal) = (Arc::clone(&self.tell), Arc::clone(&self.is_fatal));
        move || {
            if !is_fatal.swap(true, Ordering::AcqRel) {
                // If there is no room, it has been told often enough.
                let _ = (&*tell).write(&[0]);
            }
        }
    }

    pub(crate) fn is_fatal(&self) -> bool {
        self.is_fatal.load(Ordering::Acquire)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }
}
