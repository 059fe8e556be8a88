//! What a request is answered with: bytes that are there, or events as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

use super::budget::Held;
use super::seat::{AtWork, Reading};

pub(super) type Answer = Response<Reply>;

/// Answers are handed out in pieces of so many bytes: what is not handed out yet is neither buffered nor taken for written.
const PIECE: usize = 128 * 1024;

/// What a browser may do with a value that it is made to show: nothing, on behalf of nobody. Values are anybody's, HTML with scripts too.
const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Reply {
    content: Content,
    at_work: Option<AtWork>,
    /// What there was for it before it was made, if there was.
    held: Option<Held>,
    /// If it takes of the memory for answers.
    reading: Option<Reading>,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    Events(mpsc::Receiver<Bytes>),
}

impl Reply {
    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Bytes(bytes.into()))
    }

    pub(super) fn events(events: mpsc::Receiver<Bytes>) -> Self {
        Self::new(Content::Events(events))
    }

    fn new(content: Content) -> Self {
        Reply {
            content,
            at_work: None,
            held: None,
            reading: None,
        }
    }

    /// What there is of it; nothing of what comes later.
    pub(super) fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes),
            Content::Events(_) => None,
        }
    }

    /// Room for it, if there was some before it was made.
    pub(super) fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    pub(super) fn is_read_as(&mut self, reading: Reading) {
        self.reading = Some(reading);
    }

    /// Keeps the connection from being taken for idle until all of this is handed out.
    pub(super) fn at_work(&mut self, at_work: AtWork) {
        self.at_work = Some(at_work);
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.content {
            Content::Bytes(bytes) if bytes.is_empty() => None,
            Content::Bytes(bytes) => {
                let length = bytes.len().min(PIECE);
                Some(bytes.split_to(length))
            }
            Content::Events(events) => ready!(events.poll_recv(context)),
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Bytes(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Events(_) => SizeHint::default(),
        }
    }
}

/// Has browsers take an answer for what its type says, and run nothing of it, unless it has a policy of its own.
pub(super) fn contain(answer: &mut Answer) {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(SANDBOX));
}

/// 200, with bytes of a type.
pub(super) fn ok(content_type: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Reply::of(bytes));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The same, for which there is room, and which takes no more of it than it is long.
pub(super) fn ok_held(content_type: &'static str, bytes: impl Into<Bytes>, mut held: Held) -> Answer {
    let bytes = bytes.into();
    held.settle_at(bytes.len());
    let mut answer = ok(content_type, bytes);
    answer.body_mut().held = Some(held);
    answer
}

/// 200, as JSON of about so many bytes, for which there is room.
pub(super) fn json_held(value: &impl Serialize, length: usize, held: Held) -> Answer {
    let mut bytes = Vec::with_capacity(length);
    // As below.
    let written = serde_json::to_writer(&mut bytes, value);
    debug_assert!(written.is_ok());
    bytes.shrink_to_fit();
    ok_held("application/json", bytes, held)
}

/// 200, as JSON.
pub(super) fn json(value: &impl Serialize) -> Answer {
    // What is answered is made of strings, numbers and JSON that was read: it can be written.
    ok("application/json", serde_json::to_vec(value).unwrap_or_default())
}

/// No body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Reply::of(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
