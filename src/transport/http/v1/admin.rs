//! What is about the whole cache: its numbers, snapshots, and removal by prefix.

use hyper::{Request, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::super::body::Incoming;
use super::super::code::Code;
use super::super::problem::Problem;
use super::super::reply::{Answer, empty, json};
use super::super::samples::resident_memory;
use super::super::service::Service;
use super::query;
use crate::session::numbers;

/// `GET /v1/stats`.
pub(in super::super) fn stats(service: &Service) -> Answer {
    let (backing, traffic) = (&service.backing, &service.traffic);
    let settings = backing.settings();
    let all = traffic.all();
    let stdio = |of: fn(&crate::session::Traffic) -> u64| service.stdio.as_deref().map_or(0, of);
    let shed = service.seats.shed_by_cause();
    let shed = shed.iter().map(|(_, count)| count).sum();
    let of_service = [
        ("http_requests", all.total()),
        ("http_errors", traffic.refused() + traffic.failed()),
        ("http_connections", service.seats.count() as u64),
        ("http_connections_shed", shed),
        ("commands", stdio(crate::session::Traffic::commands)),
        ("command_errors", stdio(crate::session::Traffic::refusals)),
        ("resident_bytes", resident_memory().unwrap_or(0)),
        (
            "uptime_ms",
            u64::try_from(service.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        ),
        ("pid", u64::from(std::process::id())),
    ];
    let numbers = numbers::of_cache(settings, &backing.stats())
        .into_iter()
        .chain(of_service)
        .chain(numbers::of_directory(backing.directory_stats()));
    let mut told: Map<String, Value> = numbers
        .map(|(name, number)| (name.to_owned(), number.into()))
        .collect();
    told.insert("policy".to_owned(), settings.policy().to_string().into());
    told.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    json(&told)
}

/// What it is answered with.
pub(in super::super) fn stats_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["items", "bytes", "hits", "misses"],
        "additionalProperties": { "type": ["integer", "string"] },
    })
}

/// `POST /v1/snapshot`.
pub(in super::super) async fn snapshot(service: &Service) -> Result<Answer, Problem> {
    service.backing.cache()?;
    let Some(store) = service.backing.store() else {
        return Err(Problem::new(
            Code::NoDirectory,
            "this daemon keeps nothing on disk, so there is nowhere to write a snapshot",
        ));
    };
    let (done, written) = oneshot::channel();
    store.request_snapshot(move |result| {
        // Whoever asked may have gone.
        let _ = done.send(result);
    });
    let failed =
        |cause: String| Problem::new(Code::DiskFailed, format!("no snapshot could be written: {cause}"));
    match written.await {
        Ok(Ok(())) => Ok(empty(StatusCode::NO_CONTENT)),
        Ok(Err(failure)) => Err(failed(failure.to_string())),
        Err(_) => Err(failed("the daemon is ending".to_owned())),
    }
}

/// How many entries were removed.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Removed {
    removed: u64,
}

/// `DELETE /v1/entries?prefix=`.
pub(in super::super) async fn clear(
    service: &Service,
    request: &Request<Incoming>,
) -> Result<Answer, Problem> {
    let prefix = query::bytes(request.uri(), "prefix").ok_or_else(|| {
        Problem::bad_request(
            "prefix is missing: `?prefix=user:` removes what begins so, `?prefix=` everything",
        )
    })?;
    let cache = service.backing.writable()?.clone();
    let removed = service.turns.always(move || cache.clear_prefix(prefix)).await;
    service.settle().await?;
    Ok(json(&Removed { removed }))
}
