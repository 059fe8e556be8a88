//! `ttl`: what it costs to get rid of a million entries that expire within a second, when their memory is back, and whether a read ever
//! tells the wrong thing meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use crate::Settings;
use crate::contender::{BASE, Deadline, Limit, Shape, Values, named, participants};
use crate::drive::Driven;
use crate::memory::deadline_in;
use crate::process::{self, Findings, child, process_time, resident, thread_time};
use crate::report::{Target, count, digits, heading, table, target_table};
use crate::workload::{Random, key, value};

/// Over which deadlines are spread.
const SPREAD: Duration = Duration::from_secs(1);
/// How long memory is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a program that must look after its cache itself would.
const UPKEEP: Duration = Duration::from_millis(250);
const SAMPLE: Duration = Duration::from_millis(5);
/// Deadlines and reads both have whole milliseconds, of clocks that are read at different moments.
const TOLERANCE: Duration = Duration::from_millis(2);

/// The deadline of an entry: they are spread evenly, and neighbours are not written together.
fn deadline_of(first: Deadline, number: u64, entries: u64) -> Deadline {
    let later = SPREAD.mul_f64((number * 7919 % entries) as f64 / entries as f64);
    Deadline {
        instant: first.instant + later,
        unix_millis: first.unix_millis + u64::try_from(later.as_millis()).expect("a second at most"),
    }
}

fn fill(cache: &mut dyn Driven, entries: u64, first: Deadline) {
    for number in 0..entries {
        cache.insert_until(&key(number), &value(number), deadline_of(first, number, entries));
    }
}

pub(crate) fn child_run(name: &str, entries: u64) -> Result<(), String> {
    let participant = named(name)?;
    let shape = Shape {
        limit: Limit::Items(2 * entries),
        one_shard: true,
        shared: false,
        ttl: true,
    };
    let lead = Duration::from_secs_f64(0.2 + 3.0 * entries as f64 / 1e6);
    let empty = resident()?;
    let mut cache = participant.make(&shape, Values::Boxed);
    let first = deadline_in(lead);
    fill(cache.as_mut(), entries, first);
    cache.maintain();
    let full = resident()?;
    let left = first.instant.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(format!(
            "{name}: {entries} entries were not written before the first expired: the machine is too busy for this"
        ));
    }
    thread::sleep(left);

    // This thread's own time is that of looking, but for the upkeep.
    let (process, mine) = (process_time(), thread_time());
    let mut upkeep = Duration::ZERO;
    let mut next_upkeep = first.instant + UPKEEP;
    let last = first.instant + SPREAD;
    let (mut gone, mut back, mut spent) = (None, None, None);
    let is_back = empty as f64 + 0.1 * full.saturating_sub(empty) as f64;
    while (gone.is_none() || back.is_none()) && Instant::now() < last + PATIENCE {
        thread::sleep(SAMPLE);
        if Instant::now() >= next_upkeep {
            let began = thread_time();
            cache.maintain();
            upkeep += thread_time() - began;
            next_upkeep += UPKEEP;
        }
        let now = Instant::now();
        if gone.is_none() && cache.len() == 0 {
            gone = Some(now.saturating_duration_since(last));
            spent = Some((process_time() - process) - (thread_time() - mine) + upkeep);
        }
        if back.is_none() && (resident()? as f64) <= is_back {
            back = Some(now.saturating_duration_since(last));
        }
    }
    let spent = spent.unwrap_or_else(|| (process_time() - process) - (thread_time() - mine) + upkeep);
    let rest = resident()?.saturating_sub(empty);
    drop(cache);
    let (reads, early, late) = watch(participant.make(&shape, Values::Boxed).as_mut(), entries / 10);
    let seconds = |time: Option<Duration>| time.map_or(f64::INFINITY, |time| time.as_secs_f64());
    process::tell(&Findings::from([
        ("cpu seconds".to_owned(), spent.as_secs_f64()),
        ("gone".to_owned(), seconds(gone)),
        ("back".to_owned(), seconds(back)),
        ("grown".to_owned(), full.saturating_sub(empty) as f64),
        ("rest".to_owned(), rest as f64),
        ("reads".to_owned(), reads as f64),
        ("early".to_owned(), early as f64),
        ("late".to_owned(), late as f64),
    ]))
}

