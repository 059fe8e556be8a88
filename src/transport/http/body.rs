//! The body of a request: read no longer than it may be, no more slowly, and with room for it; and what becomes of one that nobody reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, SizeHint};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::budget::{Budget, Held, HeldAnswer};
use super::code::Code;
use super::problem::Problem;
use super::seat::Seat;
use super::seats::Seats;
use super::waits;

/// What is left of a body and no longer than this is read before the next request; a longer one is the last of its connection.
const SHORT: u64 = 256 * 1024;
/// For a client to end what he sends, though it is of no use any more: else he would not see why.
const LINGER: Duration = Duration::from_secs(5);

/// How long a body may be, in bytes, how long it may take, and where room for it comes from.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    pub(super) bytes: usize,
    pub(super) time: Duration,
    pub(super) budget: Arc<Budget>,
    /// Whose connections are ended, if they hold up others.
    pub(super) seats: Arc<Seats>,
}

/// The body of a request, to be read or not.
#[derive(Debug)]
pub(super) struct Incoming(Option<Unread>);

#[derive(Debug)]
struct Unread {
    body: hyper::body::Incoming,
    /// Whether some of it was read: who waits to be told to go on has been told so then.
    is_begun: bool,
    seat: Arc<Seat>,
    rest: oneshot::Sender<Rest>,
}

/// What has not been read when the answer is there.
#[derive(Debug)]
pub(super) enum Rest {
    Body {
        body: hyper::body::Incoming,
        is_begun: bool,
    },
    /// It is not to be waited for.
    GivenUp,
}

/// A body that has been read.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Until what it asks for is done.
    pub(super) held: Held,
}

impl Allowance {
    /// Holds so many bytes in all, and waits a little for that; `false` if there are not as many.
    pub(super) async fn hold(&self, held: &mut Held, bytes: usize) -> bool {
        waits::for_others(held.grow(bytes, self.make_room())).await
    }

    /// Holds an answer, as [`Budget::hold_answer`] does.
    pub(super) async fn hold_answer(&self, bytes: &Bytes, all_the_same: bool) -> Option<HeldAnswer> {
        let held = self.budget.hold_answer(bytes, all_the_same, self.make_room());
        waits::for_others(held).await
    }

    fn make_room(&self) -> impl Fn(usize) -> bool {
        |needed| self.seats.end_those_who_hold_up(needed)
    }
}

impl Incoming {
    /// And where what is left of it comes in the end, if there is any.
    pub(super) fn new(
        body: hyper::body::Incoming,
        seat: &Arc<Seat>,
    ) -> (Self, Option<oneshot::Receiver<Rest>>) {
        if body.is_end_stream() {
            return (Incoming(None), None);
        }
        let (rest, left) = oneshot::channel();
        let unread = Unread {
            body,
            is_begun: false,
            seat: Arc::clone(seat),
            rest,
        };
        (Incoming(Some(unread)), Some(left))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(Unread {
            body, is_begun, rest, ..
        }) = self.0.take()
        {
            // Nobody is there to whom it matters, if the connection has ended.
            let _ = rest.send(Rest::Body { body, is_begun });
        }
    }
}

impl Rest {
    /// Whether it is over soon, by what its head says.
    pub(super) fn is_short(&self) -> bool {
        match self {
            Rest::Body { body, .. } => body.size_hint().upper().is_some_and(|left| left <= SHORT),
            Rest::GivenUp => false,
        }
    }

    /// Whether the client sends it: who asked whether to go on does not before he is told to.
    pub(super) fn is_sent(&self, waits_to_send: bool) -> bool {
        !waits_to_send || matches!(self, Rest::Body { is_begun: true, .. })
    }

    /// Reads it, for a while, and forgets it.
    pub(super) async fn discard(self, mut stop: watch::Receiver<bool>) {
        let Rest::Body { mut body, .. } = self else {
            return;
        };
        let ended = async { while let Some(Ok(_)) = body.frame().await {} };
        tokio::select! {
            _ = timeout(LINGER, ended) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

pub(super) async fn read(mut incoming: Incoming, allowed: &Allowance) -> Result<Body, Problem> {
    let mut held = allowed.budget.hold_nothing();
    let Some(mut unread) = incoming.0.take() else {
        let bytes = Vec::new();
        return Ok(Body { bytes, held });
    };
    match timeout(allowed.time, receive(&mut unread, allowed, &mut held)).await {
        Ok(Ok(bytes)) => Ok(Body { bytes, held }),
        Ok(Err(problem)) => {
            incoming.0 = Some(unread);
            Err(problem)
        }
        Err(_) => {
            let _ = unread.rest.send(Rest::GivenUp);
            Err(Problem::new(
                Code::Timeout,
                format!(
                    "the body took longer than {} s to come",
                    allowed.time.as_secs_f64()
                ),
            ))
        }
    }
}

async fn receive(unread: &mut Unread, allowed: &Allowance, held: &mut Held) -> Result<Vec<u8>, Problem> {
    let body = &mut unread.body;
    // As its head says, if it does.
    let length = usize::try_from(SizeHint::lower(&body.size_hint())).unwrap_or(usize::MAX);
    if length > allowed.bytes {
        return Err(too_long(allowed));
    }
    unread.is_begun = true;
    let receiving = unread.seat.receiving();
    let mut bytes = Vec::new();
    while let Some(frame) = waits::for_others(body.frame()).await {
        let frame =
            frame.map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))?;
        // Trailers are nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        receiving.add(data.len());
        let needed = bytes.len() + data.len();
        if needed > allowed.bytes {
            return Err(too_long(allowed));
        }
        if needed > bytes.capacity() {
            // No more than a few times what has come: a head may say anything.
            let room = (2 * needed).min(needed.max(length));
            receiving.pause();
            if !allowed.hold(held, room).await {
                return Err(Problem::busy());
            }
            receiving.holds(held.bytes());
            receiving.resume();
            bytes.reserve_exact(room - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn too_long(allowed: &Allowance) -> Problem {
    Problem::new(
        Code::BodyTooLong,
        format!(
            "the body is longer than {} bytes: send less at once, or raise --http-max-body",
            allowed.bytes
        ),
    )
}
