//! The hit ratio of each policy on a trace of yours, beside the best that is possible (Belady's algorithm, 1966), in percent.
//!
//! ```sh
//! cargo run --release --example simulate -- TRACE ENTRIES... [--policy NAME]
//! xz -dc trace.xz | cargo run --release --example simulate -- --binary - 1000 10000
//! ```
//! A trace is text, one key to a line, or with `--binary` a run of 4-byte big-endian integers. Each key is read, and written if it was not there.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::io::{self, Read, Write};
use std::str::FromStr;

use rustcache::{Cache, PolicyKind, SetOptions};

const USAGE: &str = "usage: simulate [--binary] [--policy lru|s3-fifo|tinylfu|adaptive] TRACE|- ENTRIES...";

struct Arguments {
    binary: bool,
    policies: Vec<PolicyKind>,
    trace: String,
    sizes: Vec<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments(std::env::args().skip(1))?;
    let trace = read(&arguments)?;
    let mut out = io::stdout().lock();
    write!(out, "{:>10} {:>9}", "entries", "optimum")?;
    for policy in &arguments.policies {
        write!(out, " {policy:>9}")?;
    }
    writeln!(out)?;
    for &entries in &arguments.sizes {
        write!(
            out,
            "{entries:>10} {:>9.2}",
            percent(optimum(&trace, entries), trace.len())
        )?;
        for &policy in &arguments.policies {
            let hits = hits(policy, &trace, entries)?;
            write!(out, " {:>9.2}", percent(hits, trace.len()))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn arguments(given: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
    let mut given = given.peekable();
    let (mut binary, mut policies, mut trace, mut sizes) = (false, Vec::new(), None, Vec::new());
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--binary" => binary = true,
            "--policy" => policies.push(PolicyKind::from_str(&given.next().ok_or(USAGE)?)?),
            _ if trace.is_none() => trace = Some(argument),
            size => match size.parse() {
                Ok(size) if size > 0 => sizes.push(size),
                _ => return Err(format!("{size:?} is not a number of entries from 1 on; {USAGE}").into()),
            },
        }
    }
    if sizes.is_empty() {
        return Err(USAGE.into());
    }
    if policies.is_empty() {
        policies.extend(PolicyKind::ALL);
    }
    Ok(Arguments {
        binary,
        policies,
        trace: trace.ok_or(USAGE)?,
        sizes,
    })
}

/// The requests, as numbers from 0 on in the order in which the keys come up.
fn read(arguments: &Arguments) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    if arguments.trace == "-" {
        io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(&arguments.trace).map_err(|error| format!("{}: {error}", arguments.trace))?;
    }
    let keys: Vec<&[u8]> = if arguments.binary {
        bytes.chunks_exact(4).collect()
    } else {
        bytes
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|key| !key.is_empty())
            .collect()
    };
    if keys.is_empty() {
        return Err(format!("{} has no requests", arguments.trace).into());
    }
    let mut numbers = HashMap::new();
    let mut trace = Vec::with_capacity(keys.len());
    for key in keys {
        let next = u32::try_from(numbers.len())?;
        trace.push(*numbers.entry(key).or_insert(next));
    }
    Ok(trace)
}

fn hits(policy: PolicyKind, trace: &[u32], entries: usize) -> Result<usize, Box<dyn Error>> {
    let cache = Cache::builder()
        .policy(policy)
        .max_items(entries as u64)
        .shards(1)
        .build()?;
    let mut hits = 0;
    for key in trace {
        if cache.get(key.to_le_bytes()).is_some() {
            hits += 1;
        } else {
            cache.set(key.to_le_bytes(), b"", SetOptions::default())?;
        }
    }
    Ok(hits)
}

/// The most hits that are possible: the entry goes whose next request is farthest away.
fn optimum(trace: &[u32], entries: usize) -> usize {
    let mut next = vec![0; trace.len()];
    let mut seen = HashMap::new();
    for (at, &key) in trace.iter().enumerate().rev() {
        // Those that never come again are told apart beyond the end.
        next[at] = seen.insert(key, at).unwrap_or(trace.len() + key as usize);
    }
    let (mut held, mut hits) = (BTreeSet::new(), 0);
    for (at, &next) in next.iter().enumerate() {
        if held.remove(&at) {
            hits += 1;
        } else if held.len() == entries {
            held.pop_last();
        }
        held.insert(next);
    }
    hits
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn percent(part: usize, all: usize) -> f64 {
    part as f64 * 100.0 / all as f64
}
