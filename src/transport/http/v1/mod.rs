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

use super::body::{self, Incoming};
use super::lengthy;
use super::problem::Problem;
use super::service::Service;

/// The body of a request, which is to be JSON.
async fn read_json<T: DeserializeOwned>(service: &Service, request: Request<Incoming>) -> Result<T, Problem> {
    let body = body::read(request.into_body(), &service.allowance).await?;
    lengthy::about(body.bytes.len(), || serde_json::from_slice(&body.bytes))
        .map_err(|error| Problem::bad_request(format!("the body: {error}")))
}
