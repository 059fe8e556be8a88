//! Requests per second over HTTP: the daemon beside FastAPI on uvicorn, and beside an axum handler that returns a constant of the same size, asked by wrk in turns.
//!
//! ```sh
//! cargo build --release --features daemon && cargo run --release -p bench-http -- --python VENV/bin/python
//! ```
//! Without a Python that has fastapi and uvicorn, that rival is left out, and it is said so.

mod constant;
mod server;
mod wrk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use server::Server;
use wrk::{Load, Measured};

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
    /// A Python that has fastapi and uvicorn.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The daemon.
    #[arg(long, default_value = "target/release/rustcache")]
    binary: PathBuf,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve the constant (what this program starts itself for).
    #[command(hide = true)]
    Constant { threads: usize },
}

/// What is compared: the server, the load, and which of ours it stands beside.
const OURS: [&str; 3] = ["rustcache GET /kv", "rustcache PUT /kv", "rustcache GET /v1"];

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.command {
        Some(Task::Constant { threads }) => constant::serve(threads),
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
        ("axum, a constant", &constant, Load::Get("/")),
    ];
    match &fastapi {
        Some(fastapi) => {
            contenders.push(("FastAPI GET", fastapi, Load::Get("/kv/user:123")));
            contenders.push(("FastAPI PUT", fastapi, Load::Put));
        }
        None => eprintln!("bench-http: without --python FastAPI is left out"),
    }
    ours.fill()?;
    if let Some(fastapi) = &fastapi {
        fastapi.fill()?;
    }
    let mut measured: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
    for _ in 0..rounds {
        for (name, server, load) in &contenders {
            let found = wrk::measure(server.address(), *load, options.connections, time)?;
            measured.entry(name).or_default().push(found);
        }
    }
    let names: Vec<&str> = contenders.iter().map(|(name, ..)| *name).collect();
    report(&names, &measured);
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(names: &[&str], measured: &BTreeMap<&str, Vec<Measured>>) {
    let of = |name: &str, number: fn(&Measured) -> f64| {
        median(
            measured
                .get(name)
                .map_or(Vec::new(), |all| all.iter().map(number).collect()),
        )
    };
    println!("| | requests/s | p50 | p99 |\n|---|---|---|---|");
    for name in names {
        println!(
            "| {name} | {:.0} | {:.2} ms | {:.2} ms |",
            of(name, |one| one.per_second),
            of(name, |one| one.p50),
            of(name, |one| one.p99)
        );
    }
    // Of the rounds, each against its own: what else the machine does is in both.
    let ratio = |one: &str, other: &str, number: fn(&Measured) -> f64| {
        let (one, other) = (measured.get(one), measured.get(other));
        let pairs = one.into_iter().flatten().zip(other.into_iter().flatten());
        median(pairs.map(|(one, other)| number(one) / number(other)).collect())
    };
    println!();
    for (one, other) in [
        (OURS[0], "axum, a constant"),
        (OURS[2], "axum, a constant"),
        (OURS[0], "FastAPI GET"),
        (OURS[1], "FastAPI PUT"),
    ] {
        if measured.contains_key(other) {
            println!(
                "{one} : {other} = {:.2} times the requests, {:.3} of the p99",
                ratio(one, other, |measured| measured.per_second),
                ratio(one, other, |measured| measured.p99)
            );
        }
    }
}
