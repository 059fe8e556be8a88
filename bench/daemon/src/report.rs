//! What is said about the figures: tables, ratios, whether the targets are reached, and the section of docs/benchmarks.md that
//! `--write` replaces. It measures nothing.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;
use std::{fs, io};

use crate::load::{Load, Speed};
use crate::server::{ECHO, MEMCACHED, OURS, REDIS};
use crate::wire::{KEY, Operation, VALUE};

/// The figures of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// In the order in which the participants started.
    names: Vec<&'static str>,
    rounds: Vec<Vec<(&'static str, Load, Speed)>>,
}

/// A figure of a [`Speed`].
type Figure = fn(&Speed) -> Option<f64>;

const PER_SECOND: Figure = |speed| Some(speed.per_second);
const PER_CPU_SECOND: Figure = |speed| speed.per_cpu_second;

impl Results {
    pub(crate) fn new(names: Vec<&'static str>) -> Self {
        Results {
            names,
            rounds: Vec::new(),
        }
    }

    /// Figures that are added belong to this round from now on.
    pub(crate) fn begin_round(&mut self) {
        self.rounds.push(Vec::new());
    }

    pub(crate) fn add(&mut self, name: &'static str, load: Load, speed: Speed) {
        if let Some(round) = self.rounds.last_mut() {
            round.push((name, load, speed));
        }
    }

    fn in_round(
        round: &[(&'static str, Load, Speed)],
        name: &str,
        load: Load,
        figure: Figure,
    ) -> Option<f64> {
        let (_, _, speed) = round.iter().find(|(of, at, _)| *of == name && *at == load)?;
        figure(speed)
    }

    fn median(&self, name: &str, load: Load, figure: Figure) -> Option<f64> {
        let of_rounds = self.rounds.iter();
        median(of_rounds.filter_map(|round| Self::in_round(round, name, load, figure)))
    }

    /// The median of the rounds' ratios, ours over another's.
    fn ratio(&self, other: &str, load: Load, figure: Figure) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| {
            let ours = Self::in_round(round, OURS, load, figure)?;
            Some(ours / Self::in_round(round, other, load, figure)?)
        }))
    }

    /// Markdown: how it was measured, and all figures.
    pub(crate) fn page(&self, command: &str, keys: u32, pinned: bool, busy: Option<f64>) -> String {
        let mut page = String::from("## The daemon: against servers, and against moving the bytes\n\n");
        let _ = write!(
            page,
            "- Command: `{command}`\n- Date: {}\n- Machine: {}\n{}\n{ABOUT} {}\n\n",
            today(),
            machine(),
            busy.map_or(String::new(), |busy| format!(
                "- Load average before: {busy:.2}\n"
            )),
            if pinned { PINNED } else { UNPINNED }
        );
        let number = |value: f64| rate(value);
        let times = |value: f64| format!("{value:.2} ×");
        let others = || self.names.iter().copied().filter(|name| *name != OURS);
        let rounds = self.rounds.len();

        let _ = writeln!(
            page,
            "### Operations per second, {KEY} + {VALUE} bytes, {} keys, medians of {rounds} round{}\n",
            rate(f64::from(keys)),
            if rounds == 1 { "" } else { "s" }
        );
        self.table(&mut page, self.names.iter().copied(), "", number, |name, load| {
            self.median(name, load, PER_SECOND)
        });
        let _ = writeln!(page, "{OURS} against each, medians of the rounds' ratios:\n");
        self.table(&mut page, others(), "÷ ", times, |name, load| {
            self.ratio(name, load, PER_SECOND)
        });
        page.push_str("### Operations per second of the server's processor time\n\n");
        self.table(&mut page, self.names.iter().copied(), "", number, |name, load| {
            self.median(name, load, PER_CPU_SECOND)
        });
        let _ = writeln!(page, "{OURS} against each, medians of the rounds' ratios:\n");
        self.table(&mut page, others(), "÷ ", times, |name, load| {
            self.ratio(name, load, PER_CPU_SECOND)
        });
        page
    }

    /// Markdown: which targets are reached.
    pub(crate) fn targets(&self) -> String {
        let rows: String = TARGETS.iter().map(|target| self.judge(target)).collect();
        format!("### Targets\n\n| | get | set | verdict |\n|---|---:|---:|---:|\n{rows}")
    }

    /// A row for each name, a column for each load.
    fn table(
        &self,
        page: &mut String,
        names: impl Iterator<Item = &'static str>,
        before_name: &str,
        show: impl Fn(f64) -> String,
        figure: impl Fn(&str, Load) -> Option<f64>,
    ) {
        page.push('|');
        for Load { operation, pipeline } in Load::all() {
            let _ = write!(page, " | {operation}, {pipeline}");
        }
        page.push_str(" |\n|---");
        Load::all().for_each(|_| page.push_str("|---:"));
        page.push_str("|\n");
        for name in names {
            let _ = write!(page, "| {before_name}{name}");
            for load in Load::all() {
                let cell = figure(name, load).map_or("–".to_owned(), &show);
                let _ = write!(page, " | {cell}");
            }
            page.push_str(" |\n");
        }
        page.push('\n');
    }

    /// A row of the table of targets. A target is reached when both operations reach it against every rival that it names.
    fn judge(&self, target: &Target) -> String {
        let measured = Operation::ALL.map(|operation| {
            let load = Load {
                operation,
                pipeline: target.pipeline,
            };
            // The strongest rival is what counts; one that was left out leaves the target open.
            let ratios = target
                .against
                .iter()
                .map(|name| self.ratio(name, load, target.figure));
            ratios
                .collect::<Option<Vec<_>>>()
                .and_then(|ratios| ratios.into_iter().reduce(f64::min))
        });
        let verdict = if measured.contains(&None) {
            "not measured"
        } else if measured.iter().flatten().all(|ratio| *ratio >= target.at_least) {
            "reached"
        } else {
            "**missed**"
        };
        let [get, set] =
            measured.map(|ratio| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2} ×")));
        format!("| {} | {get} | {set} | {verdict} |\n", target.text)
    }
}

