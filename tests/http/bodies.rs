//! Bodies that are slow, large, many, or not wanted, and answers that are long: what they may take, and what becomes of their connections.

use std::io::Read;

use serde_json::{Value, json};

use crate::support::{Client, Service, reads_no_more};

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
fn bodies_under_way_take_no_more_memory_than_they_may() {
    let service = Service::with(&["--http-max-memory", "1mib"]);
    let mut first = service.client();
    let head = format!(
        "PUT /v1/entries/first HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        900 << 10
    );
    first.send(head.as_bytes());
    first.send(&vec![1; 800 << 10]);
    let second = || service.ask("PUT", "/v1/entries/second", &[], &[2; 500 << 10]);
    // Until what was sent has arrived.
    let refused = loop {
        let answer = second();
        if answer.status == 503 {
            break answer;
        }
    };
    assert_eq!(refused.json()["code"], "BUSY");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        service.ask("PUT", "/v1/entries/small", &[], &[3; 10_000]).status,
        201
    );
    first.send(&vec![1; 100 << 10]);
    assert_eq!(first.answer("PUT").status, 201);
    assert!(second().status < 300);
    let large = service.ask("PUT", "/v1/entries/large", &[], &vec![4; 3 << 20]);
    assert_eq!(large.status, 201, "one that is alone may take more");
}

