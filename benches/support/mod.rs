//! What the benches share: the entries, the arithmetic of rounds, and a redis-server with an append-only file.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt::Write as _, fs};

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// 20 bytes.
pub(crate) fn key(number: u64) -> Vec<u8> {
    format!("key:{number:016}").into_bytes()
}

/// 56 bytes that no compression would make much of.
pub(crate) fn value(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut value = String::with_capacity(64);
    while value.len() < 56 {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(value, "{state:016x}");
    }
    value.truncate(56);
    value.into_bytes()
}

/// One figure of each round.
#[derive(Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median of the rounds' ratios, this over the other.
    pub(crate) fn ratio(&self, other: &Samples) -> f64 {
        median(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(this, other)| this / other)
                .collect(),
        )
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    match samples.len() {
        0 => f64::NAN,
        len => samples[len / 2],
    }
}

/// A redis-server on a socket in its directory, with an append-only file that is synced every second.
pub(crate) struct Redis {
    child: Child,
    directory: PathBuf,
    replies: BufReader<UnixStream>,
}

impl Redis {
    /// Starts one, and waits until it answers: with an error while it loads. `None` where it is not installed.
    pub(crate) fn start(directory: &Path) -> io::Result<Option<Self>> {
        fs::create_dir_all(directory)?;
        let socket = directory.join("redis.sock");
        let child = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
            ])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(directory)
            .stdout(Stdio::null())
            .spawn();
        let child = match child {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let began = Instant::now();
        let replies = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break BufReader::new(stream),
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        };
        let mut redis = Redis {
            child,
            directory: directory.to_owned(),
            replies,
        };
        while !redis.ask("PING")?.starts_with('+') {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Some(redis))
    }

    fn ask(&mut self, command: &str) -> io::Result<String> {
        writeln!(self.replies.get_mut(), "{command}\r")?;
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        if let Some(length) = line
            .strip_prefix('$')
            .and_then(|text| text.trim().parse::<usize>().ok())
        {
            let mut bulk = vec![0; length + 2];
            self.replies.read_exact(&mut bulk)?;
            return Ok(String::from_utf8_lossy(&bulk).into_owned());
        }
        Ok(line)
    }

    pub(crate) fn fill(&mut self, entries: u64) -> io::Result<()> {
        for from in (0..entries).step_by(1000) {
            let mut pipeline = Vec::new();
            let numbers = from..entries.min(from + 1000);
            for number in numbers.clone() {
                pipeline.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$20\r\n");
                pipeline.extend_from_slice(&key(number));
                pipeline.extend_from_slice(b"\r\n$56\r\n");
                pipeline.extend_from_slice(&value(number));
                pipeline.extend_from_slice(b"\r\n");
            }
            self.replies.get_mut().write_all(&pipeline)?;
            let mut line = String::new();
            for _ in numbers {
                line.clear();
                self.replies.read_line(&mut line)?;
                assert_eq!(line, "+OK\r\n", "redis takes it");
            }
        }
        Ok(())
    }

    /// Makes its file as short as it gets.
    pub(crate) fn rewrite(&mut self) -> io::Result<()> {
        self.ask("BGREWRITEAOF")?;
        let began = Instant::now();
        loop {
            let info = self.ask("INFO persistence")?;
            let is_done =
                info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0");
            if is_done || began.elapsed() > PATIENCE {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn size(&mut self) -> io::Result<u64> {
        let reply = self.ask("DBSIZE")?;
        reply
            .trim_start_matches(':')
            .trim()
            .parse()
            .map_err(io::Error::other)
    }

    /// Ends it; the bytes of its files.
    pub(crate) fn stop(mut self) -> io::Result<u64> {
        writeln!(self.replies.get_mut(), "SHUTDOWN NOSAVE\r")?;
        self.child.wait()?;
        let mut bytes = 0;
        for entry in fs::read_dir(self.directory.join("appendonlydir"))? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}
