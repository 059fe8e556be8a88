//! The participants as processes: started, connected, asked what they have spent, ended. Nothing here is timed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::wire::{HELLO, Operation, PREFACE, Wire};

/// How long a server may take until it listens, and for any reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child process and the connection to it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    requests: UnixStream,
    replies: UnixStream,
}

impl Server {
    /// Starts a child that is spoken to by its stdin and stdout: a socketpair for each, which is what Node gives a child.
    fn on_socketpairs(program: &Path, arguments: &[&OsStr]) -> io::Result<Self> {
        let (requests, stdin) = UnixStream::pair()?;
        let (replies, stdout) = UnixStream::pair()?;
        let mut command = Command::new(program);
        // The daemon as it is by default, whatever this user has set for another.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"RUSTCACHE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(arguments)
            .stdin(OwnedFd::from(stdin))
            .stdout(OwnedFd::from(stdout))
            .spawn()
            .map_err(|error| about(program, error))?;
        Server {
            child,
            requests,
            replies,
        }
        .patient()
    }

    /// Starts a server that listens on a socket. `None` if it is not installed.
    fn listening(program: &str, arguments: &[&OsStr], socket: &Path) -> io::Result<Option<Self>> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let mut child = match child {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            child => child.map_err(|error| about(program, error))?,
        };
        let began = Instant::now();
        let requests = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if began.elapsed() > PATIENCE => {
                    end(&mut child);
                    return Err(about(program, error));
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
            if let Some(status) = child.try_wait()? {
                let text = format!("ended before it listened on {}: {status}", socket.display());
                return Err(about(program, io::Error::other(text)));
            }
        };
        let replies = requests.try_clone()?;
        Server {
            child,
            requests,
            replies,
        }
        .patient()
        .map(Some)
    }

    fn patient(self) -> io::Result<Self> {
        self.requests.set_write_timeout(Some(PATIENCE))?;
        self.replies.set_read_timeout(Some(PATIENCE))?;
        Ok(self)
    }

    /// Sends a pipeline.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.requests.write_all(requests)
    }

    /// Waits until the buffer is full of replies.
    ///
    /// # Errors
    /// When it does not get full in time: most likely since the replies are others, and shorter. Then the error shows what came.
    pub(crate) fn receive(&mut self, replies: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < replies.len() {
            let failed = match self.replies.read(&mut replies[filled..]) {
                Ok(0) => "the end".to_owned(),
                Ok(count) => {
                    filled += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    format!("nothing for {} s", PATIENCE.as_secs())
                }
                Err(error) => return Err(error),
            };
            let came = String::from_utf8_lossy(&replies[..filled.min(200)]);
            let len = replies.len();
            return Err(io::Error::other(format!(
                "{filled} of {len} bytes of replies came and then {failed}; they begin with {came:?}"
            )));
        }
        Ok(())
    }

    /// Seconds of processor time that the process has spent, all threads, in the kernel and outside; in steps of a clock tick, 10 ms. `None` where
    /// there is no such file.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        Some(ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// The handshake of version 2.
    fn greet(&mut self) -> io::Result<()> {
        self.send(&[&PREFACE[..], &HELLO].concat())?;
        let mut begin = [0; PREFACE.len() + 4];
        self.receive(&mut begin)?;
        let [_, _, _, _, a, b, c, d] = begin;
        let mut rest = vec![0; u32::from_le_bytes([a, b, c, d]) as usize];
        self.receive(&mut rest)?;
        // Behind the id.
        if !begin.starts_with(&PREFACE) || rest.get(4) != Some(&0) {
            let text = format!("answers HELLO with {:?}", String::from_utf8_lossy(&rest));
            return Err(io::Error::other(text));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// The fields utime and stime of /proc/PID/stat. The name of the program, the second field, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn about(program: impl AsRef<OsStr>, error: io::Error) -> io::Error {
    let program = Path::new(program.as_ref()).display();
    io::Error::new(error.kind(), format!("{program}: {error}"))
}

/// What takes part: a name and a wire, and a server for each operation or one for both.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) name: &'static str,
    pub(crate) wire: Wire,
    servers: Vec<Server>,
}

