//! What is answered when something is wrong: `application/problem+json` (RFC 9457) with a code for programs.

use hyper::StatusCode;
use hyper::header::{ACCEPT_ENCODING, ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Error;

use super::code::Code;
use super::reply::{Answer, ok};

/// Of what is said, in characters.
const LONGEST: usize = 1000;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) detail: String,
}

/// As it is written.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Written<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
}

/// The same for those who know FastAPI.
#[derive(Serialize, JsonSchema)]
pub(super) struct Detail<'a> {
    detail: &'a str,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        // Some of it may be what was sent.
        if let Some((end, _)) = detail.char_indices().nth(LONGEST) {
            detail.truncate(end);
            detail.push('…');
        }
        Problem { code, detail }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(Code::Miss, "the key is not there, or has expired")
    }

    pub(super) fn precondition_failed() -> Self {
        Self::new(
            Code::NotStored,
            "the entry is not, or no longer, what If-Match or If-None-Match asks for; nothing changed",
        )
    }

    pub(super) fn loading() -> Self {
        Self::new(
            Code::Loading,
            "the directory is being loaded: ask again; /readyz says when it is done",
        )
    }

    /// There is no room for what a request takes, or for what it would be answered.
    pub(super) fn busy() -> Self {
        Self::new(
            Code::Busy,
            "the bodies and answers under way take all the memory that they may: ask again later, or raise --http-max-memory",
        )
    }

    /// The body of it, with the two headers that some have.
    fn body(&self) -> Vec<u8> {
        let status = self.code.status();
        let written = Written {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: self.code.name(),
            detail: &self.detail,
        };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// For those who know FastAPI: `detail` alone.
    pub(super) fn into_detail(self) -> Answer {
        let body = serde_json::to_vec(&Detail { detail: &self.detail }).unwrap_or_default();
        self.answer("application/json", body)
    }

    pub(super) fn into_answer(self) -> Answer {
        let body = self.body();
        self.answer("application/problem+json", body)
    }

    fn answer(&self, content_type: &'static str, body: Vec<u8>) -> Answer {
        let mut answer = ok(content_type, body);
        *answer.status_mut() = self.code.status();
        answer.extensions_mut().insert(self.code);
        let headers = answer.headers_mut();
        match self.code.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        answer
    }

    /// The path is there, and the method is not.
    pub(super) fn method_not_allowed(allowed: &str) -> Answer {
        let detail = format!("this path knows {allowed}");
        let mut answer = Self::new(Code::MethodNotAllowed, detail).into_answer();
        allow(&mut answer, allowed);
        answer
    }
}

/// Says which methods a path knows.
pub(super) fn allow(answer: &mut Answer, allowed: &str) {
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::KeyTooLong { .. } => Code::KeyTooLong,
            Error::ValueTooLong { .. } => Code::ValueTooLong,
            Error::TooLarge { .. } => Code::TooLarge,
            Error::NotAnInteger { .. } => Code::NotAnInteger,
            Error::Overflow { .. } => Code::Overflow,
            Error::DiskFailed { .. } | Error::Closed => Code::DiskFailed,
            Error::NotDurable { .. } => Code::NotDurable,
        };
        Self::new(code, error.to_string())
    }
}
