//! What If-Match and If-None-Match ask of an entry.

use hyper::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};

use super::super::problem::Problem;
use super::etag::{self, ETag, is_named, is_named_strongly, of_entry};
use crate::Entry;

/// The conditions of a request.
#[derive(Debug)]
pub(super) struct Conditions {
    matching: Option<Vec<u8>>,
    not_matching: Option<Vec<u8>>,
}

/// What a write may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// The entry has to be looked at.
    Entry,
}

impl Conditions {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Conditions {
            matching: list(headers, &IF_MATCH),
            not_matching: list(headers, &IF_NONE_MATCH),
        }
    }

    pub(super) fn needs(&self) -> Needs {
        match (self.matching.as_deref(), self.not_matching.as_deref()) {
            (None, None) => Needs::Nothing,
            (None, Some(b"*")) => Needs::Absent,
            (Some(b"*"), None) => Needs::Present,
            _ => Needs::Entry,
        }
    }

    /// Whether a write to what is there is asked for.
    pub(super) fn allow(&self, found: Option<&Entry>) -> bool {
        let etag = found.map(of_entry);
        let matches = |list: &[u8]| etag.is_some_and(|etag| is_named_strongly(list, &etag));
        let is_named = |list: &[u8]| etag.is_some_and(|etag| is_named(list, &etag));
        self.matching.as_deref().is_none_or(matches) && !self.not_matching.as_deref().is_some_and(is_named)
    }

    /// Whether a reader has this already, of which he would be told by that.
    pub(super) fn is_known(&self, etag: &ETag, told: &[u8]) -> Result<bool, Problem> {
        if self
            .matching
            .as_deref()
            .is_some_and(|list| !is_named_strongly(list, etag))
        {
            return Err(Problem::precondition_failed());
        }
        Ok(self
            .not_matching
            .as_deref()
            .is_some_and(|list| etag::is_known(list, told)))
    }
}

/// All headers of this name are one list.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut given = headers.get_all(name).iter();
    let mut list = given.next()?.as_bytes().to_vec();
    for more in given {
        list.push(b',');
        list.extend_from_slice(more.as_bytes());
    }
    Some(list)
}
