//! Reading the body of a request: no longer than it may be, and no more slowly.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

use super::code::Code;
use super::problem::Problem;

/// How long a body may be, in bytes, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

pub(super) async fn read(body: Incoming, allowed: Allowance) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > allowed.bytes as u64 {
        return Err(too_long(allowed));
    }
    let collected = tokio::time::timeout(allowed.time, Limited::new(body, allowed.bytes).collect());
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long(allowed)),
        Ok(Err(error)) => Err(Problem::bad_request(format!("the body cannot be read: {error}"))),
        Err(_) => Err(Problem::new(
            Code::Timeout,
            format!(
                "the body took longer than {} s to come",
                allowed.time.as_secs_f64()
            ),
        )),
    }
}

fn too_long(allowed: Allowance) -> Problem {
    Problem::new(
        Code::BodyTooLong,
        format!(
            "the body is longer than {} bytes: send less at once, or raise --http-max-body",
            allowed.bytes
        ),
    )
}
