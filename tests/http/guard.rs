//! Who may ask, and who may not.

use std::process::Stdio;

use crate::support::{Service, command};

const TOKEN: &str = "a-token-of-many-characters";

#[test]
fn pages_that_are_called_otherwise_are_turned_away() {
    let service = Service::with(&["--http-allow-host", "cache.internal"]);
    let status = |host: &str| service.ask("GET", "/v1/stats", &[("Host", host)], b"").status;
    for host in [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1",
        "[::1]:80",
        "cache.internal",
        "10.0.0.1",
    ] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8000",
    ] {
        assert_eq!(status(host), 403, "{host}");
    }
    assert_eq!(status(""), 400);
}

#[test]
fn pages_of_other_sites_are_turned_away() {
    let service = Service::new();
    let own = format!("http://{}", service.address);
    let status = |headers: &[(&str, &str)]| service.ask("GET", "/v1/stats", headers, b"").status;
    assert_eq!(status(&[("Origin", &own)]), 200);
    assert_eq!(status(&[("Sec-Fetch-Site", "same-origin")]), 200);
    for (path, answered) in [
        ("/", 200),
        ("/docs", 200),
        ("/v1/stats", 403),
        ("/v1/entries/k", 403),
        ("/kv/k", 403),
    ] {
        let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
        assert_eq!(service.ask("GET", path, &link, b"").status, answered, "{path}");
    }
    for headers in [
        [("Origin", "http://evil.example")],
        [("Origin", "null")],
        [("Origin", "http://localhost:1")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
    ] {
        assert_eq!(status(&headers), 403, "{headers:?}");
    }
    let post = service.ask(
        "POST",
        "/v1/incr",
        &[("Origin", "http://evil.example")],
        b"{\"key\":\"n\"}",
    );
    assert_eq!(post.status, 403);
    assert_eq!(service.get("/v1/stats").json()["items"], 0);
}

#[test]
fn a_value_that_a_browser_shows_can_do_nothing() {
    let service = Service::new();
    let html = [("Content-Type", "text/html")];
    service.ask(
        "PUT",
        "/v1/entries/page",
        &html,
        b"<script>fetch('/v1/keys')</script>",
    );
    for path in [
        "/v1/entries/page",
        "/v1/entries/absent",
        "/v1/keys",
        "/kv/page",
        "/livez",
        "/nowhere",
        "/",
    ] {
        let answer = service.get(path);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert_eq!(
            policy.starts_with("sandbox; default-src 'none';"),
            path != "/",
            "{path}: {policy}"
        );
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
    }
}

#[test]
fn there_is_no_cors() {
    let service = Service::new();
    let preflight = [
        ("Origin", "http://evil.example"),
        ("Access-Control-Request-Method", "PUT"),
    ];
    let answer = service.ask("OPTIONS", "/v1/entries/k", &preflight, b"");
    assert_eq!(answer.status, 403);
    assert!(
        answer
            .headers
            .iter()
            .all(|(name, _)| !name.starts_with("access-control"))
    );
}

#[test]
fn with_a_token_nothing_is_told_without_it() {
    let directory = tempfile();
    let path = directory.join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let mut by_variable = command(&[]);
    by_variable.env("RUSTCACHE_HTTP_TOKEN", TOKEN);
    for service in [
        Service::with(&["--http-token-file", path]),
        Service::start(&mut by_variable),
    ] {
        let bearer = format!("Bearer {TOKEN}");
        let status = |path: &str, headers: &[(&str, &str)]| service.ask("GET", path, headers, b"").status;
        for path in ["/v1/stats", "/kv/x", "/metrics", "/v1/events", "/v1/entries/k"] {
            let answer = service.get(path);
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, Some("Bearer")),
                "{path}"
            );
        }
        for path in ["/livez", "/readyz"] {
            assert_eq!(status(path, &[]), 200);
        }
        for wrong in [
            "Bearer x",
            "Bearer",
            "Basic YTpi",
            &bearer[..bearer.len() - 1],
            &format!("{bearer}x"),
            TOKEN,
        ] {
            assert_eq!(status("/v1/stats", &[("Authorization", wrong)]), 401, "{wrong}");
        }
        assert_eq!(status("/v1/stats", &[("Authorization", &bearer)]), 200);
        assert_eq!(
            status("/v1/stats", &[("Authorization", &bearer), ("Host", "any.name")]),
            200
        );
        assert_eq!(
            status(
                "/v1/stats",
                &[("Authorization", &bearer), ("Origin", "http://evil.example")]
            ),
            403
        );
    }
    std::fs::remove_dir_all(directory).expect("it is ours");
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let refused = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rustcache"));
        let output = command
            .env_clear()
            .envs(variables.iter().copied())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        (output.status.code(), text)
    };
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (code, text) = refused(&["--http", address], &[]);
        assert_eq!(code, Some(2), "{text}");
        assert!(
            text.contains(address) && text.contains("--http-token-file"),
            "{text}"
        );
    }
    for (arguments, variables, part) in [
        (
            &["--http", "127.0.0.1:0", "--http-token-file", "/nowhere"][..],
            &[][..],
            "/nowhere",
        ),
        (
            &["--http", "127.0.0.1:0"],
            &[("RUSTCACHE_HTTP_TOKEN", "short")],
            "5 characters",
        ),
        (&["--http", "nonsense"], &[], "nonsense"),
    ] {
        let (code, text) = refused(arguments, variables);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(part) && !text.contains("short\""), "{text}");
    }
    let taken = Service::new();
    let (code, text) = refused(&["--http", &taken.address.to_string()], &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains(&taken.address.to_string()), "{text}");
}

fn tempfile() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("rustcache-http-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}
