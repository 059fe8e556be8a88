//! How the counts of a cache look to people: as one line, and as a table for notebooks. All that is shown are numbers and names of this file: there is nothing in it that would have to be escaped.

use rustcache::Stats;

/// What a cache was told not to exceed, and what it measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    pub(crate) items: Option<u64>,
    pub(crate) weight: Option<u64>,
    pub(crate) measure: Measure,
}

/// What the weight of an entry is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    Nothing,
    Bytes,
    /// Whatever a weigher counts.
    Other,
}

/// What was counted beside reads, by the names of the attributes.
pub(crate) fn events(stats: &Stats) -> [(&'static str, u64); 8] {
    [
        ("items_with_deadline", stats.items_with_deadline),
        ("inserts", stats.inserts),
        ("updates", stats.updates),
        ("removals", stats.removals),
        ("evictions_by_items", stats.evictions_by_items),
        ("evictions_by_weight", stats.evictions_by_bytes),
        ("expirations", stats.expirations),
        ("refused", stats.refused),
    ]
}

/// Those that say something: what is 0 is left out.
pub(crate) fn line(stats: &Stats, limits: Limits) -> String {
    let mut parts = vec![
        format!("hit_ratio={:.3}", stats.hit_ratio()),
        format!("hits={}", stats.hits),
        format!("misses={}", stats.misses),
    ];
    parts.extend(held(stats, limits).map(|(name, text)| format!("{name}={text}")));
    let told = events(stats).into_iter().filter(|&(_, count)| count > 0);
    parts.extend(told.map(|(name, count)| format!("{name}={count}")));
    format!("Stats({})", parts.join(", "))
}

/// All of them.
pub(crate) fn table(stats: &Stats, limits: Limits) -> String {
    let ratio = format!("{:.1} %", 100.0 * stats.hit_ratio());
    let reads = [
        ("hit ratio", ratio),
        ("hits", stats.hits.to_string()),
        ("misses", stats.misses.to_string()),
    ];
    let events = events(stats).map(|(name, count)| (name, count.to_string()));
    let rows = reads.into_iter().chain(held(stats, limits)).chain(events);
    let rows: String = rows
        .map(|(name, text)| format!("<tr><th>{}</th><td>{text}</td></tr>", name.replace('_', " ")))
        .collect();
    format!("<table>{rows}</table>")
}

/// What is held, and of how much that is.
fn held(stats: &Stats, limits: Limits) -> impl Iterator<Item = (&'static str, String)> {
    let of = |held: String, limit: Option<String>| match limit {
        Some(limit) => format!("{held} of {limit}"),
        None => held,
    };
    let number = |number: u64| number.to_string();
    let items = of(number(stats.items), limits.items.map(number));
    let weight = match limits.measure {
        Measure::Nothing => None,
        Measure::Bytes => Some(("bytes", of(bytes(stats.bytes), limits.weight.map(bytes)))),
        Measure::Other => Some(("weight", of(number(stats.bytes), limits.weight.map(number)))),
    };
    std::iter::once(("items", items)).chain(weight)
}

/// With three digits that count.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn bytes(count: u64) -> String {
    let mut amount = count as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        // What would be rounded to 1024.
        if amount < 1023.5 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    let digits = match amount {
        _ if unit == "B" => 0,
        ..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    format!("{amount:.digits$} {unit}")
}
