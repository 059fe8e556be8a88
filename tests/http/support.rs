//! Starts the daemon with HTTP, and asks it byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Far above what anything here takes.
const NEVER: Duration = Duration::from_secs(60);
/// How often somebody does something while an answer is awaited.
const MOMENT: Duration = Duration::from_millis(20);

/// A running daemon; killed when dropped.
pub(crate) struct Service {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    log: BufReader<ChildStderr>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
    host: String,
}

/// The binary, serving HTTP at a free port, in an environment that says nothing to it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rustcache"));
    command
        .env_clear()
        .args(["--http", "127.0.0.1:0"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

impl Service {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::start(&mut command(arguments))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the daemon starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        log.read_line(&mut line).expect("a line");
        let address = line
            .strip_prefix("rustcache: serving http://")
            .and_then(|rest| rest.strip_suffix("/\n"));
        let Some(address) = address else {
            let _ = child.wait();
            panic!("it does not say where it is: {line:?}");
        };
        let address = address.parse().expect("an address");
        Service { child, address, log }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.client().ask(method, path, headers, body)
    }

    /// The same, while somebody else does something every moment until the answer is there.
    pub(crate) fn ask_while(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        mut meanwhile: impl FnMut(),
    ) -> Answer {
        let mut client = self.client();
        client.request(method, path, &[], body);
        let stream = client.stream.get_ref();
        stream.set_read_timeout(Some(MOMENT)).expect("a socket");
        while stream.peek(&mut [0]).is_err() {
            meanwhile();
        }
        stream.set_read_timeout(Some(NEVER)).expect("a socket");
        client.answer(method)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// A client that asks for an entry and reads no more of it than its head.
    pub(crate) fn read_head(&self, key: &str) -> Client {
        let mut client = self.client();
        client.send(format!("GET /v1/entries/{key} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        assert_eq!(client.answer("HEAD").status, 200);
        client
    }

    /// One counter of `/metrics`.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics");
        assert_eq!(metrics.status, 200);
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|count| count.trim().parse().ok())
            .expect("a counter")
    }

    pub(crate) fn wait_until_ready(&self) {
        while self.get("/readyz").status == 503 {
            std::thread::yield_now();
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], body.to_string().as_bytes())
    }

    /// How much more memory it takes at most while something is done than before, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory_for<R>(&self, work: impl FnOnce() -> R) -> (usize, R) {
        let process = format!("/proc/{}", self.child.id());
        let of = |name: &str| -> usize {
            let status = std::fs::read_to_string(format!("{process}/status")).expect("it runs");
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
            kib.expect("a number") * 1024
        };
        // The most so far is what there is now.
        std::fs::write(format!("{process}/clear_refs"), "5").expect("it is ours");
        let before = of("VmRSS:");
        let done = work();
        (of("VmHWM:").saturating_sub(before), done)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid")).expect("a process");
        kill_process(pid, signal).expect("it is there");
    }

    /// Waits for the end: how it ended, and what it has said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        self.log.read_to_string(&mut log).expect("logs are text");
        (self.child.wait().expect("it ends"), log)
    }

    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end().0
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(NEVER)).expect("a socket");
        Client {
            stream: BufReader::new(stream),
            host: address.to_string(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("it reads");
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request(method, path, headers, body);
        self.answer(method)
    }

    fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request += &format!("Host: {}\r\n", self.host);
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        self.send(&[request.as_bytes(), body].concat());
    }

    /// Reads some of what it is answered, which is longer.
    pub(crate) fn read_some(&mut self, bytes: usize) {
        self.stream
            .read_exact(&mut vec![0; bytes])
            .expect("it is not cut");
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        let line = self.line();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let has_body = method != "HEAD" && status != 204 && status != 304;
        if let Some(len) = answer.header("content-length").and_then(|len| len.parse().ok())
            && has_body
        {
            answer.body = vec![0; len];
            self.stream.read_exact(&mut answer.body).expect("all of it");
        }
        answer
    }

    /// Whether the daemon has closed it, with nothing left to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        matches!(self.stream.read_to_end(&mut rest), Ok(0)) || rest.is_empty()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
