//! The daemon: arguments → cache → transport.

mod cli;
mod shell;

use std::io::{self, IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustcache::session::Session;
use rustcache::transport::stdio::{self, End};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::level_filters::LevelFilter;

use cli::{LogFormat, LogLevel, Serve, Task};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const BROKEN_PROTOCOL: u8 = 3;
const UNREAD_REPLIES: u8 = 4;

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
    }
}

fn serve(options: &Serve) -> ExitCode {
    start_log(options);
    let cache = match options.builder().build() {
        Ok(cache) => cache,
        Err(error) => return complain(&format!("rustcache: {error}"), USAGE),
    };
    if io::stdin().is_terminal() {
        return complain(ON_A_TERMINAL, USAGE);
    }
    let stop = match signals() {
        Ok(stop) => stop,
        Err(error) => return complain(&format!("rustcache: cannot handle signals: {error}"), FAILED),
    };
    tracing::info!(pid = std::process::id(), "serving stdin and stdout");
    let mut session = Session::new(cache, options.max_pending_replies());
    let code = match stdio::serve(&mut session, io::stdin(), io::stdout(), stop) {
        Ok(end) => ended(&session, &end),
        Err(error) => {
            tracing::error!(%error, "reading or writing failed");
            FAILED
        }
    };
    // The kernel takes the memory back at once; freeing millions of entries one by one would keep whoever waits for our end.
    std::mem::forget(session);
    code.into()
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
            BROKEN_PROTOCOL
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
