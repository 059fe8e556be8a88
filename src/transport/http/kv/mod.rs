//! `/kv`: three operations, answered as a FastAPI service does that has a store behind it.

use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::body::{self, Body as Given, Incoming};
use super::code::Code;
use super::problem::{Problem, allow};
use super::reply::{Answer, ok, ok_held};
use super::service::Service;
use super::v1::names::decoded;
use super::v1::value::{from_json, to_json, told_length};
use crate::protocol::wrapped;
use crate::{Cache, Condition, Entry, SetOptions};

mod insert;
mod large;
mod python;

use insert::Refusal;
pub(super) use insert::{Body, invalid_schema};

const JSON: &str = "application/json";

fn success() -> Answer {
    ok(JSON, &b"{\"status\":\"success\"}"[..])
}

/// What that is.
pub(super) fn success_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "required": ["status"], "properties": { "status": { "const": "success" } } })
}

/// What a read is answered with.
pub(super) fn found_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["key", "value"],
        "properties": { "key": { "type": "string" }, "value": {} },
    })
}

pub(super) async fn insert(service: &Service, request: Request<Incoming>) -> Result<Answer, Problem> {
    let is_json = insert::is_json(request.headers());
    let body = body::read(request.into_body(), &service.allowance).await?;
    let Given { bytes, held } = body;
    let cache = service.backing.writable().cloned();
    let stored = service
        .turns
        .about(bytes.len(), move || (store(cache, &bytes, is_json), held));
    let (stored, _held) = stored.await;
    match stored? {
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

fn store(cache: Result<Cache, Problem>, body: &[u8], is_json: bool) -> Result<Result<(), Refusal>, Problem> {
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
    cache?.set(&*asked.key, value, options)?;
    Ok(Ok(()))
}

pub(super) async fn get(service: &Service, key: &str) -> Result<Answer, Problem> {
    let key = decoded(key);
    service.top.saw(&key);
    let Some(entry) = service.backing.cache()?.get(&key) else {
        return Err(Problem::new(Code::Miss, "Key not found"));
    };
    let found = entry.clone();
    let length = service
        .turns
        .about(entry.value.len(), move || told_length(found.tag, &found.value))
        .await;
    let mut held = service.allowance.budget.hold_nothing();
    // By itself, and with its key.
    if !service.allowance.hold(&mut held, 2 * length).await {
        return Err(Problem::busy());
    }
    let (key, tag) = (key.into_owned(), entry.tag);
    let body = service.turns.about(length, move || shown(&key, &entry)).await;
    let body = body.ok_or_else(|| {
        Problem::new(
            Code::NotJson,
            format!(
                "the value has the tag {}{}, which JSON cannot carry: read it at /v1/entries/",
                tag.0,
                wrapped::words(tag)
            ),
        )
    })?;
    Ok(ok_held(JSON, body, held))
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

pub(super) async fn delete(service: &Service, key: &str) -> Result<Answer, Problem> {
    service.backing.writable()?.remove(decoded(key));
    service.settle().await?;
    Ok(success())
}

pub(super) fn redirect(request: &Request<Incoming>) -> Answer {
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

pub(super) fn method_not_allowed(allowed: &str) -> Answer {
    let mut answer = ok(JSON, &b"{\"detail\":\"Method Not Allowed\"}"[..]);
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    allow(&mut answer, allowed);
    answer
}
