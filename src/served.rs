//! The cache that the daemon serves, in memory or in a directory, to one face or to several.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustcache::Cache;
use rustcache::persist::{OpenError, Opening, Store};
use rustcache::session::Session;
use rustcache::transport::http::{Backing, Options, Server, StartError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::cli::Serve;
use crate::stop::Stop;

pub(crate) enum Served {
    InMemory(Cache),
    /// Loaded while it is served already.
    InDirectory(Opening),
}

impl Served {
    pub(crate) fn begin(options: &Serve) -> Result<Self, OpenError> {
        match options.store() {
            Some(store) => Opening::begin(store, options.builder()).map(Served::InDirectory),
            None => {
                let cache = options.builder().build().map_err(OpenError::Build)?;
                Ok(Served::InMemory(cache))
            }
        }
    }

    /// What serves one client of the protocols.
    pub(crate) fn session(&self, max_pending_replies: usize) -> Session {
        match self {
            Served::InMemory(cache) => Session::new(cache.clone(), max_pending_replies),
            Served::InDirectory(opening) => Session::opening(opening.clone(), max_pending_replies),
        }
    }

    pub(crate) fn http(
        &self,
        options: &Options,
        session: Option<&Session>,
        stop: &Stop,
    ) -> Result<Server, StartError> {
        let backing = match self {
            Served::InMemory(cache) => Backing::in_memory(cache.clone()),
            Served::InDirectory(opening) => Backing::opening(opening.clone()),
        };
        Server::start(options, backing, session.map(Session::traffic), stop.on_fatal())
    }

    /// Waits until it is to stop, or until the directory turns out not to be one that can be served.
    pub(crate) fn wait_for(&self, stop: &Stop) -> Result<u8, OpenError> {
        let opening = match self {
            Served::InMemory(_) => None,
            Served::InDirectory(opening) => Some(opening.clone()),
        };
        match wait(stop, opening) {
            Ok(None) => {
                self.give_up();
                tracing::info!("stopped");
                Ok(crate::DONE)
            }
            Ok(Some(error)) => Err(error),
            Err(error) => {
                tracing::error!(%error, "waiting for signals failed");
                Ok(crate::FAILED)
            }
        }
    }

    /// To be called before the process ends: see [`Opening::is_ending`].
    pub(crate) fn give_up(&self) {
        if let Served::InDirectory(opening) = self
            && opening.outcome().is_none()
        {
            opening.is_ending();
        }
    }

    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        match self {
            Served::InMemory(_) => None,
            Served::InDirectory(opening) => opening.outcome()?.ok(),
        }
    }
}

fn wait(stop: &Stop, opening: Option<Opening>) -> io::Result<Option<OpenError>> {
    let (woken, waker) = io::pipe()?;
    let mut opening = opening;
    if let Some(opening) = &mut opening {
        opening.wake_with(Arc::new(move || {
            // Two bytes at the most: they fit.
            let _ = rustix::io::write(&waker, &[0]);
        }));
    }
    loop {
        let mut outcome = opening.as_ref().and_then(Opening::outcome);
        if let Some(Err(error)) = outcome.take() {
            return Ok(Some(error));
        }
        let mut fds = [
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN),
        ];
        // Without a directory nobody has the other end of it.
        let asked = if opening.is_some() { 2 } else { 1 };
        match poll(&mut fds[..asked], None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            return Ok(None);
        }
        if !fds[1].revents().is_empty() {
            rustix::io::read(&woken, &mut [0; 16])?;
        }
    }
}
