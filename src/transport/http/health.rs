//! Whether the daemon lives, and whether it is ready to be used.

use super::code::Code;
use super::problem::Problem;
use super::reply::{Answer, ok};
use super::service::Service;

const TEXT: &str = "text/plain; charset=utf-8";

/// `GET /livez`.
pub(super) fn live() -> Answer {
    ok(TEXT, "ok\n")
}

/// `GET /readyz`.
pub(super) fn ready(service: &Service) -> Result<Answer, Problem> {
    if service.is_stopping() {
        return Err(Problem::new(Code::Stopping, "the daemon is being stopped"));
    }
    service.backing.writable()?;
    Ok(ok(TEXT, "ready\n"))
}
