//! `/kv`: three routes, answered as a FastAPI service does that has a store behind it.

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::body;
use super::lengthy;
use super::problem::Problem;
use super::reply::{Answer, ok};
use super::service::Service;
use super::v1::names::decoded;
use super::v1::value::{from_json, to_json};
use crate::{Condition, Entry, SetOptions};

mod insert;
mod python;

use insert::Refusal;

/// What a path under /kv/ asks for.
#[derive(Debug, PartialEq, Eq)]
enum Route<'p> {
    Insert,
    Get(&'p str),
    Delete(&'p str),
    MethodNotAllowed(&'static str),
    /// It would be there without the last slash.
    Redirect,
    NotFound,
}

fn route<'p>(method: &Method, rest: &'p str) -> Route<'p> {
    // The first route that the path fits decides which method is missing.
    match (method, rest.split_once('/')) {
        (_, None) if rest.is_empty() => Route::NotFound,
        (&Method::PUT, None) if rest == "insert" => Route::Insert,
        (&Method::GET, None) => Route::Get(rest),
        (_, None) if rest == "insert" => Route::MethodNotAllowed("PUT"),
        (_, None) => Route::MethodNotAllowed("GET"),
        (&Method::DELETE, Some(("delete", key))) if is_one(key) => Route::Delete(key),
        (_, Some(("delete", key))) if is_one(key) => Route::MethodNotAllowed("DELETE"),
        (_, Some((_, ""))) => Route::Redirect,
        (_, Some(("delete", key))) if key.strip_suffix('/').is_some_and(is_one) => Route::Redirect,
        _ => Route::NotFound,
    }
}

fn is_one(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains('/')
}

pub(super) async fn answer(service: &Service, request: Request<Incoming>) -> Answer {
    let rest = request.uri().path().strip_prefix("/kv/").unwrap_or_default();
    let answered = match route(request.method(), rest) {
        Route::Insert => insert(service, request).await,
        Route::Get(key) => get(service, &decoded(key)),
        Route::Delete(key) => delete(service, &decoded(key)).await,
        Route::MethodNotAllowed(allowed) => return method_not_allowed(allowed),
        Route::Redirect => return redirect(&request),
        Route::NotFound => return not_found(),
    };
    answered.unwrap_or_else(Problem::into_detail)
}

const JSON: &str = "application/json";

fn success() -> Answer {
    ok(JSON, &b"{\"status\":\"success\"}"[..])
}

async fn insert(service: &Service, request: Request<Incoming>) -> Result<Answer, Problem> {
    let is_json = insert::is_json(request.headers());
    let body = body::read(request.into_body(), service.allowance).await?;
    match lengthy::about(body.len(), || store(service, &body, is_json))? {
        Err(Refusal::Invalid(detail)) => {
            let mut answer = ok(JSON, detail);
            *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(answer)
        }
        Err(Refusal::Unreadable) => Err(Problem::bad_request("There was an error parsing the body")),
        Ok(()) => {
            service.settle().await?;
            Ok(success())
        }
    }
}

fn store(service: &Service, body: &[u8], is_json: bool) -> Result<Result<(), Refusal>, Problem> {
    let asked = match insert::read(body, is_json) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (tag, value) = from_json(&asked.value);
    let options = SetOptions {
        tag,
        expiry: asked.expiry,
        condition: Condition::Always,
    };
    service.backing.writable()?.set(&*asked.key, value, options)?;
    Ok(Ok(()))
}

fn get(service: &Service, key: &[u8]) -> Result<Answer, Problem> {
    service.top.saw(key);
    let Some(entry) = service.backing.cache()?.get(key) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "MISS", "Key not found"));
    };
    let body = lengthy::about(entry.value.len(), || shown(key, &entry)).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "NOT_JSON",
            format!(
                "the value has the tag {}, which JSON cannot carry: read it at /v1/entries/",
                entry.tag.0
            ),
        )
    })?;
    Ok(ok(JSON, body))
}

/// `{"key":…,"value":…}`
fn shown(key: &[u8], entry: &Entry) -> Option<Vec<u8>> {
    let value = to_json(entry.tag, &entry.value)?;
    let key = String::from_utf8_lossy(key);
    let mut body = Vec::with_capacity(key.len() + value.get().len() + 24);
    body.extend_from_slice(b"{\"key\":");
    // Text can be written.
    serde_json::to_writer(&mut body, &key).ok()?;
    body.extend_from_slice(b",\"value\":");
    body.extend_from_slice(value.get().as_bytes());
    body.push(b'}');
    Some(body)
}

async fn delete(service: &Service, key: &[u8]) -> Result<Answer, Problem> {
    service.backing.writable()?.remove(key);
    service.settle().await?;
    Ok(success())
}

fn redirect(request: &Request<Incoming>) -> Answer {
    let path = request.uri().path().trim_end_matches('/');
    let query = request
        .uri()
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut answer = super::reply::empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(location) = HeaderValue::try_from(format!("{path}{query}")) {
        answer.headers_mut().insert(hyper::header::LOCATION, location);
    }
    answer
}

pub(super) fn not_found() -> Answer {
    let mut answer = ok(JSON, &b"{\"detail\":\"Not Found\"}"[..]);
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = ok(JSON, &b"{\"detail\":\"Method Not Allowed\"}"[..]);
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
