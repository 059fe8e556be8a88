//! What the system says of a process, and measuring in a process of its own: memory that another participant gave back, or did not,
//! must not show in anybody's figures.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What a child found, by name.
pub(crate) type Findings = BTreeMap<String, f64>;

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64, String> {
    let path = "/proc/self/status";
    let status =
        fs::read_to_string(path).map_err(|error| format!("{path}: {error}: memory is measured on Linux"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| format!("{path} has no line \"VmRSS: … kB\""))
}

/// Processor time of all threads of this process.
pub(crate) fn process_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// Processor time of this thread.
pub(crate) fn thread_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Has the kernel give this process and its children small pages alone, as the daemon asks it to. With huge ones, memory that an allocator never
/// touched is resident, and a page fault takes 5 to 10 ms now and then, whatever cache it happens to.
pub(crate) fn without_huge_pages() -> Result<(), String> {
    rustix::thread::disable_transparent_huge_pages(true)
        .map_err(|error| format!("disabling transparent huge pages: {error}"))
}

/// Runs this program once more, as `child ARGUMENTS…`, and reads what it found.
pub(crate) fn child(arguments: &[String]) -> Result<Findings, String> {
    let this = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let output = Command::new(this)
        .arg("child")
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("starting a process: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "`child {}` ended with {}",
            arguments.join(" "),
            output.status
        ));
    }
    let mut findings = Findings::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (name, number) = line
            .rsplit_once(' ')
            .and_then(|(name, number)| Some((name, number.parse().ok()?)))
            .ok_or_else(|| {
                format!(
                    "`child {}` printed {line:?}, which is no name and number",
                    arguments.join(" ")
                )
            })?;
        findings.insert(name.to_owned(), number);
    }
    Ok(findings)
}

/// What a child ends with.
pub(crate) fn tell(findings: &Findings) -> Result<(), String> {
    let mut out = io::stdout().lock();
    for (name, number) in findings {
        writeln!(out, "{name} {number}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The medians of several children's findings, name by name.
pub(crate) fn medians(rounds: &[Findings]) -> Findings {
    let names: std::collections::BTreeSet<_> = rounds.iter().flat_map(BTreeMap::keys).collect();
    names
        .into_iter()
        .map(|name| {
            let samples = rounds.iter().filter_map(|round| round.get(name)).copied();
            (name.clone(), crate::report::median(samples.collect()))
        })
        .collect()
}
