//! The daemon: arguments → cache → transport.

mod cli;
mod inspect;
mod progress;
mod repair;
mod shell;

use std::io::{self, IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustcache::persist::repair::RepairError;
use rustcache::persist::{OpenError, Opening};
use rustcache::session::{Broken, Session};
use rustcache::transport::stdio::{self, End};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::level_filters::LevelFilter;

use cli::{LogFormat, LogLevel, Serve, Task};
use inspect::Verdict;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const BROKEN_PROTOCOL: u8 = 3;
const UNREAD_REPLIES: u8 = 4;
const DIRECTORY: u8 = 5;
const DIRECTORY_IN_USE: u8 = 6;
const DAMAGE_FOUND: u8 = 7;

/// How long the last snapshot may take.
const LAST_SNAPSHOT: Duration = Duration::from_secs(2);

const ON_A_TERMINAL: &str = "\
rustcache serves a binary protocol on stdin and stdout, and stdin is a terminal: there is nothing that it could understand here.

To try it from a shell:
  rustcache encode insert user:1 hello --ttl 60 | rustcache | rustcache decode

From Node: import { RustCache } from \"rustcache\", which starts this program by itself.
`rustcache --help` lists the options.";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = match cli::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return complain(&cli::one_line(&error, &arguments), USAGE),
        Err(help_or_version) => {
            // Nothing can be done about a stdout that is closed.
            let _ = help_or_version.print();
            return DONE.into();
        }
    };
    match cli.command {
        None => serve(&cli.serve),
        Some(Task::Serve(options)) => serve(&options),
        Some(Task::Encode(request)) => match shell::encode(&request) {
            Ok(bytes) => finish(write_out(&bytes)),
            Err(line) => complain(&format!("rustcache: {line}"), USAGE),
        },
        Some(Task::Decode) => finish(shell::decode(io::stdin().lock(), io::stdout().lock())),
        Some(Task::Inspect(options)) => match inspect::print(&options) {
            Ok(Verdict::Sound) => DONE.into(),
            Ok(Verdict::Damaged) => DAMAGE_FOUND.into(),
            Ok(Verdict::Unreadable(line)) => complain(&format!("rustcache: {line}"), FAILED),
            Err(error) => finish(Err(error)),
        },
        Some(Task::Repair(options)) => match repair::run(&options) {
            Ok(printed) => finish(printed),
            Err(error @ RepairError::Locked { .. }) => {
                complain(&format!("rustcache: {error}"), DIRECTORY_IN_USE)
            }
            Err(error) => complain(&format!("rustcache: {error}"), FAILED),
        },
    }
}

/// With huge pages, memory that the allocator holds and nobody ever touched is resident as well: 4 bytes and more for each entry, see docs/engine.md.
fn refuse_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the kernel does not let huge pages be disabled");
    }
}

fn serve(options: &Serve) -> ExitCode {
    start_log(options);
    refuse_huge_pages();
    if io::stdin().is_terminal() {
        return complain(ON_A_TERMINAL, USAGE);
    }
    let stop = match signals() {
        Ok(stop) => stop,
        Err(error) => return complain(&format!("rustcache: cannot handle signals: {error}"), FAILED),
    };
    let mut session = match session(options) {
        Ok(session) => session,
        Err(error) => return not_opened(&error),
    };
    if let Some(max_bytes) = options.beyond_pages() {
        tracing::warn!(
            max_bytes,
            "small entries have room in 32 GiB; those beyond that take three allocations each, and more time and memory: have several daemons, of 32gb at most each"
        );
    }
    tracing::info!(pid = std::process::id(), "serving stdin and stdout");
    let served = stdio::serve(&mut session, io::stdin(), io::stdout(), stop);
    // Whatever is under way ends as by a crash, which is safe at any moment.
    session.gives_loading_up();
    if let Some(Broken::NotOpened(error)) = session.broken() {
        let code = not_opened(error);
        std::mem::forget(session);
        return code;
    }
    let mut code = match served {
        Ok(end) => ended(&session, &end),
        Err(error) => {
            tracing::error!(%error, "reading or writing failed");
            FAILED
        }
    };
    if let Some(store) = session.store()
        && let Err(failure) = store.close(LAST_SNAPSHOT)
    {
        tracing::error!(%failure, "what was acknowledged last may not be on the disk");
        code = DIRECTORY;
    }
    // The kernel takes the memory back at once; freeing millions of entries one by one would keep whoever waits for our end.
    std::mem::forget(session);
    code.into()
}

