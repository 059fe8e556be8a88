//! A request in, an answer out: who may ask, which part of the service is asked, and what is counted of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hyper::{Method, Request};

use crate::session;

use super::backing::Backing;
use super::body::{Allowance, Incoming};
use super::budget::Budget;
use super::code::Code;
use super::events::{self, Watchers};
use super::guard::Guard;
use super::lengthy::Turns;
use super::options::Options;
use super::problem::Problem;
use super::reply::{Answer, json_held};
use super::routes::{self, Asks, Found, Manner, Path};
use super::samples::unix_millis;
use super::seat::{Holding, Seat};
use super::seats::Seats;
use super::top::{self, Top};
use super::traffic::{Cause, Kind, Traffic};
use super::v1::{admin, batch, entries, increment, keys, transactions};
use super::{docs, health, kv, metrics, waits};

/// What may be asked when all places but the spare ones are taken.
const HEALTH: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// What all connections of a server share.
pub(super) struct Service {
    pub(super) backing: Backing,
    pub(super) traffic: Traffic,
    pub(super) seats: Arc<Seats>,
    pub(super) top: Arc<Top>,
    pub(super) watchers: Watchers,
    /// What the session on stdin and stdout counts, if there is one.
    pub(super) stdio: Option<Arc<session::Traffic>>,
    pub(super) allowance: Allowance,
    pub(super) turns: Turns,
    pub(super) began: Instant,
    /// The same in Unix milliseconds, by the clock as it was then: that may be set later.
    pub(super) began_at: u64,
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
        let seats = Arc::new(Seats::new(options.max_connections));
        Service {
            backing,
            traffic: Traffic::new(),
            seats: Arc::clone(&seats),
            top: Arc::new(Top::new()),
            watchers: Watchers::default(),
            stdio,
            allowance: Allowance {
                bytes: options.max_body,
                time: options.timeout,
                budget: Budget::new(options.max_memory),
                seats,
            },
            turns: Turns::new(options.threads),
            began: Instant::now(),
            began_at: unix_millis(),
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

    // What is returned is moved for each request: nothing is put around it, and what is not asked all the time is apart.
    pub(super) fn answer<'s>(
        &'s self,
        request: Request<Incoming>,
        seat: &'s Arc<Seat>,
    ) -> impl Future<Output = Answer> + Send + 's {
        waits::counted(self.answer_counted(request, seat))
    }

    async fn answer_counted(&self, request: Request<Incoming>, seat: &Arc<Seat>) -> Answer {
        let began = Instant::now();
        let path = request.uri().path();
        let found = routes::find(request.method(), path);
        let (kind, is_open, page) = match found {
            Found::Operation(_, operation) => (operation.kind, operation.is_open, None),
            _ => {
                let page = docs::page(path);
                (Kind::Other, page.is_some(), page)
            }
        };
        let manner = match found {
            Found::Operation(path, _) => path.manner,
            _ => Manner::Ours,
        };
        let takes_memory = *request.method() != Method::HEAD
            && match found {
                Found::Operation(_, operation) => !is_open && !is_told_of_itself(operation.asks),
                _ => false,
            };
        let can_be_repeated = request.method().is_safe();
        let is_let_in = !seat.is_spare || HEALTH.contains(&path);
        let allowed = match is_let_in {
            true => self.guard.check(&request, is_open),
            false => Err(Problem::new(
                Code::Busy,
                "as many connections as there may be are at work: ask again later, or raise --http-max-connections",
            )),
        };
        let mut answer = match (allowed, found) {
            (Err(problem), _) => problem.into_answer(),
            (Ok(()), Found::Operation(path, operation)) => {
                let answer = match operation.stray(request.uri()) {
                    Some(problem) => problem.into_answer(),
                    None => self.perform(path, operation.asks, request).await,
                };
                let status = answer.status();
                debug_assert!(operation.tells(status), "{operation:?} is answered with {status}");
                answer
            }
            (Ok(()), Found::OtherMethod(path)) => match path.manner {
                Manner::Ours => Problem::method_not_allowed(&path.allowed()),
                Manner::FastApi => kv::method_not_allowed(&path.allowed()),
            },
            (Ok(()), Found::Redirect) => kv::redirect(&request),
            (Ok(()), Found::Nothing) => match (page, request.method()) {
                (Some(page), &Method::GET | &Method::HEAD) => docs::answer(page),
                (Some(_), _) => kv::method_not_allowed("GET, HEAD"),
                (None, _) if request.uri().path().starts_with("/v1/") => Problem::new(
                    Code::NotFound,
                    "there is nothing at this path: /docs shows what there is",
                )
                .into_answer(),
                (None, _) => kv::not_found(),
            },
        };
        if takes_memory && !self.hold(&mut answer, seat, !can_be_repeated).await {
            let problem = Problem::busy();
            answer = match manner {
                Manner::Ours => problem.into_answer(),
                Manner::FastApi => problem.into_detail(),
            };
        }
        let code = answer.extensions().get().copied();
        if code == Some(Code::Busy) {
            self.traffic.busy(match (is_let_in, kind) {
                (false, _) => Cause::Connections,
                (true, Kind::Watch) => Cause::Watchers,
                (true, _) => Cause::Memory,
            });
        }
        let took = began.elapsed().saturating_sub(waits::so_far());
        self.traffic.record(kind, took, answer.status(), code);
        answer
    }

    /// Whether there is room for an answer, or it needs none.
    async fn hold(&self, answer: &mut Answer, seat: &Arc<Seat>, all_the_same: bool) -> bool {
        let Some(bytes) = answer.body().bytes().filter(|bytes| !Budget::is_free(bytes)) else {
            return true;
        };
        let bytes = bytes.clone();
        let holding = if let Some(held) = answer.body_mut().take_held() {
            Holding::Own(held)
        } else {
            let Some(held) = self.allowance.hold_answer(&bytes, all_the_same).await else {
                return false;
            };
            Holding::Shared(held)
        };
        answer.body_mut().is_read_as(seat.reading(holding));
        true
    }

    async fn perform(&self, path: &Path, asks: Asks, request: Request<Incoming>) -> Answer {
        let done = match asks {
            Asks::GetEntry => entries::get(self, &request).await,
            Asks::HeadEntry => entries::head(self, &request).await,
            Asks::PutEntry => Box::pin(entries::put(self, request)).await,
            Asks::DeleteEntry => entries::delete(self, &request).await,
            Asks::DeleteEntries => Box::pin(admin::clear(self, &request)).await,
            Asks::ListKeys => Box::pin(keys::answer(self, &request)).await,
            Asks::Batch => Box::pin(batch::answer(self, request)).await,
            Asks::Increment => Box::pin(increment::answer(self, request)).await,
            Asks::Transact => Box::pin(transactions::answer(self, request)).await,
            Asks::Snapshot => admin::snapshot(self).await,
            Asks::Stats => Ok(admin::stats(self)),
            Asks::Events => events::watch(self, &request),
            Asks::Top => Box::pin(self.top(&request)).await,
            Asks::Live => Ok(health::live()),
            Asks::Ready => health::ready(self),
            Asks::Metrics => Ok(metrics::answer(self)),
            Asks::KvInsert => Box::pin(kv::insert(self, request)).await,
            Asks::KvGet => Box::pin(kv::get(self, path.key_of(&request))).await,
            Asks::KvDelete => kv::delete(self, path.key_of(&request)).await,
        };
        done.unwrap_or_else(|problem| match path.manner {
            Manner::Ours => problem.into_answer(),
            Manner::FastApi => problem.into_detail(),
        })
    }

    /// Has what was changed kept, before it is acknowledged.
    pub(super) async fn settle(&self) -> Result<(), Problem> {
        let settled = self.backing.settle().await;
        if settled.is_err() && self.backing.fatal().is_some() {
            (self.on_fatal)();
        }
        settled
    }

    async fn top(&self, request: &Request<Incoming>) -> Result<Answer, Problem> {
        let limit = top::LIMIT.of(request.uri())?;
        let cache = self.backing.cache()?;
        let mut held = self.allowance.budget.hold_nothing();
        // Who waits for room keeps nothing of it, and looks again.
        loop {
            let (top, cache) = (Arc::clone(&self.top), cache.clone());
            let told = self.turns.always(move || {
                let told = top.tell(&cache, limit);
                let needed = told.needed();
                match held.try_grow(needed) {
                    true => Ok(json_held(&told, told.length(), held)),
                    false => Err((held, needed)),
                }
            });
            let (had, needed) = match told.await {
                Ok(answer) => return Ok(answer),
                Err(missing) => missing,
            };
            held = had;
            if !self.allowance.hold(&mut held, needed).await {
                return Err(Problem::busy());
            }
        }
    }
}

/// What the daemon answers of itself has a length of its own, and is wanted the most when nothing else is answered.
fn is_told_of_itself(asks: Asks) -> bool {
    matches!(asks, Asks::Stats | Asks::Live | Asks::Ready | Asks::Metrics)
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("backing", &self.backing)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
