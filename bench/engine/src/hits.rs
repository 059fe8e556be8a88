//! `hits`: the hit ratio of each participant on traces and on made-up workloads, beside the best that is possible with all of the future
//! known. A get, and on a miss an insert, by one thread.

mod chart;
mod opt;
mod synthetic;
mod trace;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::Settings;
use crate::contender::{ADAPTIVE, BASE, Limit, Participant, Shape, Values, Weigh, charges, participants};
use crate::report::{Target, count, digits, docs, heading, table, target_table};

use trace::Trace;
pub(crate) use trace::{Format, Source};

/// Keys are ids in this many bytes.
const ID_BYTES: usize = 8;

/// What `hits` is asked for besides the settings of all.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) traces: Vec<Source>,
    pub(crate) format: Format,
    /// Whether the made-up workloads are run as well.
    pub(crate) synthetic: bool,
    pub(crate) svg: Option<PathBuf>,
}

/// One trace at one size.
#[derive(Debug)]
struct Point {
    /// Entries, or bytes.
    size: u64,
    /// Hits of the best there is: no participant can have more.
    opt: u64,
    hits: Vec<u64>,
}

impl Point {
    /// Of what is possible; 1 where nothing is.
    fn share(&self, participant: usize) -> f64 {
        if self.opt == 0 {
            1.0
        } else {
            self.hits[participant] as f64 / self.opt as f64
        }
    }
}

#[derive(Debug)]
struct Played {
    name: String,
    about: String,
    requests: u64,
    distinct: usize,
    weighted: bool,
    points: Vec<Point>,
}

pub(crate) fn hits(settings: &Settings, wanted: &Wanted) -> Result<String, String> {
    let all: Vec<_> = settings
        .chosen(participants())
        .into_iter()
        .filter(|participant| participant.has_own_order)
        .collect();
    let mut played = Vec::new();
    for source in &wanted.traces {
        let trace = trace::read(source, wanted.format)?;
        played.push(play(&trace, &all)?);
    }
    if wanted.synthetic {
        for trace in synthetic::all(settings.quick) {
            played.push(play(&trace, &all)?);
        }
    }
    let svg = wanted
        .svg
        .clone()
        .or_else(|| (settings.write && !settings.quick).then(|| docs("hits.svg")));
    if let Some(path) = &svg {
        std::fs::write(path, chart::svg(&played, &all))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("hits: the chart is in {}", path.display());
    }
    Ok(report(settings, &played, &all, svg.is_some()))
}

/// All participants at all sizes, with a thread for each processor: nothing is timed.
fn play(trace: &Trace, all: &[Participant]) -> Result<Played, String> {
    let weigh = trace.sizes.as_ref().map(|sizes| {
        let table = charges(ID_BYTES, sizes.iter().map(|&size| size as usize));
        Weigh::Table(table.into())
    });
    let weigh = weigh.unwrap_or(Weigh::One);
    let weights: Option<Vec<u64>> = trace.sizes.as_ref().map(|sizes| {
        sizes
            .iter()
            .map(|&size| weigh.of(ID_BYTES, size as usize))
            .collect()
    });
    let sizes = trace.sizes_to_play(weights.as_deref());
    eprintln!(
        "hits: {}: {} requests of {} keys, at {sizes:?}",
        trace.name,
        trace.requests.len(),
        trace.distinct
    );
    let next = opt::next_uses(&trace.requests, trace.distinct);
    // The bound is a job like any participant's.
    let jobs: Vec<(usize, Option<usize>)> = (0..sizes.len())
        .flat_map(|size| {
            std::iter::once(None)
                .chain((0..all.len()).map(Some))
                .map(move |who| (size, who))
        })
        .collect();
    let results = Mutex::new(vec![0; jobs.len()]);
    let at = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&(size, who)) = jobs.get(at.fetch_add(1, Ordering::Relaxed)) {
                    let (job, size) = (size * (all.len() + 1) + who.map_or(0, |who| who + 1), sizes[size]);
                    let found = match (who, &weights) {
                        (None, None) => opt::belady(&trace.requests, &next, trace.distinct, size),
                        (None, Some(weights)) => opt::bound(weights, &next, size),
                        (Some(who), _) => simulate(&all[who], trace, size, &weigh),
                    };
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[job] = found;
                }
            });
        }
    });
    let results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let points: Vec<Point> = sizes
        .iter()
        .zip(results.chunks(all.len() + 1))
        .map(|(&size, found)| Point {
            size,
            opt: found[0],
            hits: found[1..].to_vec(),
        })
        .collect();
    for point in &points {
        for (participant, &hits) in all.iter().zip(&point.hits) {
            if hits > point.opt {
                return Err(format!(
                    "{} at {}: {} has {hits} hits and the bound is {}: one of them is wrong",
                    trace.name, point.size, participant.name, point.opt
                ));
            }
        }
    }
    Ok(Played {
        name: trace.name.clone(),
        about: trace.about.clone(),
        requests: trace.requests.len() as u64,
        distinct: trace.distinct,
        weighted: weights.is_some(),
        points,
    })
}

