//! What is answered when something is wrong: `application/problem+json` (RFC 9457) with a code for programs.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use crate::Error;

use super::reply::{Answer, ok};

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) detail: String,
}

/// As it is written.
#[derive(Serialize)]
struct Written<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Problem {
            status,
            code,
            detail: detail.into(),
        }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "MISS",
            "the key is not there, or has expired",
        )
    }

    pub(super) fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "NOT_STORED",
            "the entry is not, or no longer, what If-Match or If-None-Match asks for; nothing changed",
        )
    }

    pub(super) fn loading() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "LOADING",
            "the directory is being loaded: ask again; /readyz says when it is done",
        )
    }

    /// The body of it, with the two headers that some have.
    fn body(&self) -> Vec<u8> {
        let written = Written {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// For those who know FastAPI: `detail` alone.
    pub(super) fn into_detail(self) -> Answer {
        #[derive(Serialize)]
        struct Detail<'a> {
            detail: &'a str,
        }
        let body = serde_json::to_vec(&Detail { detail: &self.detail }).unwrap_or_default();
        self.answer("application/json", body)
    }

    pub(super) fn into_answer(self) -> Answer {
        let body = self.body();
        self.answer("application/problem+json", body)
    }

    fn answer(&self, content_type: &'static str, body: Vec<u8>) -> Answer {
        let mut answer = ok(content_type, body);
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        match self.status {
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
    pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
        let detail = format!("this path knows {allowed}");
        let mut answer =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail).into_answer();
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(allowed));
        answer
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code) = match error {
            Error::KeyTooLong { .. } => (StatusCode::BAD_REQUEST, "KEY_TOO_LONG"),
            Error::ValueTooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "VALUE_TOO_LONG"),
            Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE"),
            Error::NotAnInteger { .. } => (StatusCode::CONFLICT, "NOT_AN_INTEGER"),
            Error::Overflow { .. } => (StatusCode::CONFLICT, "OVERFLOW"),
            Error::DiskFailed { .. } | Error::Closed => (StatusCode::SERVICE_UNAVAILABLE, "DISK_FAILED"),
            Error::NotDurable { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "NOT_DURABLE"),
        };
        Self::new(status, code, error.to_string())
    }
}