/// What serves the client, on a cache that is kept in a directory if there is to be one. That is loaded while the client is served already.
fn session(options: &Serve) -> Result<Session, OpenError> {
    let replies = options.max_pending_replies();
    match options.store() {
        Some(store) => Ok(Session::opening(
            Opening::begin(store, options.builder())?,
            replies,
        )),
        None => {
            let cache = options.builder().build().map_err(OpenError::Build)?;
            Ok(Session::new(cache, replies))
        }
    }
}

/// Says why nothing can be served.
fn not_opened(error: &OpenError) -> ExitCode {
    let code = match error {
        OpenError::Build(_) => USAGE,
        OpenError::Locked { .. } => DIRECTORY_IN_USE,
        OpenError::Disk(_) | OpenError::Damaged(_) => DIRECTORY,
    };
    complain(&format!("rustcache: {error}"), code)
}

/// Logs how the connection came to its end, and gives the exit code.
fn ended(session: &Session, end: &End) -> u8 {
    match *end {
        End::Closed { incomplete: 0 } => {
            tracing::info!("the input has ended");
            DONE
        }
        End::Closed { incomplete } => {
            tracing::warn!(
                incomplete,
                "the input has ended within a frame: these bytes were dropped"
            );
            DONE
        }
        End::Stopped { unread } if session.is_loading() => {
            let unanswered = session.unprocessed() + unread;
            if unanswered == 0 {
                tracing::info!("stopped before the directory was loaded");
                return DONE;
            }
            tracing::warn!(
                unanswered,
                "stopped before the directory was loaded: these bytes of requests and replies were left"
            );
            UNREAD_REPLIES
        }
        End::ReaderGone { .. } if session.is_loading() => {
            tracing::warn!("whoever started this has gone before the directory was loaded");
            UNREAD_REPLIES
        }
        End::Stopped { unread: 0 } => {
            tracing::info!("stopped");
            DONE
        }
        End::Stopped { unread } | End::ReaderGone { unread } => {
            tracing::warn!(unread, "the client did not read these bytes of replies");
            UNREAD_REPLIES
        }
        End::Broken => {
            if let Some(broken) = session.broken() {
                tracing::error!("{broken}");
            }
            match session.broken() {
                Some(Broken::DiskFailed(_)) => DIRECTORY,
                _ => BROKEN_PROTOCOL,
            }
        }
    }
}

/// SIGTERM makes the descriptor readable. SIGINT and SIGHUP belong to the application that started us, which gets them as well: it closes
/// stdin when it is done.
fn signals() -> io::Result<OwnedFd> {
    let (stop, signalled) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, signalled)?;
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ignored))?;
    }
    Ok(stop.into())
}

/// Logs go to stderr, always: stdout is the protocol's.
fn start_log(options: &Serve) {
    let level = match options.log_level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // Whoever read stderr may be gone, and complaining about that on stderr would panic.
        .log_internal_errors(false);
    match options.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn finish(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => DONE.into(),
        // Whoever reads our output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => DONE.into(),
        Err(error) => complain(&format!("rustcache: reading or writing failed: {error}"), FAILED),
    }
}

fn complain(line: &str, code: u8) -> ExitCode {
    // Nothing can be done about a stderr that is closed.
    let _ = writeln!(io::stderr(), "{line}");
    code.into()
}
