//! A request in, an answer out: who may ask, which part of the service is asked, and what is counted of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use crate::session;

use super::backing::Backing;
use super::body::Allowance;
use super::events::{self, Watchers};
use super::guard::Guard;
use super::options::Options;
use super::problem::Problem;
use super::reply::{Answer, json};
use super::seats::Seats;
use super::top::Top;
use super::traffic::{Kind, Traffic};
use super::{docs, health, kv, metrics, v1};

/// What all connections of a server share.
pub(super) struct Service {
    pub(super) backing: Backing,
    pub(super) traffic: Traffic,
    pub(super) seats: Seats,
    pub(super) top: Top,
    pub(super) watchers: Watchers,
    /// What the session on stdin and stdout counts, if there is one.
    pub(super) stdio: Option<Arc<session::Traffic>>,
    pub(super) allowance: Allowance,
    pub(super) began: Instant,
    guard: Guard,
    is_stopping: AtomicBool,
    on_fatal: Box<dyn Fn() + Send + Sync>,
}

impl Service {
    pub(super) fn new(
        options: &Options,
        backing: Backing,
        stdio: Option<Arc<session::Traffic>>,
        on_fatal: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Service {
            backing,
            traffic: Traffic::new(),
            seats: Seats::new(options.max_connections),
            top: Top::new(),
            watchers: Watchers::default(),
            stdio,
            allowance: Allowance {
                bytes: options.max_body,
                time: options.timeout,
            },
            began: Instant::now(),
            guard: Guard::new(options),
            is_stopping: AtomicBool::new(false),
            on_fatal,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// No more is begun, and what has no end by itself is ended.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.watchers.end();
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let began = Instant::now();
        let kind = Kind::of(request.method(), request.uri().path());
        let answer = match self.guard.check(&request) {
            Ok(()) => self.route(request).await,
            Err(problem) => problem.into_answer(),
        };
        self.traffic.record(kind, began.elapsed(), answer.status());
        answer
    }

    async fn route(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if path.starts_with("/kv/") {
            return kv::answer(self, request).await;
        }
        if path.starts_with("/v1/") {
            return v1::answer(self, request)
                .await
                .unwrap_or_else(Problem::into_answer);
        }
        if let Some(page) = docs::page(path) {
            return match *request.method() {
                Method::GET | Method::HEAD => docs::answer(page),
                _ => kv::method_not_allowed("GET, HEAD"),
            };
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let answered = match path {
            "/livez" | "/readyz" | "/metrics" if !is_read => return kv::method_not_allowed("GET, HEAD"),
            "/livez" => Ok(health::live()),
            "/readyz" => health::ready(self),
            "/metrics" => Ok(metrics::answer(self)),
            _ => return kv::not_found(),
        };
        answered.unwrap_or_else(Problem::into_answer)
    }

    /// Has what was changed kept, before it is acknowledged.
    pub(super) async fn settle(&self) -> Result<(), Problem> {
        let settled = self.backing.settle().await;
        if settled.is_err() && self.backing.fatal().is_some() {
            (self.on_fatal)();
        }
        settled
    }

    /// `GET /v1/events`, `/v1/top` and `/v1/stats` are here since they are about all of it.
    pub(super) fn watch(&self, path: &str, request: &Request<Incoming>) -> Result<Answer, Problem> {
        match path {
            "/v1/events" => Ok(events::watch(self, request)),
            "/v1/top" => {
                let limit = v1::query::number(request.uri(), "limit", 1..=super::top::MOST, 20)?;
                Ok(json(&self.top.tell(self.backing.cache()?, limit)))
            }
            _ => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "there is nothing at this path",
            )),
        }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("backing", &self.backing)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