/// Reads at random while entries expire: how many reads there were, missed an entry before its deadline, and hit one after it.
fn watch(cache: &mut dyn Driven, entries: u64) -> (u64, u64, u64) {
    let first = deadline_in(Duration::from_secs_f64(0.1 + 3.0 * entries as f64 / 1e6));
    fill(cache, entries, first);
    let mut random = Random::new(3);
    let (mut reads, mut early, mut late) = (0, 0, 0);
    let end = first.instant + SPREAD + Duration::from_millis(100);
    loop {
        let number = random.below(entries);
        let deadline = deadline_of(first, number, entries).instant;
        let before = Instant::now();
        let is_hit = cache.get(&key(number)).is_some();
        let after = Instant::now();
        reads += 1;
        early += u64::from(!is_hit && after + TOLERANCE < deadline);
        late += u64::from(is_hit && before > deadline + TOLERANCE);
        if after > end {
            return (reads, early, late);
        }
    }
}

pub(crate) fn ttl(settings: &Settings) -> Result<String, String> {
    let entries = settings.entries(&[1_000_000], 20_000)[0];
    let all: Vec<_> = settings
        .chosen(participants())
        .into_iter()
        .filter(|participant| participant.has_ttl)
        .collect();
    let mut rounds: Vec<Vec<Findings>> = vec![Vec::new(); all.len()];
    for round in 0..settings.rounds {
        for (participant, found) in all.iter().zip(&mut rounds) {
            eprintln!(
                "ttl: {}: round {} of {}",
                participant.name,
                round + 1,
                settings.rounds
            );
            found.push(child(&[
                "ttl".to_owned(),
                participant.name.to_owned(),
                entries.to_string(),
            ])?);
        }
    }
    let found: Vec<Findings> = rounds.iter().map(|rounds| process::medians(rounds)).collect();
    let seconds = |value: f64| {
        if value.is_finite() {
            format!("{value:.2} s")
        } else {
            "never".to_owned()
        }
    };
    let share = |found: &Findings| found["cpu seconds"] / SPREAD.as_secs_f64();
    let percent = |value: f64| format!("{:.1} %", 100.0 * value);

    let mut text = heading("expiry", settings.quick);
    text += &format!(
        "{} entries of 20 + 56 bytes whose deadlines are spread over one second, and nobody reads or writes: processor time of everything but the thread that looks, until all are \
         gone, as a share of one core over that second; when the last was gone and when 90 % of the memory was back, both after the last deadline; medians of {} rounds. Then \
         reads at random while a tenth as many expire, once more. moka has no thread of its own: `run_pending_tasks` is called every {} ms for it, and counted.\n\n",
        count(entries),
        settings.rounds,
        UPKEEP.as_millis()
    );
    let head = [
        "",
        "share of a core",
        "all gone after",
        "memory back after",
        "still held of what they took",
        "reads",
        "missed early",
        "served late",
    ];
    let rows = all
        .iter()
        .zip(&found)
        .zip(&rounds)
        .map(|((participant, found), rounds)| {
            let sum = |name: &str| rounds.iter().map(|round| round[name]).sum::<f64>();
            vec![
                participant.name.to_owned(),
                percent(share(found)),
                seconds(found["gone"]),
                seconds(found["back"]),
                format!(
                    "{} MiB of {:.0}",
                    digits(found["rest"] / f64::from(1 << 20)),
                    found["grown"] / f64::from(1 << 20)
                ),
                format!("{:.0}", sum("reads")),
                format!("{:.0}", sum("early")),
                format!("{:.0}", sum("late")),
            ]
        });
    text += &table(&head, rows);
    if settings.quick {
        return Ok(text);
    }
    let row = all.iter().position(|participant| participant.name == BASE);
    let wrong = row.map(|row| {
        rounds[row]
            .iter()
            .map(|round| round["early"] + round["late"])
            .sum::<f64>()
    });
    let mut targets = vec![Target::judged(
        format!(
            "{BASE}: {} entries expiring within a second cost under 5 % of one core",
            count(entries)
        ),
        row.map(|row| share(&found[row])),
        percent,
        |value| value < 0.05,
    )];
    for (participant, found) in all.iter().zip(&found).filter(|(one, _)| one.is_ours()) {
        targets.push(Target::judged(
            format!("{}: memory is back within 2 s", participant.name),
            Some(found["back"]),
            seconds,
            |value| value <= 2.0,
        ));
    }
    targets.push(Target::judged(
        format!("{BASE}: no live entry missed, no expired one served"),
        wrong,
        |value| format!("{value:.0}"),
        |value| value == 0.0,
    ));
    Ok(text + "### Targets\n\n" + &target_table(&targets))
}
