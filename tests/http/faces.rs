//! All faces of one daemon see one cache: what one writes the others read, as what it is.

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

use rustcache::protocol::command::Command;
use rustcache::protocol::framed::{HEADER, PREFACE, VERSIONS, encode_request};
use rustcache::protocol::status::Status;
use rustcache::{SetOptions, Tag};

use crate::support::{Service, command};

/// A client of version 2 on stdin and stdout.
struct Framed {
    input: ChildStdin,
    output: ChildStdout,
}

impl Framed {
    fn new(service: &mut Service) -> Self {
        let mut framed = Framed {
            input: service.child.stdin.take().expect("a pipe"),
            output: service.child.stdout.take().expect("a pipe"),
        };
        framed.input.write_all(&PREFACE).expect("it reads");
        let hello = Command::Hello {
            lowest: *VERSIONS.start(),
            highest: *VERSIONS.end(),
            features: 0,
            name: b"test",
        };
        let mut preface = [0; 4];
        framed.send(&hello);
        framed.output.read_exact(&mut preface).expect("an answer");
        assert_eq!(preface, PREFACE);
        assert_eq!(framed.receive().0, Status::OK);
        framed
    }

    fn send(&mut self, command: &Command<'_>) {
        let mut bytes = Vec::new();
        encode_request(1, command, &mut bytes);
        self.input.write_all(&bytes).expect("it reads");
    }

    /// Status, tag, and what follows the header.
    fn receive(&mut self) -> (Status, Tag, Vec<u8>) {
        let mut header = [0; HEADER];
        self.output.read_exact(&mut header).expect("an answer");
        let len = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
        let mut rest = vec![0; len + 4 - HEADER];
        self.output.read_exact(&mut rest).expect("all of it");
        (Status(header[8]), Tag(header[10]), rest)
    }

    fn ask(&mut self, command: &Command<'_>) -> (Status, Tag, Vec<u8>) {
        self.send(command);
        self.receive()
    }

    fn get(&mut self, key: &str) -> (Status, Tag, Vec<u8>) {
        self.ask(&Command::Get {
            key: key.as_bytes(),
            with_ttl: false,
        })
    }

    fn set(&mut self, key: &str, value: &[u8], tag: Tag) {
        let options = SetOptions::default().with_tag(tag);
        let key = key.as_bytes();
        assert_eq!(self.ask(&Command::Set { key, value, options }).0, Status::OK);
    }
}

