//! The chart, as SVG text: a panel for each workload, hits in percent of OPT over the size of the cache, a line for each participant.

use std::fmt::Write as _;

use super::{Played, short};
use crate::contender::Participant;

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (300.0, 230.0);
/// Around the axes of a panel: left, top, right, bottom.
const AROUND: (f64, f64, f64, f64) = (40.0, 28.0, 14.0, 30.0);
const LEGEND: f64 = 26.0;
/// That a size takes below an axis.
const ROOM: f64 = 60.0;
/// Okabe and Ito (2008), which people who see fewer colours can tell apart as well; yellow is left out, since the ground is white.
const OURS: [&str; 4] = ["#D55E00", "#E69F00", "#CC79A7", "#000000"];
const THEIRS: [&str; 4] = ["#0072B2", "#009E73", "#56B4E9", "#777777"];

/// Colour, width and dashes of a participant's line: ours are whole, the others' are dashed.
fn style(all: &[Participant], who: usize) -> String {
    let is_ours = all[who].is_ours();
    let before = all[..who]
        .iter()
        .filter(|other| other.is_ours() == is_ours)
        .count();
    if is_ours {
        format!("stroke=\"{}\" stroke-width=\"2.2\"", OURS[before % OURS.len()])
    } else {
        format!(
            "stroke=\"{}\" stroke-width=\"1.6\" stroke-dasharray=\"6 3\"",
            THEIRS[before % THEIRS.len()]
        )
    }
}

pub(super) fn svg(played: &[Played], all: &[Participant]) -> String {
    let per_row = (PANEL.0 * COLUMNS as f64 / 190.0).floor().max(1.0) as usize;
    let legend = LEGEND * (1 + all.len().div_ceil(per_row)) as f64 + 10.0;
    let rows = played.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, legend + PANEL.1 * rows as f64);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>Hits in percent of OPT by size of the cache</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
    );
    for (who, participant) in all.iter().enumerate() {
        let (x, y) = (
            14.0 + 190.0 * (who % per_row) as f64,
            20.0 + LEGEND * (who / per_row) as f64,
        );
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" {}/><text x=\"{}\" y=\"{}\" fill=\"#222222\">{}</text>",
            x + 28.0,
            style(all, who),
            x + 34.0,
            y + 4.0,
            escaped(participant.name)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"14\" y=\"{}\" fill=\"#555555\">Hits in percent of OPT (upwards), by size of the cache (to the right, logarithmic)</text>",
        legend - 16.0
    );
    for (at, one) in played.iter().enumerate() {
        let origin = (
            PANEL.0 * (at % COLUMNS) as f64,
            legend + PANEL.1 * (at / COLUMNS) as f64,
        );
        panel(&mut out, one, all, origin);
    }
    out + "</svg>\n"
}

fn panel(out: &mut String, one: &Played, all: &[Participant], origin: (f64, f64)) {
    let (left, top) = (origin.0 + AROUND.0, origin.1 + AROUND.1);
    let (wide, high) = (PANEL.0 - AROUND.0 - AROUND.2, PANEL.1 - AROUND.1 - AROUND.3);
    let shares = || {
        one.points
            .iter()
            .flat_map(|point| (0..all.len()).map(|who| 100.0 * point.share(who)))
    };
    // Down to the mark below the lowest, so that lines use the room there is.
    let lowest = shares().fold(99.0, f64::min);
    let mark = if lowest >= 50.0 { 10.0 } else { 20.0 };
    let lowest = (lowest / mark).floor() * mark;
    let logs: Vec<f64> = one
        .points
        .iter()
        .map(|point| (point.size.max(1) as f64).ln())
        .collect();
    let (first, last) = logs
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &log| {
            (low.min(log), high.max(log))
        });
    let x = |log: f64| {
        left + if last > first {
            (log - first) / (last - first) * wide
        } else {
            wide / 2.0
        }
    };
    let y = |share: f64| top + (100.0 - share) / (100.0 - lowest) * high;
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\" fill=\"#222222\">{}</text>",
        top - 10.0,
        escaped(&one.name)
    );
    let marks = std::iter::successors(Some(lowest), |share| Some(share + mark));
    for share in marks.take_while(|&share| share <= 100.0) {
        let _ = writeln!(
            out,
            "<line x1=\"{left}\" y1=\"{0:.1}\" x2=\"{1:.1}\" y2=\"{0:.1}\" stroke=\"#dddddd\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\" fill=\"#555555\">{share:.0}</text>",
            y(share),
            left + wide,
            left - 5.0,
            y(share) + 4.0
        );
    }
    let mut free_from = f64::NEG_INFINITY;
    for (at, (point, &log)) in one.points.iter().zip(&logs).enumerate() {
        // The first and the last are always named, and those between that have room.
        let is_last = at + 1 == one.points.len();
        if at > 0 && !is_last && (x(log) < free_from || x(log) > left + wide - ROOM) {
            continue;
        }
        free_from = x(log) + if at == 0 { 1.5 * ROOM } else { ROOM };
        let anchor = match at {
            0 => "start",
            _ if is_last => "end",
            _ => "middle",
        };
        let unit = if at == 0 {
            if one.weighted { " bytes" } else { " entries" }
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\" fill=\"#555555\">{}{unit}</text>",
            x(log),
            top + high + 16.0,
            short(point.size)
        );
    }
    // Ours last, so that they lie on top.
    let order = (0..all.len())
        .filter(|&who| !all[who].is_ours())
        .chain((0..all.len()).filter(|&who| all[who].is_ours()));
    for who in order {
        let corners: Vec<String> = one
            .points
            .iter()
            .zip(&logs)
            .map(|(point, &log)| format!("{:.1},{:.1}", x(log), y(100.0 * point.share(who))))
            .collect();
        // A line of one point would not be seen.
        if let [only] = corners.as_slice() {
            let (x, y) = only.split_once(',').unwrap_or((only, only));
            let _ = writeln!(
                out,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"none\" {}/>",
                style(all, who)
            );
        }
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" {}/>",
            corners.join(" "),
            style(all, who)
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::Point;
    use super::*;
    use crate::contender::participants;

    #[test]
    fn every_participant_has_a_line_in_every_panel_and_names_are_escaped() {
        let all = participants();
        let played = |name: &str, sizes: &[u64]| Played {
            name: name.to_owned(),
            about: String::new(),
            requests: 100,
            distinct: 10,
            weighted: false,
            points: sizes
                .iter()
                .map(|&size| Point {
                    size,
                    opt: 50,
                    hits: vec![25; all.len()],
                })
                .collect(),
        };
        let text = svg(
            &[
                played("a<b", &[1, 10]),
                played("one size", &[5]),
                played("c", &[1, 2]),
                played("d", &[3]),
            ],
            &all,
        );
        assert_eq!(text.matches("<polyline").count(), 4 * all.len());
        assert!(text.contains("a&lt;b") && !text.contains("a<b"));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
