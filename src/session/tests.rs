//! Sessions driven without I/O: bytes in, bytes out, and a clock that stands still until it is told to move.
//!
//! Here is the client that the tests play; what they ask is in the modules.

mod durable;
mod expiry;
mod fixed;
mod handshake;
mod loading;
mod many;
mod ops;
mod pieces;
mod pressure;
mod refusals;

use crate::protocol::command::Command;
use crate::protocol::framed::{HEADER, Next, PREFACE, encode_request, next};
use crate::protocol::status::Status;
use crate::{Builder, Cache, Expiry, ManualClock, SetOptions, Tag};

use super::Session;

/// More than any test leaves unread.
const UNBOUNDED: usize = usize::MAX;

/// A client and its session, on a cache whose clock stands still.
struct Client {
    session: Session,
    cache: Cache,
    clock: ManualClock,
}

/// A reply of version 2.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    id: u32,
    status: Status,
    tag: Tag,
    /// Fields and value.
    body: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        Self::of(Cache::builder())
    }

    fn of(builder: Builder) -> Self {
        let (clock, hands) = crate::Clock::manual();
        let cache = builder.clock(clock).build().expect("valid options");
        Client {
            session: Session::new(cache.clone(), UNBOUNDED),
            cache,
            clock: hands,
        }
    }

    /// A client of version 2, past its handshake.
    fn greeted() -> Self {
        Self::greeted_on(Cache::builder())
    }

    fn greeted_on(builder: Builder) -> Self {
        let mut client = Self::of(builder);
        client.greet();
        client
    }

    fn greet(&mut self) {
        let reply = self.send(&greeting());
        assert_eq!(reply[..4], PREFACE);
        assert_eq!(answers(&reply[4..])[0].status, Status::OK);
    }

    /// Another connection to the same cache.
    fn beside(&self) -> Self {
        Client {
            session: Session::new(self.cache.clone(), UNBOUNDED),
            cache: self.cache.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Sends bytes and reads all that is answered.
    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.session.receive(bytes);
        answered(&mut self.session)
    }

    /// Sends one request of version 2.
    fn ask(&mut self, command: &Command<'_>) -> Answer {
        let reply = self.send(&request(7, command));
        let [answer] = &answers(&reply)[..] else {
            panic!("{command:?} is answered with {reply:02x?}");
        };
        assert_eq!(answer.id, 7, "{command:?}");
        answer.clone()
    }

    fn status(&mut self, command: &Command<'_>) -> Status {
        self.ask(command).status
    }

    fn set(&mut self, key: &str, value: &str) -> Status {
        self.set_with(key, value, SetOptions::default())
    }

    fn set_with(&mut self, key: &str, value: &str, options: SetOptions) -> Status {
        self.status(&Command::Set {
            key: key.as_bytes(),
            value: value.as_bytes(),
            options,
        })
    }

    /// The text under a key.
    fn get(&mut self, key: &str) -> Option<String> {
        let answer = self.ask(&Command::Get {
            key: key.as_bytes(),
            with_ttl: false,
        });
        match answer.status {
            Status::OK => Some(String::from_utf8(answer.body).expect("text")),
            Status::MISS => None,
            other => panic!("GET is answered with {other}"),
        }
    }

    /// Milliseconds that an entry has to live; all ones are never.
    fn time_left(&mut self, key: &str) -> Option<u64> {
        let answer = self.ask(&Command::TimeLeft { key: key.as_bytes() });
        (answer.status == Status::OK).then(|| answer.u64_at(0))
    }

    fn is_broken(&self) -> bool {
        self.session.broken().is_some()
    }
}

impl Answer {
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.body[at..at + 4].try_into().expect("four bytes"))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.body[at..at + 8].try_into().expect("eight bytes"))
    }

    /// The text of an error.
    fn text(&self) -> String {
        assert!(self.status.is_error(), "{self:?} is no error");
        assert_eq!(self.tag, Tag::TEXT);
        String::from_utf8(self.body.clone()).expect("text")
    }
}

/// Processes and reads until there is nothing more to read.
fn answered(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = session.process();
        bytes.append(&mut taken(session, usize::MAX));
        if !more {
            return bytes;
        }
    }
}

/// Reads up to `most` bytes of what waits.
fn taken(session: &mut Session, most: usize) -> Vec<u8> {
    let outbox = session.outbox();
    let mut bytes: Vec<u8> = outbox
        .slices(usize::MAX)
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    bytes.truncate(most);
    outbox.consume(bytes.len());
    bytes
}

/// Cuts a stream of replies of version 2.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let len = match next(bytes, u32::MAX) {
            Next::Frame(len) => len,
            other => panic!("{other:?} where a reply should be"),
        };
        let frame = &bytes[..len];
        assert_eq!((frame[9], frame[11]), (0, 0), "flags of a reply, and its zero");
        assert_eq!(frame[12..16], [0; 4], "key length of a reply");
        answers.push(Answer {
            id: u32::from_le_bytes(frame[4..8].try_into().expect("four bytes")),
            status: Status(frame[8]),
            tag: Tag(frame[10]),
            body: frame[HEADER..].to_vec(),
        });
        bytes = &bytes[len..];
    }
    answers
}

fn request(id: u32, command: &Command<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(id, command, &mut bytes);
    bytes
}

fn hello(lowest: u16, highest: u16) -> Command<'static> {
    Command::Hello {
        lowest,
        highest,
        features: 0,
        name: b"",
    }
}

/// Preface and HELLO.
fn greeting() -> Vec<u8> {
    [&PREFACE[..], &request(0, &hello(2, 2))].concat()
}

fn get(key: &str) -> Command<'_> {
    Command::Get {
        key: key.as_bytes(),
        with_ttl: false,
    }
}

fn set<'a>(key: &'a str, value: &'a [u8]) -> Command<'a> {
    Command::Set {
        key: key.as_bytes(),
        value,
        options: SetOptions::default(),
    }
}

fn expiring(expiry: Expiry) -> SetOptions {
    SetOptions {
        expiry,
        ..SetOptions::default()
    }
}

/// A request of version 1, by hand.
fn fixed_frame(letter: u8, key: &[u8], value: &[u8], ttl: u16) -> Vec<u8> {
    let mut frame = vec![0; 128];
    frame[0] = letter;
    frame[1..][..key.len()].copy_from_slice(key);
    frame[64..][..value.len()].copy_from_slice(value);
    frame[126..].copy_from_slice(&ttl.to_be_bytes());
    frame
}
