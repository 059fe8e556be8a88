//! A cache in front of a slow web handler: `cargo run --example web_cache`. It serves one page by `std::net`, and asks itself for it.
//!
//! Pages stay for ten seconds, and leave earlier if nobody asks for them for five. A listener counts why they went; `PURGE` removes those under a path.

#![allow(clippy::print_stdout, reason = "a program")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustcache::{BuildError, Cache, SetOptions, Tag};

const PAGES: &str = "page:";

#[derive(Clone)]
struct Server {
    cache: Cache,
    rendered: Arc<AtomicU64>,
    evicted: Arc<AtomicU64>,
}

impl Server {
    fn new() -> Result<Self, BuildError> {
        let evicted = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&evicted);
        let cache = Cache::builder()
            .max_bytes(16 << 20)
            .default_ttl(Duration::from_secs(10))
            .time_to_idle(Duration::from_secs(5))
            .eviction_listener(move |_, _, cause| {
                counting.fetch_add(u64::from(cause.is_eviction()), Ordering::Relaxed);
            })
            .build()?;
        Ok(Server {
            cache,
            rendered: Arc::default(),
            evicted,
        })
    }

    /// Serves until the listener is gone; gives its address.
    fn start(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                // Who goes away in the middle is nobody's problem.
                thread::spawn(move || drop(server.serve(stream)));
            }
        });
        Ok(address)
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut request = String::new();
        BufReader::new((&stream).take(8 << 10)).read_line(&mut request)?;
        let mut words = request.split_whitespace();
        let (status, from, body) = match (words.next(), words.next()) {
            (Some("GET"), Some(path)) => self.page(path),
            (Some("PURGE"), Some(path)) => {
                let removed = self.cache.clear_prefix(format!("{PAGES}{path}"));
                ("200 OK", "purge", format!("{removed} removed\n").into_bytes())
            }
            _ => ("400 Bad Request", "error", b"GET or PURGE, and a path\n".to_vec()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nx-cache: {from}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)
    }

    fn page(&self, path: &str) -> (&'static str, &'static str, Vec<u8>) {
        let key = format!("{PAGES}{path}");
        if let Some(entry) = self.cache.get(&key) {
            return ("200 OK", "hit", entry.value.to_vec());
        }
        let page = self.render(path);
        let options = SetOptions::default().with_tag(Tag::TEXT);
        // A path that is too long for a key is served all the same.
        let from = if self.cache.set(&key, &page, options).is_ok() {
            "miss"
        } else {
            "pass"
        };
        ("200 OK", from, page.into_bytes())
    }

    /// As slow as a handler with a database behind it.
    fn render(&self, path: &str) -> String {
        self.rendered.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(20));
        format!("<h1>{}</h1>\n", path.replace('<', "&lt;"))
    }
}

fn ask(address: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "{request} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::new()?;
    let address = server.start()?;
    for request in ["GET /", "GET /", "GET /about", "PURGE /", "GET /"] {
        let answer = ask(address, request)?;
        let from = answer
            .lines()
            .find(|line| line.starts_with("x-cache"))
            .unwrap_or_default();
        println!("{request:<10} {from}");
    }
    let rendered = server.rendered.load(Ordering::Relaxed);
    let evicted = server.evicted.load(Ordering::Relaxed);
    println!(
        "rendered {rendered} times, {evicted} pages evicted; {:?}",
        server.cache.stats()
    );
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("it runs");
}

#[test]
fn a_page_is_rendered_once_until_it_is_purged() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::new()?;
    let address = server.start()?;
    for (request, from) in [
        ("GET /a", "miss"),
        ("GET /a", "hit"),
        ("PURGE /b", "purge"),
        ("GET /a", "hit"),
        ("PURGE /a", "purge"),
        ("GET /a", "miss"),
        ("POST /a", "error"),
    ] {
        let answer = ask(address, request)?;
        assert!(
            answer.contains(&format!("x-cache: {from}\r\n")),
            "{request}: {answer}"
        );
    }
    assert_eq!(server.rendered.load(Ordering::Relaxed), 2);
    Ok(())
}
