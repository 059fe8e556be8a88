//! `latency`: the time of single operations while the table grows, while it churns, and while half of it expires at one instant. Each
//! participant in processes of its own, and the same loops without a cache beside them: what those show is the clock's and the machine's.

use std::thread;
use std::time::{Duration, Instant};

use crate::Settings;
use crate::contender::{BASE, Limit, NOTHING, Shape, Values, named, nothing, participants};
use crate::drive::Load;
use crate::histogram::Histogram;
use crate::memory::deadline_in;
use crate::process::{self, Findings, child};
use crate::report::{Target, count, heading, nanos, table, target_table};
use crate::workload::uniform;

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];
const PHASES: [(&str, &str); 3] = [
    ("grow", "while the table grows from nothing: inserts"),
    ("churn", "full: a get and an evicting insert by turns"),
    (
        "expire",
        "half of the entries expire at one instant: nine gets to one overwrite, from before it to when their memory is back",
    ),
];

/// How long operations are timed around the instant at which entries expire: so much before it, and this long in all.
#[derive(Debug, Clone, Copy)]
struct Around {
    before: Duration,
    all: Duration,
}

pub(crate) fn child_run(name: &str, entries: u64) -> Result<(), String> {
    let participant = named(name)?;
    let around = if entries < 1_000_000 {
        Around {
            before: Duration::from_millis(20),
            all: Duration::from_millis(400),
        }
    } else {
        Around {
            before: Duration::from_millis(100),
            all: Duration::from_secs(3),
        }
    };
    let mut findings = Findings::new();
    let mut note = |phase: &str, times: &Histogram| {
        if times.is_empty() {
            return;
        }
        for (name, part) in QUANTILES {
            findings.insert(format!("{phase} {name}"), times.quantile(part));
        }
        findings.insert(format!("{phase} max"), times.longest());
    };
    let shape = Shape {
        limit: Limit::Items(entries),
        one_shard: true,
        shared: false,
        ttl: false,
    };
    let mut times = Histogram::new();
    let mut cache = participant.make(&shape, Values::Shared);
    cache.run_noting(&Load::Insert(0..entries), &mut times, None);
    note("grow", &times);

    let pairs = usize::try_from(entries / 4).expect("it fits into memory");
    let mut times = Histogram::new();
    let gets = uniform(entries, pairs, 1);
    cache.run_noting(&Load::Churn(&gets, entries), &mut times, None);
    note("churn", &times);
    drop(cache);

    if participant.has_ttl || participant.name == NOTHING {
        let mut cache = participant.make(&Shape { ttl: true, ..shape }, Values::Shared);
        let half = entries / 2;
        // Those that stay first: how long these take says when the others can be ready.
        let began = Instant::now();
        cache.run(&Load::Insert(half..entries));
        let deadline = deadline_in(began.elapsed() * 2 + Duration::from_millis(200) + 2 * around.before);
        cache.fill_until(0..half, deadline);
        let left = deadline
            .instant
            .saturating_duration_since(Instant::now() + around.before);
        if left.is_zero() {
            return Err(format!(
                "{name}: {half} entries were not written before they expired: the machine is too busy for this"
            ));
        }
        thread::sleep(left);
        let lasting: Vec<u32> = uniform(entries - half, 1 << 16, 2)
            .into_iter()
            .map(|number| number + crate::workload::narrow(half))
            .collect();
        let until = deadline.instant + around.all;
        let mut times = Histogram::new();
        while Instant::now() < until {
            cache.run_noting(&Load::Mixed(&lasting), &mut times, Some(until));
        }
        note("expire", &times);
        findings.insert(
            "expired but held".to_owned(),
            cache.len() as f64 - (entries - half) as f64,
        );
    }
    process::tell(&findings)
}

pub(crate) fn latency(settings: &Settings) -> Result<String, String> {
    let sizes = settings.entries(&[10_000_000], 20_000);
    let entries = *sizes.last().expect("one size at least");
    let mut all = settings.chosen(participants());
    all.push(nothing());
    let mut rounds: Vec<Vec<Findings>> = vec![Vec::new(); all.len()];
    for round in 0..settings.rounds {
        for (participant, found) in all.iter().zip(&mut rounds) {
            eprintln!(
                "latency: {}: round {} of {}",
                participant.name,
                round + 1,
                settings.rounds
            );
            found.push(child(&[
                "latency".to_owned(),
                participant.name.to_owned(),
                entries.to_string(),
            ])?);
        }
    }
    let found: Vec<Findings> = rounds.iter().map(|rounds| process::medians(rounds)).collect();
    // A round in which something else had the processor says nothing: the best maximum is what the cache itself can be held to.
    let best_of = |row: usize, name: &str| {
        rounds[row]
            .iter()
            .filter_map(|round| round.get(name))
            .copied()
            .fold(f64::NAN, f64::min)
    };

    let mut text = heading("latency of single operations", settings.quick);
    text += &format!(
        "{} entries of 20 + 56 bytes, one thread, one shard where that can be chosen, every operation timed, each participant in processes of its own; medians of {} rounds, and the \
         best and the worst of the rounds' maxima. `{NOTHING}` is the same loop without a cache: what the clock costs (in all figures), and how long this machine stops a \
         program that does nothing.\n\n",
        count(entries),
        settings.rounds
    );
    for (phase, title) in PHASES {
        text += &format!("### {}{}\n\n", title[..1].to_uppercase(), &title[1..]);
        let mut head = vec![String::new()];
        head.extend(QUANTILES.map(|(name, _)| name.to_owned()));
        head.extend(["max".to_owned(), "best max".to_owned(), "worst max".to_owned()]);
        let rows = all
            .iter()
            .enumerate()
            .filter(|(row, _)| found[*row].contains_key(&format!("{phase} p50")));
        let rows = rows.map(|(row, participant)| {
            let mut cells = vec![participant.name.to_owned()];
            cells.extend(QUANTILES.map(|(name, _)| nanos(found[row][&format!("{phase} {name}")])));
            let max = format!("{phase} max");
            cells.push(nanos(found[row][&max]));
            cells.push(nanos(best_of(row, &max)));
            let worst = rounds[row].iter().filter_map(|round| round.get(&max)).copied();
            cells.push(nanos(worst.fold(f64::NAN, f64::max)));
            cells
        });
        text += &table(&head, rows);
    }
    for (participant, found) in all.iter().zip(&found) {
        if let Some(left) = found.get("expired but held").filter(|left| **left > 0.0) {
            text += &format!(
                "{} still held {left:.0} expired entries when that ended.\n\n",
                participant.name
            );
        }
    }
    if settings.quick {
        return Ok(text);
    }
    let mut targets = Vec::new();
    let of_base = all.iter().position(|participant| participant.name == BASE);
    for (phase, _) in PHASES {
        let value = |name: &str| of_base.and_then(|row| found[row].get(&format!("{phase} {name}")).copied());
        targets.push(Target::judged(
            format!("{BASE}, {phase}: p99.99 under 100 µs"),
            value("p99.99"),
            nanos,
            |value| value < 100e3,
        ));
        targets.push(Target::judged(
            format!("{BASE}, {phase}: no operation above 1 ms (median of the rounds' maxima)"),
            value("max"),
            nanos,
            |value| value <= 1e6,
        ));
    }
    Ok(text + "### Targets\n\n" + &target_table(&targets))
}