impl Participant {
    /// The server for an operation.
    pub(crate) fn server(&mut self, operation: Operation) -> &mut Server {
        let at = if self.servers.len() > 1 {
            operation as usize
        } else {
            0
        };
        &mut self.servers[at]
    }
}

/// Names of the participants that targets speak of.
pub(crate) const OURS: &str = "rustcache, version 2";
const OURS_FIXED: &str = "rustcache, version 1";
pub(crate) const REDIS: &str = "redis-server";
pub(crate) const MEMCACHED: &str = "memcached -t 1";
pub(crate) const ECHO: &str = "echo";

/// Starts all participants, ours first. Those that are not installed are left out, which `say` is told.
///
/// # Errors
/// When the daemon or a server that is installed does not start.
pub(crate) fn start_all(
    daemon: &Path,
    directory: &Path,
    mut say: impl FnMut(&str),
) -> io::Result<Vec<Participant>> {
    let mut all = Vec::new();
    let mut add = |name, wire, servers| {
        all.push(Participant { name, wire, servers });
    };

    let mut ours = Server::on_socketpairs(daemon, &[])?;
    ours.greet().map_err(|error| about(daemon, error))?;
    add(OURS, Wire::Framed, vec![ours]);
    add(
        OURS_FIXED,
        Wire::Fixed,
        vec![Server::on_socketpairs(daemon, &[])?],
    );

    let socket = directory.join("redis");
    let options = ["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"].map(OsStr::new);
    match Server::listening(REDIS, &[&options[..], &[socket.as_os_str()]].concat(), &socket)? {
        Some(server) => add(REDIS, Wire::Resp, vec![server]),
        None => say("redis-server is not installed and is left out"),
    }

    let socket = directory.join("memcached");
    let mut options = ["-t", "1", "-m", "1024"].map(OsStr::new).to_vec();
    if rustix::process::geteuid().is_root() {
        // It does not run as root unless it is told to.
        options.extend(["-u", "root"].map(OsStr::new));
    }
    options.extend([OsStr::new("-s"), socket.as_os_str()]);
    match Server::listening("memcached", &options, &socket)? {
        Some(server) => add(MEMCACHED, Wire::Meta, vec![server]),
        None => say("memcached is not installed and is left out"),
    }

    let itself = std::env::current_exe()?;
    let echoes = Operation::ALL.map(|operation| {
        let (request, reply) = (Wire::Echo.request_len(operation), Wire::Echo.reply_len(operation));
        let arguments = ["echo".to_owned(), request.to_string(), reply.to_string()];
        Server::on_socketpairs(&itself, &arguments.each_ref().map(OsStr::new))
    });
    let echoes = echoes.into_iter().collect::<io::Result<_>>()?;
    add(ECHO, Wire::Echo, echoes);
    Ok(all)
}

/// Two cores, one for us and one for the participants. Left to itself, the scheduler puts both sides of a connection on one core or on two, as it
/// likes, and changes its mind within a run: a round trip takes several times as long with two as with one.
#[derive(Debug)]
pub(crate) struct Cores {
    ours: CpuSet,
    theirs: CpuSet,
}

impl Cores {
    /// The first two that this process may use. `None` if there are not as many, or the system does not tell.
    pub(crate) fn two() -> Option<Self> {
        let all = sched_getaffinity(None).ok()?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).map(|core| {
            let mut set = CpuSet::new();
            set.set(core);
            set
        });
        Some(Cores {
            ours: cores.next()?,
            theirs: cores.next()?,
        })
    }

    /// From now on this thread is where the participants are to be: what it starts stays there, with all its threads.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub(crate) fn go_theirs(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.theirs)?)
    }

    /// From now on this thread is where the client is to be.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub(crate) fn go_ours(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.ours)?)
    }
}

/// A directory for sockets, which goes with this. Not deep down: the path of a socket is limited to about a hundred bytes.
#[derive(Debug)]
pub(crate) struct SocketDirectory(PathBuf);

impl SocketDirectory {
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("rustcache-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| about(&path, error))?;
        Ok(SocketDirectory(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_is_found_whatever_the_program_is_called() {
        let stat = "7 (a) 9 (b c) S 1 7 7 0 -1 4194304 169 0 0 0 30 12 5 6 20 0 2 0 4481";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1 7"), None);
    }
}