const ABOUT: &str = "\
One connection. A client writes a pipeline of so many requests for random keys, waits for all the replies, and writes the next. It makes that one while it waits, so the figures are the \
server's and the kernel's. The rounds alternate the participants. rustcache is spoken to through a socketpair for stdin and one for stdout, as Node does it; the servers through a Unix socket, \
memcached with its meta commands. The echo is a child that moves as many bytes each way as version 2 of the protocol and does nothing else. Processor time is that of the server's process, \
in the kernel and outside.";

const PINNED: &str = "The client has one core and the servers have another.";
const UNPINNED: &str = "The scheduler chooses on which cores they run, which changes the shorter pipelines' figures by several times.";

/// What is promised of our speed.
struct Target {
    text: &'static str,
    pipeline: usize,
    against: &'static [&'static str],
    figure: Figure,
    at_least: f64,
}

const RIVALS: &[&str] = &[REDIS, MEMCACHED];

const TARGETS: &[Target] = &[
    Target {
        text: "pipelines of 1000: at least 5 × redis-server and memcached",
        pipeline: 1000,
        against: RIVALS,
        figure: PER_SECOND,
        at_least: 5.0,
    },
    Target {
        text: "pipelines of 100: at least 2.3 × both",
        pipeline: 100,
        against: RIVALS,
        figure: PER_SECOND,
        at_least: 2.3,
    },
    Target {
        text: "pipelines of 100: at least 0.7 × the echo",
        pipeline: 100,
        against: &[ECHO],
        figure: PER_SECOND,
        at_least: 0.7,
    },
    Target {
        text: "one at a time: no slower than either",
        pipeline: 1,
        against: RIVALS,
        figure: PER_SECOND,
        at_least: 1.0,
    },
    Target {
        text: "pipelines of 100, per second of processor time: at least 5 × both",
        pipeline: 100,
        against: RIVALS,
        figure: PER_CPU_SECOND,
        at_least: 5.0,
    },
    Target {
        text: "pipelines of 1000, per second of processor time: at least 5 × both",
        pipeline: 1000,
        against: RIVALS,
        figure: PER_CPU_SECOND,
        at_least: 5.0,
    },
];

/// The middle sample, or the mean of the two in the middle.
fn median(samples: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(sorted[middle - 1], upper)
    })
}

/// How many processes of others want a core, over the last minute; `None` where the system does not tell.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

/// Three digits, and k or M.
fn rate(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 999_500.0 => (value / 1e6, " M"),
        value if value >= 999.5 => (value / 1e3, " k"),
        value => (value, ""),
    };
    let decimals = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}{unit}")
}

fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    // What this process may use is less once it is pinned.
    let cores = read("/proc/cpuinfo")
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .map_or(String::new(), |kilobytes| {
            format!(", {:.1} GiB of memory", kilobytes / f64::from(1 << 20))
        });
    let kernel = read("/proc/sys/kernel/osrelease");
    let versions: String = [
        ("redis-server", version("redis-server")),
        ("memcached", version("memcached")),
    ]
    .into_iter()
    .filter_map(|(name, version)| Some(format!(", {name} {}", version?)))
    .collect();
    format!(
        "{model}, {cores} cores{memory}, {} {}{versions}",
        std::env::consts::OS,
        kernel.trim()
    )
}

/// The first word of what the program says about its version that looks like one.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .map(|word| word.trim_start_matches("v="))
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
}

/// Puts the text between the markers of this bench; all around them stays as it is.
///
/// # Errors
/// When the page cannot be read or written, or when its markers are not a pair.
pub(crate) fn write_page(path: &Path, text: &str) -> io::Result<()> {
    let page = fs::read_to_string(path)?;
    let page = replace_section(&page, text)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    fs::write(path, page)
}

fn replace_section(page: &str, text: &str) -> Result<String, String> {
    const BEGIN: &str = "<!-- bench/daemon begin: written with --write -->";
    const END: &str = "<!-- bench/daemon end -->";
    let section = format!("{BEGIN}\n\n{}\n\n{END}", text.trim_end());
    match (page.find(BEGIN), page.find(END)) {
        (None, None) => Ok(format!("{}\n\n{section}\n", page.trim_end())),
        (Some(from), Some(to)) if from < to => {
            Ok([&page[..from], &section, &page[to + END.len()..]].concat())
        }
        _ => Err(format!(
            "it must hold `{BEGIN}` and `{END}` behind it, or neither"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET_100: Load = Load {
        operation: Operation::Get,
        pipeline: 100,
    };

    fn speed(per_second: f64) -> Speed {
        Speed {
            per_second,
            per_cpu_second: None,
        }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_within_rounds() {
        let mut results = Results::new(vec![OURS, REDIS]);
        for (ours, other) in [(10.0, 5.0), (90.0, 30.0), (8.0, 2.0)] {
            results.begin_round();
            results.add(REDIS, GET_100, speed(other));
            results.add(OURS, GET_100, speed(ours));
        }
        assert_eq!(results.ratio(REDIS, GET_100, PER_SECOND), Some(3.0));
        assert_eq!(results.median(OURS, GET_100, PER_SECOND), Some(10.0));
        assert_eq!(results.ratio(MEMCACHED, GET_100, PER_SECOND), None);
        assert_eq!(results.ratio(REDIS, GET_100, PER_CPU_SECOND), None);
    }

    #[test]
    fn a_target_is_judged_by_the_stronger_rival_and_the_slower_operation() {
        let verdict = |redis: f64, memcached: Option<f64>| {
            let mut results = Results::new(vec![OURS, REDIS, MEMCACHED]);
            results.begin_round();
            for operation in Operation::ALL {
                let load = Load {
                    operation,
                    pipeline: 100,
                };
                results.add(OURS, load, speed(230.0));
                results.add(
                    REDIS,
                    load,
                    speed(if operation == Operation::Set { redis } else { 1.0 }),
                );
                if let Some(memcached) = memcached {
                    results.add(MEMCACHED, load, speed(memcached));
                }
            }
            let row = results.judge(&TARGETS[1]);
            row.rsplit(" | ")
                .next()
                .map(|cell| cell.trim_end_matches(" |\n").to_owned())
        };
        assert_eq!(verdict(100.0, Some(100.0)).as_deref(), Some("reached"));
        assert_eq!(verdict(101.0, Some(10.0)).as_deref(), Some("**missed**"));
        assert_eq!(verdict(10.0, Some(101.0)).as_deref(), Some("**missed**"));
        assert_eq!(verdict(10.0, None).as_deref(), Some("not measured"));
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn rates_have_three_digits() {
        let shown = [7.0, 99.96, 12_345.0, 999_900.0, 2_345_678.0].map(rate);
        assert_eq!(shown, ["7.00", "100", "12.3 k", "1.00 M", "2.35 M"]);
    }

    #[test]
    fn a_section_is_replaced_and_all_around_it_stays() {
        let begun = replace_section("# Benchmarks\n", "one").expect("no markers");
        let page = format!("{begun}\n<!-- another -->\n");
        let replaced = replace_section(&page, "two\n").expect("both markers");
        assert_eq!(replaced, page.replace("one", "two"));
        assert!(replace_section(&begun.replace("bench/daemon end", ""), "two").is_err());
    }
}
