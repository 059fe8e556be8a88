//! `rustcache inspect`, as it is called from a shell, and what it has in common with `rustcache repair`: what they print, their exit codes, and that they
//! leave the files alone.

mod repair;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustcache::persist::{Store, StoreOptions};
use rustcache::{Cache, SetOptions, Tag};
use serde_json::Value;

use crate::support::*;

/// A directory of its own, removed with what is in it and beside it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rustcache-inspect-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Scratch(path)
    }

    fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(tag: Tag, ttl: Option<u64>) -> SetOptions {
    let options = match ttl {
        Some(seconds) => SetOptions::ttl(Duration::from_secs(seconds)),
        None => SetOptions::default(),
    };
    options.with_tag(tag)
}

fn store(directory: &Path) -> Store {
    Store::open(StoreOptions::new(directory), Cache::builder()).expect("it opens")
}

/// A snapshot of three entries, and a journal that changes one, removes one and adds one.
fn fill(directory: &Path) {
    let store = store(directory);
    for key in ["a", "b", "c"] {
        store
            .cache()
            .set(key, "old", options(Tag::TEXT, None))
            .expect("it fits");
    }
    store.snapshot().expect("it is written");
    store
        .cache()
        .set("a", "newer", options(Tag::JSON, None))
        .expect("it fits");
    store.cache().remove("b");
    store
        .cache()
        .set("t", "with a TTL", options(Tag(200), Some(3600)))
        .expect("it fits");
    store.commit().expect("it is written");
}

/// All files and their bytes, and when they were read last.
fn files(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(directory).expect("it can be read");
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.expect("it can be read").path();
        let accessed = path.metadata().expect("it is there").accessed().expect("known");
        let bytes = if path.is_file() {
            fs::read(&path).expect("it can be read")
        } else {
            Vec::new()
        };
        files.insert(path, (bytes, accessed));
    }
    files
}

fn bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files(directory).into_iter();
    files.map(|(path, (bytes, _))| (path, bytes)).collect()
}

/// The one file of the cache whose name begins so.
fn file(directory: &Path, prefix: &str) -> PathBuf {
    let mut found = bytes(directory).into_keys().filter(|path| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with(prefix)
    });
    found.next().expect("it is there")
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("it can be read");
    change(&mut bytes);
    fs::write(path, bytes).expect("it can be written");
}

fn call(task: &str, directory: &Path, flags: &[&str]) -> Output {
    let mut command = rustcache(&[task], &[]);
    command.arg(directory).args(flags).stdin(Stdio::null());
    command.output().expect("it ends by itself")
}

