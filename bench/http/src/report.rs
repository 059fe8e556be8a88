//! What was measured, as text of docs/benchmarks.md; `--write` puts it there. It measures nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::wrk::Measured;
use crate::{CONSTANT, FASTAPI_GET};

const BEGIN: &str = "<!-- bench/http begin: written with --write -->";
const END: &str = "<!-- bench/http end -->";

/// All rounds of all contenders, by name.
pub(crate) type Rounds = BTreeMap<&'static str, Vec<Measured>>;

/// One of ours beside another, and what of it is wanted, where something is.
pub(crate) struct Pair {
    pub(crate) ours: &'static str,
    pub(crate) other: &'static str,
    /// At least so many times the requests.
    pub(crate) requests: f64,
    /// At most so much of the other's p99.
    pub(crate) p99: Option<f64>,
}

/// The one in the middle.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Of the rounds, each against its own: what else the machine does is in both.
fn ratio(measured: &Rounds, pair: &Pair, number: fn(&Measured) -> f64) -> f64 {
    let (one, other) = (measured.get(pair.ours), measured.get(pair.other));
    let pairs = one.into_iter().flatten().zip(other.into_iter().flatten());
    median(pairs.map(|(one, other)| number(one) / number(other)).collect())
}

/// The section, without its markers.
pub(crate) fn section(
    names: &[&'static str],
    measured: &Rounds,
    pairs: &[Pair],
    about: &str,
) -> Result<String, std::fmt::Error> {
    let of = |name: &str, number: fn(&Measured) -> f64| {
        let all = measured.get(name).into_iter().flatten();
        median(all.map(number).collect())
    };
    let mut text = format!("## HTTP: requests per second\n\n{about}\n\n");
    text += "| | requests/s | p50 | p99 | server's processor time per request | wrk's share of a core |\n|---|---:|---:|---:|---:|---:|\n";
    for name in names {
        writeln!(
            text,
            "| {name} | {:.0} | {:.2} ms | {:.2} ms | {:.1} µs | {:.0} % |",
            of(name, |one| one.per_second),
            of(name, |one| one.p50),
            of(name, |one| one.p99),
            of(name, |one| one.server_micros),
            of(name, |one| one.wrk_share) * 100.0,
        )?;
    }
    text += "\n### Targets\n\nMedians of the rounds' ratios. wrk takes its share of the cores that the server would use, and can ask for no more than its one thread can: the last column, requests per second of the server's processor time, has no such bound.\n\n";
    text += "| | wanted | requests/s | p99 | verdict | of processor time |\n|---|---|---:|---:|---|---:|\n";
    for pair in pairs.iter().filter(|pair| measured.contains_key(pair.other)) {
        let requests = ratio(measured, pair, |one| one.per_second);
        let p99 = ratio(measured, pair, |one| one.p99);
        let of_time = 1.0 / ratio(measured, pair, |one| one.server_micros);
        let wanted = pair
            .p99
            .map_or(String::new(), |p99| format!(", p99 ≤ {p99:.2} ×"));
        let is_met = requests >= pair.requests && pair.p99.is_none_or(|most| p99 <= most);
        writeln!(
            text,
            "| {} ÷ {} | ≥ {} ×{wanted} | {requests:.2} × | {p99:.3} × | {} | {of_time:.2} × |",
            pair.ours,
            pair.other,
            pair.requests,
            if is_met { "met" } else { "**missed**" },
        )?;
    }
    let bound = Pair {
        ours: CONSTANT,
        other: FASTAPI_GET,
        requests: 0.0,
        p99: None,
    };
    if measured.contains_key(bound.other) {
        let requests = ratio(measured, &bound, |one| one.per_second);
        let of_time = 1.0 / ratio(measured, &bound, |one| one.server_micros);
        writeln!(
            text,
            "\nThe constant itself has {requests:.2} × the requests of FastAPI's GET, and {of_time:.2} × of processor time: what is beyond that is beyond the kernel and the HTTP library on this machine, whatever is answered."
        )?;
    }
    Ok(text)
}

/// Date, machine and load, as a list.
pub(crate) fn circumstances(command: &str) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let load = read("/proc/loadavg");
    format!(
        "- Command: `{command}`\n- Date: {}\n- Machine: {}, {cores} cores, {} {}\n- Load average before: {}",
        date.split('T').next().unwrap_or_default(),
        model.map_or("unknown processor", |(_, model)| model),
        std::env::consts::OS,
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}

/// Puts the section between its markers, or at the end of the page.
pub(crate) fn write_page(path: &Path, section: &str) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let page = fs::read_to_string(path).map_err(said)?;
    let page = replaced(&page, section).ok_or_else(|| {
        format!(
            "{}: it must hold `{BEGIN}` and `{END}` behind it, or neither",
            path.display()
        )
    })?;
    fs::write(path, page).map_err(said)
}

fn replaced(page: &str, section: &str) -> Option<String> {
    let section = format!("{BEGIN}\n\n{}\n\n{END}", section.trim_end());
    match (page.split_once(BEGIN), page.split_once(END)) {
        (None, None) => Some(format!("{}\n\n{section}\n", page.trim_end())),
        (Some((before, rest)), Some((_, after))) if rest.contains(END) => {
            Some([before, &section, after].concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_once_and_replaced_after_that() {
        let page = replaced("# Page\n", "one").expect("there is none yet");
        let page = replaced(&page, "two").expect("there is one");
        assert_eq!(page, format!("# Page\n\n{BEGIN}\n\ntwo\n\n{END}\n"));
        assert_eq!(replaced(BEGIN, "three"), None);
    }

    #[test]
    fn ratios_are_of_the_same_round_and_a_target_that_is_missed_is_said_to_be() {
        let one = |per_second| Measured {
            per_second,
            p50: 1.0,
            p99: 1.0,
            server_micros: 1.0,
            wrk_share: 1.0,
        };
        let measured = Rounds::from([
            ("a", vec![one(10.0), one(20.0), one(30.0)]),
            ("b", vec![one(1.0), one(2.0), one(1.0)]),
        ]);
        let pair = |requests| Pair {
            ours: "a",
            other: "b",
            requests,
            p99: None,
        };
        let text = section(&["a", "b"], &measured, &[pair(10.0)], "").expect("text");
        assert!(text.contains("| 10.00 × |") && text.contains("met"), "{text}");
        let text = section(&["a", "b"], &measured, &[pair(11.0)], "").expect("text");
        assert!(text.contains("missed"), "{text}");
    }
}
