//! Why requests are refused, by a name for programs: what is answered and what the OpenAPI document says are both taken from here.

use hyper::StatusCode;

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BadRequest,
    BodyTooLong,
    Busy,
    Deferred,
    DiskFailed,
    Forbidden,
    KeyTooLong,
    Loading,
    MethodNotAllowed,
    Miss,
    NoDirectory,
    NotAnInteger,
    NotDurable,
    NotFound,
    NotJson,
    NotStored,
    Overflow,
    Stopping,
    Timeout,
    TooLarge,
    TransactionTooLarge,
    Unauthorized,
    UnsupportedEncoding,
    ValueTooLong,
}

impl Code {
    pub(super) fn status(self) -> StatusCode {
        self.about().0
    }

    pub(super) fn name(self) -> &'static str {
        self.about().1
    }

    /// A sentence, for whoever reads the document.
    pub(super) fn text(self) -> &'static str {
        self.about().2
    }

    const fn about(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Code::BadRequest => (
                StatusCode::BAD_REQUEST,
                "BAD_REQUEST",
                "Something is wrong with the request; detail says what.",
            ),
            Code::BodyTooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LONG",
                "The body is too long.",
            ),
            Code::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "BUSY",
                "Too much is under way; detail says of what. Nothing was done.",
            ),
            Code::Deferred => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "DEFERRED",
                "The answer would be too long: to be asked for again.",
            ),
            Code::DiskFailed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "DISK_FAILED",
                "The disk has failed.",
            ),
            Code::Forbidden => (
                StatusCode::FORBIDDEN,
                "FORBIDDEN",
                "Host or Origin is another than the daemon's.",
            ),
            Code::KeyTooLong => (StatusCode::BAD_REQUEST, "KEY_TOO_LONG", "The key is too long."),
            Code::Loading => (
                StatusCode::SERVICE_UNAVAILABLE,
                "LOADING",
                "The directory is being loaded.",
            ),
            Code::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "The path knows other methods.",
            ),
            Code::Miss => (
                StatusCode::NOT_FOUND,
                "MISS",
                "The key is not there, or has expired.",
            ),
            Code::NoDirectory => (
                StatusCode::CONFLICT,
                "NO_DIRECTORY",
                "The daemon keeps nothing on disk.",
            ),
            Code::NotAnInteger => (
                StatusCode::CONFLICT,
                "NOT_AN_INTEGER",
                "The value is no integer of 64 bits.",
            ),
            Code::NotDurable => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "NOT_DURABLE",
                "Done in memory, and not on the disk.",
            ),
            Code::NotFound => (
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "There is nothing at this path.",
            ),
            Code::NotJson => (
                StatusCode::NOT_ACCEPTABLE,
                "NOT_JSON",
                "JSON cannot carry the value.",
            ),
            Code::NotStored => (
                StatusCode::PRECONDITION_FAILED,
                "NOT_STORED",
                "If-Match or If-None-Match did not hold; nothing changed.",
            ),
            Code::Overflow => (
                StatusCode::CONFLICT,
                "OVERFLOW",
                "The sum would leave the range of 64 bits.",
            ),
            Code::Stopping => (
                StatusCode::SERVICE_UNAVAILABLE,
                "STOPPING",
                "The daemon is being stopped.",
            ),
            Code::Timeout => (
                StatusCode::REQUEST_TIMEOUT,
                "TIMEOUT",
                "The body did not come in time.",
            ),
            Code::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "TOO_LARGE",
                "The entry is larger than the cache.",
            ),
            Code::TransactionTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "TRANSACTION_TOO_LARGE",
                "The values of the transaction are too long.",
            ),
            Code::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "The token is missing, or another.",
            ),
            Code::UnsupportedEncoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_ENCODING",
                "The body has a Content-Encoding.",
            ),
            Code::ValueTooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "VALUE_TOO_LONG",
                "The value is too long.",
            ),
        }
    }
}
