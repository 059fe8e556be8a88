//! Markdown: the heading that says where and how, tables, targets with their verdicts, and the section of docs/benchmarks.md that
//! `--write` replaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::contender::participants;

/// The versions that this program was built with.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// What was asked of the project, and what came of it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// What was measured, for people, and whether that is enough; `None` when this run did not measure it.
    pub(crate) found: Option<(String, bool)>,
}

impl Target {
    /// With a number, if there is one.
    pub(crate) fn judged(
        name: impl Into<String>,
        value: Option<f64>,
        show: impl Fn(f64) -> String,
        holds: impl Fn(f64) -> bool,
    ) -> Self {
        Target {
            name: name.into(),
            found: value
                .filter(|value| !value.is_nan())
                .map(|value| (show(value), holds(value))),
        }
    }
}

pub(crate) fn target_table(targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        let (measured, verdict) = match &target.found {
            None => ("–".to_owned(), "not measured"),
            Some((shown, true)) => (shown.clone(), "reached"),
            Some((shown, false)) => (shown.clone(), "**missed**"),
        };
        vec![target.name.clone(), measured, verdict.to_owned()]
    });
    table(&["target", "measured", "verdict"], rows)
}

/// A table whose first column is text, and whose others are numbers.
pub(crate) fn table<T: AsRef<str>>(head: &[T], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut all: Vec<Vec<String>> = vec![head.iter().map(|cell| cell.as_ref().to_owned()).collect()];
    all.extend(rows);
    let columns = head.len();
    let width = |column: usize| {
        let widths = all.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &[String]| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                let room = " ".repeat(width - cell.chars().count());
                if column == 0 {
                    format!("{cell}{room}")
                } else {
                    format!("{room}{cell}")
                }
            });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(column, width)| {
        if column == 0 {
            "-".repeat(width + 2)
        } else {
            format!("{}:", "-".repeat(width + 1))
        }
    });
    let rule = format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
    let mut text = line(&all[0]) + &rule;
    text.extend(all[1..].iter().map(|row| line(row)));
    text + "\n"
}

/// The middle one, or the mean of the two in the middle; NaN of nothing.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    match samples.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => samples[len / 2],
        len => f64::midpoint(samples[len / 2 - 1], samples[len / 2]),
    }
}

pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "–".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Operations per second: 1234567 → `1.23 M`.
pub(crate) fn rate(value: f64) -> String {
    match value {
        _ if value.is_nan() => "–".to_owned(),
        _ if value >= 1e6 => format!("{} M", digits(value / 1e6)),
        _ => format!("{} k", digits(value / 1e3)),
    }
}

/// Nanoseconds, for people.
pub(crate) fn nanos(value: f64) -> String {
    match value {
        _ if value.is_nan() => "–".to_owned(),
        _ if value < 1e3 => format!("{value:.0} ns"),
        _ if value < 1e6 => format!("{} µs", digits(value / 1e3)),
        _ if value < 1e9 => format!("{} ms", digits(value / 1e6)),
        _ => format!("{} s", digits(value / 1e9)),
    }
}

pub(crate) fn times(value: f64) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else {
        format!("{} ×", digits(value))
    }
}

/// A count with its unit: 10000000 → `10 M`.
pub(crate) fn count(value: u64) -> String {
    match value {
        1_000_000.. if value.is_multiple_of(100_000) => format!("{} M", value as f64 / 1e6),
        1_000.. if value.is_multiple_of(100) => format!("{} k", value as f64 / 1e3),
        _ => value.to_string(),
    }
}

/// What a section begins with.
pub(crate) fn heading(title: &str, quick: bool) -> String {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--write")
        .collect();
    let mut text = format!(
        "## Engine: {title}\n\n- Command: `cargo run --release -p rustcache-bench-engine -- {}`\n- Date: {}\n- Machine: {}\n- Participants: {}; mimalloc is the allocator of all, ahash the hash of all, huge pages are disabled for all\n",
        arguments.join(" "),
        date(),
        machine(),
        versions(),
    );
    if quick {
        text += "- A quick run: its figures show that everything runs, and nothing else.\n";
    }
    text + "\n"
}

