//! Processor time of processes, in the kernel and outside, as /proc has it.

use std::fs;

/// As Linux tells it to programs, on every machine that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that a process has spent; not a number where that cannot be told.
pub(crate) fn of(pid: u32) -> f64 {
    read(&format!("/proc/{pid}/stat"), 11)
}

/// Seconds that those children of this process have spent that have ended.
pub(crate) fn of_children() -> f64 {
    read("/proc/self/stat", 13)
}

fn read(path: &str, field: usize) -> f64 {
    let stat = fs::read_to_string(path).unwrap_or_default();
    ticks(&stat, field).map_or(f64::NAN, |ticks| ticks / TICKS_PER_SECOND)
}

/// The sum of two fields, counted from behind the name of the program, which may hold anything.
fn ticks(stat: &str, field: usize) -> Option<f64> {
    let fields = stat.rsplit_once(") ")?.1.split(' ');
    let mut fields = fields.skip(field).map(|field| field.parse::<f64>().ok());
    Some(fields.next()?? + fields.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual() {
        let stat = "7 (a) 9 (b c) S 1 7 7 0 -1 4194304 169 0 0 0 30 12 5 6 20 0 2 0 4481";
        assert_eq!((ticks(stat, 11), ticks(stat, 13)), (Some(42.0), Some(11.0)));
    }
}
