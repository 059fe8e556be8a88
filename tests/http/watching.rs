//! What the daemon tells about itself.

use std::io::BufRead;

use serde_json::{Value, json};

use crate::support::{Client, Service};

fn event(client: &mut Client) -> (String, Value) {
    let mut name = String::new();
    loop {
        let mut line = String::new();
        client.stream.read_line(&mut line).expect("an event");
        let line = line.trim_end();
        if let Some(given) = line.strip_prefix("event: ") {
            given.clone_into(&mut name);
        } else if let Some(given) = line.strip_prefix("data: ") {
            return (name, serde_json::from_str(given).expect("JSON"));
        }
    }
}

#[test]
fn samples_come_each_second_and_say_what_was_done_meanwhile() {
    let service = Service::with(&["--max-items", "10"]);
    let mut watching = service.client();
    watching.send(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = watching.answer("HEAD");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let (name, history) = event(&mut watching);
    assert_eq!(name, "history");
    assert!(history.is_array());
    for number in 0..30 {
        service.ask("PUT", &format!("/v1/entries/{number}"), &[], b"v");
    }
    let gets = vec![json!({"op": "get", "key": "29"}); 100];
    service.post("/v1/batch", &json!({ "operations": gets }));
    let mut asked = [0u64; 4];
    while asked[0] < 31 || asked[1] < 30 || asked[3] < 130 {
        let (name, sample) = event(&mut watching);
        assert_eq!(name, "sample");
        for (sum, name) in asked
            .iter_mut()
            .zip(["http", "inserts", "evictions_by_items", "operations"])
        {
            *sum += sample[name].as_u64().expect("a number");
        }
        assert_eq!(sample["max_items"], 10);
        let latency = &sample["latency"];
        assert!(latency["p50"].as_f64() <= latency["p99"].as_f64());
    }
    let [http, inserts, evictions, operations] = asked;
    assert_eq!((inserts, evictions), (30, 20));
    assert_eq!(operations, 130, "each of a batch is one, and to watch is none");
    // The request for the events may be one.
    assert!((31..=32).contains(&http), "{http}");
}

#[test]
fn what_a_client_takes_to_send_is_no_time_of_the_daemon() {
    const MILLIS: u64 = 1000;
    let service = Service::new();
    let now = || {
        service.get("/v1/stats").json()["uptime_ms"]
            .as_u64()
            .expect("a number")
    };
    let mut client = service.client();
    client.send(
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.line(), "HTTP/1.1 100 Continue");
    client.line();
    let began = now();
    while now() < began + MILLIS {}
    client.send(b"ab");
    assert_eq!(client.answer("PUT").status, 201);
    let (count, sum) = times_of_sets(&service);
    assert_eq!(count, 1.0);
    assert!(sum * 1000.0 < MILLIS as f64, "{sum}");
}

/// How many there were, and how many seconds they took.
fn times_of_sets(service: &Service) -> (f64, f64) {
    let metrics = service.get("/metrics");
    let of = |name: &str| {
        let lines = &mut metrics.text().lines();
        let line = lines.find_map(|line| {
            line.strip_prefix(&format!(
                "rustcache_http_request_duration_seconds_{name}{{kind=\"set\"}} "
            ))
        });
        line.and_then(|number| number.parse::<f64>().ok())
            .expect("a number")
    };
    (of("count"), of("sum"))
}

#[test]
fn the_time_of_a_body_that_never_comes_is_no_time_of_the_daemon() {
    let service = Service::with(&["--http-timeout", "1s"]);
    let mut client = service.client();
    client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na");
    assert_eq!(client.answer("PUT").status, 408);
    let (count, sum) = times_of_sets(&service);
    assert_eq!(count, 1.0);
    assert!(sum < 1.0, "{sum}");
}

#[test]
fn who_comes_back_is_told_what_he_has_missed_and_no_more() {
    let service = Service::new();
    let watch = |last: u64| {
        let mut client = service.client();
        client.send(
            format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\r\n").as_bytes(),
        );
        client.answer("HEAD");
        client
    };
    let mut client = watch(0);
    event(&mut client);
    let first = event(&mut client).1["at"].as_u64().expect("a time");
    let second = event(&mut client).1["at"].as_u64().expect("a time");
    let missed = event(&mut watch(first)).1;
    assert_eq!(missed[0]["at"], second);
    let all = event(&mut watch(0)).1;
    assert_eq!(all[0]["at"], first);
}

#[test]
fn what_is_read_most_and_what_is_largest_is_told() {
    let service = Service::new();
    service.ask(
        "PUT",
        "/v1/entries/large",
        &[("Content-Type", "image/png")],
        &[0; 10_000],
    );
    service.ask("PUT", "/v1/entries/hot", &[], b"v");
    for _ in 0..50 {
        service.get("/v1/entries/hot");
    }
    let top = service.get("/v1/top?limit=1").json();
    assert_eq!(top["hottest"][0]["key"], "hot");
    assert_eq!(
        top["biggest"],
        json!([{"key": "large", "bytes": 10_015, "type": "image/png", "tag": 6, "ttl": null}])
    );
}

#[test]
fn metrics_are_open_metrics_with_no_name_that_a_client_chose() {
    let service = Service::new();
    service.ask("PUT", "/v1/entries/secret-key", &[], b"v");
    service.get("/v1/entries/secret-key");
    service.get("/v1/entries/other-key");
    service.get("/secret-path");
    let answer = service.get("/metrics");
    let text = answer.text();
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(text.ends_with("# EOF\n") && !text.contains("secret"));
    for line in [
        "rustcache_hits_total 1",
        "rustcache_misses_total 1",
        "rustcache_items 1",
        "rustcache_persistent 0",
        "rustcache_http_request_duration_seconds_count{kind=\"get\"} 2",
        "rustcache_http_request_duration_seconds_count{kind=\"set\"} 1",
        "rustcache_http_request_duration_seconds_bucket{le=\"+Inf\",kind=\"get\"} 2",
        "rustcache_evictions_total{cause=\"bytes\"} 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    // Each family is told once, its lines together, with a type before them.
    let mut families = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().expect("a name").to_owned();
        assert!(!families.contains(&name), "{name}");
        families.push(name);
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(
            families.iter().any(|family| line.starts_with(family.as_str())),
            "{line}"
        );
        let value = line.rsplit(' ').next().expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn a_path_or_a_method_that_is_not_there_is_told_to_be_so() {
    let service = Service::new();
    for (method, path, status, allow) in [
        ("GET", "/v1/none", 404, None),
        ("GET", "/v2/stats", 404, None),
        ("POST", "/v1/stats", 405, Some("GET, HEAD")),
        ("GET", "/v1/batch", 405, Some("POST")),
        ("POST", "/v1/entries/k", 405, Some("GET, HEAD, PUT, DELETE")),
        ("GET", "/v1/entries", 405, Some("DELETE")),
        ("POST", "/metrics", 405, Some("GET, HEAD")),
    ] {
        let answer = service.ask(method, path, &[], b"");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (status, allow),
            "{method} {path}"
        );
    }
}

#[test]
fn when_it_was_started_stays_what_it_is() {
    let service = Service::new();
    let started = || {
        let metrics = service.get("/metrics");
        let line = |line: &&str| line.starts_with("rustcache_start_time_seconds ");
        metrics.text().lines().find(line).expect("the metric").to_owned()
    };
    let first = started();
    for _ in 0..20 {
        assert_eq!(started(), first, "Prometheus counts changes as starts");
    }
}
