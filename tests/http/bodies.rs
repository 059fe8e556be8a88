//! Bodies that are slow, large, many, or not wanted, and what becomes of their connections.

use serde_json::json;

use crate::support::{Client, Service};

const PUT: &[u8] = b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";

/// Whether it was answered; else it was told to come again, on another connection.
fn is_let_in(service: &Service) -> bool {
    let answer = service.get("/v1/stats");
    if answer.status != 200 {
        assert_eq!((answer.status, &answer.json()["code"]), (503, &"BUSY".into()));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    answer.status == 200
}

#[test]
fn those_who_send_a_body_that_does_not_come_make_room_and_health_is_told_meanwhile() {
    const PLACES: usize = 10;
    let service = Service::with(&["--http-max-connections", &PLACES.to_string()]);
    let mut slow: Vec<Client> = (0..PLACES).map(|_| service.client()).collect();
    for client in &mut slow {
        client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(client.line(), "HTTP/1.1 100 Continue", "it is at work");
        client.line();
        client.send(b"x");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    while !is_let_in(&service) {
        assert_eq!(service.get("/livez").status, 200);
    }
}

#[test]
fn those_who_watch_make_room_and_are_not_too_many() {
    let watch = |service: &Service| {
        let mut client = service.client();
        client.send(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (client.answer("HEAD").status, client)
    };
    let service = Service::with(&["--http-max-connections", "10"]);
    let watching: Vec<_> = (0..10).map(|_| watch(&service)).collect();
    assert!(watching.iter().all(|(status, _)| *status == 200));
    assert!(is_let_in(&service));
    let service = Service::new();
    let mut watching: Vec<_> = (0..33).map(|_| watch(&service)).collect();
    assert_eq!(watching.pop().map(|(status, _)| status), Some(503));
    assert!(watching.iter().all(|(status, _)| *status == 200));
    drop(watching);
    while watch(&service).0 == 503 {
        std::thread::yield_now();
    }
}

#[test]
fn a_body_that_nobody_reads_leaves_its_connection_in_order() {
    let service = Service::new();
    let mut client = service.client();
    for (head, status) in [
        ("PUT /v1/entries/x?ttl=NaN", 400),
        ("POST /v1/nowhere", 404),
        ("POST /v1/entries/x", 405),
        ("DELETE /v1/entries/x", 404),
        ("DELETE /kv/delete/x", 200),
        ("GET /kv/x", 404),
        ("POST /v1/snapshot", 409),
    ] {
        let body = "b".repeat(100_000);
        client.send(
            format!(
                "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        );
        let answer = client.answer("POST");
        assert_eq!(
            (answer.status, answer.header("connection")),
            (status, None),
            "{head}"
        );
        client.send(body.as_bytes());
        assert_eq!(client.ask("GET", "/livez", &[], b"").status, 200, "{head}");
    }
}

#[test]
fn who_sends_a_long_body_in_vain_is_told_why_and_that_it_is_the_last() {
    let service = Service::with(&["--http-max-body", "1000"]);
    let body = vec![0; 5 << 20];
    for headers in [&[][..], &[("Origin", "http://evil.example")]] {
        let answer = service.ask("PUT", "/v1/entries/k", headers, &body);
        assert_eq!(answer.status, if headers.is_empty() { 413 } else { 403 });
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let mut client = service.client();
    client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.answer("PUT");
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn a_body_that_is_late_ends_its_connection() {
    let service = Service::with(&["--http-timeout", "200ms"]);
    let mut client = service.client();
    client.send(PUT);
    let answer = client.answer("PUT");
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn what_cannot_fit_into_the_cache_is_not_read() {
    let service = Service::with(&["--max-bytes", "2mib"]);
    let mut client = service.client();
    client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n");
    let answer = client.answer("PUT");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (413, &json!("BODY_TOO_LONG"))
    );
}

/// A request of two KiB is not answered with as many GiB.
#[test]
fn a_transaction_reads_no_more_than_it_may_and_does_nothing_else_then() {
    let service = Service::new();
    let text = [("Content-Type", "text/plain")];
    service.ask("PUT", "/v1/entries/large", &text, &vec![b'x'; 16 << 20]);
    let gets = |count: usize| {
        let mut operations = vec![json!({"op": "set", "key": "n", "value": 1})];
        operations.extend((0..count).map(|_| json!({"op": "get", "key": "large"})));
        service.post("/v1/transactions", &json!({"operations": operations}))
    };
    let answer = gets(64);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (413, &json!("TRANSACTION_TOO_LARGE"))
    );
    assert_eq!(service.get("/v1/entries/n").status, 404);
    assert_eq!(gets(2).status, 200);
}

#[test]
fn who_was_told_to_go_on_and_sends_too_much_is_told_why() {
    let service = Service::with(&["--http-max-body", "100000"]);
    let mut client = service.client();
    client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.line(), "HTTP/1.1 100 Continue");
    client.line();
    // All of it is taken, though it is of no use: far more than fits on the way.
    for _ in 0..200 {
        client.send(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes());
    }
    client.send(b"0\r\n\r\n");
    let answer = client.answer("PUT");
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
}
