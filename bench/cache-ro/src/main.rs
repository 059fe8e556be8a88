//! The program of cache_ro's README, as a load: sets that are kept on disk, then gets, by cache-ro 0.3 and by `compat::cache_ro`, with nothing but another `use` line between them:
//! `cargo run --release -p bench-cache-ro`. Prints Markdown.
//!
//! Each run is a process of its own in a directory of its own, since cache-ro can have one cache in a process; the two take turns. cache-ro writes a whole file for each set, which gets
//! longer as it goes, so that it can be given fewer sets: what counts is sets per second, and fewer favour it. It never syncs; rustcache syncs once a second, and is the only one that
//! survives a crash in the middle of a write.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use clap::{Parser, ValueEnum};

type Boxed<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Parser)]
#[command(about = "cache-ro beside rustcache's compat::cache_ro")]
struct Options {
    /// Sets of each run of rustcache
    #[arg(long, default_value_t = 100_000)]
    sets: u32,
    /// Sets of each run of cache-ro: a minute's work. The fewer, the faster it is
    #[arg(long, default_value_t = 100_000)]
    rival_sets: u32,
    /// Runs of each; the medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Few sets and one round: shows that it runs, and gives no figures
    #[arg(long)]
    quick: bool,
    /// Fails if rustcache is not so many times as fast in setting
    #[arg(long)]
    at_least: Option<f64>,
    /// What a process is started for
    #[arg(long, hide = true)]
    run: Option<Who>,
    /// Its directory
    #[arg(long, hide = true)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    Rustcache,
    CacheRo,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Who::Rustcache => "rustcache",
            Who::CacheRo => "cache-ro",
        }
    }
}

/// Seconds for the sets and for as many gets.
#[derive(Debug, Clone, Copy)]
struct Measured {
    sets: f64,
    gets: f64,
}

macro_rules! program {
    ($name:ident, $($use:tt)*) => {
        mod $name {
            $($use)*
            use super::{Boxed, Duration, Instant, Measured};

            /// The value of a key: 56 bytes of text.
            fn value(number: u32) -> String {
                format!("alice-{number:050}")
            }

            pub(super) fn run(dir_path: String, sets: u32) -> Boxed<Measured> {
                let cache = Cache::new(CacheConfig { dir_path, ..CacheConfig::default() })?;
                let begun = Instant::now();
                for number in 0..sets {
                    cache.set(&format!("username:{number:011}"), value(number), Duration::from_secs(3600))?;
                }
                let set = begun.elapsed().as_secs_f64();
                let begun = Instant::now();
                for number in 0..sets {
                    let found = cache.get::<String>(&format!("username:{number:011}"));
                    if found != Some(value(number)) {
                        return Err(format!("username {number} is {found:?}").into());
                    }
                }
                let got = begun.elapsed().as_secs_f64();
                Cache::drop();
                Ok(Measured { sets: set, gets: got })
            }
        }
    };
}

program!(ours, use rustcache::compat::cache_ro::{Cache, CacheConfig};);
program!(theirs, use cache_ro::{Cache, CacheConfig};);

fn main() -> Boxed<()> {
    let mut options = Options::parse();
    if let (Some(who), Some(dir)) = (options.run, &options.dir) {
        let dir = dir.to_string_lossy().into_owned();
        let measured = match who {
            Who::Rustcache => ours::run(dir, options.sets)?,
            Who::CacheRo => theirs::run(dir, options.rival_sets)?,
        };
        println!("{} {}", measured.sets, measured.gets);
        return Ok(());
    }
    if options.quick {
        (options.sets, options.rival_sets, options.rounds) = (2_000, 200, 1);
    }
    let mut rates: [Vec<Measured>; 2] = [Vec::new(), Vec::new()];
    let scratch = std::env::temp_dir().join(format!("bench-cache-ro-{}", std::process::id()));
    std::fs::create_dir(&scratch)?;
    for round in 0..options.rounds {
        for (at, who) in [Who::Rustcache, Who::CacheRo].into_iter().enumerate() {
            let dir = scratch.join(format!("{}-{round}", who.name()));
            rates[at].push(in_its_own_process(who, &dir, &options)?);
            std::fs::remove_dir_all(&dir)?;
        }
    }
    std::fs::remove_dir_all(&scratch)?;
    report(&options, &rates)
}

fn in_its_own_process(who: Who, dir: &Path, options: &Options) -> Boxed<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args([
            "--run",
            if who == Who::Rustcache {
                "rustcache"
            } else {
                "cache-ro"
            },
        ])
        .args([
            "--sets",
            &options.sets.to_string(),
            "--rival-sets",
            &options.rival_sets.to_string(),
        ])
        .arg("--dir")
        .arg(dir)
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    let seconds: Vec<f64> = printed.split_whitespace().flat_map(str::parse).collect();
    let &[sets, gets] = &seconds[..] else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{} printed {printed:?}: {said}", who.name()).into());
    };
    Ok(Measured { sets, gets })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

fn report(options: &Options, measured: &[Vec<Measured>; 2]) -> Boxed<()> {
    let counts = [options.sets, options.rival_sets].map(f64::from);
    let rates = |of: fn(&Measured) -> f64| {
        [0, 1].map(|at| {
            median(
                measured[at]
                    .iter()
                    .map(|measured| counts[at] / of(measured))
                    .collect(),
            )
        })
    };
    let (sets, gets) = (rates(|measured| measured.sets), rates(|measured| measured.gets));
    println!("## cache_ro's program, kept on disk\n");
    println!(
        "- Command: `cargo run --release -p bench-cache-ro -- --sets {} --rival-sets {} --rounds {}`",
        options.sets, options.rival_sets, options.rounds
    );
    println!("- Date: {}", humantime::format_rfc3339_seconds(SystemTime::now()));
    println!(
        "- Keys of 20 bytes, text of 56, one thread; medians of {} rounds, in turns; rustcache syncs once a second, cache-ro never\n",
        options.rounds
    );
    println!(
        "| | rustcache `compat::cache_ro`, {} sets | cache-ro 0.3, {} sets | |",
        options.sets, options.rival_sets
    );
    println!("|---|---|---|---|");
    for (name, [ours, theirs]) in [("sets per second", sets), ("gets per second", gets)] {
        println!("| {name} | {ours:.0} | {theirs:.0} | {:.1} × |", ours / theirs);
    }
    match options.at_least {
        Some(least) if sets[0] / sets[1] < least => Err(format!(
            "sets are {:.1} times as fast, and not {least} times",
            sets[0] / sets[1]
        )
        .into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
