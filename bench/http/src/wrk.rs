//! wrk, and what it says.

use std::process::Command;
use std::time::Duration;

use crate::processor;
use crate::server::{Server, VALUE};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// A path.
    Get(&'static str),
    Put,
}

/// Of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of the server's processor time for each request.
    pub(crate) server_micros: f64,
    /// How much of one core wrk has taken: it has one thread.
    pub(crate) wrk_share: f64,
}

pub(crate) fn measure(
    server: &Server,
    load: Load,
    connections: u32,
    time: Duration,
) -> Result<Measured, String> {
    let mut command = Command::new("wrk");
    command
        .args(["--latency", "-t1", &format!("-c{connections}")])
        .arg(format!("-d{}s", time.as_secs().max(1)));
    let script = std::env::temp_dir().join(format!("bench-http-{}.lua", std::process::id()));
    let path = match load {
        Load::Get(path) => path,
        Load::Put => {
            let body = format!("{{\"key\":\"user:123\",\"value\":{VALUE},\"ttl\":3600}}");
            let lua = format!(
                "wrk.method = \"PUT\"\nwrk.body = '{body}'\nwrk.headers[\"Content-Type\"] = \"application/json\"\n"
            );
            std::fs::write(&script, lua).map_err(|error| format!("{}: {error}", script.display()))?;
            command.arg("-s").arg(&script);
            "/kv/insert"
        }
    };
    command.arg(format!("http://{}{path}", server.address()));
    let (server_before, wrk_before) = (server.cpu_seconds(), processor::of_children());
    let output = command
        .output()
        .map_err(|error| format!("wrk cannot be started ({error}): Debian has it as the package wrk"))?;
    // It may not have been written.
    let _ = std::fs::remove_file(&script);
    let (server_took, wrk_took) = (
        server.cpu_seconds() - server_before,
        processor::of_children() - wrk_before,
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let said = parse(&text).ok_or_else(|| format!("wrk said what cannot be read: {text}"))?;
    Ok(Measured {
        server_micros: server_took * 1e6 / said.requests,
        wrk_share: wrk_took / said.seconds,
        per_second: said.per_second,
        p50: said.p50,
        p99: said.p99,
    })
}

/// What wrk says; latencies in milliseconds.
#[derive(Debug)]
struct Said {
    per_second: f64,
    p50: f64,
    p99: f64,
    requests: f64,
    seconds: f64,
}

fn parse(text: &str) -> Option<Said> {
    let after = |name: &str| {
        let line = text
            .lines()
            .map(str::trim)
            .find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    if text.contains("Non-2xx") {
        return None;
    }
    // As in `10 requests in 1.00s, 1.0MB read`.
    let total = text.lines().find(|line| line.contains(" requests in "))?.trim();
    let (requests, rest) = total.split_once(" requests in ")?;
    let (seconds, _) = rest.split_once(',')?;
    Some(Said {
        requests: requests.parse().ok()?,
        seconds: millis(seconds)? / 1000.0,
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50: millis(&after("50%")?)?,
        p99: millis(&after("99%")?)?,
    })
}

fn millis(text: &str) -> Option<f64> {
    let at = text.find(|character: char| character.is_ascii_alphabetic())?;
    let number: f64 = text[..at].parse().ok()?;
    match &text[at..] {
        "us" => Some(number / 1000.0),
        "ms" => Some(number),
        "s" => Some(number * 1000.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let text = "Running 1s test @ http://127.0.0.1:1/\n  Latency Distribution\n     50%  812.00us\n     75%    1.00ms\n     99%    1.25s\n  10 requests in 1.00s, 1.00MB read\nRequests/sec:  76600.51\n";
        let measured = parse(text).expect("it can be read");
        assert_eq!(
            (measured.per_second, measured.p50, measured.p99),
            (76600.51, 0.812, 1250.0)
        );
        assert!(parse(&format!("{text}  Non-2xx or 3xx responses: 3\n")).is_none());
        assert!(parse("unable to connect").is_none());
    }
}
