//! `memory`: what an entry costs beyond its key and value, and whether memory stays where it is while sizes are mixed and everything is
//! replaced twenty times. Each participant is measured in a process of its own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::contender::{BASE, Deadline, Limit, Participant, Shape, Values, Weigh, named, participants};
use crate::drive::Load;
use crate::process::{Findings, child, resident};
use crate::report::{Target, count, digits, heading, table, target_table};
use crate::workload::{KEY_BYTES, MOST_BYTES, Random, VALUE_BYTES, key};
use crate::{Settings, process};

const MIB: f64 = (1 << 20) as f64;
/// How often everything is replaced.
const TURNOVERS: u64 = 20;
/// A median of 100 bytes, and some of thousands: about this much each, with its key.
const BYTES_PER_ENTRY: u64 = 600;

/// (resident memory − payload) / entries.
pub(crate) fn overhead_child(name: &str, entries: u64, ttl: bool) -> Result<(), String> {
    let participant = named(name)?;
    let before = resident()?;
    let shape = Shape {
        limit: Limit::Items(entries),
        one_shard: true,
        shared: false,
        ttl,
    };
    let mut cache = participant.make(&shape, Values::Boxed);
    if ttl {
        cache.fill_until(0..entries, deadline_in(Duration::from_secs(3600)));
    } else {
        cache.run(&Load::Insert(0..entries));
    }
    cache.maintain();
    let held = cache.len();
    let payload = held * (KEY_BYTES + VALUE_BYTES) as u64;
    let cost = resident()? as f64 - before as f64;
    process::tell(&Findings::from([
        ("held".to_owned(), held as f64),
        ("overhead".to_owned(), (cost - payload as f64) / held as f64),
    ]))
}

pub(crate) fn deadline_in(time: Duration) -> Deadline {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + time;
    Deadline {
        instant: Instant::now() + time,
        unix_millis: u64::try_from(unix.as_millis()).expect("before the year 500,000,000"),
    }
}

/// Fills a cache of so many bytes, and goes on until its limit has been written twenty times. Three writes in four are of a fresh key, the fourth gives
/// a key that was written lately another value.
pub(crate) fn churn_child(name: &str, max_bytes: u64) -> Result<(), String> {
    let participant = named(name)?;
    let value = vec![7; MOST_BYTES];
    let before = resident()?;
    let shape = Shape {
        limit: Limit::Bytes(max_bytes, max_bytes / BYTES_PER_ENTRY, Weigh::Payload),
        one_shard: false,
        shared: false,
        ttl: false,
    };
    let mut cache = participant.make(&shape, Values::Boxed);
    let mut random = Random::new(7);
    let (mut written, mut fresh, mut sets) = (0, 0, 0u64);
    let (mut first, mut least, mut most) = (None, u64::MAX, 0);
    let mut peak = 0;
    while written < TURNOVERS * max_bytes {
        let number = if sets % 4 == 3 {
            fresh - random.below(fresh.min(1 + max_bytes / BYTES_PER_ENTRY / 2)) - 1
        } else {
            fresh += 1;
            fresh - 1
        };
        let length = random.length();
        cache.insert(&key(number), &value[..length]);
        written += (KEY_BYTES + length) as u64;
        sets += 1;
        if sets.is_multiple_of(4096) {
            peak = peak.max(resident()?);
            let held = cache.len();
            // The first that is evicted says that it is full.
            if held < fresh && first.is_none() {
                first = Some(held);
            }
            if first.is_some() {
                (least, most) = (least.min(held), most.max(held));
            }
        }
    }
    peak = peak.max(resident()?);
    let last = cache.len();
    let first = first.ok_or_else(|| format!("{name} never was full: max_bytes is {max_bytes}"))?;
    process::tell(&Findings::from([
        ("peak".to_owned(), (peak - before.min(peak)) as f64),
        ("end".to_owned(), resident()?.saturating_sub(before) as f64),
        ("first".to_owned(), first as f64),
        ("least".to_owned(), least as f64),
        ("most".to_owned(), most as f64),
        ("last".to_owned(), last as f64),
    ]))
}

