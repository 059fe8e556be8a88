//! Sends a script to a daemon and notes what is acknowledged, until a blow falls at a chosen moment; and asks a daemon for all that it holds.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustcache::Tag;
use rustcache::protocol::command::Command as Request;
use rustcache::protocol::framed::{FOREVER, HEADER};
use rustcache::protocol::status::Status;
use rustix::process::{Signal, kill_process};

use crate::model::{Found, Times};
use crate::script::{Kind, Step};
use crate::support::{Answer, Daemon, Dice};

/// When it happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// After so many replies.
    Replies(usize),
    /// After so many bytes of requests.
    Bytes(usize),
    /// After so long: only for what takes much longer.
    Time(Duration),
}

/// What became of a script.
pub(crate) struct Played {
    pub(crate) times: Times,
    /// Requests 1 to this one were acknowledged.
    pub(crate) acknowledged: usize,
    /// Snapshots that were acknowledged.
    pub(crate) snapshots: usize,
    /// What the first write was answered with that could not be kept. None after it was acknowledged.
    pub(crate) refused: Option<String>,
}

/// Plays the script, a chunk at each `pace`, until the daemon is gone or has answered everything. `strike` is called at that moment, once.
///
/// # Errors
/// A reply that is wrong.
pub(crate) fn play(
    daemon: &mut Daemon,
    steps: &[Step],
    moment: Moment,
    pace: Duration,
    dice: &mut Dice,
    strike: &(dyn Fn() + Sync),
) -> Result<Played, String> {
    let mut input = daemon.input.take().expect("open");
    let mut output = io::BufReader::new(daemon.output.take().expect("open"));
    let sent = Mutex::new(Vec::new());
    let chunk = 1 + dice.below(20);
    let began = Instant::now();
    let mut reading = Reading {
        steps,
        acknowledged: Vec::new(),
        snapshots: 0,
        refused: None,
    };
    let pid = daemon.pid();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut left = match moment {
                Moment::Bytes(bytes) => bytes,
                _ => usize::MAX,
            };
            for chunk in steps.chunks(chunk) {
                let now = Instant::now();
                sent.lock().expect("no panic").extend(chunk.iter().map(|_| now));
                let bytes: Vec<u8> = chunk.iter().flat_map(|step| step.frame.clone()).collect();
                let (now, later) = bytes.split_at(bytes.len().min(left));
                // It is gone, if the blow fell meanwhile.
                if input.write_all(now).is_err() {
                    return;
                }
                left -= now.len();
                if left == 0 {
                    left = usize::MAX;
                    strike();
                    if input.write_all(later).is_err() {
                        return;
                    }
                }
                if !pace.is_zero() {
                    thread::sleep(pace);
                }
            }
        });
        let (mut answered, mut has_struck) = (0, false);
        while let Some(answer) = read_one(&mut output) {
            if let Err(wrong) = reading.take(&answer) {
                // The writer is waited for, and must not wait for a daemon that waits for us.
                let _ = kill_process(pid, Signal::KILL);
                return Err(wrong);
            }
            answered += 1;
            let is_time = match moment {
                Moment::Replies(replies) => answered == replies,
                Moment::Bytes(_) => false,
                Moment::Time(time) => !has_struck && began.elapsed() >= time,
            };
            if is_time {
                has_struck = true;
                strike();
            }
            if answered == steps.len() {
                break;
            }
        }
        Ok(())
    })?;
    Ok(Played {
        acknowledged: reading.acknowledged.len(),
        snapshots: reading.snapshots,
        refused: reading.refused,
        times: Times {
            sent: sent.into_inner().expect("no panic"),
            acknowledged: reading.acknowledged,
            died: Instant::now(),
        },
    })
}

struct Reading<'s> {
    steps: &'s [Step],
    acknowledged: Vec<Instant>,
    snapshots: usize,
    refused: Option<String>,
}

impl Reading<'_> {
    fn take(&mut self, answer: &Answer) -> Result<(), String> {
        let number = answer.id as usize;
        let step = number.checked_sub(1).and_then(|at| self.steps.get(at));
        let step = step.ok_or_else(|| format!("a reply to request {number}, which was not sent"))?;
        let is_refused = matches!(answer.status, Status::DISK_FAILED | Status::NOT_DURABLE);
        match step.kind {
            Kind::Snapshot => {
                self.snapshots += usize::from(answer.status == Status::OK);
                return Ok(());
            }
            Kind::Write if is_refused => {
                let text = || String::from_utf8_lossy(&answer.body).into_owned();
                self.refused.get_or_insert_with(text);
                return Ok(());
            }
            // What was refused changed nothing, and the script does not know that.
            Kind::Read if self.refused.is_some() => return Ok(()),
            Kind::Write if self.refused.is_some() => {
                return Err(format!(
                    "request {number} is acknowledged after one was refused: {answer:?}"
                ));
            }
            _ => {}
        }
        if (answer.status, &answer.body) != (step.answer.0, &step.answer.1) {
            let (status, body) = &step.answer;
            return Err(format!(
                "request {number} is answered with {} and {} bytes instead of {} and {} bytes",
                answer.status.name(),
                answer.body.len(),
                status.name(),
                body.len()
            ));
        }
        // Those between were snapshots.
        self.acknowledged.resize_with(number, Instant::now);
        Ok(())
    }
}

/// `None` when the daemon is gone, be it in the middle of a reply.
fn read_one(output: &mut impl Read) -> Option<Answer> {
    let mut header = [0; HEADER];
    output.read_exact(&mut header).ok()?;
    let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
    let mut body = vec![0; length + 4 - HEADER];
    output.read_exact(&mut body).ok()?;
    Some(Answer {
        id: u32::from_le_bytes(header[4..8].try_into().expect("four bytes")),
        status: Status(header[8]),
        tag: Tag(header[10]),
        body,
    })
}

/// All that a daemon holds, and between which moments it was asked.
pub(crate) fn everything(daemon: &mut Daemon) -> (BTreeMap<Vec<u8>, Found>, (Instant, Instant)) {
    let began = Instant::now();
    let mut found = BTreeMap::new();
    let mut cursor = 0;
    loop {
        let page = daemon.ask(&Request::Scan {
            cursor,
            limit: 10_000,
            prefix: b"",
            with_values: true,
        });
        assert_eq!(page.status, Status::OK);
        let mut rest = &page.body[..];
        cursor = number(&mut rest, 8);
        for _ in 0..number(&mut rest, 4) {
            let tag = Tag(rest[1]);
            rest = &rest[4..];
            let (key, value) = (number(&mut rest, 4), number(&mut rest, 4));
            let left = Some(number(&mut rest, 8)).filter(|&left| left != FOREVER);
            let (key, after) = rest.split_at(usize::try_from(key).expect("it fits"));
            let (value, after) = after.split_at(usize::try_from(value).expect("it fits"));
            rest = after;
            let left = left.map(Duration::from_millis);
            let value = value.to_vec();
            found.insert(key.to_vec(), Found { value, tag, left });
        }
        if cursor == 0 {
            return (found, (began, Instant::now()));
        }
    }
}

fn number(bytes: &mut &[u8], len: usize) -> u64 {
    let (number, rest) = bytes.split_at(len);
    *bytes = rest;
    let mut whole = [0; 8];
    whole[..len].copy_from_slice(number);
    u64::from_le_bytes(whole)
}

/// A counter of STATS.
pub(crate) fn counter(daemon: &mut Daemon, name: &str) -> u64 {
    let answer = daemon.ask(&Request::Stats);
    let stats: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    stats[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {stats}"))
}
