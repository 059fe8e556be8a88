//! Nobody who is slow, or sends too much, or sends nonsense, costs the others anything.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Client, Service};

#[test]
fn a_head_that_is_too_long_is_refused() {
    let service = Service::new();
    let long = "k".repeat(70_000);
    assert_eq!(service.get(&format!("/v1/entries/{long}")).status, 414);
    let headers: Vec<(String, String)> = (0..200)
        .map(|number| (format!("x-{number}"), "v".to_owned()))
        .collect();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(service.ask("GET", "/livez", &headers, b"").status, 431);
    let long = "v".repeat(400_000);
    assert_eq!(service.ask("GET", "/livez", &[("x", &long)], b"").status, 431);
    assert_eq!(service.get("/livez").status, 200);
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let service = Service::with(&["--http-max-body", "1000"]);
    let mut client = service.client();
    client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n");
    assert_eq!(client.answer("PUT").status, 413);
    let mut client = service.client();
    client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000)).as_bytes());
    assert_eq!(client.answer("PUT").status, 413);
    assert_eq!(service.ask("PUT", "/v1/entries/k", &[], &[0; 1000]).status, 201);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let service = Service::with(&["--http-timeout", "200ms"]);
    let mut client = service.client();
    client.send(b"PUT /v1/entries/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(client.answer("PUT").status, 408);
    assert_eq!(service.get("/v1/entries/k").status, 404);
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_and_neither_is_the_next() {
    let service = Service::with(&["--http-idle-timeout", "200ms"]);
    let mut slow = service.client();
    slow.send(b"GET /livez HTTP/1.1\r\nHost: local");
    let mut rest = Vec::new();
    // Closed, perhaps with a word about it.
    slow.stream.read_to_end(&mut rest).expect("it is closed");
    let mut idle = service.client();
    assert_eq!(idle.ask("GET", "/livez", &[], b"").status, 200);
    assert!(idle.is_closed());
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    // Long enough for what is sent first.
    let service = Service::with(&["--http-timeout", "3s"]);
    service.ask("PUT", "/v1/entries/large", &[], &vec![0; 60 << 20]);
    let mut client = service.client();
    client.send(b"GET /v1/entries/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // It has begun to be sent once there is something; nothing is read until there is no connection any more.
    client.stream.get_mut().peek(&mut [0]).expect("the beginning");
    while service.get("/v1/stats").json()["http_connections"] != 1 {
        std::thread::yield_now();
    }
    let mut body = Vec::new();
    let read = client.stream.read_to_end(&mut body);
    assert!(read.is_err() || body.len() < 60 << 20);
}

#[test]
fn a_client_that_has_nothing_more_to_say_is_answered() {
    let service = Service::new();
    let mut client = service.client();
    client.send(&b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3));
    let stream = client.stream.get_mut();
    stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    for _ in 0..3 {
        assert_eq!(client.answer("GET").body, b"ok\n");
    }
    assert!(client.is_closed());
}

/// More connections than there are places, none of which ever asks anything.
#[test]
fn those_who_ask_nothing_make_room_for_those_who_do() {
    const PLACES: usize = 50;
    let service = Service::with(&["--http-max-connections", &PLACES.to_string()]);
    let mut regular = service.client();
    assert_eq!(regular.ask("GET", "/livez", &[], b"").status, 200);
    let mut silent = Vec::new();
    for _ in 0..4 * PLACES {
        let mut stream = TcpStream::connect(service.address).expect("it listens");
        // It may have been closed already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nX: ");
        silent.push(stream);
        assert_eq!(service.get("/livez").status, 200);
    }
    assert_eq!(
        regular.ask("GET", "/livez", &[], b"").status,
        200,
        "the same connection as before"
    );
    let stats = service.get("/v1/stats").json();
    assert!(stats["http_connections"].as_u64().expect("a number") <= PLACES as u64);
    assert!(stats["http_connections_shed"].as_u64().expect("a number") >= 3 * PLACES as u64);
}

/// Two places, one of which is that of a client who reads slowly.
#[test]
fn who_reads_a_long_answer_gets_all_of_it_while_others_come_and_go() {
    const LENGTH: usize = 40 << 20;
    let service = Service::with(&["--http-max-connections", "2"]);
    service.ask("PUT", "/v1/entries/large", &[], &vec![7; LENGTH]);
    let mut reader = service.client();
    reader.send(b"GET /v1/entries/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut body = vec![0; LENGTH];
    assert_eq!(reader.answer("HEAD").status, 200);
    let mut others = Vec::new();
    for piece in body.chunks_mut(LENGTH / 8) {
        let mut other = service.client();
        assert_eq!(other.ask("GET", "/livez", &[], b"").status, 200);
        others.push(other);
        reader.stream.read_exact(piece).expect("it is not cut");
    }
    assert!(body.iter().all(|&byte| byte == 7));
}

#[test]
fn nonsense_is_answered_or_cut_and_harms_nobody() {
    let service = Service::new();
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let valid = b"PUT /v1/entries/k?ttl=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nIf-Match: \"x\"\r\n\r\n{}";
    for round in 0..300 {
        let mut bytes = if round % 3 == 0 {
            (0..random() % 2000).map(|_| random() as u8).collect()
        } else {
            valid.to_vec()
        };
        for _ in 0..random() % 6 {
            if !bytes.is_empty() {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
        }
        let mut client = Client::new(service.address);
        // It may be cut while it is sent.
        let _ = client.stream.get_mut().write_all(&bytes);
        let _ = client.stream.get_mut().shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{bytes:?}");
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{bytes:?}");
    }
    assert_eq!(service.get("/livez").status, 200);
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let service = Service::new();
    let mut client = service.client();
    client.send(&b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100));
    for _ in 0..100 {
        assert_eq!(client.answer("GET").body, b"ok\n");
    }
}
