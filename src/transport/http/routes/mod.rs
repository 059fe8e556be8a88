//! What can be asked for: one table of paths and methods. Requests are looked up in it, what is counted of them and who may ask is taken from it, and the document at
//! /openapi.json is made of it.

mod document;
mod table;

use hyper::{Method, Request, StatusCode, Uri};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::code::Code;
use super::problem::Problem;
use super::traffic::Kind;
use super::v1::query::Number;

pub(super) use document::document;
use table::PARTS;

/// Paths that belong together.
#[derive(Debug)]
struct Part {
    name: &'static str,
    text: &'static str,
    paths: &'static [Path],
}

/// A path, with what it may be asked.
#[derive(Debug)]
pub(super) struct Path {
    /// A key may only be at its end.
    pattern: &'static str,
    pub(super) manner: Manner,
    operations: &'static [Operation],
}

/// Whose conventions errors follow, and what a key in a path may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// `application/problem+json`; a key is all that is left of the path.
    Ours,
    /// `{"detail":…}`; a key is one segment. HEAD has to be named, as with FastAPI.
    FastApi,
}

/// One method of a path.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) asks: Asks,
    /// GET is HEAD as well, where that is not another.
    method: &'static str,
    name: &'static str,
    summary: &'static str,
    pub(super) kind: Kind,
    /// It holds no data, and may be seen without the token.
    pub(super) is_open: bool,
    parameters: &'static [Parameter],
    body: Body,
    answers: &'static [Told],
    /// Beside what any request may be refused for.
    problems: &'static [&'static [Code]],
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    GetEntry,
    HeadEntry,
    PutEntry,
    DeleteEntry,
    DeleteEntries,
    ListKeys,
    Batch,
    Increment,
    Transact,
    Stats,
    Top,
    Events,
    Snapshot,
    Live,
    Ready,
    Metrics,
    KvInsert,
    KvGet,
    KvDelete,
}

#[derive(Debug)]
struct Parameter {
    name: &'static str,
    place: Place,
    text: &'static str,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Query,
    NeededQuery,
    Header,
}

#[derive(Debug)]
enum Value {
    Text,
    Flag,
    Number(&'static Number),
}

/// What comes with a request.
#[derive(Debug)]
enum Body {
    Nothing,
    /// Bytes of any type.
    Anything,
    /// JSON of a type, and an example of it.
    Json(SchemaOf, &'static str),
}

/// An answer that is no problem.
#[derive(Debug)]
struct Told {
    status: u16,
    text: &'static str,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Nothing,
    /// The value of an entry; for HEAD its headers alone.
    Entry,
    /// The same headers without those of the body.
    Known,
    /// The ETag of an entry.
    Stored,
    Text(&'static str),
    Json(SchemaOf),
}

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What a request may be refused for, whatever it asks.
const ANY: [Code; 2] = [Code::BadRequest, Code::Forbidden];
/// The same, but for what is open.
const GUARDED: [Code; 2] = [Code::Unauthorized, Code::Busy];

/// Where a request leads.
#[derive(Debug)]
pub(super) enum Found {
    Operation(&'static Path, &'static Operation),
    /// The path is there.
    OtherMethod(&'static Path),
    /// It would be there without the slashes at its end.
    Redirect,
    Nothing,
}

fn paths() -> impl Iterator<Item = &'static Path> {
    PARTS.iter().flat_map(|part| part.paths)
}

/// As FastAPI does it: the first path that fits and has the method, else the first that fits.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut other = None;
    for route in paths() {
        if route.key(path).is_none() {
            continue;
        }
        match route.operation(method) {
            Some(operation) => return Found::Operation(route, operation),
            None => other = other.or(Some(route)),
        }
    }
    if let Some(route) = other {
        return Found::OtherMethod(route);
    }
    let shorter = path.trim_end_matches('/');
    let is_there = |route: &'static Path| route.manner == Manner::FastApi && route.key(shorter).is_some();
    if shorter.len() < path.len() && paths().any(is_there) {
        return Found::Redirect;
    }
    Found::Nothing
}

impl Path {
    /// The key in a path that fits, as it is written there; empty where there is none.
    fn key<'p>(&self, path: &'p str) -> Option<&'p str> {
        let Some(before) = self.pattern.strip_suffix("{key}") else {
            return (path == self.pattern).then_some("");
        };
        let key = path.strip_prefix(before)?;
        let is_one = || !key.is_empty() && !key.contains('/');
        (self.manner == Manner::Ours || is_one()).then_some(key)
    }

