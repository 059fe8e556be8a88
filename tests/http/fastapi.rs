//! `/kv` answers what FastAPI answers, byte for byte: golden.json is what fastapi/record.py has heard from fastapi/app.py.

use std::process::Command;

use serde_json::Value;

use crate::support::Service;

/// Where FastAPI fails, because it cannot write the number that it wants to complain about.
const FAULT: u64 = 500;

#[test]
fn every_request_is_answered_as_fastapi_does() {
    let golden: Value = serde_json::from_str(include_str!("fastapi/golden.json")).expect("JSON");
    let service = Service::new();
    let mut client = service.client();
    let mut wrong = Vec::new();
    for case in golden["cases"].as_array().expect("cases") {
        let text = |name: &str| case[name].as_str();
        let (method, path) = (text("method").expect("a method"), text("path").expect("a path"));
        let headers: Vec<_> = text("type")
            .map(|kind| ("Content-Type", kind))
            .into_iter()
            .collect();
        let answer = client.ask(method, path, &headers, text("sent").unwrap_or("").as_bytes());
        let wanted = &case["answer"];
        let is_right = if wanted["status"] == FAULT {
            answer.status == 422
        } else {
            wanted["status"] == answer.status
                && wanted["body"] == answer.text()
                && ["allow", "content-type", "location"]
                    .iter()
                    .all(|name| wanted[name].as_str() == answer.header(name))
        };
        if !is_right {
            wrong.push(format!(
                "{case}\n   {} {:?} {}",
                answer.status,
                answer.headers,
                answer.text()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The requests of the README of the service that these routes come from, as curl and requests send them.
#[test]
fn the_examples_that_people_know_work() {
    let service = Service::new();
    let json = [("Content-Type", "application/json")];
    let insert = |body: &str| service.ask("PUT", "/kv/insert", &json, body.as_bytes()).json();
    let success = serde_json::json!({"status": "success"});
    let body = "{\n    \"key\": \"user:123\",\n    \"value\": {\"name\": \"Alice\", \"age\": 30},\n    \"ttl\": 3600\n  }";
    assert_eq!(insert(body), success);
    let answer = service.get("/kv/user:123");
    assert_eq!(
        answer.text(),
        r#"{"key":"user:123","value":{"name":"Alice","age":30}}"#
    );
    assert_eq!(
        service.ask("DELETE", "/kv/delete/user:123", &[], b"").json(),
        success
    );
    let answer = service.get("/kv/nonexistent");
    assert_eq!(
        (answer.status, answer.text()),
        (404, r#"{"detail":"Key not found"}"#)
    );
    let body = r#"{"key": "cache:session", "value": {"user_id": 42, "token": "abc123"}, "ttl": 1800}"#;
    assert_eq!(insert(body), success);
    assert_eq!(service.get("/kv/cache:session").json()["value"]["user_id"], 42);
    assert_eq!(
        service.ask("DELETE", "/kv/delete/cache:session", &[], b"").json(),
        success
    );
}

/// What a program prints that is told to ask at localhost:8000; `None` if there is no such program.
fn printed(service: &Service, program: &str, flag: &str, script: &str) -> Option<String> {
    let script = script.replace("localhost:8000", &format!("localhost:{}", service.address.port()));
    let output = Command::new(program).args([flag, &script]).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("not found") || said.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same, by curl and requests themselves. Where one of them is not to be had, that is said.
#[test]
fn the_examples_that_people_know_work_as_they_are_written() {
    let service = Service::new();
    let curl = r#"
curl -s -X PUT http://localhost:8000/kv/insert \
  -H "Content-Type: application/json" \
  -d '{
    "key": "user:123",
    "value": {"name": "Alice", "age": 30},
    "ttl": 3600
  }'
echo
curl -s -X GET http://localhost:8000/kv/user:123; echo
curl -s -X DELETE http://localhost:8000/kv/delete/user:123; echo
curl -s -X GET http://localhost:8000/kv/nonexistent; echo"#;
    match printed(&service, "sh", "-c", curl) {
        None => eprintln!("left out: curl is not installed"),
        Some(text) => assert_eq!(
            text,
            "{\"status\":\"success\"}\n{\"key\":\"user:123\",\"value\":{\"name\":\"Alice\",\"age\":30}}\n{\"status\":\"success\"}\n{\"detail\":\"Key not found\"}\n"
        ),
    }
    let requests = r#"
import requests
BASE_URL = "http://localhost:8000"
requests.put(f"{BASE_URL}/kv/insert", json={
    "key": "cache:session",
    "value": {"user_id": 42, "token": "abc123"},
    "ttl": 1800
})
response = requests.get(f"{BASE_URL}/kv/cache:session")
print(response.json())
requests.delete(f"{BASE_URL}/kv/delete/cache:session")
print(requests.get(f"{BASE_URL}/kv/cache:session").status_code)"#;
    match printed(&service, "python3", "-c", requests) {
        None => eprintln!("left out: Python or its package requests is not installed"),
        Some(text) => assert_eq!(
            text,
            "{'key': 'cache:session', 'value': {'user_id': 42, 'token': 'abc123'}}\n404\n"
        ),
    }
}

#[test]
fn any_key_can_be_read_that_was_written() {
    let service = Service::new();
    for (key, path) in [
        ("a/b", "a%2Fb"),
        ("insert", "insert"),
        ("delete/x", "delete%2Fx"),
        ("ä\n", "%C3%A4%0A"),
        ("..", "%2E%2E"),
    ] {
        let body = serde_json::json!({"key": key, "value": key}).to_string();
        let put = service.ask(
            "PUT",
            "/kv/insert",
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
        assert_eq!(put.status, 200);
        assert_eq!(service.get(&format!("/kv/{path}")).json()["key"], key);
        let deleted = service.ask("DELETE", &format!("/kv/delete/{path}"), &[], b"");
        assert_eq!(deleted.status, 200);
        assert_eq!(service.get(&format!("/kv/{path}")).status, 404);
    }
}

#[test]
fn numbers_keep_all_their_digits() {
    let service = Service::new();
    for number in [
        "12345678901234567890.123456789012345678901",
        "1e400",
        "-0.0",
        "1.10",
    ] {
        let body = format!("{{\"key\":\"n\",\"value\":[ {number} ]}}");
        service.ask(
            "PUT",
            "/kv/insert",
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
        assert_eq!(
            service.get("/kv/n").text(),
            format!("{{\"key\":\"n\",\"value\":[{number}]}}")
        );
    }
}

#[test]
fn a_value_that_json_cannot_carry_is_said_to_be_none() {
    let service = Service::new();
    service.ask("PUT", "/v1/entries/b", &[], b"\xff");
    let answer = service.get("/kv/b");
    assert_eq!(answer.status, 406);
    assert!(answer.text().contains("tag 0"), "{}", answer.text());
}

/// Above a MiB they are read in another way, and what is told of them is shortened.
#[test]
fn long_bodies_are_judged_as_short_ones_are() {
    let service = Service::new();
    let json = [("Content-Type", "application/json")];
    let judge = |body: &str| {
        let answer = service.ask("PUT", "/kv/insert", &json, body.as_bytes());
        assert!(answer.body.len() < 10_000, "{} bytes", answer.body.len());
        let detail = answer.json()["detail"].clone();
        let complaints = detail.as_array().into_iter().flatten();
        let complaints: Vec<_> = complaints
            .map(|complaint| (complaint["type"].clone(), complaint["loc"][1].clone()))
            .collect();
        (answer.status, complaints)
    };
    for of in [
        "{\"value\":VALUE}",
        "{\"key\":\"a\",\"value\":VALUE,\"ttl\":-1}",
        "{\"key\":\"a\",\"value\":VALUE,\"ttl\":\"5\"}",
        "{\"key\":\"a\",\"value\":VALUE,\"ttl\":true}",
        "{\"key\":\"a\",\"value\":1,\"ttl\":VALUE}",
        "{\"key\":1,\"other\":VALUE,\"ttl\":[]}",
        "\u{feff}{\"key\":\"a\",\"value\":VALUE}",
        "{\"key\":\"a\",\"key\":\"b\",\"value\":1,\"value\":VALUE}",
        "{\"key\":\"\\ud800\",\"value\":VALUE}",
        "[VALUE]",
        "VALUE",
    ] {
        for (short, long) in [
            ("\"x\"", format!("\"{}\"", "x".repeat(1 << 20))),
            ("[1]", format!("[{}1]", "1,".repeat(1 << 20))),
        ] {
            assert_eq!(
                judge(&of.replace("VALUE", &long)),
                judge(&of.replace("VALUE", short)),
                "{of}"
            );
        }
    }
    let stored = service.get("/kv/b").json();
    assert_eq!(
        stored["value"].as_array().map(Vec::len),
        Some(1),
        "the short one came last"
    );
}

#[test]
fn what_is_wrong_with_a_long_body_is_told_as_of_a_short_one() {
    let service = Service::new();
    let told = |body: &str| {
        let headers = [("Content-Type", "application/json")];
        let answer = service.ask("PUT", "/kv/insert", &headers, body.as_bytes());
        let mut detail = answer.json()["detail"].take();
        let at = detail[0]["loc"][1].as_u64();
        if at.is_some() {
            detail[0]["loc"].take();
        }
        (answer.status, detail, at)
    };
    let more = 70_000;
    for body in [
        "{\"key\":\"a\",\"value\":\"x\",}",
        "{\"key\":\"a\",\"value\":\"x\"",
        "{\"key\":\"a\",\"value\":\"x",
        "{\"key\":\"a\",\"value\":\"x\"}}",
        "{\"key\":\"a\",\"value\":[\"x\" 1]}",
        "{\"key\":\"a\",\"value\":[\"x\",nul]}",
        "{\"key\":\"a\",\"value\":[\"x\",\"\t\"]}",
        "{\"key\":\"a\",\"value\":[\"x\",\"\\x\"]}",
        "{\"key\":\"a\",\"value\":[\"x\",NaN]}",
        "{\"key\":\"a\",\"value\":[\"x\",-Infinity],\"ttl\":\"soon\"}",
    ] {
        let (status, detail, at) = told(body);
        let long = told(&body.replacen('x', &"x".repeat(1 + more), 1));
        let (long_status, long_detail, long_at) = long;
        assert_eq!((long_status, long_detail), (status, detail), "{body}");
        // Counted from the start, but for a text that has no end: that is told where it begins.
        let is_behind = !body.ends_with("\"x");
        let wanted = at.map(|at| at + if is_behind { more as u64 } else { 0 });
        assert_eq!(long_at, wanted, "{body}");
    }
}
