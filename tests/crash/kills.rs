//! `kill -9` at random moments, and a restart on the same directory after each: every acknowledged write is there, and nothing that never was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Signal, kill_process};

use crate::directory::{Directory, Generations};
use crate::model::Model;
use crate::play::{Moment, Played, counter, everything, play};
use crate::script;
use crate::support::{Daemon, Dice, LINKS};

/// A directory sees so many deaths before the next is begun.
const DEATHS: usize = 10;
const SYNCS: [&str; 3] = ["always", "everysec", "never"];

/// What the deaths fell into.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: usize,
    unacknowledged: usize,
    snapshots: usize,
    cut_snapshots: usize,
}

pub(crate) fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

pub(crate) fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_micros()).expect("it fits")
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let rounds = variable("RUSTCACHE_KILL_ROUNDS").map_or(50, |rounds| usize::try_from(rounds).expect("few"));
    let seed = variable("RUSTCACHE_KILL_SEED").unwrap_or_else(new_seed);
    let mut seen = Seen::default();
    let mut round = 0;
    while round < rounds {
        let deaths = DEATHS.min(rounds - round);
        // Here, so that it stays when this panics.
        let directory = Directory::new();
        if let Err((at, text)) = one_directory(&directory, seed, round, deaths, &mut seen) {
            panic!(
                "round {at} of RUSTCACHE_KILL_SEED={seed} RUSTCACHE_KILL_ROUNDS={}: {text}",
                at + 1
            );
        }
        round += deaths;
    }
    eprintln!("{rounds} rounds, seed {seed}: {seen:?}");
    assert!(seen.acknowledged > 20 * rounds, "{seen:?}");
    assert!(seen.unacknowledged > rounds, "{seen:?}");
    if rounds >= 50 {
        // How many are cut and how many come to their end is up to the machine.
        assert!(seen.snapshots + seen.cut_snapshots > rounds / 10, "{seen:?}");
    }
}

/// Lets daemons die on one directory, one after the other. What is wrong is returned with the round.
fn one_directory(
    directory: &Directory,
    seed: u64,
    first: usize,
    deaths: usize,
    seen: &mut Seen,
) -> Result<(), (usize, String)> {
    let mut model = Model::default();
    let mut last: Option<Played> = None;
    for round in first..=first + deaths {
        let mut dice = Dice((seed ^ (round as u64) << 40) | 1);
        for _ in 0..8 {
            dice.roll();
        }
        let wrong = |text: String| (round, format!("{text}, in {}", directory.text()));
        let mut arguments = vec!["--dir", directory.text(), "--sync", SYNCS[round % 3]];
        if round % 2 == 0 {
            arguments.extend(["--snapshot-after", "64kib"]);
        }
        let mut daemon = Daemon::greeted(LINKS[dice.below(3)], &arguments, &[]);
        if let Some(played) = last.take() {
            for name in ["damaged_files", "dropped_records", "disk_failed"] {
                let count = counter(&mut daemon, name);
                if count != 0 {
                    return Err(wrong(format!("{name} is {count}")));
                }
            }
            let (found, asked) = everything(&mut daemon);
            model
                .settle(found, played.acknowledged, &played.times, asked)
                .map_err(wrong)?;
        }
        if round == first + deaths {
            break;
        }
        last = Some(one_death(daemon, directory, &mut model, &mut dice, seen).map_err(wrong)?);
    }
    Ok(())
}

fn one_death(
    mut daemon: Daemon,
    directory: &Directory,
    model: &mut Model,
    dice: &mut Dice,
    seen: &mut Seen,
) -> Result<Played, String> {
    let before = Generations::of(directory.path());
    let count = 100 + dice.below(900);
    let by_bytes = dice.below(2) == 0;
    let at = 1 + dice.below(count);
    // So that many deaths fall into a snapshot.
    let snapshots = match dice.below(3) {
        0 => vec![],
        _ => vec![at.saturating_sub(dice.below(10)).max(1)],
    };
    let steps = script::write(model, dice.roll(), count, &snapshots);
    let moment = if by_bytes {
        let bytes: usize = steps[..at].iter().map(|step| step.frame.len()).sum();
        Moment::Bytes(bytes - dice.below(steps[at - 1].frame.len()))
    } else {
        Moment::Replies(at)
    };
    let pid = daemon.pid();
    let mut played = play(&mut daemon, &steps, moment, Duration::ZERO, dice, &|| {
        kill_process(pid, Signal::KILL).expect("it is there");
    })?;
    let end = daemon.wait();
    played.times.died = std::time::Instant::now();
    // A kill in the middle of a write is what leaves an unfinished one.
    let has_more_to_say = |line: &str| !line.contains("an unfinished write at the end was dropped");
    if end.code.is_some() || end.log.lines().any(has_more_to_say) {
        return Err(format!("it was not killed, or had something to say: {end:?}"));
    }
    let after = Generations::of(directory.path());
    seen.acknowledged += played.acknowledged;
    seen.unacknowledged += played.times.sent.len() - played.acknowledged;
    seen.snapshots += played.snapshots;
    let has_begun = after.journal > before.journal || after.is_unfinished;
    seen.cut_snapshots += usize::from(has_begun && after.snapshot < after.journal);
    Ok(played)
}
