//! wrk, and what it says.

use std::process::Command;
use std::time::Duration;

use crate::server::VALUE;

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
}

pub(crate) fn measure(
    address: &str,
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
    let output = command
        .arg(format!("http://{address}{path}"))
        .output()
        .map_err(|error| format!("wrk cannot be started ({error}): Debian has it as the package wrk"))?;
    // It may not have been written.
    let _ = std::fs::remove_file(&script);
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| format!("wrk said what cannot be read: {text}"))
}

fn parse(text: &str) -> Option<Measured> {
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
    Some(Measured {
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
        let text = "Running 1s test @ http://127.0.0.1:1/\n  Latency Distribution\n     50%  812.00us\n     75%    1.00ms\n     99%    1.25s\n  10 requests in 1.00s\nRequests/sec:  76600.51\n";
        let measured = parse(text).expect("it can be read");
        assert_eq!(
            (measured.per_second, measured.p50, measured.p99),
            (76600.51, 0.812, 1250.0)
        );
        assert!(parse(&format!("{text}  Non-2xx or 3xx responses: 3\n")).is_none());
        assert!(parse("unable to connect").is_none());
    }
}
