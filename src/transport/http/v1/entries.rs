//! `/v1/entries/{key}`: one entry, with its value as the body.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, VARY,
};
use hyper::{Request, Response, StatusCode, Uri};

use super::super::body::{self, Body, Incoming};
use super::super::code::Code;
use super::super::lengthy;
use super::super::problem::Problem;
use super::super::reply::{Answer, Reply, empty};
use super::super::service::Service;
use super::condition::{Conditions, Needs};
use super::etag;
use super::names::{decoded, expiry_of, from_base64};
use super::query;
use super::value::typed;
use crate::cache::millis_rounded_up;
use crate::protocol::media;
use crate::protocol::wrapped::{self, Coding, Compressed};
use crate::{Cache, Computed, Condition, Entry, Expiry, Op, SetOptions, Tag, TimeLeft};

const PATH: &str = "/v1/entries/";

const RUSTCACHE_TTL: HeaderName = HeaderName::from_static("rustcache-ttl");
const RUSTCACHE_TAG: HeaderName = HeaderName::from_static("rustcache-tag");

pub(in super::super) async fn get(service: &Service, request: &Request<Incoming>) -> Result<Answer, Problem> {
    let peek = request.uri().query().is_some() && query::flag(request.uri(), "peek")?;
    read(service, request, peek).await
}

pub(in super::super) async fn head(
    service: &Service,
    request: &Request<Incoming>,
) -> Result<Answer, Problem> {
    read(service, request, true).await
}

/// The key of a path that begins with `PATH`, or, if that ends there, the one in the query: no client can ask for the paths `.` and `..`.
fn key(uri: &Uri) -> Result<Cow<'_, [u8]>, Problem> {
    let path = uri.path().strip_prefix(PATH).unwrap_or_default();
    if uri.query().is_none() {
        return Ok(decoded(path));
    }
    let (text, base64) = (query::bytes(uri, "key"), query::text(uri, "key_base64")?);
    if !path.is_empty() {
        return match text.is_some() || base64.is_some() {
            true => Err(Problem::bad_request(format!(
                "the path names the key {path:?} and the query another: one of them is the key"
            ))),
            false => Ok(decoded(path)),
        };
    }
    match (text, base64) {
        (Some(_), Some(_)) => Err(Problem::bad_request(
            "`key` and `key_base64` are both there: one of them is the key",
        )),
        (None, Some(base64)) => Ok(from_base64(&base64).map_err(Problem::bad_request)?.into()),
        (key, None) => Ok(key.unwrap_or_default().into()),
    }
}

async fn read(service: &Service, request: &Request<Incoming>, peek: bool) -> Result<Answer, Problem> {
    let cache = service.backing.cache()?;
    let key = key(request.uri())?;
    let found = if peek {
        cache.peek(&key)
    } else {
        service.top.saw(&key);
        cache.get(&key)
    };
    let entry = found.ok_or_else(Problem::not_found)?;
    let etag = match lengthy::is_long(entry.value.len()) {
        true => {
            let entry = entry.clone();
            service.turns.always(move || etag::of_entry(&entry)).await
        }
        false => etag::of_entry(&entry),
    };
    let packed = wrapped::compressed(entry.tag, &entry.value);
    let taken = packed.filter(|packed| takes(request.headers(), packed.coding));
    let coded = taken.map(|packed| etag::coded(&etag, packed.coding));
    let told = coded.as_deref().unwrap_or(&etag);
    let mut answer = if Conditions::of(request.headers()).is_known(&etag, told)? {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let (media_type, bytes) = shown(&entry, taken);
        let mut answer = Response::new(Reply::of(bytes));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, media_type);
        if let Some(packed) = taken {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(packed.coding.name()));
        }
        answer
    };
    if packed.is_some() {
        answer
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    describe(answer.headers_mut(), &entry, told);
    Ok(answer)
}

/// Whether a client says that it can unpack this.
fn takes(headers: &HeaderMap, coding: Coding) -> bool {
    let given = headers.get_all(ACCEPT_ENCODING).iter();
    let lists = given.filter_map(|value| value.to_str().ok());
    let mut codings = lists.flat_map(|list| list.split(','));
    codings.any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case(coding.name()) && weight != Some(Ok(0.0))
    })
}

