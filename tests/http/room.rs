//! Bodies and answers under way: what they may take together, who has it, and who gives it back for others.

use std::io::Read;

use serde_json::{Value, json};

use crate::support::{Client, Service};

/// What one who is not slow reads or sends of something long in a moment, while others wait.
const READ: usize = 32 * 1024;
const SENT: usize = 1024;

fn put(service: &Service, key: &str, length: usize) {
    let path = format!("/v1/entries/{key}");
    assert_eq!(service.ask("PUT", &path, &[], &vec![7; length]).status, 201);
}

/// The daemon with so much memory, and two entries: one that takes all of it, and one that takes little.
fn with_large_and_other(other: usize) -> Service {
    let service = Service::with(&["--http-max-memory", "1mib", "--http-timeout", "600s"]);
    put(&service, "large", 40 << 20);
    put(&service, "other", other);
    service
}

#[test]
fn bodies_under_way_take_no_more_memory_than_they_may() {
    let service = Service::with(&["--http-max-memory", "4mib"]);
    let mut first = service.client();
    let head = format!(
        "PUT /v1/entries/first HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        3800 << 10
    );
    first.send(head.as_bytes());
    first.send(&vec![1; 3400 << 10]);
    let mut left = 400 << 10;
    // Until what was sent has arrived.
    let refused = loop {
        let answer = service.ask_while("PUT", "/v1/entries/second", &[2; 500 << 10], || {
            first.send(&[1; SENT]);
            left -= SENT;
        });
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
    first.send(&vec![1; left]);
    assert_eq!(first.answer("PUT").status, 201);
    let second = service.ask("PUT", "/v1/entries/second", &[], &[2; 500 << 10]);
    assert!(second.status < 300);
    let large = service.ask("PUT", "/v1/entries/large", &[], &vec![4; 9 << 20]);
    assert_eq!(large.status, 201, "one that is alone may take more");
}

#[test]
fn answers_under_way_take_no_more_memory_than_they_may_and_a_value_counts_once() {
    let service = with_large_and_other(40 << 20);
    let mut readers = ["large"; 3].map(|key| service.read_head(key));
    let mut read = 0;
    let mut ask = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        service.ask_while(method, path, body.as_bytes(), || {
            readers[0].read_some(READ);
            read += READ;
        })
    };
    assert_eq!(ask("GET", "/v1/entries/other", &Value::Null).status, 503);
    let batch = json!({"operations": [{"op": "get", "key": "other"}, {"op": "set", "key": "n", "value": 1}]});
    let results = ask("POST", "/v1/batch", &batch).json();
    assert_eq!(
        (&results["results"][0]["code"], &results["results"][1]["status"]),
        (&json!("DEFERRED"), &json!(204))
    );
    let transaction = ask("POST", "/v1/transactions", &batch);
    assert_eq!(
        (transaction.status, &transaction.json()["code"]),
        (503, &json!("BUSY"))
    );
    // The others have read nothing so far; that it was they who ended would have helped nobody.
    for (reader, read) in readers.iter_mut().zip([read, 0, 0]) {
        reader.read_some((40 << 20) - read);
    }
    while service.get("/v1/entries/other").status == 503 {}
}

#[test]
fn while_the_memory_is_taken_the_daemon_tells_of_itself_and_counts_who_is_refused() {
    let service = with_large_and_other(100_000);
    let mut reader = service.read_head("large");
    let refused = service.ask_while("GET", "/v1/entries/other", b"", || reader.read_some(READ));
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("BUSY")));
    for path in ["/metrics", "/v1/stats", "/", "/openapi.json"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    assert_eq!(service.ask("HEAD", "/v1/entries/other", &[], b"").status, 200);
    for (name, count) in [
        ("rustcache_http_errors_total{side=\"server\"} ", 1),
        ("rustcache_http_busy_total{cause=\"memory\"} ", 1),
        ("rustcache_http_busy_total{cause=\"watchers\"} ", 0),
        ("rustcache_http_connections_shed_total{cause=\"memory\"} ", 0),
        ("rustcache_http_connections_shed_total{cause=\"connections\"} ", 0),
    ] {
        assert_eq!(service.counted(name), count, "{name}");
    }
}

#[test]
fn who_does_not_read_his_answer_makes_room_for_those_who_do() {
    let service = with_large_and_other(100_000);
    let mut reader = service.read_head("large");
    while service.get("/v1/entries/other").status == 503 {}
    let mut body = Vec::new();
    let read = reader.stream.read_to_end(&mut body);
    assert!(read.is_err() || body.len() < 40 << 20);
    let shed = |cause: &str| {
        service.counted(&format!(
            "rustcache_http_connections_shed_total{{cause=\"{cause}\"}} "
        ))
    };
    assert_eq!((shed("memory"), shed("connections")), (1, 0));
}

/// Far more slowly than the socket's buffers are emptied if they are as large as the system makes them.
#[test]
fn who_reads_steadily_gets_all_of_his_answer_whoever_waits_for_it_to_end() {
    const LENGTH: usize = 8 << 20;
    let service = Service::with(&["--http-max-memory", "1mib"]);
    put(&service, "long", LENGTH);
    put(&service, "other", 100_000);
    let mut reader = service.read_head("long");
    let mut read = 0;
    for _ in 0..2 {
        let refused = service.ask_while("GET", "/v1/entries/other", b"", || {
            reader.read_some(6 * 1024);
            read += 6 * 1024;
        });
        assert_eq!(refused.status, 503);
    }
    reader.read_some(LENGTH - read);
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
    // What was sent has not arrived at once; then it holds all that there is, until one of them ends.
    while service.counted("rustcache_http_connections_shed_total{cause=\"memory\"} ") == 0 {
        put();
    }
    while put().status == 503 {}
}

#[test]
fn who_only_reads_many_comes_again_and_who_changes_something_is_answered_all_the_same() {
    let service = with_large_and_other(200_000);
    put(&service, "little", 10);
    let get = |key: &str| json!({"op": "get", "key": key});
    let set = json!({"op": "set", "key": "n", "value": 1});
    let ask = |path: &str, operations: &[Value]| {
        let mut reader = service.read_head("large");
        let body = json!({ "operations": operations }).to_string();
        service.ask_while("POST", path, body.as_bytes(), || reader.read_some(READ))
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
    uploads.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(uploads.line(), "HTTP/1.1 100 Continue");
    uploads.line();
    uploads.send(&vec![1; 1_900_000]);
    let mut ask = |method: &str, path: &str, body: &[u8]| {
        service.ask_while(method, path, body, || uploads.send(&[1; SENT]))
    };
    let get = |key: &str| json!({"operations": [{"op": "get", "key": key}]}).to_string();
    while ask("POST", "/v1/batch", get("escaped").as_bytes()).json()["code"] != "BUSY" {}
    assert_eq!(ask("GET", "/kv/escaped", b"").status, 503);
    let plain = ask("POST", "/v1/batch", get("plain").as_bytes()).json();
    assert_eq!(plain["results"][0]["status"], 200);
    assert_eq!(service.get("/kv/plain").status, 200);
}

#[test]
fn a_transaction_that_can_never_be_is_told_so_whoever_else_is_there() {
    let service = with_large_and_other(1);
    let _reader = service.read_head("large");
    let operations = json!([{"op": "get", "key": "large"}, {"op": "get", "key": "large"}]);
    let answer = service.post("/v1/transactions", &json!({ "operations": operations }));
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (413, &json!("TRANSACTION_TOO_LARGE"))
    );
}
