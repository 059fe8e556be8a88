//! Who may ask: no page of another site, nobody without the token if there is one. Knows nothing of what is asked for.

use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::http::uri::Authority;

use super::code::Code;
use super::options::{Options, Token};
use super::problem::Problem;

#[derive(Debug)]
pub(super) struct Guard {
    token: Option<Token>,
    allowed_hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(options: &Options) -> Self {
        Guard {
            token: options.token.clone(),
            allowed_hosts: options.allowed_hosts.clone(),
        }
    }

    /// What is open holds no data, and may be seen without the token.
    pub(super) fn check<B>(&self, request: &Request<B>, is_open: bool) -> Result<(), Problem> {
        let headers = request.headers();
        let host = host(request)?;
        match &self.token {
            // A page that is called by another name than ours has no token.
            Some(token) => {
                if !is_open && !is_shown(token, headers) {
                    return Err(Problem::new(
                        Code::Unauthorized,
                        "this needs the header `Authorization: Bearer …` with the daemon's token",
                    ));
                }
            }
            None => self.check_host(&host)?,
        }
        check_origin(headers, &host, request.uri().path())
    }

    /// DNS can make any name mean this machine, but no address and not `localhost`.
    fn check_host(&self, host: &Authority) -> Result<(), Problem> {
        let name = host.host();
        let is_address = name.parse::<std::net::Ipv4Addr>().is_ok() || name.starts_with('[');
        let is_known = is_address
            || name.eq_ignore_ascii_case("localhost")
            || self
                .allowed_hosts
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(name));
        if is_known {
            return Ok(());
        }
        Err(forbidden(format!(
            "the host {name:?} is not known here: use an IP address or localhost, or start with --http-allow-host {name}"
        )))
    }
}

fn host<B>(request: &Request<B>) -> Result<Authority, Problem> {
    let mut given = request.headers().get_all(HOST).iter();
    let host = match (given.next(), given.next(), request.uri().authority()) {
        // Of a request to a proxy, which takes precedence.
        (_, None, Some(authority)) => Some(authority.clone()),
        (Some(host), None, None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    };
    host.ok_or_else(|| Problem::bad_request("one header Host is needed, with a name or an address"))
}

fn is_shown(token: &Token, headers: &HeaderMap) -> bool {
    let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|given| given.split_at_checked(7));
    given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case(b"bearer ") && token.is(given.trim_ascii())
    })
}

fn check_origin(headers: &HeaderMap, host: &Authority, path: &str) -> Result<(), Problem> {
    if let Some(origin) = headers.get(ORIGIN) {
        let ours = origin.to_str().ok().and_then(|origin| {
            let rest = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"))?;
            Some(rest.eq_ignore_ascii_case(host.as_str()))
        });
        if ours != Some(true) {
            return Err(forbidden(format!(
                "the origin {:?} is another than {host}: pages of other sites may not ask",
                String::from_utf8_lossy(origin.as_bytes())
            )));
        }
    }
    let fetch = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let from_elsewhere = matches!(fetch("sec-fetch-site"), Some(b"cross-site" | b"same-site"));
    // A link to the page is followed, and none to what the cache holds.
    let is_of_cache = path.starts_with("/v1/") || path.starts_with("/kv/");
    if from_elsewhere && (is_of_cache || fetch("sec-fetch-mode") != Some(b"navigate")) {
        return Err(forbidden("pages of other sites may not ask".to_owned()));
    }
    Ok(())
}

fn forbidden(detail: String) -> Problem {
    Problem::new(Code::Forbidden, detail)
}
