//! The routes under /v1: which file answers what.

mod admin;
mod batch;
mod condition;
mod entries;
mod etag;
mod glob;
mod increment;
mod keys;
pub(super) mod names;
mod operation;
pub(super) mod query;
mod transactions;
pub(super) mod value;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;

use super::body;
use super::lengthy;
use super::problem::Problem;
use super::reply::Answer;
use super::service::Service;

pub(super) async fn answer(service: &Service, request: Request<Incoming>) -> Result<Answer, Problem> {
    let path = request.uri().path();
    if path.starts_with(entries::PATH) {
        return entries::answer(service, request).await;
    }
    let method = request.method();
    let (is_read, is_post) = (
        matches!(*method, Method::GET | Method::HEAD),
        *method == Method::POST,
    );
    match path {
        "/v1/keys" if is_read => keys::answer(service, &request),
        "/v1/stats" if is_read => Ok(admin::stats(service)),
        "/v1/events" | "/v1/top" if is_read => service.watch(path, &request),
        "/v1/batch" if is_post => batch::answer(service, request).await,
        "/v1/transactions" if is_post => transactions::answer(service, request).await,
        "/v1/incr" if is_post => increment::answer(service, request).await,
        "/v1/snapshot" if is_post => admin::snapshot(service).await,
        "/v1/entries" if *method == Method::DELETE => admin::clear(service, &request).await,
        "/v1/keys" | "/v1/stats" | "/v1/events" | "/v1/top" => Ok(Problem::method_not_allowed("GET, HEAD")),
        "/v1/batch" | "/v1/incr" | "/v1/transactions" | "/v1/snapshot" => {
            Ok(Problem::method_not_allowed("POST"))
        }
        "/v1/entries" => Ok(Problem::method_not_allowed("DELETE")),
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "there is nothing at this path: /docs shows what there is",
        )),
    }
}

/// The body of a request, which is to be JSON.
async fn read_json<T: DeserializeOwned>(service: &Service, request: Request<Incoming>) -> Result<T, Problem> {
    let body = body::read(request.into_body(), service.allowance).await?;
    lengthy::about(body.len(), || serde_json::from_slice(&body))
        .map_err(|error| Problem::bad_request(format!("the body: {error}")))
}