fn simulate(participant: &Participant, trace: &Trace, size: u64, weigh: &Weigh) -> u64 {
    let limit = match (&trace.sizes, weigh) {
        (Some(sizes), Weigh::Table(table)) => {
            let mean =
                table.values().map(|&weight| u64::from(weight)).sum::<u64>() / table.len().max(1) as u64;
            // About as many as there will be, for those who want to know: their median is far below the mean of all lengths there are.
            let items = (size / mean.max(1))
                .max(size * trace.distinct as u64 / total(sizes).max(1))
                .max(1);
            Limit::Bytes(size, items, weigh.clone())
        }
        _ => Limit::Items(size),
    };
    let shape = Shape {
        limit,
        one_shard: true,
        shared: false,
        ttl: false,
    };
    let mut cache = participant.make(&shape, Values::Boxed);
    let largest = trace.sizes.iter().flatten().copied().max().unwrap_or(0);
    let value = vec![0; largest as usize];
    let mut hits = 0;
    for (at, &id) in trace.requests.iter().enumerate() {
        let key = u64::from(id).to_be_bytes();
        if cache.get(&key).is_some() {
            hits += 1;
        } else {
            let length = trace.sizes.as_ref().map_or(0, |sizes| sizes[at] as usize);
            cache.insert(&key, &value[..length]);
            // Or moka would hold some hundreds more than it may until it gets round to it, which is many of a few hundred.
            cache.maintain();
        }
    }
    hits
}

fn total(sizes: &[u32]) -> u64 {
    sizes.iter().map(|&size| u64::from(size)).sum()
}

fn report(settings: &Settings, played: &[Played], all: &[Participant], has_chart: bool) -> String {
    let mut text = heading("hit ratio", settings.quick);
    text += "A get, and on a miss an insert; one thread, one shard where that can be chosen. OPT knows the future: Belady's algorithm, which may also leave a new entry out. For \
         workloads with sizes it is a bound that no cache can reach (PFOO-L: Berger, Beckmann, Harchol-Balter 2018), and every entry weighs what rustcache charges for it, with \
         everybody.\n\n";
    for one in played {
        text += &format!(
            "- {}: {} requests of {} keys{}; {}\n",
            one.name,
            count(one.requests),
            count(one.distinct as u64),
            if one.weighted { ", sizes in bytes" } else { "" },
            one.about
        );
    }
    text += "\nHits in percent of all requests:\n\n";
    let mut head = vec!["".to_owned(), "size".to_owned(), "OPT".to_owned()];
    head.extend(all.iter().map(|participant| participant.name.to_owned()));
    let points = || {
        played
            .iter()
            .flat_map(|one| one.points.iter().map(move |point| (one, point)))
    };
    let rows = points().map(|(one, point)| {
        let percent = |hits: u64| format!("{:.2}", 100.0 * hits as f64 / one.requests.max(1) as f64);
        let mut row = vec![one.name.clone(), point.size.to_string(), percent(point.opt)];
        row.extend(point.hits.iter().map(|&hits| percent(hits)));
        row
    });
    text += &table(&head, rows);
    text += "Hits in percent of OPT:\n\n";
    head.remove(2);
    let mut rows: Vec<Vec<String>> = points()
        .map(|(one, point)| {
            let mut row = vec![one.name.clone(), point.size.to_string()];
            row.extend((0..all.len()).map(|who| format!("{:.1}", 100.0 * point.share(who))));
            row
        })
        .collect();
    let mut means = vec!["**mean**".to_owned(), String::new()];
    means.extend((0..all.len()).map(|who| format!("{:.2}", 100.0 * mean_share(played, who))));
    rows.push(means);
    text += &table(&head, rows);
    if has_chart {
        text += "![Hits in percent of OPT by size, a panel for each workload](hits.svg)\n\n";
    }
    if settings.quick {
        return text;
    }
    text + "### Targets\n\n" + &target_table(&targets(played, all))
}

