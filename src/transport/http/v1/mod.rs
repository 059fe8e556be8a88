//! What is done at the paths under /v1: which file answers what.

pub(super) mod admin;
pub(super) mod batch;
mod condition;
pub(super) mod entries;
mod etag;
mod glob;
pub(super) mod increment;
pub(super) mod keys;
pub(super) mod names;
mod operation;
pub(super) mod query;
mod same;
pub(super) mod transactions;
pub(super) mod value;

use hyper::Request;
use serde::de::DeserializeOwned;

use super::body::{self, Body, Incoming};
use super::budget::Held;
use super::problem::Problem;
use super::service::Service;

/// What is made of the body of a request, which is to be JSON; and the room that the body had, for that.
async fn read_json<T, R>(
    service: &Service,
    request: Request<Incoming>,
    then: fn(T) -> Result<R, Problem>,
) -> Result<(R, Held), Problem>
where
    T: DeserializeOwned + 'static,
    R: Send + 'static,
{
    let Body { bytes, held } = body::read(request.into_body(), &service.allowance).await?;
    let read = service
        .turns
        .about(bytes.len(), move || Ok((then(parsed(&bytes)?)?, held)));
    read.await
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("the body: {error}")))
}
