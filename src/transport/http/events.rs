//! Samples to whoever watches, as server-sent events. Who does not keep up is left behind.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use tokio::sync::mpsc;

use super::code::Code;
use super::problem::Problem;
use super::reply::{Answer, Reply};
use super::samples::{Sample, Samples};
use super::service::Service;

/// Samples that may wait for one who watches: he is sent all again when he comes back.
const MOST_WAITING: usize = 30;
/// Those who watch have no end, and places have.
const MOST: usize = 32;
const EVERY: Duration = Duration::from_secs(1);

/// Those who watch.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    /// From the first sample on, until nothing more comes.
    samples: Option<Samples>,
    senders: Vec<mpsc::Sender<Bytes>>,
    is_over: bool,
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all answers.
    pub(super) fn end(&self) {
        let mut all = self.lock();
        all.is_over = true;
        all.senders.clear();
    }
}

/// Takes a sample each second, for as long as the task is let live.
pub(super) async fn keep_sampling(service: &Service) {
    service.watchers.lock().samples = Some(Samples::new(service));
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Some(stdio) = &service.stdio {
            service.top.saw_elsewhere(&stdio.take_reads());
        }
        service.top.tick();
        tell(service);
    }
}

fn tell(service: &Service) {
    let mut all = service.watchers.lock();
    let All { samples, senders, .. } = &mut *all;
    let Some(samples) = samples else { return };
    let sample = samples.take(service);
    if senders.is_empty() {
        return;
    }
    let told = event("sample", sample.at, sample);
    senders.retain(|sender| sender.try_send(told.clone()).is_ok());
}

/// `GET /v1/events`.
pub(super) fn watch<B>(service: &Service, request: &Request<B>) -> Result<Answer, Problem> {
    let last = request.headers().get("last-event-id");
    let last = last.and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
    let (sender, receiver) = mpsc::channel(MOST_WAITING);
    let mut all = service.watchers.lock();
    all.senders.retain(|sender| !sender.is_closed());
    if all.senders.len() >= MOST {
        return Err(Problem::new(
            Code::Busy,
            format!("{MOST} watch already, which is the most: ask again later, or ask /metrics"),
        ));
    }
    let history: Vec<&Sample> = all
        .samples
        .as_ref()
        .map_or(Vec::new(), |samples| samples.after(last));
    let at = history.last().map_or(last, |sample| sample.at);
    // There is room for the first.
    let _ = sender.try_send(event("history", at, &history));
    if !all.is_over {
        all.senders.push(sender);
    }
    drop(all);
    let mut answer = Response::new(Reply::events(receiver));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn event(name: &str, id: u64, data: &impl serde::Serialize) -> Bytes {
    // Numbers under names of ours can be written.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\nid: {id}\ndata: {data}\n\n").into()
}