/// The value without what is in front of it; a large one is not copied.
fn shown(entry: &Entry, packed: Option<Compressed<'_>>) -> (HeaderValue, Bytes) {
    let (media_type, bytes) = match packed {
        Some(packed) => (media::shown(packed.tag, &[]).0, packed.bytes),
        None => media::shown(entry.tag, &entry.value),
    };
    let header = match media_type {
        Cow::Borrowed(name) => HeaderValue::from_static(name),
        // Of ASCII that can be printed, which a header can carry.
        Cow::Owned(name) => {
            HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("application/octet-stream"))
        }
    };
    let in_front = entry.value.len() - bytes.len();
    (header, Bytes::from(entry.value.clone()).slice(in_front..))
}

fn insert_etag(headers: &mut HeaderMap, etag: &[u8]) {
    if let Ok(etag) = HeaderValue::from_bytes(etag) {
        headers.insert(ETAG, etag);
    }
}

fn describe(headers: &mut HeaderMap, entry: &Entry, etag: &[u8]) {
    insert_etag(headers, etag);
    headers.insert(RUSTCACHE_TAG, HeaderValue::from(u16::from(entry.tag.0)));
    match entry.time_left {
        TimeLeft::Forever => {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        TimeLeft::Left(left) => {
            let mut max_age = BytesMut::with_capacity(32);
            max_age.put_slice(b"max-age=");
            max_age.put_slice(left.as_secs().to_string().as_bytes());
            if let Ok(max_age) = HeaderValue::from_maybe_shared(max_age.freeze()) {
                headers.insert(CACHE_CONTROL, max_age);
            }
            let millis = millis_rounded_up(left);
            let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
            if let Ok(seconds) = HeaderValue::try_from(seconds) {
                headers.insert(RUSTCACHE_TTL, seconds);
            }
        }
    }
}

pub(in super::super) async fn put(service: &Service, request: Request<Incoming>) -> Result<Answer, Problem> {
    let expiry = match query::text(request.uri(), "ttl")? {
        Some(text) => expiry_of(&text).map_err(Problem::bad_request)?,
        None => max_age(request.headers())?,
    };
    check_whole(request.headers())?;
    let conditions = Conditions::of(request.headers());
    let (parts, body) = request.into_parts();
    media_type(&parts.headers)?;
    let Body { bytes, held } = body::read(body, &service.allowance).await?;
    let cache = service.backing.writable()?.clone();
    let stored = service.turns.about(bytes.len(), move || {
        let (tag, value) = typed(media_type(&parts.headers)?, bytes).map_err(Problem::bad_request)?;
        let status = store(&cache, &key(&parts.uri)?, (tag, &value), expiry, &conditions)?;
        Ok::<_, Problem>((status, etag::of(tag, &value), held))
    });
    let (status, etag, _held) = stored.await?;
    service.settle().await?;
    if expiry == Expiry::After(Duration::ZERO) {
        // It has expired: nothing was created.
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let mut answer = empty(status);
    insert_etag(answer.headers_mut(), &etag);
    Ok(answer)
}

fn media_type(headers: &HeaderMap) -> Result<&str, Problem> {
    match headers.get(CONTENT_TYPE) {
        None => Ok("application/octet-stream"),
        Some(given) => given
            .to_str()
            .map_err(|_| Problem::bad_request("the Content-Type is not ASCII")),
    }
}

/// Values are kept as they come: what says that there is more to them would be lost.
fn check_whole(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Problem::bad_request(
            "there is a Content-Range, and a value is replaced as a whole: send all of it",
        ));
    }
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match codings.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        None => Ok(()),
        Some(coding) => Err(Problem::new(
            Code::UnsupportedEncoding,
            format!(
                "the Content-Encoding is {coding:?}, which is not kept: send the value without it, or under a type that says what it is"
            ),
        )),
    }
}