fn mean_share(played: &[Played], who: usize) -> f64 {
    let points: Vec<_> = played.iter().flat_map(|one| &one.points).collect();
    points.iter().map(|point| point.share(who)).sum::<f64>() / points.len() as f64
}

fn targets(played: &[Played], all: &[Participant]) -> Vec<Target> {
    let row = |name: &str| all.iter().position(|participant| participant.name == name);
    let (adaptive, lru) = (row(ADAPTIVE), row(BASE));
    let percent = |one: &Played, hits: u64| 100.0 * hits as f64 / one.requests.max(1) as f64;
    let signed = |value: f64| format!("{value:+.2} points");
    let mut targets: Vec<Target> = [BASE, "quick_cache unsync", "moka"]
        .into_iter()
        .map(|other| {
            let ahead = adaptive
                .zip(row(other))
                .map(|(ours, theirs)| 100.0 * (mean_share(played, ours) - mean_share(played, theirs)));
            Target::judged(
                format!("{ADAPTIVE}, mean of hit ÷ OPT: above {other} by a point or more"),
                ahead,
                signed,
                |value| value >= 1.0,
            )
        })
        .collect();
    let name = format!("{ADAPTIVE}: at no point more than 1 point below exact LRU");
    targets.push(at_every_point(
        name,
        played,
        -1.0,
        adaptive.zip(lru).map(|(ours, lru)| {
            move |one: &Played, point: &Point| percent(one, point.hits[ours]) - percent(one, point.hits[lru])
        }),
    ));
    let name = format!("{ADAPTIVE}: at no point more than 1.5 points below the best of all");
    targets.push(at_every_point(
        name,
        played,
        -1.5,
        adaptive.map(|ours| {
            move |one: &Played, point: &Point| {
                let best = point.hits.iter().copied().max().unwrap_or(0);
                percent(one, point.hits[ours]) - percent(one, best)
            }
        }),
    ));
    targets
}

/// A target that each point has to reach: the worst one, or all that miss it.
fn at_every_point(
    name: String,
    played: &[Played],
    least: f64,
    lead: Option<impl Fn(&Played, &Point) -> f64>,
) -> Target {
    let mut found: Vec<(f64, String)> = Vec::new();
    if let Some(lead) = lead {
        for one in played {
            let points = one.points.iter();
            found.extend(points.map(|point| (lead(one, point), format!("{} @ {}", one.name, point.size))));
        }
    }
    found.sort_by(|one, other| one.0.total_cmp(&other.0));
    let missed = found.iter().filter(|(lead, _)| *lead < least).count();
    let shown: Vec<String> = found
        .iter()
        .take(missed.max(1))
        .map(|(lead, at)| format!("{lead:+.2} points ({at})"))
        .collect();
    Target {
        name,
        found: (!found.is_empty()).then(|| (shown.join(", "), missed == 0)),
    }
}

/// The name of a size on an axis.
fn short(size: u64) -> String {
    match size {
        0..10_000 => size.to_string(),
        10_000..10_000_000 => format!("{} k", digits(size as f64 / 1e3)),
        _ => format!("{} M", digits(size as f64 / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_every_point_that_misses_it() {
        let point = |size, hits| Point {
            size,
            opt: 100,
            hits: vec![hits],
        };
        let played = [Played {
            name: "t".to_owned(),
            about: String::new(),
            requests: 100,
            distinct: 100,
            weighted: false,
            points: vec![point(1, 98), point(2, 90), point(3, 97), point(4, 99)],
        }];
        let lead = |_: &Played, point: &Point| point.hits[0] as f64 - 100.0;
        let judged = |least| at_every_point("target".to_owned(), &played, least, Some(lead)).found;
        let missed = "-10.00 points (t @ 2), -3.00 points (t @ 3)";
        assert_eq!(judged(-2.5), Some((missed.to_owned(), false)));
        assert_eq!(judged(-10.5), Some(("-10.00 points (t @ 2)".to_owned(), true)));
    }
}
