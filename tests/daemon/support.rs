//! Starts the daemon over each kind of link, and makes sure that it never outlives its test.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustcache::protocol::command::Command as Request;
use rustcache::protocol::framed::{HEADER, Next, PREFACE, encode_request, next};
use rustcache::protocol::status::Status;
use rustcache::{SetOptions, Tag};
use rustix::process::{Pid, Signal, kill_process};

/// Far above what anything here takes. What has not happened by then never will, and the daemon is killed so that the test fails instead of
/// waiting for ever.
const NEVER: Duration = Duration::from_secs(120);

/// What the daemon's stdin and stdout are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Pipes,
    /// A socket pair each, as Node gives it.
    Sockets,
    /// One socket for both directions.
    OneSocket,
}

pub(crate) const LINKS: [Link; 3] = [Link::Pipes, Link::Sockets, Link::OneSocket];

pub(crate) type Input = Box<dyn Write + Send>;
pub(crate) type Output = Box<dyn Read + Send>;

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) input: Option<Input>,
    pub(crate) output: Option<Output>,
    log: Option<JoinHandle<String>>,
    _watchdog: Sender<()>,
}

/// How a daemon ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote since the test last read.
    pub(crate) output: Vec<u8>,
    pub(crate) log: String,
}

/// The binary, in an environment that says nothing to it.
pub(crate) fn rustcache(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rustcache"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Finished {
    Daemon::start(Link::Pipes, rustcache(arguments, environment)).exchange(input)
}

impl Daemon {
    pub(crate) fn new(link: Link) -> Self {
        Self::with(link, &[], &[])
    }

    pub(crate) fn with(link: Link, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start(link, rustcache(arguments, environment))
    }

    pub(crate) fn start(link: Link, mut command: Command) -> Self {
        command.stderr(Stdio::piped());
        Self::start_logging(link, command)
    }

    /// As `start`, but stderr stays what the command says. If that is no pipe of its own, there is no log to be read.
    pub(crate) fn start_logging(link: Link, mut command: Command) -> Self {
        let (input, output) = connect(link, &mut command);
        let mut child = command.spawn().expect("the daemon starts");
        let stderr = child.stderr.take();
        let log = thread::spawn(move || {
            let mut log = Vec::new();
            if let Some(mut stderr) = stderr {
                stderr.read_to_end(&mut log).expect("stderr can be read");
            }
            String::from_utf8(log).expect("logs are text")
        });
        let (watchdog, watched) = channel();
        watch(child.id(), watched);
        Daemon {
            child,
            input: Some(input),
            output: Some(output),
            log: Some(log),
            _watchdog: watchdog,
        }
    }

    /// A daemon of version 2, past its handshake.
    pub(crate) fn greeted(link: Link, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut daemon = Self::with(link, arguments, environment);
        daemon.greet();
        daemon
    }

