//! One client: HTTP/1.1 on a stream, until it ends, is told to, or is too slow.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::body::Incoming;
use super::reply::{Answer, contain};
use super::seat::Seat;
use super::service::Service;

/// Of request line and headers.
const LONGEST_HEAD: usize = 128 * 1024;

/// A head and a body that are together no longer than this are copied into one piece: the kernel takes more time for a list of two than that takes.
const LONGEST_JOINED: usize = 4096;
/// For a first request to be there, once the daemon is to end: it may have been under way.
const LAST_CHANCE: Duration = Duration::from_millis(100);

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
    let stopped = &stop.clone();
    let answer = |request| answer(service, request, seat, stopped);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(LONGEST_HEAD)
        // Who has said all that he has to say is answered all the same.
        .half_close(true)
        .serve_connection(
            TokioIo::new(Bounded::new(stream, patience.write, seat)),
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
            () = sleep(LAST_CHANCE), if told && !seat.has_asked() => return,
        }
    }
}

/// What a client is answered, and what that needs of his connection.
async fn answer(
    service: &Service,
    request: Request<hyper::body::Incoming>,
    seat: &Arc<Seat>,
    stop: &watch::Receiver<bool>,
) -> Result<Answer, Infallible> {
    let at_work = seat.at_work();
    let waits_to_send = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let (body, left) = Incoming::new(body, seat);
    let mut answer = service.answer(Request::from_parts(parts, body), seat).await;
    let mut is_last = seat.is_spare;
    // There is something if some of the body was not read.
    if let Some(rest) = left.and_then(|mut left| left.try_recv().ok()) {
        is_last |= !rest.is_short() || waits_to_send;
        if rest.is_sent(waits_to_send) {
            tokio::spawn(rest.discard(stop.clone()));
        }
    }
    if answer.body().bytes().is_none() {
        seat.is_watching();
    }
    if is_last {
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer.body_mut().at_work(at_work);
    contain(&mut answer);
    Ok(answer)
}

/// A stream on which nothing may wait to be written for long, and whose seat is told when nothing does.
struct Bounded<'s, S> {
    stream: S,
    seat: &'s Seat,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// For answers that are copied together.
    joined: Vec<u8>,
}

impl<'s, S> Bounded<'s, S> {
    fn new(stream: S, patience: Duration, seat: &'s Seat) -> Self {
        Bounded {
            stream,
            seat,
            patience,
            timer: None,
            is_waiting: false,
            joined: Vec::new(),
        }
    }

    fn has_taken(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.seat.has_taken(*bytes);
        }
    }

    fn in_time<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.is_waiting {
                self.is_waiting = false;
                self.seat.is_stuck(false);
            }
            return polled;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        if !self.is_waiting {
            self.is_waiting = true;
            self.seat.is_stuck(true);
            timer.as_mut().reset(Instant::now() + self.patience);
        }
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.has_taken(&polled);
        self.in_time(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let polled = if len <= LONGEST_JOINED {
            this.joined.clear();
            slices
                .iter()
                .for_each(|slice| this.joined.extend_from_slice(slice));
            Pin::new(&mut this.stream).poll_write(context, &this.joined)
        } else {
            Pin::new(&mut this.stream).poll_write_vectored(context, slices)
        };
        self.has_taken(&polled);
        self.in_time(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks for it when its own buffer is empty.
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.seat.is_written();
        }
        self.in_time(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(polled, context)
    }
}