#[test]
fn answers_under_way_take_no_more_memory_than_they_may_and_a_value_counts_once() {
    let service = Service::with(&["--http-max-memory", "1mib"]);
    for key in ["one", "other"] {
        assert_eq!(
            service
                .ask("PUT", &format!("/v1/entries/{key}"), &[], &vec![7; 40 << 20])
                .status,
            201
        );
    }
    let read = |key: &str| {
        let mut client = service.client();
        client.send(format!("GET /v1/entries/{key} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        (client.answer("HEAD").status, client)
    };
    let readers = [read("one"), read("one"), read("one")];
    assert!(readers.iter().all(|(status, _)| *status == 200));
    assert_eq!(read("other").0, 503);
    let batch = json!({"operations": [{"op": "get", "key": "other"}, {"op": "set", "key": "n", "value": 1}]});
    let results = service.post("/v1/batch", &batch).json();
    assert_eq!(
        (&results["results"][0]["code"], &results["results"][1]["status"]),
        (&json!("DEFERRED"), &json!(204))
    );
    let transaction = service.post("/v1/transactions", &batch);
    assert_eq!(
        (transaction.status, &transaction.json()["code"]),
        (503, &json!("BUSY"))
    );
    for (_, mut client) in readers {
        let mut body = vec![0; 40 << 20];
        client.stream.read_exact(&mut body).expect("all of it");
    }
    while read("other").0 == 503 {
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

/// One counter of `/metrics`.
fn counted(service: &Service, name: &str) -> u64 {
    let metrics = service.get("/metrics");
    assert_eq!(metrics.status, 200);
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|count| count.trim().parse().ok())
        .expect("a counter")
}

#[test]
fn while_the_memory_is_taken_the_daemon_tells_of_itself_and_counts_who_is_refused() {
    let service = Service::with(&["--http-max-memory", "1mib"]);
    for (key, length) in [("large", 40 << 20), ("other", 100_000)] {
        let path = format!("/v1/entries/{key}");
        assert_eq!(service.ask("PUT", &path, &[], &vec![7; length]).status, 201);
    }
    let _reader = reads_no_more(&service, "large");
    let refused = service.get("/v1/entries/other");
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("BUSY")));
    for path in ["/metrics", "/v1/stats", "/", "/openapi.json"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    assert_eq!(service.ask("HEAD", "/v1/entries/other", &[], b"").status, 200);
    assert_eq!(
        counted(&service, "rustcache_http_errors_total{side=\"server\"} "),
        1
    );
    assert_eq!(
        counted(&service, "rustcache_http_busy_total{cause=\"memory\"} "),
        1
    );
    assert_eq!(
        counted(&service, "rustcache_http_busy_total{cause=\"watchers\"} "),
        0
    );
}

#[test]
fn who_does_not_read_his_answer_makes_room_for_those_who_do() {
    let service = Service::with(&["--http-max-memory", "1mib", "--http-timeout", "600s"]);
    for (key, length) in [("large", 40 << 20), ("other", 100_000)] {
        let path = format!("/v1/entries/{key}");
        assert_eq!(service.ask("PUT", &path, &[], &vec![7; length]).status, 201);
    }
    let mut reader = reads_no_more(&service, "large");
    while service.get("/v1/entries/other").status == 503 {}
    let mut body = Vec::new();
    let read = reader.stream.read_to_end(&mut body);
    assert!(read.is_err() || body.len() < 40 << 20);
}

#[test]
fn those_whose_bodies_have_stopped_make_room_for_those_whose_bodies_come() {
    let service = Service::with(&["--http-max-memory", "1mib", "--http-timeout", "600s"]);
    let _stopped: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = service.client();
            client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\nExpect: 100-continue\r\n\r\n");
            assert_eq!(client.line(), "HTTP/1.1 100 Continue");
            client.line();
            client.send(&[1; 100_000]);
            client
        })
        .collect();
    let put = || service.ask("PUT", "/v1/entries/other", &[], &vec![2; 800_000]);
    // What was sent has not arrived at once; then it holds all that there is, and then it does not any more.
    while put().status != 503 {}
    while put().status == 503 {}
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

#[test]
fn who_only_reads_many_comes_again_and_who_changes_something_is_answered_all_the_same() {
    let service = Service::with(&["--http-max-memory", "1mib"]);
    for (key, length) in [("large", 40 << 20), ("other", 200_000), ("little", 10)] {
        let path = format!("/v1/entries/{key}");
        assert_eq!(service.ask("PUT", &path, &[], &vec![7; length]).status, 201);
    }
    let get = |key: &str| json!({"op": "get", "key": key});
    let set = json!({"op": "set", "key": "n", "value": 1});
    let ask = |path: &str, operations: &[Value]| {
        let _reader = reads_no_more(&service, "large");
        service.post(path, &json!({ "operations": operations }))
    };
    for path in ["/v1/batch", "/v1/transactions"] {
        let answer = ask(path, &[get("little"); 1]);
        assert_eq!(answer.json()["results"][0]["status"], 200, "{path}");
        let answer = ask(path, &[get("other"), get("other")]);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (503, &json!("BUSY")),
            "{path}"
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // There is some for the first of them, and the others are asked for again.
    let results = ask("/v1/batch", &[get("little"), get("other"), get("little")]).json();
    let statuses = results["results"].as_array().expect("results").iter();
    assert!(
        statuses
            .map(|result| &result["status"])
            .eq([200, 413, 200].iter())
    );
    let results = ask("/v1/batch", &[get("other"), set]).json();
    let status = |at: usize| &results["results"][at]["status"];
    assert_eq!((status(0), status(1)), (&json!(413), &json!(204)));
}

/// Text of control characters is six times as long in JSON.
#[test]
fn what_a_value_takes_in_json_counts_before_it_is_made() {
    let service = Service::with(&["--http-max-memory", "8mib"]);
    let text = [("Content-Type", "text/plain")];
    service.ask("PUT", "/v1/entries/escaped", &text, &vec![1; 1_200_000]);
    service.ask("PUT", "/v1/entries/plain", &text, &vec![b'x'; 1_200_000]);
    let mut uploads = service.client();
    uploads.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(uploads.line(), "HTTP/1.1 100 Continue");
    uploads.line();
    uploads.send(&vec![1; 1_900_000]);
    let get = |key: &str| {
        service
            .post("/v1/batch", &json!({"operations": [{"op": "get", "key": key}]}))
            .json()
    };
    while get("escaped")["code"] != "BUSY" {}
    assert_eq!(service.get("/kv/escaped").status, 503);
    assert_eq!(get("plain")["results"][0]["status"], 200);
    assert_eq!(service.get("/kv/plain").status, 200);
}

#[test]
fn a_transaction_that_can_never_be_is_told_so_whoever_else_is_there() {
    let service = Service::with(&["--http-max-memory", "1mib"]);
    service.ask("PUT", "/v1/entries/large", &[], &vec![b'x'; 40 << 20]);
    let _reader = reads_no_more(&service, "large");
    let operations = json!([{"op": "get", "key": "large"}, {"op": "get", "key": "large"}]);
    let answer = service.post("/v1/transactions", &json!({ "operations": operations }));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (413, &json!("TRANSACTION_TOO_LARGE"))
    );
}
