//! One client: HTTP/1.1 on a stream, until it ends, is told to, or is too slow.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::reply::contain;
use super::seats::Seat;
use super::service::Service;

/// Of request line and headers.
const LONGEST_HEAD: usize = 128 * 1024;

/// How slow a client may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until the headers of a request are there.
    pub(super) head: Duration,
    /// Until some of an answer is taken.
    pub(super) write: Duration,
}

/// Serves a client. Whatever ends it is no concern of anybody else.
pub(super) async fn serve(
    service: &Arc<Service>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    seat: &Arc<Seat>,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) {
    let answer = |request| {
        let (service, seat) = (Arc::clone(service), Arc::clone(seat));
        async move {
            let at_work = service.seats.at_work(&seat);
            let mut answer = service.answer(request).await;
            answer.body_mut().at_work(|| at_work);
            contain(&mut answer);
            Ok::<_, Infallible>(answer)
        }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(
            TokioIo::new(Bounded::new(stream, patience.write)),
            service_fn(answer),
        );
    let mut connection = pin!(connection);
    let mut told = false;
    loop {
        tokio::select! {
            // What a client does wrong ends its connection, and hyper has told it.
            _ = connection.as_mut() => return,
            () = seat.leave.notified() => return,
            _ = stop.wait_for(|stop| *stop), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A stream on which nothing may wait to be written for long.
struct Bounded<S> {
    stream: S,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl<S> Bounded<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Bounded {
            stream,
            patience,
            timer: None,
            is_waiting: false,
        }
    }

    fn in_time<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.is_waiting = false;
            return polled;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        if !self.is_waiting {
            self.is_waiting = true;
            timer.as_mut().reset(Instant::now() + self.patience);
        }
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.in_time(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(polled, context)
    }
}
