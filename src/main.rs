//! The daemon: arguments → cache → transport.

mod cli;
mod inspect;
mod progress;
mod repair;
mod served;
mod shell;
mod stop;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use rustcache::persist::OpenError;
use rustcache::persist::repair::RepairError;
use rustcache::session::{Broken, Session};
use rustcache::transport::http::StartError;
use rustcache::transport::stdio::{self, End};
use tracing::level_filters::LevelFilter;

use cli::{LogFormat, LogLevel, Serve, Task};
use inspect::Verdict;
use served::Served;
use stop::Stop;

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

/// How long the last requests may take.
const LAST_REQUESTS: Duration = Duration::from_secs(2);
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
    if options.http.serves_stdio() && io::stdin().is_terminal() {
        return complain(ON_A_TERMINAL, USAGE);
    }
    let http = match options.http_options() {
        Ok(http) => http,
        Err(line) => return complain(&format!("rustcache: {line}"), USAGE),
    };
    let stop = match Stop::on_signals(options.http.serves_stdio()) {
        Ok(stop) => stop,
        Err(error) => return complain(&format!("rustcache: cannot handle signals: {error}"), FAILED),
    };
    let served = match Served::begin(options) {
        Ok(served) => served,
        Err(error) => return not_opened(&error),
    };
    if let Some(max_bytes) = options.beyond_pages() {
        tracing::warn!(
            max_bytes,
            "small entries have room in 32 GiB; those beyond that take three allocations each, and more time and memory: have several daemons, of 32gb at most each"
        );
    }
    let session = options
        .http
        .serves_stdio()
        .then(|| served.session(options.max_pending_replies()));
    let server = match http
        .map(|http| served.http(&http, session.as_ref(), &stop))
        .transpose()
    {
        Ok(server) => server,
        Err(error) => {
            served.give_up();
            let code = if matches!(error, StartError::Public(_)) {
                USAGE
            } else {
                FAILED
            };
            return complain(&format!("rustcache: {error}"), code);
        }
    };
    if let Some(server) = &server {
        announce(options.http.scheme(), server.address(), options.log_format);
    }
    let ended = match session {
        Some(session) => on_stdio(session, &stop),
        None => served.wait_for(&stop),
    };
    if let Some(server) = server {
        let cut = server.stop(LAST_REQUESTS);
        if cut > 0 {
            tracing::warn!(
                cut,
                "these connections were cut, with requests that took too long"
            );
        }
    }
    let code = end(&served, &stop, ended);
    // The kernel takes the memory back at once; freeing millions of entries one by one would keep whoever waits for our end.
    std::mem::forget(served);
    code
}

/// Whoever starts it by hand wants to know where it is; whoever reads its log has a line there.
fn announce(scheme: &str, address: SocketAddr, format: LogFormat) {
    tracing::info!(%address, scheme, "serving HTTP");
    if format == LogFormat::Text {
        let _ = writeln!(io::stderr(), "rustcache: serving {scheme}://{address}/");
    }
}

/// Serves stdin and stdout until they end; gives the exit code.
fn on_stdio(mut session: Session, stop: &Stop) -> Result<u8, OpenError> {
    tracing::info!(pid = std::process::id(), "serving stdin and stdout");
    let served = stdio::serve(&mut session, io::stdin(), io::stdout(), stop);
    // Whatever is under way ends as by a crash, which is safe at any moment.
    session.gives_loading_up();
    match (session.broken(), served) {
        (Some(Broken::NotOpened(error)), _) => Err(error.clone()),
        (_, Ok(end)) => Ok(ended(&session, &end)),
        (_, Err(error)) => {
            tracing::error!(%error, "reading or writing failed");
            Ok(FAILED)
        }
    }
}

/// Writes what is left to write, and gives the exit code.
fn end(served: &Served, stop: &Stop, ended: Result<u8, OpenError>) -> ExitCode {
    let mut code = match ended {
        Ok(code) => code,
        Err(error) => return not_opened(&error),
    };
    if stop.is_fatal() {
        code = DIRECTORY;
    }
    if let Some(store) = served.store()
        && let Err(failure) = store.close(LAST_SNAPSHOT)
    {
        tracing::error!(%failure, "what was acknowledged last may not be on the disk");
        code = DIRECTORY;
    }
    code.into()
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
