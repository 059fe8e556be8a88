//! How many operations per second the daemon answers, beside redis-server, memcached and an echo, for one client that writes pipelines:
//! `cargo build --release --features daemon && cargo run --release -p bench-daemon`. Prints Markdown. Here is the order of events; `server.rs` has the
//! participants, `wire.rs` what they speak, `load.rs` what is timed, `report.rs` what is said about it. Nothing here is a test.

mod echo;
mod load;
mod report;
mod server;
mod wire;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use load::{Load, Numbers};
use report::Results;
use server::{Cores, SocketDirectory};

/// Measures the daemon under pipelines of requests, beside redis-server, memcached and an echo.
#[derive(Debug, Parser)]
struct Arguments {
    /// Tiny, some seconds: shows that it runs. Its figures mean nothing.
    #[arg(long)]
    quick: bool,

    /// Rounds, of which the medians are shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// How long each participant is loaded in each round, for each length of pipeline. Processor time is told in steps of 10 ms.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    lasting: Duration,

    /// Let the scheduler choose the cores, instead of one for the client and one for the servers.
    #[arg(long)]
    unpinned: bool,

    /// Keys that are there.
    #[arg(
        long,
        default_value_t = wire::MOST_KEYS,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(wire::MOST_KEYS))
    )]
    keys: u32,

    /// The daemon [default: `rustcache` beside this program].
    #[arg(long, value_name = "PATH")]
    daemon: Option<PathBuf>,

    /// Put the result into docs/benchmarks.md.
    #[arg(long, conflicts_with_all = ["quick", "daemon"])]
    write: bool,

    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Debug, Subcommand)]
enum Child {
    /// What the bench starts as its echo.
    #[command(hide = true)]
    Echo {
        /// Bytes of a request.
        #[arg(value_parser = length)]
        request: usize,
        /// Bytes of a reply.
        #[arg(value_parser = length)]
        reply: usize,
    },
}

fn length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(length @ 1..) => Ok(length),
        _ => Err("give a number of bytes, at least 1".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.child {
        Some(Child::Echo { request, reply }) => echo::run(request, reply),
        None => bench(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// A load average up to here says nothing: it remembers whatever ended within the last minutes, such as a build.
const QUIET: f64 = 1.0;

fn say(text: &str) {
    // Nothing can be done about a stderr that is closed.
    let _ = writeln!(io::stderr(), "bench: {text}");
}

fn bench(arguments: &Arguments) -> io::Result<()> {
    let (rounds, lasting, keys) = if arguments.quick {
        (1, Duration::from_millis(30), arguments.keys.min(10_000))
    } else {
        (arguments.rounds, arguments.lasting, arguments.keys)
    };
    let began = Instant::now();
    let busy = report::load_average();
    if let Some(busy) = busy.filter(|busy| *busy > QUIET) {
        say(&format!(
            "others use this machine (load average {busy:.2}): the figures will not be worth much"
        ));
    }
    let daemon = daemon(arguments)?;
    let directory = SocketDirectory::new()?;
    let cores = if arguments.unpinned { None } else { Cores::two() };
    if let Some(cores) = &cores {
        cores.go_theirs()?;
    }
    let mut participants = server::start_all(&daemon, directory.path(), say)?;
    match &cores {
        Some(cores) => cores.go_ours()?,
        None => say("the scheduler chooses the cores"),
    }
    for participant in &mut participants {
        load::fill(participant, keys).map_err(|error| about(participant.name, &error))?;
    }
    let mut results = Results::new(participants.iter().map(|participant| participant.name).collect());
    let mut seed = 0;
    for round in 1..=rounds {
        results.begin_round();
        for load in Load::all() {
            // Other keys each time: those of the last time, in the same order, would lie beside each other in an order of recency.
            seed += 1;
            for participant in &mut participants {
                let numbers = Numbers::new(seed, keys);
                let speed = load::run(participant, load, numbers, lasting)
                    .map_err(|error| about(participant.name, &error))?;
                results.add(participant.name, load, speed);
            }
        }
        // Whoever comes first today comes last tomorrow.
        participants.rotate_left(1);
        say(&format!("round {round} of {rounds} is done"));
    }

    let mut command =
        "cargo build --release --features daemon && cargo run --release -p bench-daemon".to_owned();
    let given: Vec<String> = std::env::args().skip(1).collect();
    if !given.is_empty() {
        command = format!("{command} -- {}", given.join(" "));
    }
    let mut page = results.page(&command, keys, cores.is_some(), busy);
    if !arguments.quick {
        page.push_str(&results.targets());
    }
    let mut out = io::stdout().lock();
    out.write_all(page.as_bytes())?;
    out.flush()?;
    if arguments.write {
        report::write_page(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md"),
            &page,
        )?;
    }
    say(&format!("done after {} s", began.elapsed().as_secs()));
    Ok(())
}

/// The daemon to measure. Not built from here: what is measured is what was built, with its profile.
fn daemon(arguments: &Arguments) -> io::Result<PathBuf> {
    if let Some(path) = &arguments.daemon {
        return Ok(path.clone());
    }
    let path = std::env::current_exe()?.with_file_name("rustcache");
    if path.is_file() {
        return Ok(path);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "there is no {}: build it with `cargo build --release`, or name it with --daemon",
            path.display()
        ),
    ))
}

fn about(participant: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{participant}: {error}"))
}