fn both() -> (Service, Framed) {
    let mut command = command(&["--stdio"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut service = Service::start(&mut command);
    let framed = Framed::new(&mut service);
    (service, framed)
}

#[test]
fn what_http_writes_the_other_protocol_reads_as_what_it_is() {
    let (service, mut framed) = both();
    let json = [("Content-Type", "application/json")];
    for (value, tag, bytes) in [
        ("\"text\"", Tag::TEXT, &b"text"[..]),
        ("{ \"a\": 1 }", Tag::JSON, b"{\"a\":1}"),
        ("null", Tag::JSON, b"null"),
        ("-12", Tag::JSON, b"-12"),
    ] {
        let body = format!("{{\"key\":\"k\",\"value\":{value}}}");
        assert_eq!(
            service.ask("PUT", "/kv/insert", &json, body.as_bytes()).status,
            200
        );
        assert_eq!(framed.get("k"), (Status::OK, tag, bytes.to_vec()));
    }
    for (content_type, tag, bytes) in [
        ("application/octet-stream", Tag::BYTES, &b"\0\xff"[..]),
        ("application/vnd.rustcache.v8", Tag::V8, b"\xff\x0f"),
        ("image/png", Tag::TYPED, b"\x09image/png\0\xff"),
    ] {
        let body = &bytes[if tag == Tag::TYPED { 10 } else { 0 }..];
        service.ask("PUT", "/v1/entries/k", &[("Content-Type", content_type)], body);
        assert_eq!(framed.get("k"), (Status::OK, tag, bytes.to_vec()));
    }
}

#[test]
fn what_the_other_protocol_writes_http_reads_as_what_it_is() {
    let (service, mut framed) = both();
    for (tag, value, content_type, in_json) in [
        (
            Tag::TEXT,
            "ä\"".as_bytes(),
            "text/plain; charset=utf-8",
            Some("{\"key\":\"k\",\"value\":\"ä\\\"\"}"),
        ),
        (
            Tag::JSON,
            b"[1,\"a\"]",
            "application/json",
            Some("{\"key\":\"k\",\"value\":[1,\"a\"]}"),
        ),
        (Tag::BYTES, b"\xff", "application/octet-stream", None),
        (Tag::MESSAGE_PACK, b"\x01", "application/msgpack", None),
        (Tag(65), b"\x01", "application/vnd.rustcache.tag-65", None),
        // What is not as its tag says is not taken for it.
        (Tag::JSON, b"[1,", "application/json", None),
        (Tag::TEXT, b"\xff", "text/plain; charset=utf-8", None),
        (Tag::TYPED, b"\xff", "application/vnd.rustcache.tag-6", None),
    ] {
        framed.set("k", value, tag);
        let answer = service.get("/v1/entries/k");
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.body, value);
        let answer = service.get("/kv/k");
        match in_json {
            Some(json) => assert_eq!(answer.text(), json),
            None => assert_eq!(answer.status, 406),
        }
    }
}

#[test]
fn the_numbers_of_one_are_those_of_the_other() {
    let (service, mut framed) = both();
    framed.set("k", b"v", Tag::TEXT);
    service.get("/kv/k");
    service.get("/kv/none");
    framed.get("k");
    let (_, _, of_frames) = framed.ask(&Command::Stats);
    let of_frames: serde_json::Value = serde_json::from_slice(&of_frames).expect("JSON");
    let of_http = service.get("/v1/stats").json();
    for name in [
        "items",
        "bytes",
        "hits",
        "misses",
        "inserts",
        "max_value_bytes",
        "persistent",
        "pid",
    ] {
        assert_eq!(of_frames[name], of_http[name], "{name}");
    }
    assert_eq!((&of_http["hits"], &of_http["misses"]), (&2.into(), &1.into()));
    assert!(of_http["commands"].as_u64() >= Some(3), "{of_http}");
}

/// One command in so many is looked at.
#[test]
fn what_is_read_and_how_long_it_takes_is_told_of_stdin_too() {
    let (service, mut framed) = both();
    framed.set("often", b"v", Tag::TEXT);
    for _ in 0..2000 {
        assert_eq!(framed.get("often").0, Status::OK);
    }
    // It is told once the second is over.
    let hottest = loop {
        let top = service.get("/v1/top").json();
        if let Some(hottest) = top["hottest"].get(0) {
            break hottest.clone();
        }
        std::thread::yield_now();
    };
    assert_eq!(hottest["key"], "often");
    let metrics = service.get("/metrics");
    let count = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("rustcache_stdio_command_duration_seconds_count{kind=\"get\"} "));
    let count: u64 = count.and_then(|count| count.parse().ok()).expect("a count");
    assert!((1..2000).contains(&count), "{count}");
}

#[test]
fn a_value_that_is_compressed_is_given_to_those_who_can_unpack_it_and_to_others_as_what_it_is() {
    let (service, mut framed) = both();
    // Its tag is 64 and 2 (brotli) or 4 (zstd); within, the tag of the value inside and how long that is.
    let value = b"\x02\x06\0\0\0packed";
    for (tag, name) in [(66, "br"), (68, "zstd")] {
        framed.set("k", value, Tag(tag));
        let accepted = format!("gzip, {name};q=0.5");
        let answer = service.ask("GET", "/v1/entries/k", &[("Accept-Encoding", &accepted)], b"");
        assert_eq!(answer.header("content-encoding"), Some(name));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.body, b"packed");
        let refused = format!("{name};q=0, gzip");
        for headers in [&[][..], &[("Accept-Encoding", refused.as_str())]] {
            let answer = service.ask("GET", "/v1/entries/k", headers, b"");
            let whole = format!("application/vnd.rustcache.tag-{tag}");
            assert_eq!(answer.header("content-type"), Some(whole.as_str()));
            assert_eq!(answer.header("content-encoding"), None);
            assert_eq!(answer.body, value);
        }
    }
    // Whether one in an envelope may be served, only those know who put it there.
    framed.set("k", value, Tag(67));
    let answer = service.ask("GET", "/v1/entries/k", &[("Accept-Encoding", "br")], b"");
    assert_eq!(
        answer.header("content-type"),
        Some("application/vnd.rustcache.tag-67")
    );
    let answer = service.get("/kv/k");
    assert_eq!(answer.status, 406);
    assert!(
        answer.text().contains("the tag 67 (compressed, in an envelope"),
        "{}",
        answer.text()
    );
}
