//! A server: its threads, from the first to the last connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::{log, session};

use super::backing::Backing;
use super::connection::{Patience, serve};
use super::events::keep_sampling;
use super::lengthy::Turns;
use super::listener::listen;
use super::options::Options;
use super::service::Service;

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 4096;

/// Why nothing can be served.
#[derive(Debug)]
pub enum StartError {
    /// Everybody could reach it, and nobody would need a token.
    Public(SocketAddr),
    /// The address cannot be listened on.
    Bind(SocketAddr, io::Error),
    /// There are no threads to be had.
    Threads(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Public(address) => write!(
                f,
                "{address} can be reached from other machines, and there is no token: listen on 127.0.0.1, or name a file with --http-token-file"
            ),
            StartError::Bind(address, error) => {
                write!(
                    f,
                    "cannot listen on {address}: {error}: use another address or port"
                )
            }
            StartError::Threads(error) => write!(f, "cannot start threads for HTTP: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A server that runs. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Server {
    runtime: Runtime,
    service: Arc<Service>,
    address: SocketAddr,
    patience: Patience,
    stop: watch::Sender<bool>,
    over: mpsc::Receiver<()>,
}

impl Server {
    /// Begins to serve. `stdio` is what a session on the same cache counts, if there is one. `on_fatal` is called when nothing can be kept any more, and the
    /// daemon is to end then.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        options: &Options,
        backing: Backing,
        stdio: Option<Arc<session::Traffic>>,
        on_fatal: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        if options.is_public() && options.token.is_none() {
            return Err(StartError::Public(options.address));
        }
        want_descriptors(options.max_connections);
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .max_blocking_threads(Turns::count(options.threads))
            .thread_name("rustcache-http")
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Threads)?;
        let bind_error = |error| StartError::Bind(options.address, error);
        let listener = {
            let _entered = runtime.enter();
            bind(options.address).map_err(bind_error)?
        };
        let address = listener.local_addr().map_err(bind_error)?;
        if let Some(stdio) = &stdio {
            stdio.watch();
        }
        let service = Arc::new(Service::new(options, backing, stdio, Box::new(on_fatal)));
        let (stop, stopped) = watch::channel(false);
        let (running, over) = mpsc::channel(1);
        let patience = Patience {
            head: options.idle_timeout,
            write: options.timeout,
        };
        let tls = options.tls.clone();
        if let Some(tls) = &tls {
            runtime.spawn(tls.clone().keep_fresh());
        }
        runtime.spawn(listen(
            listener,
            Arc::clone(&service),
            patience,
            tls,
            stopped,
            running,
        ));
        let sampled = Arc::clone(&service);
        runtime.spawn(async move { keep_sampling(&sampled).await });
        Ok(Server {
            runtime,
            service,
            address,
            patience,
            stop,
            over,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves one client on a stream that is no connection of its own, until it ends: what a fuzzer does.
    pub fn attend<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(seat) = self.service.seats.take() else {
            return;
        };
        let (service, stop) = (Arc::clone(&self.service), self.stop.subscribe());
        let patience = self.patience;
        let served = self.runtime.spawn(async move {
            serve(&service, stream, &seat, patience, stop).await;
            service.seats.give_back(&seat);
        });
        // Who panics has said so.
        let _ = self.runtime.block_on(served);
    }

    /// Ends: takes no more connections, and finishes the requests that are under way if that takes no longer than `within`. Gives the number of connections that were
    /// cut.
    pub fn stop(mut self, within: Duration) -> usize {
        self.service.stop();
        // Nobody listens any more, if the listener has ended.
        let _ = self.stop.send(true);
        let over = self.over.recv();
        let ended = self
            .runtime
            .block_on(async { tokio::time::timeout(within, over).await });
        let cut = if ended.is_ok() {
            0
        } else {
            self.service.seats.count()
        };
        self.runtime.shutdown_background();
        cut
    }
}

fn bind(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // What is left of the connections of the one before is no reason to wait.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// As many descriptors as the connections may need, if the system lets us have them: the default of many is 1024, for all that a process has open.
fn want_descriptors(connections: usize) {
    /// Files, pipes, and what the threads have.
    const OTHERS: u64 = 256;
    let wanted = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = Some(wanted.min(most));
        if setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_err() || wanted > most {
            log::warn!(
                wanted,
                most,
                "there may be fewer connections than asked for: raise the limit on open files"
            );
        }
    }
}
