//! `rustcache repair`, as it is called from a shell: where it writes, what it keeps, and that what it says to do next works.

use rustcache::protocol::command::Command as Request;

use super::*;

#[test]
fn after_a_repair_a_daemon_serves_what_was_kept_and_the_old_files_are_what_they_were() {
    let scratch = Scratch::new();
    let directory = scratch.cache();
    fill(&directory);
    // The overwrite of `a`: neither its new value nor its old one can be served.
    change(&file(&directory, "journal-"), |bytes| {
        let value = bytes.windows(5).position(|found| found == b"newer");
        bytes[value.expect("it was written")] ^= 1;
    });
    let damaged = bytes(&directory);
    let kept = inspect(&directory, &["--keys", "--json"], 7);
    let output = call("repair", &directory, &[]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(output.stderr.is_empty(), "nobody looks at a bar");
    let repaired = scratch.0.join("cache.repaired");
    for part in [
        "kept: 2 entries",
        "1 records",
        "damaged at offset ",
        "mv ",
        "cache.repaired",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let mut after = bytes(&directory);
    let lock = directory.join("lock");
    assert!(after.remove(&lock).is_some());
    let before: BTreeMap<_, _> = damaged.into_iter().filter(|(path, _)| *path != lock).collect();
    assert_eq!(after, before);

    inspect(&repaired, &[], 0);
    let entries = |lines: &str| -> Vec<(Value, Value, Value)> {
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines
            .map(|entry| (entry["key"].clone(), entry["tag"].clone(), entry["bytes"].clone()))
            .collect()
    };
    assert_eq!(
        entries(&inspect(&repaired, &["--keys", "--json"], 0)),
        entries(&kept)
    );

    let path = repaired.to_str().expect("text");
    let mut daemon = Daemon::greeted(Link::Pipes, &["--dir", path, "--recover", "strict"], &[]);
    for (key, value) in [
        (b"a", None),
        (b"b", None),
        (b"c", Some("old")),
        (b"t", Some("with a TTL")),
    ] {
        let answer = daemon.ask(&get(key));
        let found = (answer.status.name() == "OK").then(|| String::from_utf8(answer.body).expect("text"));
        assert_eq!(found.as_deref(), value, "{}", String::from_utf8_lossy(key));
    }
    let left = daemon.ask(&Request::TimeLeft { key: b"t" }).body;
    let left = u64::from_le_bytes(left.try_into().expect("eight bytes"));
    assert!(left <= 3_600_000, "{left}");
}

#[test]
fn a_repair_goes_where_it_is_told_and_never_over_something() {
    let scratch = Scratch::new();
    let directory = scratch.cache();
    fill(&directory);
    let elsewhere = scratch.0.join("else where");
    let to = elsewhere.to_str().expect("text");
    let output = call("repair", &directory, &["--to", to]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("no damage was found"), "{text}");
    assert!(
        text.contains(&format!("mv '{to}' ")),
        "a command that works: {text}"
    );
    assert_eq!(json(&elsewhere, 0)["start"], json(&directory, 0)["start"]);
    let output = call("repair", &directory, &["--to", to]);
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(to) && text.contains("--to"), "{text}");
}

#[test]
fn the_commands_that_a_repair_prints_put_the_new_directory_in_the_place_of_the_old_one() {
    let scratch = Scratch::new();
    let directory = scratch.0.join("it's a cache");
    fill(&directory);
    change(&file(&directory, "journal-"), |bytes| bytes[55] ^= 1);
    let damaged = fs::read(file(&directory, "journal-")).expect("it is there");
    let output = call("repair", &directory, &[]);
    let text = String::from_utf8(output.stdout).expect("text");
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("  mv ")).collect();
    assert_eq!(commands.len(), 2, "{text}");
    let status = std::process::Command::new("sh")
        .args(["-c", &commands.join("\n")])
        .status();
    assert!(status.expect("there is a shell").success());
    inspect(&directory, &[], 0);
    let old = scratch.0.join("it's a cache.damaged");
    assert_eq!(fs::read(file(&old, "journal-")).expect("it is there"), damaged);
}