/// Each rival with the version in Cargo.lock.
fn versions() -> String {
    let mut shown: Vec<String> = vec!["rustcache (this checkout)".to_owned()];
    for package in participants()
        .iter()
        .filter_map(|participant| participant.package)
    {
        let version = LOCK
            .split("[[package]]")
            .find(|block| block.contains(&format!("\nname = \"{package}\"\n")))
            .and_then(|block| block.split("\nversion = \"").nth(1)?.split('"').next())
            .unwrap_or("of an unknown version");
        let text = format!("{package} {version}");
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    shown.join(", ")
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(
            || "unknown".to_owned(),
            |kib| format!("{:.1} GiB", kib / f64::from(1 << 20)),
        );
    let kernel = read("/proc/sys/kernel/osrelease");
    let rustc = Command::new("rustc")
        .arg("--version")
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map_or_else(String::new, |output| {
            let text = String::from_utf8_lossy(&output.stdout);
            let version: Vec<_> = text.split_whitespace().take(2).collect();
            format!(", {}", version.join(" "))
        });
    format!(
        "{model}, {cores} cores, {memory} of memory, {} {}{rustc}",
        std::env::consts::OS,
        kernel.trim()
    )
}

/// Today in UTC, as `2026-01-31`: `civil_from_days` (Hinnant 2013).
fn date() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + 400 * era + u64::from(month <= 2), month, day)
}

/// A file of the documentation, from wherever this runs.
pub(crate) fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(file)
}

/// Puts `text` between the markers of that name in docs/benchmarks.md; all around them stays as it is.
pub(crate) fn write_section(name: &str, text: &str) -> Result<(), String> {
    let path = docs("benchmarks.md");
    let named = |error| format!("{}: {error}", path.display());
    let page = fs::read_to_string(&path).map_err(named)?;
    let next = with_section(&page, name, text).map_err(|error| format!("{}: {error}", path.display()))?;
    fs::write(&path, next).map_err(named)
}

fn with_section(page: &str, name: &str, text: &str) -> Result<String, String> {
    let begin = format!("<!-- {name} begin: written with --write -->");
    let end = format!("<!-- {name} end -->");
    let section = format!("{begin}\n\n{}\n\n{end}", text.trim_end());
    let Some(from) = page.find(&begin) else {
        return Ok(format!("{}\n\n{section}\n", page.trim_end()));
    };
    let to = page[from..]
        .find(&end)
        .map(|to| from + to + end.len())
        .ok_or_else(|| {
            format!("it holds {begin:?} without {end:?} behind it: put the second one where the section ends")
        })?;
    Ok(format!("{}{section}{}", &page[..from], &page[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_once_and_replaced_after_that() {
        let page = with_section("# Page\n\ntext\n", "a", "one").expect("no marker is torn");
        let page = with_section(&page, "b", "two").expect("no marker is torn");
        let page = with_section(&page, "a", "three").expect("no marker is torn");
        assert_eq!(
            page,
            "# Page\n\ntext\n\n<!-- a begin: written with --write -->\n\nthree\n\n<!-- a end -->\n\n<!-- b begin: written with --write -->\n\ntwo\n\n<!-- b end -->\n"
        );
        assert!(with_section(&page.replace("<!-- a end -->", ""), "a", "four").is_err());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
        assert_eq!(civil(20_453), (2025, 12, 31));
    }

    #[test]
    fn tables_line_up_and_every_rival_has_its_version() {
        let text = table(&["", "µs"], [vec!["a".to_owned(), "1".to_owned()]]);
        assert_eq!(text, "|     |  µs |\n|-----|----:|\n| a   |   1 |\n\n");
        assert!(!versions().contains("unknown"), "{}", versions());
    }
}
