//! What bodies of JSON take while they are read is no more than docs/operations.md says.

#![cfg(target_os = "linux")]

use serde_json::json;

use crate::support::{Answer, Service};

/// Beside what a body takes: threads that begin, and what the allocator takes at once.
const SPARE: usize = 3 << 20;

/// As many small values as there is room for: what is worst when it is taken apart.
fn list(length: usize) -> String {
    format!("[{}1]", "1,".repeat(length / 2 - 1))
}

/// What a new daemon takes for a request, in bytes, and its answer.
fn memory_of(method: &str, path: &str, body: &str) -> (usize, Answer) {
    let service = Service::new();
    let json = [("Content-Type", "application/json")];
    // What the first of all takes is not of this.
    service.ask("PUT", "/kv/insert", &json, b"{}");
    service.memory_for(|| service.ask(method, path, &json, body.as_bytes()))
}

#[test]
fn a_body_of_json_takes_four_times_its_size_at_most_however_it_is_wrong() {
    for (length, begin, end, status) in [
        (1_000_000, "{\"value\":", "}", 422),
        (1_000_000, "{\"key\":\"k\",\"ttl\":-1,\"value\":", "}", 422),
        (1_000_000, "", "", 422),
        (8_000_000, "{\"value\":", "}", 422),
        (8_000_000, "{\"value\":", "", 422),
    ] {
        let body = format!("{begin}{}{end}", list(length));
        let (memory, answer) = memory_of("PUT", "/kv/insert", &body);
        assert_eq!(answer.status, status, "{begin}");
        assert!(memory <= 4 * length + SPARE, "{begin}: {memory} for {length}");
    }
}

#[test]
fn a_body_of_json_takes_four_times_its_size_at_most_and_the_value_is_kept_beside_it() {
    for (length, begin) in [
        (1_000_000, "{\"key\":\"k\",\"value\":"),
        // In ways that only Python knows.
        (1_000_000, "{\"key\":\"k\",\"ttl\":\"5\",\"value\":"),
        (1_000_000, "\u{feff}{\"key\":\"k\",\"value\":"),
        (8_000_000, "{\"key\":\"k\",\"ttl\":\"5\",\"value\":"),
    ] {
        let (memory, answer) = memory_of("PUT", "/kv/insert", &format!("{begin}{}}}", list(length)));
        assert_eq!(answer.status, 200, "{begin}");
        assert!(memory <= 5 * length + SPARE, "{begin}: {memory} for {length}");
    }
    let length = 8_000_000;
    let body = format!(
        "{{\"operations\":[{{\"op\":\"set\",\"key\":\"k\",\"value\":{}}}]}}",
        list(length)
    );
    let (memory, answer) = memory_of("POST", "/v1/batch", &body);
    assert_eq!(answer.json()["results"][0]["status"], 204);
    assert!(memory <= 5 * length + SPARE, "{memory} for {length}");
}

#[test]
fn a_short_body_that_is_not_as_most_are_takes_sixty_times_its_size() {
    let length = 64 << 10;
    let body = format!("{{\"value\":{}}}", list(length - 20));
    let (memory, answer) = memory_of("PUT", "/kv/insert", &body);
    assert_eq!(answer.status, 422);
    assert!(memory <= 60 * length + SPARE, "{memory}");
}

#[test]
fn room_for_what_is_compared_is_asked_for_before_it_is_taken_apart() {
    let service = Service::with(&["--http-max-memory", "16mib"]);
    let length = 960_000;
    let value = list(length);
    let json = [("Content-Type", "application/json")];
    assert_eq!(
        service
            .ask("PUT", "/v1/entries/k", &json, value.as_bytes())
            .status,
        201
    );
    service.ask("PUT", "/v1/entries/large", &[], &vec![7; 40 << 20]);
    // The same in other words, so that it has to be taken apart.
    let other = value.replace("1]", "1.0]");
    let asked = format!("{{\"if\":[{{\"key\":\"k\",\"value\":{other}}}],\"operations\":[]}}");
    let compare = |meanwhile: &mut dyn FnMut()| {
        service
            .memory_for(|| service.ask_while("POST", "/v1/transactions", asked.as_bytes(), &mut *meanwhile))
    };
    let mut reader = service.read_head("large");
    let (memory, answer) = compare(&mut || reader.read_some(32 * 1024));
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("BUSY")));
    assert!(memory <= 3 * length + SPARE, "{memory}");
    drop(reader);
    loop {
        let (memory, answer) = compare(&mut || {});
        assert!(memory <= (64 + 3) * length + SPARE, "{memory}");
        if answer.status != 503 {
            assert_eq!(answer.status, 200);
            break;
        }
    }
}