fn inspect(directory: &Path, flags: &[&str], code: i32) -> String {
    let output = call("inspect", directory, flags);
    assert_eq!(output.status.code(), Some(code), "{flags:?} {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn json(directory: &Path, code: i32) -> Value {
    serde_json::from_str(&inspect(directory, &["--json"], code)).expect("JSON")
}

#[test]
fn a_sound_directory_is_shown_with_what_a_start_would_give_and_left_as_it_is() {
    let scratch = Scratch::new();
    fill(&scratch.cache());
    // Reading the files here may change when they were read last; from then on it does not, if they were just read.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = fs::FileTimes::new().set_accessed(long_ago);
    let paths: Vec<PathBuf> = bytes(&scratch.cache()).into_keys().collect();
    let before = bytes(&scratch.cache());
    for path in &paths {
        let opened = fs::File::open(path).expect("it is there");
        opened.set_times(times).expect("it is ours");
    }
    let text = inspect(&scratch.cache(), &[], 0);
    for part in [
        ": sound",
        "snapshot-",
        "journal-",
        "3 entries",
        "3 records",
        "begun 20",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let found = json(&scratch.cache(), 0);
    assert_eq!((&found["sound"], &found["in_use"]), (&true.into(), &false.into()));
    assert_eq!(found["start"]["live"], 3, "{found}");
    assert_eq!(found["start"]["key_bytes"], 3);
    assert_eq!(
        found["start"]["value_bytes"],
        "newer".len() + "old".len() + "with a TTL".len()
    );
    inspect(&scratch.cache(), &["--keys"], 0);
    #[cfg(target_os = "linux")]
    for path in &paths {
        let accessed = path.metadata().expect("it is there").accessed().expect("known");
        assert_eq!(accessed, long_ago, "{} was read and shows it", path.display());
    }
    assert_eq!(bytes(&scratch.cache()), before);
}

#[test]
fn every_kind_of_damage_is_named_with_its_file_and_place_and_ends_with_7() {
    let scratch = Scratch::new();
    let remove = |path: &Path| fs::remove_file(path).expect("it is there");
    type Break<'b> = &'b dyn Fn(&Path);
    let cases: [(&str, &str, Break<'_>, &str); 8] = [
        (
            "record",
            "journal-",
            &|path| change(path, |bytes| bytes[40] ^= 1),
            "damaged at offset 32",
        ),
        (
            "header",
            "journal-",
            &|path| change(path, |bytes| bytes[20] ^= 1),
            "damaged at offset 0",
        ),
        (
            "block",
            "snapshot-",
            &|path| change(path, |bytes| bytes[50] ^= 1),
            "damaged at offset 32",
        ),
        (
            "cut",
            "snapshot-",
            &|path| change(path, |bytes| bytes.truncate(60)),
            "damaged at offset 32",
        ),
        (
            "almost empty",
            "snapshot-",
            &|path| change(path, |bytes| bytes.truncate(8)),
            "damaged at offset 0",
        ),
        ("no snapshot", "snapshot-", &remove, "is missing"),
        ("no journal", "journal-", &remove, "is missing"),
        (
            "foreign",
            "journal-",
            &|path| fs::write(path, [b'x'; 100]).expect("written"),
            "it is no Journal",
        ),
    ];
    for (what, prefix, damage, part) in cases {
        let directory = scratch.0.join(what);
        fill(&directory);
        let path = file(&directory, prefix);
        damage(&path);
        let before = bytes(&directory);
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = inspect(&directory, &[], 7);
        assert!(text.contains("damage was found"), "{what}: {text}");
        assert!(text.contains(part) && text.contains(&name), "{what}: {text}");
        let found = json(&directory, 7);
        assert_eq!(found["sound"], false, "{what}: {found}");
        let output = call("inspect", &directory, &["--keys"]);
        assert_eq!(output.status.code(), Some(7), "{what}");
        let warning = String::from_utf8(output.stderr).expect("text");
        assert!(warning.contains(&name), "{what}: {warning}");
        assert_eq!(bytes(&directory), before, "{what}");
    }
}

#[test]
fn what_a_crash_leaves_is_shown_and_is_no_damage() {
    let scratch = Scratch::new();
    let directory = scratch.cache();
    fill(&directory);
    change(&file(&directory, "journal-"), |bytes| {
        bytes.truncate(bytes.len() - 3);
    });
    fs::write(directory.join("snapshot-00000000000000000009.unfinished"), "half").expect("written");
    let old = file(&directory, "snapshot-");
    fs::copy(old, directory.join("snapshot-00000000000000000001")).expect("copied");
    fs::write(directory.join("torn-journal-00000000000000000001"), "old").expect("written");
    fs::write(directory.join("notes.txt"), "mine").expect("written");
    let text = inspect(&directory, &[], 0);
    for part in [
        "an unfinished write at offset",
        "not finished",
        "stale",
        "set aside",
        "notes.txt",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let found = json(&directory, 0);
    assert_eq!(found["foreign"][0]["name"], "notes.txt", "{found}");
    assert_eq!(found["set_aside"][0]["bytes"], 3, "{found}");
    assert_eq!(found["unfinished"][0]["bytes"], 4, "{found}");
    assert_eq!(found["start"]["live"], 2, "{found}");
}

#[test]
fn an_empty_directory_is_sound_and_a_missing_one_cannot_be_read() {
    let scratch = Scratch::new();
    let text = inspect(&scratch.0, &[], 0);
    assert!(text.contains("nothing of a cache"), "{text}");
    assert_eq!(json(&scratch.0, 0)["generations"], serde_json::json!([]));
    assert_eq!(inspect(&scratch.0, &["--keys"], 0), "");
    let file = scratch.0.join("file");
    fs::write(&file, "x").expect("written");
    for missing in [scratch.cache(), file] {
        for task in ["inspect", "repair"] {
            let output = call(task, &missing, &[]);
            let text = String::from_utf8(output.stderr).expect("text");
            assert_eq!(
                (output.status.code(), output.stdout.len()),
                (Some(1), 0),
                "{text}"
            );
            assert!(
                text.lines().count() == 1 && text.contains(&missing.display().to_string()),
                "{text}"
            );
        }
    }
    assert!(!scratch.cache().exists(), "looking makes nothing");
}

#[test]
fn a_directory_in_use_is_shown_with_the_pid_and_not_repaired() {
    let scratch = Scratch::new();
    let directory = scratch.cache();
    let path = directory.to_str().expect("text");
    let mut daemon = Daemon::greeted(Link::Pipes, &["--dir", path], &[]);
    daemon.ask(&set(b"k", b"v"));
    let pid = daemon.pid().as_raw_nonzero().get();
    let text = inspect(&directory, &[], 0);
    assert!(text.contains(&format!("in use by process {pid}")), "{text}");
    let found = json(&directory, 0);
    assert_eq!((&found["in_use"], &found["pid"]), (&true.into(), &pid.into()));
    assert_eq!(found["start"]["live"], 1, "{found}");

    let output = call("repair", &directory, &[]);
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains(&pid.to_string()) && text.contains(path), "{text}");
    assert!(!scratch.0.join("cache.repaired").exists());
    assert_eq!(daemon.ask(&get(b"k")).body, b"v", "the daemon did not notice");
    assert_eq!(daemon.finish().code, Some(0));
    assert_eq!(json(&directory, 0)["in_use"], false);
}

/// What `\\` and `\xNN` stand for.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
        } else if let Some(after) = after.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = after;
        } else {
            let digits = std::str::from_utf8(&after[1..3]).expect("digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
            rest = &after[3..];
        }
    }
    bytes
}

