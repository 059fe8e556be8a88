//! How it ends, and what it keeps.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Service, command};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rustcache-http-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Directory(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn sigterm_and_sigint_end_it_and_the_end_of_stdin_does_not() {
    for signal in [Signal::TERM, Signal::INT] {
        // Its stdin is at its end from the start.
        let service = Service::new();
        assert_eq!(service.get("/readyz").status, 200);
        service.signal(Signal::HUP);
        assert_eq!(service.get("/livez").status, 200);
        service.signal(signal);
        let (status, log) = service.end();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

#[test]
fn a_request_that_is_under_way_is_finished_and_no_other_begun() {
    let service = Service::new();
    let mut idle = service.client();
    idle.ask("GET", "/livez", &[], b"");
    let mut busy = service.client();
    busy.send(
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(
        busy.line(),
        "HTTP/1.1 100 Continue",
        "it has begun to read the body"
    );
    assert_eq!(busy.line(), "");
    let mut watching = service.client();
    watching.send(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(watching.answer("HEAD").status, 200);
    service.signal(Signal::TERM);
    assert!(idle.is_closed());
    busy.send(b"last");
    assert_eq!(busy.answer("PUT").status, 201);
    assert_eq!(service.end().0.code(), Some(0));
}

/// More than are done at once.
#[test]
fn what_waits_for_its_turn_is_finished_too() {
    let service = Service::new();
    // It is their number that makes it long: there is little to do within the time that is left.
    let sets = vec![json!({"op": "set", "key": "k", "value": 1}); 300];
    let body = json!({ "operations": sets }).to_string();
    let mut clients: Vec<_> = (0..5).map(|_| service.client()).collect();
    for client in &mut clients {
        let length = body.len();
        let head = format!(
            "POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        client.send(head.as_bytes());
        assert_eq!(client.line(), "HTTP/1.1 100 Continue");
        client.line();
    }
    service.signal(Signal::TERM);
    for client in &mut clients {
        client.send(body.as_bytes());
    }
    for client in &mut clients {
        assert_eq!(client.answer("POST").status, 200);
    }
    assert_eq!(service.end().0.code(), Some(0));
}

#[test]
fn one_who_has_not_asked_anything_yet_is_not_waited_for() {
    let service = Service::new();
    let mut half = service.client();
    half.send(b"GET /livez HTT");
    let mut silent = service.client();
    // Both are there.
    while service.get("/v1/stats").json()["http_connections"] != 3 {
        std::thread::yield_now();
    }
    service.signal(Signal::TERM);
    assert!(half.is_closed() && silent.is_closed());
    let (status, log) = service.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cut="), "{log}");
}

#[test]
fn one_who_does_not_finish_is_cut_in_the_end() {
    let service = Service::new();
    let mut client = service.client();
    client.send(
        b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    client.line();
    let (status, log) = {
        service.signal(Signal::TERM);
        service.end()
    };
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("cut=1"), "{log}");
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9_whatever_the_sync() {
    for sync in ["always", "everysec", "never"] {
        let directory = Directory::new(sync);
        let arguments = ["--dir", directory.text(), "--sync", sync];
        let mut service = Service::with(&arguments);
        service.wait_until_ready();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let service = &service;
                scope.spawn(move || {
                    let mut client = service.client();
                    for number in 0..20 {
                        let answer =
                            client.ask("PUT", &format!("/v1/entries/{writer}:{number}"), &[], b"value");
                        assert_eq!(answer.status, 201);
                    }
                });
            }
        });
        let incremented = service.post("/v1/incr", &json!({"key": "n"}));
        assert_eq!(incremented.status, 200);
        let syncs = service.get("/v1/stats").json()["journal_syncs"]
            .as_u64()
            .expect("a number");
        if sync == "always" {
            assert!((1..=161).contains(&syncs), "several share one: {syncs}");
        }
        service.child.kill().expect("it runs");
        drop(service);
        let service = Service::with(&arguments);
        service.wait_until_ready();
        for writer in 0..8 {
            for number in 0..20 {
                assert_eq!(
                    service.get(&format!("/v1/entries/{writer}:{number}")).body,
                    b"value"
                );
            }
        }
        assert_eq!(service.get("/v1/stats").json()["items"], 161);
        assert_eq!(service.ask("POST", "/v1/snapshot", &[], b"").status, 204);
        assert_eq!(service.get("/v1/stats").json()["snapshots"], 1);
        assert_eq!(service.stop().code(), Some(0));
    }
}

#[test]
fn a_directory_that_cannot_be_served_ends_it_with_the_code_that_says_why() {
    let directory = Directory::new("codes");
    let first = Service::with(&["--dir", directory.text()]);
    first.wait_until_ready();
    let (status, log) = Service::with(&["--dir", directory.text()]).end();
    assert_eq!(status.code(), Some(6), "{log}");
    assert!(log.contains(&first.child.id().to_string()), "{log}");
    let file = directory.0.join("file");
    fs::write(&file, "").expect("a file");
    let (status, log) = Service::with(&["--dir", file.to_str().expect("UTF-8")]).end();
    assert_eq!(status.code(), Some(5), "{log}");
}

#[test]
fn without_a_directory_there_is_nowhere_to_write_a_snapshot() {
    let service = Service::new();
    let answer = service.ask("POST", "/v1/snapshot", &[], b"");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (409, &"NO_DIRECTORY".into())
    );
}

#[test]
fn with_stdio_it_ends_when_its_input_does() {
    let mut command = command(&["--stdio"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut service = Service::start(&mut command);
    service.signal(Signal::INT);
    assert_eq!(service.get("/livez").status, 200, "SIGINT is the application's");
    let mut input = service.child.stdin.take().expect("a pipe");
    input.write_all(b"G").expect("it reads");
    drop(input);
    let (status, log) = service.end();
    assert_eq!(status.code(), Some(0), "{log}");
}

/// The disk lets no file grow beyond 200 KiB.
#[test]
fn a_write_that_cannot_be_kept_is_said_to_be_so_and_the_rest_is_as_asked_for() {
    for (policy, failing, after, code) in [
        ("refuse", 500, Some((503, 503)), 0),
        ("memory", 201, Some((201, 200)), 0),
        ("exit", 500, None, 5),
    ] {
        let directory = Directory::new(policy);
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_rustcache"))
            .args([
                "--http",
                "127.0.0.1:0",
                "--dir",
                directory.text(),
                "--on-disk-error",
                policy,
            ])
            .env_clear()
            .stdin(Stdio::null());
        let service = Service::start(&mut command);
        service.wait_until_ready();
        let put = |key: &str| service.ask("PUT", &format!("/v1/entries/{key}"), &[], &[7; 150_000]);
        assert_eq!(put("one").status, 201, "{policy}");
        let failed = put("two");
        assert_eq!(failed.status, failing, "{policy}: {}", failed.text());
        if failing == 500 {
            assert_eq!(failed.json()["code"], "NOT_DURABLE");
        }
        if let Some((write, ready)) = after {
            assert_eq!(put("three").status, write, "{policy}");
            assert_eq!(service.get("/readyz").status, ready, "{policy}");
            assert_eq!(
                service.get("/v1/entries/one").status,
                200,
                "what is there is served"
            );
            assert_eq!(service.get("/v1/stats").json()["disk_failed"], 1);
            service.signal(Signal::TERM);
        }
        let (status, log) = service.end();
        assert_eq!(status.code(), Some(code), "{policy}: {log}");
    }
}
