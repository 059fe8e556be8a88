//! TLS, as curl sees it; the certificate is made by openssl. Where one of them is not to be had, that is said.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::command;

fn run(program: &str, arguments: &[&str]) -> Option<std::process::Output> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()
}

/// Whether it says so, sooner or later.
fn says(output: &mut impl BufRead, part: &str) -> bool {
    output
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains(part))
}

#[test]
fn with_a_certificate_it_speaks_tls_and_nothing_else_and_takes_a_renewed_one() {
    if run("curl", &["--version"]).is_none() || run("openssl", &["version"]).is_none() {
        eprintln!("left out: curl or openssl is not installed");
        return;
    }
    let directory = std::env::temp_dir().join(format!("rustcache-tls-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let path = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
    let (certificate, key, other) = (path("cert.pem"), path("key.pem"), path("other.pem"));
    let make = |certificate: &str, key: &str| {
        let made = run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-out",
                certificate,
                "-keyout",
                key,
            ],
        );
        assert!(made.is_some_and(|made| made.status.success()));
    };
    make(&certificate, &key);
    make(&path("unused.pem"), &other);
    let mut child = command(&["--http-cert", &certificate, "--http-key", &key])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    stderr.read_line(&mut line).expect("a line");
    let url = line
        .trim_end()
        .strip_prefix("rustcache: serving ")
        .expect("where it is")
        .to_owned();
    assert!(url.starts_with("https://"), "{url}");
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<_> = version.split('=').collect();
        let livez = format!("{url}livez");
        let arguments = [&["-s", "--cacert", &certificate], &version[..], &[&*livez]].concat();
        let answer = run("curl", &arguments).expect("curl runs");
        assert_eq!(String::from_utf8_lossy(&answer.stdout), "ok\n");
    }
    // Renewed while it runs: until then, curl does not trust it.
    make(&path("new.pem"), &path("new-key.pem"));
    for (new, old) in [("new.pem", &certificate), ("new-key.pem", &key)] {
        fs::copy(path(new), old).expect("it is written");
    }
    let livez = format!("{url}livez");
    let retrying = [
        "-s",
        "--cacert",
        &certificate,
        "--retry",
        "30",
        "--retry-delay",
        "1",
        "--retry-all-errors",
    ];
    let answer = run("curl", &[&retrying[..], &[&*livez]].concat()).expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "ok\n");
    // What cannot be used is not taken.
    fs::write(&key, "none").expect("it is written");
    assert!(says(&mut stderr, "the one before is kept"));
    let answer = run("curl", &["-s", "--cacert", &certificate, &livez]).expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "ok\n");
    fs::copy(path("new-key.pem"), &key).expect("it is written");
    let untrusted = run("curl", &["-s", &format!("{url}livez")]).expect("curl runs");
    assert!(!untrusted.status.success());
    let plain = run("curl", &["-s", &url.replace("https", "http")]).expect("curl runs");
    assert!(plain.stdout.is_empty());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    for (arguments, part) in [
        (vec!["--http-cert", &certificate], "--http-key"),
        (vec!["--http-cert", &key, "--http-key", &key], "no certificate"),
        (
            vec!["--http-cert", &certificate, "--http-key", &other],
            "cannot be used",
        ),
        (vec!["--http-cert", "/nowhere", "--http-key", &key], "/nowhere"),
    ] {
        let output = command(&arguments).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(part), "{text}");
    }
    fs::remove_dir_all(directory).expect("it is ours");
}