/// 201 or 204.
fn store(
    cache: &Cache,
    key: &[u8],
    (tag, value): (Tag, &[u8]),
    expiry: Expiry,
    conditions: &Conditions,
) -> Result<StatusCode, Problem> {
    let options = |condition| SetOptions {
        tag,
        expiry,
        condition,
    };
    let (was_there, stored) = match conditions.needs() {
        // Somebody may come in between; then it was as if he had come before, or after.
        Needs::Nothing => (
            cache.contains(key),
            cache.set(key, value, options(Condition::Always))?,
        ),
        Needs::Absent => (false, cache.set(key, value, options(Condition::IfAbsent))?),
        Needs::Present => (true, cache.set(key, value, options(Condition::IfPresent))?),
        Needs::Entry => {
            let entry = cache.entry(key).tag(tag).expiry(expiry);
            let computed = entry.compute(|found| match conditions.allow(found) {
                true => Op::Put(value),
                false => Op::Keep,
            })?;
            match computed {
                Computed::Inserted(_) => (false, true),
                Computed::Replaced { .. } => (true, true),
                Computed::StillAbsent | Computed::Unchanged(_) | Computed::Removed(_) => (true, false),
            }
        }
    };
    match (stored, was_there) {
        (false, _) => Err(Problem::precondition_failed()),
        (true, false) => Ok(StatusCode::CREATED),
        (true, true) => Ok(StatusCode::NO_CONTENT),
    }
}

pub(in super::super) async fn delete(
    service: &Service,
    request: &Request<Incoming>,
) -> Result<Answer, Problem> {
    let cache = service.backing.writable()?;
    let key = key(request.uri())?;
    let conditions = Conditions::of(request.headers());
    let removed = match conditions.needs() {
        Needs::Nothing => cache.remove(&key),
        _ => {
            let computed = cache.entry(&key).compute(|found| match conditions.allow(found) {
                true => Op::<&[u8]>::Remove,
                false => Op::Keep,
            })?;
            match computed {
                Computed::Removed(_) => true,
                Computed::Unchanged(_) => return Err(Problem::precondition_failed()),
                _ if !conditions.allow(None) => return Err(Problem::precondition_failed()),
                _ => false,
            }
        }
    };
    // Also if it was not here: it may have been elsewhere.
    service.settle().await?;
    match removed {
        true => Ok(empty(StatusCode::NO_CONTENT)),
        false => Err(Problem::not_found()),
    }
}

/// What `Cache-Control` says about how long to keep it.
fn max_age(headers: &HeaderMap) -> Result<Expiry, Problem> {
    let mut max_age = None;
    let mut shared = None;
    for value in headers.get_all(CACHE_CONTROL) {
        let value = value
            .to_str()
            .map_err(|_| Problem::bad_request("Cache-Control is not ASCII"))?;
        for directive in value.split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            let (name, argument) = (name.trim(), argument.trim().trim_matches('"'));
            let place = if name.eq_ignore_ascii_case("max-age") {
                &mut max_age
            } else if name.eq_ignore_ascii_case("s-maxage") {
                &mut shared
            } else if name.eq_ignore_ascii_case("no-store") {
                return Err(Problem::bad_request(
                    "Cache-Control says no-store, and this is to be stored",
                ));
            } else {
                continue;
            };
            let seconds: u64 = argument.parse().map_err(|_| {
                Problem::bad_request(format!(
                    "Cache-Control: {name} is {argument:?} and must be whole seconds"
                ))
            })?;
            *place = Some(Expiry::After(Duration::from_secs(seconds)));
        }
    }
    Ok(shared.or(max_age).unwrap_or(Expiry::Default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_says_how_long_and_the_shared_age_goes_first() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            max_age(&headers).map_err(|problem| problem.detail)
        };
        let after = |seconds| Ok(Expiry::After(Duration::from_secs(seconds)));
        assert_eq!(of("public, max-age=60"), after(60));
        assert_eq!(of("s-maxage=\"5\", Max-Age=60"), after(5));
        assert_eq!(of("no-cache"), Ok(Expiry::Default));
        for wrong in ["no-store", "max-age=-1", "max-age", "max-age=1.5"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
