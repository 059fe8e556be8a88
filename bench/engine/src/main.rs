//! The engine against the caches that Rust programs use today: `cargo run --release -p rustcache-bench-engine -- --help`. Prints Markdown,
//! or puts it into docs/benchmarks.md with --write. This file knows the command line; what is measured, and how, is in the others.

mod contender;
mod drive;
mod histogram;
mod hits;
mod latency;
mod memory;
mod process;
mod report;
mod throughput;
mod ttl;
mod typed;
mod workload;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use contender::{BASE, Participant};

// For all: it is the daemon's, and hands out small blocks with little around them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Measures the engine of rustcache beside other caches, and prints Markdown")]
struct Arguments {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct Options {
    /// Tiny sizes and one round, some seconds for each part: shows that everything runs, not how fast
    #[arg(long, global = true)]
    quick: bool,
    /// Rounds of which medians are taken [default: 5, 1 with --quick]
    #[arg(long, global = true, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// Numbers of entries, instead of those the targets speak of
    #[arg(long, global = true, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1000..=1 << 30))]
    entries: Vec<u64>,
    /// Only these participants, beside the one that all are compared with
    #[arg(long, global = true, value_delimiter = ',')]
    only: Vec<String>,
    /// Put the result into docs/benchmarks.md (and the chart of `hits` beside it)
    #[arg(long, global = true)]
    write: bool,
}

#[derive(Debug, Clone, Args)]
struct HitsOptions {
    /// A trace from a file, `-` for standard input, and at which sizes: PATH or PATH@200,1000 (entries, or bytes for a trace with sizes, of which each key's first counts; by default 1, 5
    /// and 20 % of its keys). A file that ends in .xz is read through `xz -dc`
    #[arg(long = "trace", value_name = "PATH[@SIZES]")]
    traces: Vec<hits::Source>,
    /// How the traces are written
    #[arg(long, value_enum, default_value = "auto")]
    format: hits::Format,
    /// Leave the made-up workloads out
    #[arg(long)]
    no_synthetic: bool,
    /// Where to write a chart
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl HitsOptions {
    fn wanted(self) -> hits::Wanted {
        hits::Wanted {
            traces: self.traces,
            format: self.format,
            synthetic: !self.no_synthetic,
            svg: self.svg,
        }
    }
}

#[derive(Debug, Subcommand)]
enum What {
    /// Fill, get, insert, get or insert: one thread and two, 1 M and 10 M entries
    Throughput,
    /// What an entry costs beyond its key and value, and memory under churn
    Memory,
    /// The time of single operations while the table grows, churns, and expires 5 M entries at one instant
    Latency,
    /// What 1 M entries cost that expire within a second
    Ttl,
    /// Get, insert, get or insert of objects without serialization: one thread and two, 100 k and 1 M entries
    Typed,
    /// Hit ratios on traces and made-up workloads, beside OPT
    Hits(HitsOptions),
    /// All of these, one after the other
    All(HitsOptions),
    /// One measurement for one participant, in this process: prints a name and a number in each line
    #[command(hide = true)]
    Child {
        #[command(subcommand)]
        what: Child,
    },
}

#[derive(Debug, Subcommand)]
enum Child {
    Overhead {
        name: String,
        number: u64,
        #[arg(long)]
        ttl: bool,
    },
    Churn {
        name: String,
        max_bytes: u64,
    },
    Latency {
        name: String,
        number: u64,
    },
    Ttl {
        name: String,
        number: u64,
    },
}

/// What all parts are told.
#[derive(Debug)]
struct Settings {
    quick: bool,
    rounds: u64,
    entries: Vec<u64>,
    only: Vec<String>,
    write: bool,
}

impl Settings {
    fn new(options: Options) -> Result<Self, String> {
        for name in &options.only {
            contender::named(name)?;
        }
        Ok(Settings {
            quick: options.quick,
            rounds: options.rounds.unwrap_or(if options.quick { 1 } else { 5 }),
            entries: options.entries,
            only: options.only,
            write: options.write,
        })
    }

    /// The sizes asked for, or those of the part.
    fn entries(&self, full: &[u64], quick: u64) -> Vec<u64> {
        match (self.entries.as_slice(), self.quick) {
            ([], true) => vec![quick],
            ([], false) => full.to_vec(),
            (asked, _) => asked.to_vec(),
        }
    }

    /// The base, and whom of the others the command line asks for.
    fn chosen(&self, mut all: Vec<Participant>) -> Vec<Participant> {
        all.retain(|participant| {
            self.only.is_empty()
                || participant.name == BASE
                || self.only.iter().any(|name| name == participant.name)
        });
        all
    }
}

/// One part: its name in the page, and what it measures.
type Part<'a> = (
    &'static str,
    Box<dyn FnOnce(&Settings) -> Result<String, String> + 'a>,
);

fn run(arguments: Arguments) -> Result<(), String> {
    let settings = Settings::new(arguments.options)?;
    let parts: Vec<Part<'_>> = match arguments.what {
        What::Child { what } => return child(&what),
        What::Throughput => vec![("throughput", Box::new(throughput::throughput))],
        What::Memory => vec![("memory", Box::new(memory::memory))],
        What::Latency => vec![("latency", Box::new(latency::latency))],
        What::Ttl => vec![("ttl", Box::new(ttl::ttl))],
        What::Typed => vec![("typed", Box::new(typed::typed))],
        What::Hits(options) => {
            let wanted = options.wanted();
            vec![("hits", Box::new(move |settings| hits::hits(settings, &wanted)))]
        }
        What::All(options) => {
            let wanted = options.wanted();
            vec![
                ("throughput", Box::new(throughput::throughput)),
                ("memory", Box::new(memory::memory)),
                ("latency", Box::new(latency::latency)),
                ("ttl", Box::new(ttl::ttl)),
                ("typed", Box::new(typed::typed)),
                ("hits", Box::new(move |settings| hits::hits(settings, &wanted))),
            ]
        }
    };
    for (name, part) in parts {
        let text = part(&settings)?;
        if settings.write {
            report::write_section(&format!("bench/engine {name}"), &text)?;
        }
        // Each as soon as it is there: all of them take an hour.
        io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map_err(|error| format!("standard output: {error}"))?;
    }
    Ok(())
}

fn child(what: &Child) -> Result<(), String> {
    match what {
        Child::Overhead { name, number, ttl } => memory::overhead_child(name, *number, *ttl),
        Child::Churn { name, max_bytes } => memory::churn_child(name, *max_bytes),
        Child::Latency { name, number } => latency::child_run(name, *number),
        Child::Ttl { name, number } => ttl::child_run(name, *number),
    }
}

fn main() -> ExitCode {
    match process::without_huge_pages().and_then(|()| run(Arguments::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}