    /// Shakes hands. Returns the limits: key, value, frame.
    pub(crate) fn greet(&mut self) -> [u32; 3] {
        self.write(&greeting());
        assert_eq!(self.read(4), PREFACE);
        let hello = self.answer();
        assert_eq!(hello.status, Status::OK);
        [12, 16, 20].map(|at| u32::from_le_bytes(hello.body[at..at + 4].try_into().expect("four bytes")))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("not closed");
        input.write_all(bytes).expect("the daemon reads");
    }

    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let output = self.output.as_mut().expect("not closed");
        output.read_exact(&mut bytes).expect("the daemon answers");
        bytes
    }

    /// The next reply of version 2.
    pub(crate) fn answer(&mut self) -> Answer {
        read_answer(self.output.as_mut().expect("not closed"))
    }

    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Answer {
        self.write(&frame(7, request));
        self.answer()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is there");
    }

    /// Resident memory now, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the daemon runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        let kib: usize = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of kB");
        kib * 1024
    }

    /// Waits until it waits. One that turns in circles never does, and is killed in the end.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_until_it_sleeps(&self) {
        let path = format!("/proc/{}/stat", self.child.id());
        loop {
            let stat = std::fs::read_to_string(&path).expect("the daemon runs");
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            match state.expect("a state") {
                'S' => return,
                'Z' | 'X' => panic!("the daemon has ended"),
                _ => thread::yield_now(),
            }
        }
    }

    /// Closes the input, reads to the end and waits.
    pub(crate) fn finish(mut self) -> Finished {
        self.input = None;
        self.wait()
    }

    /// Writes all, reading meanwhile, then closes the input and waits.
    pub(crate) fn exchange(mut self, bytes: &[u8]) -> Finished {
        let mut input = self.input.take().expect("not closed");
        thread::scope(|scope| {
            scope.spawn(move || match input.write_all(bytes) {
                // A daemon that ends the connection does not read the rest.
                Err(error) if !is_gone(&error) => panic!("writing to the daemon: {error}"),
                _ => {}
            });
            self.wait()
        })
    }

    /// Reads what comes until the daemon ends.
    pub(crate) fn wait(&mut self) -> Finished {
        let mut output = Vec::new();
        if let Some(mut from) = self.output.take() {
            match from.read_to_end(&mut output) {
                Err(error) if !is_gone(&error) => panic!("reading from the daemon: {error}"),
                _ => {}
            }
        }
        let code = self.child.wait().expect("it can be waited for").code();
        let log = self.log.take().expect("waited for once").join();
        Finished {
            code,
            output,
            log: log.expect("the log was read"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Closes one direction of a socket that has two.
struct Half(UnixStream);

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// Makes the command's stdin and stdout, and gives our ends of them.
fn connect(link: Link, command: &mut Command) -> (Input, Output) {
    match link {
        Link::Pipes => {
            let (stdin, input) = io::pipe().expect("a pipe");
            let (output, stdout) = io::pipe().expect("a pipe");
            command.stdin(stdin).stdout(stdout);
            (Box::new(input), Box::new(output))
        }
        Link::Sockets => {
            let (stdin, input) = UnixStream::pair().expect("a pair of sockets");
            let (output, stdout) = UnixStream::pair().expect("a pair of sockets");
            command.stdin(OwnedFd::from(stdin)).stdout(OwnedFd::from(stdout));
            (Box::new(input), Box::new(output))
        }
        Link::OneSocket => {
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            let both = theirs.try_clone().expect("a descriptor");
            command.stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(both));
            let output = ours.try_clone().expect("a descriptor");
            (Box::new(Half(ours)), Box::new(output))
        }
    }
}

/// Kills a process that is still there after a time in which everything should have happened.
fn watch(pid: u32, watched: Receiver<()>) {
    thread::spawn(move || {
        if watched.recv_timeout(NEVER) == Err(RecvTimeoutError::Timeout) {
            let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("not zero");
            let _ = kill_process(pid, Signal::KILL);
        }
    });
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// A reply of version 2.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) id: u32,
    pub(crate) status: Status,
    pub(crate) tag: Tag,
    /// Fields and value.
    pub(crate) body: Vec<u8>,
}

pub(crate) fn read_answer(output: &mut impl Read) -> Answer {
    let mut header = [0; HEADER];
    output.read_exact(&mut header).expect("the daemon answers");
    let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
    let mut body = vec![0; length + 4 - HEADER];
    output.read_exact(&mut body).expect("the reply is whole");
    Answer {
        id: u32::from_le_bytes(header[4..8].try_into().expect("four bytes")),
        status: Status(header[8]),
        tag: Tag(header[10]),
        body,
    }
}

/// Cuts whole replies of version 2, prefaces left out. What is left over is returned as well.
pub(crate) fn answers(mut bytes: &[u8]) -> (Vec<Answer>, &[u8]) {
    let mut answers = Vec::new();
    loop {
        bytes = match next(bytes, u32::MAX) {
            Next::Preface => &bytes[PREFACE.len()..],
            Next::Frame(len) => {
                answers.push(read_answer(&mut &bytes[..len]));
                &bytes[len..]
            }
            Next::Incomplete(_) => return (answers, bytes),
            Next::Hopeless { refusal, .. } => panic!("replies are damaged: {refusal}"),
        };
    }
}

pub(crate) fn frame(id: u32, request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(id, request, &mut bytes);
    bytes
}

/// Preface and HELLO.
pub(crate) fn greeting() -> Vec<u8> {
    let hello = Request::Hello {
        lowest: 2,
        highest: 2,
        features: 0,
        name: b"test",
    };
    [&PREFACE[..], &frame(0, &hello)].concat()
}

pub(crate) fn get(key: &[u8]) -> Request<'_> {
    Request::Get { key, with_ttl: false }
}

pub(crate) fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    Request::Set {
        key,
        value,
        options: SetOptions::default().with_tag(Tag::TEXT),
    }
}

/// A request of version 1, by hand.
pub(crate) fn fixed_frame(letter: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 128];
    frame[0] = letter;
    frame[1..][..key.len()].copy_from_slice(key);
    frame[64..][..value.len()].copy_from_slice(value);
    frame
}

/// Numbers that look random and are the same in every run (xorshift).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("below a usize")
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll().to_le_bytes()[3]).collect()
    }
}
