//! What never changes while the daemon runs: the page to look at, and `/docs` and `/openapi.json`, which say what there is to ask for, to people and to
//! programs. Nothing of it comes from elsewhere.

use std::sync::LazyLock;

use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};

use super::reply::{Answer, ok};
use super::routes;

/// Made once, when it is first asked for.
static DOCUMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| serde_json::to_vec(&routes::document()).unwrap_or_default());

/// Scripts and styles of ours alone, no frames, nowhere else to send anything to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Something that never changes while the daemon runs.
#[derive(Debug)]
pub(super) struct Page {
    path: &'static str,
    content_type: &'static str,
    text: fn() -> &'static [u8],
    policy: &'static str,
}

const PAGES: [Page; 5] = [
    Page {
        path: super::page::PATH,
        content_type: "text/html; charset=utf-8",
        text: || super::page::TEXT.as_bytes(),
        policy: super::page::POLICY,
    },
    Page {
        path: "/docs",
        content_type: "text/html; charset=utf-8",
        text: || include_bytes!("docs/index.html"),
        policy: POLICY,
    },
    Page {
        path: "/docs/ui.js",
        content_type: "text/javascript; charset=utf-8",
        text: || include_bytes!("docs/ui.js"),
        policy: POLICY,
    },
    Page {
        path: "/docs/ui.css",
        content_type: "text/css; charset=utf-8",
        text: || include_bytes!("docs/ui.css"),
        policy: POLICY,
    },
    Page {
        path: "/openapi.json",
        content_type: "application/json",
        text: || &DOCUMENT,
        policy: POLICY,
    },
];

pub(super) fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}

pub(super) fn answer(page: &Page) -> Answer {
    let mut answer = ok(page.content_type, (page.text)());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page.policy));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_of_this_version() {
        let document: serde_json::Value = serde_json::from_slice(&super::DOCUMENT).expect("JSON");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["openapi"], "3.1.0");
    }
}
