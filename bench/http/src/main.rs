//! Requests per second over HTTP: the daemon beside FastAPI on uvicorn, and beside an axum handler that returns a constant of the same size, asked by wrk in turns.
//!
//! ```sh
//! cargo build --release --features daemon && cargo run --release -p bench-http -- --python VENV/bin/python
//! ```
//! `-- loris` measures instead what ten thousand connections that never finish asking cost the others. Without a Python that has fastapi and uvicorn, that rival is left out, and it is said so.

mod constant;
mod loris;
mod processor;
mod report;
mod server;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use report::{Pair, Rounds};
use server::Server;
use wrk::Load;

#[derive(Debug, Parser)]
struct Options {
    /// One short round, to see that it works.
    #[arg(long)]
    quick: bool,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each time.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Threads of the daemon, and of the constant.
    #[arg(long, default_value_t = 2)]
    threads: u16,
    /// A Python that has fastapi and uvicorn with httptools and uvloop.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The daemon.
    #[arg(long, default_value = "target/release/rustcache")]
    binary: PathBuf,
    /// Put the figures into docs/benchmarks.md.
    #[arg(long, conflicts_with = "quick")]
    write: bool,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve the constant (what this program starts itself for).
    #[command(hide = true)]
    Constant { threads: usize },
    /// What clients that never finish asking cost the others.
    Loris {
        /// How many of them.
        #[arg(long, default_value_t = 10_000)]
        slow: usize,
    },
}

/// What is compared: the server, the load, and which of ours it stands beside.
const OURS: [&str; 3] = ["rustcache GET /kv", "rustcache PUT /kv", "rustcache GET /v1"];

const CONSTANT: &str = "axum, a constant";
const FASTAPI_GET: &str = "FastAPI GET";

const TARGETS: [Pair; 4] = [
    Pair {
        ours: OURS[0],
        other: FASTAPI_GET,
        requests: 30.0,
        p99: Some(0.05),
    },
    Pair {
        ours: OURS[1],
        other: "FastAPI PUT",
        requests: 20.0,
        p99: Some(0.05),
    },
    Pair {
        ours: OURS[0],
        other: CONSTANT,
        requests: 0.8,
        p99: None,
    },
    Pair {
        ours: OURS[2],
        other: CONSTANT,
        requests: 0.8,
        p99: None,
    },
];

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.command {
        Some(Task::Constant { threads }) => constant::serve(threads),
        Some(Task::Loris { slow }) => loris::compare(&loris::Plan {
            binary: &options.binary,
            threads: options.threads,
            slow: if options.quick { slow / 10 } else { slow },
            connections: options.connections,
            rounds: if options.quick { 1 } else { options.rounds },
            time: if options.quick {
                Duration::from_secs(1)
            } else {
                options.time
            },
        }),
        None => compare(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-http: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    let rival = options.python.as_deref().map(Server::versions).transpose()?;
    let about = about(options, rival.as_deref().unwrap_or("no Python"));
    let (rounds, time) = if options.quick {
        (1, Duration::from_secs(1))
    } else {
        (options.rounds, options.time)
    };
    let ours = Server::rustcache(&options.binary, options.threads)?;
    let constant = Server::constant(options.threads)?;
    let fastapi = options.python.as_deref().map(Server::fastapi).transpose()?;
    let mut contenders = vec![
        (OURS[0], &ours, Load::Get("/kv/user:123")),
        (OURS[1], &ours, Load::Put),
        (OURS[2], &ours, Load::Get("/v1/entries/user:123")),
        (CONSTANT, &constant, Load::Get("/")),
    ];
    match &fastapi {
        Some(fastapi) => {
            contenders.push((FASTAPI_GET, fastapi, Load::Get("/kv/user:123")));
            contenders.push(("FastAPI PUT", fastapi, Load::Put));
        }
        None => eprintln!("bench-http: without --python FastAPI is left out"),
    }
    ours.fill()?;
    if let Some(fastapi) = &fastapi {
        fastapi.fill()?;
    }
    let mut measured = Rounds::new();
    for _ in 0..rounds {
        for (name, server, load) in &contenders {
            let found = wrk::measure(server, *load, options.connections, time)?;
            measured.entry(name).or_default().push(found);
        }
    }
    let names: Vec<&str> = contenders.iter().map(|(name, ..)| *name).collect();
    let section = report::section(&names, &measured, &TARGETS, &about).map_err(|error| error.to_string())?;
    println!("{section}");
    if options.write {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
        report::write_page(&page, &section)?;
    }
    Ok(())
}

fn about(options: &Options, rival: &str) -> String {
    let command = "cargo build --release --features daemon && cargo run --release -p bench-http -- --python PYTHON --write";
    format!(
        "{}\n\nwrk with one thread and {} connections on the machine of the server asks for one entry of {} bytes of JSON, or writes it, {} for each of {} rounds, in which the servers take turns. The daemon and the constant have {} threads, FastAPI one worker of uvicorn ({rival}), as with its cache in the process it has to be: an LRU in a dictionary stands behind the same routes. Processor time is that of the server's process, in the kernel and outside.",
        report::circumstances(command),
        options.connections,
        server::VALUE.len(),
        humantime::format_duration(options.time),
        options.rounds,
        options.threads,
    )
}