/// Those of the entries in the test below.
const TAGS: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 64, 71, 72];

#[test]
fn odd_keys_come_back_byte_for_byte_from_lines_and_from_json_coldest_first() {
    let scratch = Scratch::new();
    let keys: Vec<Vec<u8>> = [
        &b"plain"[..],
        b"tab\tnewline\ncarriage\r",
        b"\\x41",
        b"\"quoted\" 'too'",
        b"\x00\x01\x1b[2J\x7f",
        b"\xff\xfe\x80",
        b"half \xe2\x98",
        "Z\u{fc}rich \u{2603} \u{202e} \u{85} \u{feff}".as_bytes(),
        b" spaces ",
        &[b'k'; 60_000],
    ]
    .map(<[u8]>::to_vec)
    .into();
    let store = store(&scratch.cache());
    for (number, key) in keys.iter().enumerate() {
        let tag = Tag(TAGS[number]);
        let ttl = (number % 2 == 0).then_some(3600);
        let value = vec![7; number];
        store
            .cache()
            .set(key, &value, options(tag, ttl))
            .expect("it fits");
    }
    store.commit().expect("it is written");
    drop(store);

    let lines = inspect(&scratch.cache(), &["--keys"], 0);
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), keys.len());
    for (number, (line, key)) in lines.iter().zip(&keys).enumerate() {
        let [text, tag, bytes, left] = line[..] else {
            panic!("{line:?}")
        };
        assert_eq!(&unescaped(text), key, "{line:?}");
        assert_eq!(bytes, number.to_string());
        let names = [
            "bytes", "text", "json", "v8", "pickle", "msgpack", "tag 6", "wrapped", "wrapped", "tag 72",
        ];
        assert_eq!(tag, names[number], "{line:?}");
        assert_eq!(left == "never expires", number % 2 == 1, "{line:?}");
    }

    let lines = inspect(&scratch.cache(), &["--keys", "--json"], 0);
    assert_eq!(lines.lines().count(), keys.len());
    for (number, (line, key)) in lines.lines().zip(&keys).enumerate() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let found = match (&entry["key"], &entry["key_hex"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(hex)) => (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("digits"))
                .collect(),
            _ => panic!("{entry}"),
        };
        assert_eq!(&found, key, "{entry}");
        assert_eq!(
            (&entry["tag"], &entry["bytes"]),
            (&TAGS[number].into(), &number.into())
        );
        let left = entry["ttl_ms"].as_u64();
        assert!(left.map_or(number % 2 == 1, |left| left <= 3_600_000), "{entry}");
    }
}

#[test]
fn a_directory_whose_name_is_no_text_can_be_looked_into() {
    let scratch = Scratch::new();
    let name = std::ffi::OsString::from_vec(b"odd \xff \"name\"\n".to_vec());
    let directory = scratch.0.join(name);
    if fs::create_dir(&directory).is_err() {
        // Some systems have no such names.
        return;
    }
    fill(&directory);
    let found = json(&directory, 0);
    assert!(found["directory"].is_null(), "{found}");
    let hex = found["directory_hex"].as_str().expect("it is in hexadecimal");
    assert!(hex.ends_with("ff20226e616d65220a"), "{hex}");
    assert_eq!(found["start"]["live"], 3);
}

#[test]
fn help_documents_the_exit_codes_and_the_variables_of_serving_are_of_no_account() {
    for (task, part) in [
        ("inspect", "7  damage was found"),
        ("repair", "6  a daemon has the directory"),
    ] {
        let end = run(&[task, "--help"], &[], b"");
        let text = String::from_utf8(end.output).expect("text");
        assert!(end.code == Some(0) && text.contains(part), "{text}");
        let end = run(&[task], &[], b"");
        assert_eq!((end.code, end.log.lines().count()), (Some(2), 1), "{}", end.log);
        assert!(end.log.contains("<DIR>"), "{}", end.log);
    }
    let scratch = Scratch::new();
    let path = scratch.0.to_str().expect("text");
    let end = run(&["inspect", path], &[("RUSTCACHE_MAX_BYTES", "12xb")], b"");
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let scratch = Scratch::new();
    let store = store(&scratch.cache());
    for number in 0..50_000 {
        let key = format!("key {number}");
        store
            .cache()
            .set(key, "v", SetOptions::default())
            .expect("it fits");
    }
    store.commit().expect("it is written");
    drop(store);
    let mut command = rustcache(&["inspect"], &[]);
    command.arg(scratch.cache()).arg("--keys");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut some = [0; 5];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut some).expect("it was written");
    drop(stdout);
    assert_eq!(child.wait().expect("it ends by itself").code(), Some(0));
}