    /// The same of a request that fits.
    pub(super) fn key_of<'r, B>(&self, request: &'r Request<B>) -> &'r str {
        self.key(request.uri().path()).unwrap_or_default()
    }

    fn operation(&self, method: &Method) -> Option<&'static Operation> {
        let named = |name: &str| self.operations.iter().find(|operation| operation.method == name);
        named(method.as_str()).or_else(|| {
            let is_head = *method == Method::HEAD && self.manner == Manner::Ours;
            if is_head { named("GET") } else { None }
        })
    }

    /// The methods that it has, as the header `Allow` has them.
    pub(super) fn allowed(&self) -> String {
        let methods: Vec<&str> = self.operations.iter().map(|operation| operation.method).collect();
        let methods = methods.join(", ");
        match self.manner == Manner::Ours && !methods.contains("HEAD") {
            true => methods.replace("GET", "GET, HEAD"),
            false => methods,
        }
    }
}

impl Operation {
    /// Of all problems that it may be answered with.
    fn codes(&self) -> impl Iterator<Item = Code> {
        let token = (!self.is_open).then_some(GUARDED).into_iter().flatten();
        let own = self.problems.iter().copied().flatten().copied();
        ANY.into_iter().chain(token).chain(own)
    }

    /// What is wrong with a query that has a parameter which is none of its own: to leave that out could store for ever what was to expire.
    pub(super) fn stray(&self, uri: &Uri) -> Option<Problem> {
        if !uri.path().starts_with("/v1/") {
            return None;
        }
        let names = || {
            let parameters = self
                .parameters
                .iter()
                .filter(|parameter| parameter.place != Place::Header);
            parameters.map(|parameter| parameter.name)
        };
        let given = uri.query()?.split('&').filter(|given| !given.is_empty());
        let mut given = given.map(|given| given.split_once('=').map_or(given, |(name, _)| name));
        let stray = given.find(|given| names().all(|name| name != *given))?;
        let known: Vec<&str> = names().collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Some(Problem::bad_request(format!(
            "there is no parameter {stray:?} here: those that there are: {known}"
        )))
    }

    /// Whether the document says that it may be answered so.
    pub(super) fn tells(&self, status: StatusCode) -> bool {
        self.answers.iter().any(|told| told.status == status.as_u16())
            || self.codes().any(|code| code.status() == status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(method: &Method, path: &str) -> Option<(Asks, String)> {
        match find(method, path) {
            Found::Operation(route, operation) => {
                Some((operation.asks, route.key(path).expect("it fits").to_owned()))
            }
            _ => None,
        }
    }

    #[test]
    fn a_key_in_a_path_of_ours_is_all_the_rest_and_for_fastapi_one_segment() {
        let of = |asks, key: &str| Some((asks, key.to_owned()));
        assert_eq!(asks(&Method::GET, "/v1/entries/a/b/"), of(Asks::GetEntry, "a/b/"));
        assert_eq!(asks(&Method::PUT, "/v1/entries/"), of(Asks::PutEntry, ""));
        assert_eq!(asks(&Method::GET, "/kv/insert"), of(Asks::KvGet, "insert"));
        assert_eq!(asks(&Method::PUT, "/kv/insert"), of(Asks::KvInsert, ""));
        assert_eq!(asks(&Method::DELETE, "/kv/delete/k"), of(Asks::KvDelete, "k"));
        assert!(matches!(find(&Method::GET, "/kv/a/b"), Found::Nothing));
        for path in ["/kv/k/", "/kv/delete/k/", "/kv/k//", "/kv/delete/"] {
            assert!(matches!(find(&Method::GET, path), Found::Redirect), "{path}");
        }
        for path in ["/kv/", "/kv", "/v1/", "/v1/batch/"] {
            assert!(matches!(find(&Method::GET, path), Found::Nothing), "{path}");
        }
    }

    #[test]
    fn head_is_get_where_fastapi_has_not_its_say() {
        assert_eq!(asks(&Method::HEAD, "/v1/stats"), asks(&Method::GET, "/v1/stats"));
        assert!(asks(&Method::HEAD, "/v1/stats").is_some());
        assert!(asks(&Method::HEAD, "/kv/k").is_none());
    }

    #[test]
    fn a_method_that_is_missing_is_answered_with_those_that_are_there() {
        for (path, allowed) in [
            ("/v1/entries/k", "GET, HEAD, PUT, DELETE"),
            ("/v1/keys", "GET, HEAD"),
            ("/v1/batch", "POST"),
            ("/kv/insert", "PUT"),
            ("/kv/delete/k", "DELETE"),
        ] {
            let Found::OtherMethod(found) = find(&Method::PATCH, path) else {
                panic!("{path}");
            };
            assert_eq!(found.allowed(), allowed);
        }
    }
}
