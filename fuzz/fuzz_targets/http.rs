//! Any bytes from a client of the HTTP service, one client after the other on one small cache. What is answered is HTTP, no error of the daemon's own, and what the
//! document says (an assertion within); the next client is served like the first.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rustcache::Cache;
use rustcache::transport::http::{Backing, Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

/// More than all answers to an input take.
const ROOM: usize = 512 << 20;

struct Fixture {
    server: Server,
    runtime: Runtime,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let cache = Cache::builder()
        .max_items(100)
        .max_bytes(1 << 20)
        .build()
        .expect("limits that there can be");
    let address = "127.0.0.1:0".parse().expect("an address");
    let options = Options::new(address, 1 << 16);
    Fixture {
        server: Server::start(&options, Backing::in_memory(cache), None, || {}).expect("a port"),
        runtime: Builder::new_current_thread().build().expect("a runtime"),
    }
});

/// What a client is answered that sends this and no more.
fn answers(input: &[u8]) -> Vec<u8> {
    let Fixture { server, runtime } = &*FIXTURE;
    let (mut ours, theirs): (DuplexStream, DuplexStream) = duplex(ROOM);
    runtime
        .block_on(async {
            ours.write_all(input).await?;
            ours.shutdown().await
        })
        .expect("there is room");
    server.attend(theirs);
    let mut answers = Vec::new();
    runtime
        .block_on(ours.read_to_end(&mut answers))
        .expect("it has ended");
    answers
}

/// The only answer that has no end.
const ENDLESS: &[u8] = b"/v1/events";

fuzz_target!(|input: &[u8]| {
    if input.windows(ENDLESS.len()).any(|part| part == ENDLESS) {
        return;
    }
    let answered = answers(input);
    assert!(answered.is_empty() || answered.starts_with(b"HTTP/1."));
    assert!(!answered.starts_with(b"HTTP/1.1 5"));
    let alive = answers(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(alive.starts_with(b"HTTP/1.1 200 ") && alive.ends_with(b"ok\n"));
});