pub(crate) fn memory(settings: &Settings) -> Result<String, String> {
    let sizes = settings.entries(&[1_000_000, 10_000_000], 20_000);
    let max_bytes: u64 = if settings.quick { 8 << 20 } else { 512 << 20 };
    let all = settings.chosen(participants());
    // Few: these figures hardly differ from one process to the next.
    let rounds = settings.rounds.min(3);
    let measure = |arguments: &[&str]| -> Result<Findings, String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        eprintln!("memory: {}", arguments.join(" "));
        let found: Result<Vec<_>, _> = (0..rounds).map(|_| child(&arguments)).collect();
        Ok(process::medians(&found?))
    };

    let mut columns = Vec::new();
    for &entries in &sizes {
        for ttl in [false, true] {
            let mut column = Vec::new();
            for participant in &all {
                let found = if ttl && !participant.has_ttl {
                    f64::NAN
                } else {
                    let entries = entries.to_string();
                    let mut arguments = vec!["overhead", participant.name, &entries];
                    arguments.extend(ttl.then_some("--ttl"));
                    measure(&arguments)?["overhead"]
                };
                column.push(found);
            }
            columns.push((entries, ttl, column));
        }
    }
    let mut churns = Vec::new();
    for participant in &all {
        churns.push(measure(&["churn", participant.name, &max_bytes.to_string()])?);
    }
    Ok(report(settings, &all, &columns, &churns, max_bytes, rounds))
}

fn report(
    settings: &Settings,
    all: &[Participant],
    columns: &[(u64, bool, Vec<f64>)],
    churns: &[Findings],
    max_bytes: u64,
    rounds: u64,
) -> String {
    let mut text = heading("memory", settings.quick);
    text += &format!(
        "Bytes for each entry of 20 + 56 bytes beyond these 76: (resident memory − payload) / entries, each participant in processes of its own, medians of {rounds}. One shard \
         where that can be chosen; rivals hold `Box<[u8]>`. –: it has no TTL for single entries.\n\n"
    );
    let mut head = vec![String::new()];
    head.extend(columns.iter().map(|(entries, ttl, _)| {
        let with = if *ttl { "with a TTL" } else { "no TTL" };
        format!("{} entries, {with}", count(*entries))
    }));
    let rows = all.iter().enumerate().map(|(row, participant)| {
        let mut cells = vec![participant.name.to_owned()];
        cells.extend(columns.iter().map(|(_, _, column)| digits(column[row])));
        cells
    });
    text += &table(&head, rows);

    text += &format!(
        "Under churn: lognormal lengths of values (median 100 bytes, up to 64 KiB), {TURNOVERS} times {} MiB written, three in four under fresh keys. Ours is told \
         `max_bytes` and counts what an entry really costs; rivals are given the same number and a weight of key + value, which is what their users would write.\n\n",
        max_bytes >> 20
    );
    let head = [
        "",
        "most resident, MiB",
        "÷ limit",
        "resident at the end, MiB",
        "entries when first full",
        "at the end",
        "change",
    ];
    let rows = all.iter().zip(churns).map(|(participant, found)| {
        vec![
            participant.name.to_owned(),
            format!("{:.0}", found["peak"] / MIB),
            format!("{:.2}", found["peak"] / max_bytes as f64),
            format!("{:.0}", found["end"] / MIB),
            format!("{:.0}", found["first"]),
            format!("{:.0}", found["last"]),
            format!("{:+.1} %", 100.0 * (found["last"] / found["first"] - 1.0)),
        ]
    });
    text += &table(&head, rows);
    if settings.quick {
        return text;
    }

    let mut targets = Vec::new();
    for (row, participant) in all
        .iter()
        .enumerate()
        .filter(|(_, participant)| participant.is_ours())
    {
        let name = participant.name;
        // Only the default is spoken of; what the others cost is in the tables.
        if name != BASE {
            continue;
        }
        for (entries, ttl, column) in columns {
            let most = if *ttl { 40.0 } else { 32.0 };
            targets.push(Target::judged(
                format!(
                    "{name}, {} entries {} a TTL: at most {most} bytes beyond key and value",
                    count(*entries),
                    if *ttl { "with" } else { "without" }
                ),
                Some(column[row]),
                digits,
                |value| value <= most,
            ));
        }
        let found = &churns[row];
        let promised = max_bytes as f64 * 1.10 + 32.0 * MIB;
        targets.push(Target::judged(
            format!(
                "{name}, churn: resident at most `max_bytes` × 1.10 + 32 MiB = {:.0} MiB",
                promised / MIB
            ),
            Some(found["peak"]),
            |value| format!("{:.0} MiB", value / MIB),
            |value| value <= promised,
        ));
        let drift = (1.0 - found["least"] / found["first"])
            .max(found["most"] / found["first"] - 1.0)
            .max((found["last"] / found["first"] - 1.0).abs());
        targets.push(Target::judged(
            format!("{name}, churn: entries within 10 % of the first fill, throughout"),
            Some(drift),
            |value| format!("{:.1} %", 100.0 * value),
            |value| value <= 0.10,
        ));
    }
    text + "### Targets\n\n" + &target_table(&targets)
}
