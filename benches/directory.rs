//! How fast a directory is written and read, beside what the disk itself does and beside redis-server with an append-only file:
//! `cargo bench --bench directory` (`-- --quick`: tiny, once; shows that it runs). Prints Markdown. Nothing here is a test.

mod support;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::time::Instant;

use rustcache::persist::{Store, StoreOptions, Sync};
use rustcache::{Builder, Cache, SetOptions};
use support::{Redis, Samples, key, value};

/// Reads of a cold disk differ from each other by more than anything here; five rounds and medians even that out.
const ROUNDS: usize = 5;

/// Seconds, unless the name says bytes.
#[derive(Default)]
struct Measured {
    dd: Samples,
    snapshot: Samples,
    snapshot_bytes: f64,
    cat_cold: Samples,
    open_cold: Samples,
    cat_warm: Samples,
    open_warm: Samples,
    daemon_warm: Samples,
    fill: Samples,
    fill_in_memory: Samples,
    journal_bytes: f64,
    journal_warm: Samples,
    redis_warm: Samples,
    redis_bytes: f64,
}

fn builder() -> Builder {
    Cache::builder().shards(1)
}

fn options(directory: &Path) -> StoreOptions {
    StoreOptions {
        sync: Sync::EverySecond,
        snapshot_after: u64::MAX,
        ..StoreOptions::new(directory)
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let began = Instant::now();
    let result = work();
    (began.elapsed().as_secs_f64(), result)
}

fn fill(cache: &Cache, entries: u64, mut after: impl FnMut()) {
    for number in 0..entries {
        cache
            .set(key(number), value(number), SetOptions::default())
            .expect("it fits");
        if number % 1000 == 999 {
            after();
        }
    }
    after();
}

/// The file of that kind in a directory, and its length.
fn file(directory: &Path, kind: &str) -> io::Result<(PathBuf, u64)> {
    let mut largest = (PathBuf::new(), 0);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(kind) && entry.metadata()?.len() >= largest.1 {
            largest = (entry.path(), entry.metadata()?.len());
        }
    }
    Ok(largest)
}

fn sync_all() {
    let _ = Command::new("sync").status();
}

/// Whether the page cache could be emptied: only root may.
fn drop_page_cache() -> bool {
    sync_all();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn dd(directory: &Path, bytes: u64) -> io::Result<f64> {
    let path = directory.join("dd");
    let (seconds, status) = timed(|| {
        Command::new("dd")
            .arg("if=/dev/zero")
            .arg(format!("of={}", path.display()))
            .arg("bs=64k")
            .arg(format!("count={}", bytes.div_ceil(64 << 10)))
            .arg("conv=fsync")
            .stderr(Stdio::null())
            .status()
    });
    fs::remove_file(&path)?;
    status.map(|_| seconds)
}

fn cat(path: &Path) -> io::Result<f64> {
    let (seconds, status) = timed(|| Command::new("cat").arg(path).stdout(Stdio::null()).status());
    status.map(|_| seconds)
}

/// From the start of the daemon to its first reply.
fn daemon(directory: &Path) -> io::Result<f64> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rustcache"))
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut get = [0; 128];
    get[..21].copy_from_slice(&[b"G".as_slice(), &key(0)].concat());
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&get)?;
    let mut reply = [0; 65];
    io::Read::read_exact(&mut child.stdout.take().expect("a pipe"), &mut reply)?;
    let seconds = began.elapsed().as_secs_f64();
    // Killed: its end is not what is measured, and it would write a snapshot.
    child.kill()?;
    child.wait()?;
    Ok(seconds)
}

fn round(root: &Path, entries: u64, measured: &mut Measured) -> io::Result<()> {
    let directory = root.join("data");
    let open = || Store::open(options(&directory), builder()).map_err(io::Error::other);

    let in_memory = builder().build().map_err(io::Error::other)?;
    measured
        .fill_in_memory
        .add(timed(|| fill(&in_memory, entries, || {})).0);
    drop(in_memory);

    let store = open()?;
    let (seconds, ()) = timed(|| {
        fill(store.cache(), entries, || {
            store.commit().expect("the disk takes it");
        });
    });
    measured.fill.add(seconds);
    measured.journal_bytes = file(&directory, "journal")?.1 as f64;
    sync_all();

    // What a crash leaves: the journal alone.
    let left = root.join("left");
    fs::create_dir(&left)?;
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        fs::copy(entry.path(), left.join(entry.file_name()))?;
    }

    sync_all();
    let (told, durable) = channel();
    let (seconds, written) = timed(|| {
        store.request_snapshot(move |written| told.send(written).expect("it is awaited"));
        durable.recv().map_err(io::Error::other)
    });
    written?.map_err(|failure| io::Error::other(failure.to_string()))?;
    measured.snapshot.add(seconds);
    drop(store);
    let (snapshot, bytes) = file(&directory, "snapshot")?;
    measured.snapshot_bytes = bytes as f64;
    sync_all();
    measured.dd.add(dd(root, bytes)?);

    if drop_page_cache() {
        measured.cat_cold.add(cat(&snapshot)?);
        drop_page_cache();
        let (seconds, store) = timed(open);
        assert_eq!(store?.cache().len(), entries, "everything is there");
        measured.open_cold.add(seconds);
    }
    measured.cat_warm.add(cat(&snapshot)?);
    let (seconds, store) = timed(open);
    assert_eq!(store?.cache().len(), entries, "everything is there");
    measured.open_warm.add(seconds);
    measured.daemon_warm.add(daemon(&directory)?);

    let (seconds, store) = timed(|| Store::open(options(&left), builder()).map_err(io::Error::other));
    assert_eq!(store?.cache().len(), entries, "everything is there");
    measured.journal_warm.add(seconds);
    fs::remove_dir_all(&left)?;
    fs::remove_dir_all(&directory)?;

    if let Some(mut redis) = Redis::start(&root.join("redis"))? {
        redis.fill(entries)?;
        redis.rewrite()?;
        measured.redis_bytes = redis.stop()? as f64;
        sync_all();
        let (seconds, redis) = timed(|| Redis::start(&root.join("redis")));
        measured.redis_warm.add(seconds);
        let mut redis = redis?.expect("it started before");
        assert_eq!(redis.size()?, entries, "everything is there");
        redis.stop()?;
        fs::remove_dir_all(root.join("redis"))?;
    }
    Ok(())
}

fn report(measured: &Measured, entries: u64, quick: bool) {
    let mut out = io::stdout().lock();
    let mut line = |cells: &[&str]| {
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    };
    let rate = |samples: &Samples, bytes: f64| format!("{:.0} MB/s", bytes / samples.median() / 1e6);
    let time = |samples: &Samples| {
        if samples.is_empty() {
            "–".to_owned()
        } else {
            format!("{:.3} s", samples.median())
        }
    };
    let per_entry = |bytes: f64| format!("{:.1}", bytes / entries as f64);
    let bytes = measured.snapshot_bytes;
    line(&[
        &format!("{entries} entries of 20 + 56 bytes"),
        "time",
        "bytes",
        "rate",
    ]);
    line(&["---", "---:", "---:", "---:"]);
    for (name, samples, bytes) in [
        (
            "`dd` with fsync, as many bytes as the snapshot",
            &measured.dd,
            bytes,
        ),
        ("snapshot", &measured.snapshot, bytes),
        (
            "`cat` of the snapshot, nothing in the page cache",
            &measured.cat_cold,
            bytes,
        ),
        ("opening the directory, the same", &measured.open_cold, bytes),
        (
            "`cat` of the snapshot, all in the page cache",
            &measured.cat_warm,
            bytes,
        ),
        ("opening the directory, the same", &measured.open_warm, bytes),
        (
            "daemon: start to first reply, the same",
            &measured.daemon_warm,
            bytes,
        ),
        (
            "opening it with nothing but the journal, the same",
            &measured.journal_warm,
            measured.journal_bytes,
        ),
        (
            "redis-server, append-only file: start to first reply, the same",
            &measured.redis_warm,
            measured.redis_bytes,
        ),
        (
            "filling, with a journal, a commit for each 1000",
            &measured.fill,
            measured.journal_bytes,
        ),
        ("filling, in memory", &measured.fill_in_memory, 0.0),
    ] {
        let bytes_shown = if bytes > 0.0 {
            format!("{:.1} MB", bytes / 1e6)
        } else {
            "–".to_owned()
        };
        let rate = if bytes > 0.0 && !samples.is_empty() {
            rate(samples, bytes)
        } else {
            "–".to_owned()
        };
        line(&[name, &time(samples), &bytes_shown, &rate]);
    }
    line(&["", "", "", ""]);
    line(&["bytes per entry in a snapshot", "", &per_entry(bytes), ""]);
    line(&[
        "bytes per entry in a journal",
        "",
        &per_entry(measured.journal_bytes),
        "",
    ]);
    drop(out);
    if quick {
        return;
    }
    let mut out = io::stdout().lock();
    let mut verdict =
        |name: &str, value: Option<f64>, shown: &dyn Fn(f64) -> String, holds: &dyn Fn(f64) -> bool| {
            let text = match value {
                None => "not measured here | –".to_owned(),
                Some(value) => format!(
                    "{} | {}",
                    shown(value),
                    if holds(value) { "reached" } else { "**missed**" }
                ),
            };
            let _ = writeln!(out, "| {name} | {text} |");
        };
    let percent = |value: f64| format!("{:.0} %", 100.0 * value);
    let seconds = |value: f64| format!("{value:.3} s");
    verdict("target", None, &seconds, &|_| true);
    verdict(
        "snapshot: at least 60 % of what `dd` writes",
        Some(measured.dd.ratio(&measured.snapshot)),
        &percent,
        &|value| value >= 0.6,
    );
    verdict(
        "recovery: at least 60 % of what `cat` reads, cold",
        (!measured.cat_cold.is_empty()).then(|| measured.cat_cold.ratio(&measured.open_cold)),
        &percent,
        &|value| value >= 0.6,
    );
    verdict(
        "recovery: below 0.5 s",
        Some(measured.open_warm.median().max(measured.journal_warm.median())),
        &seconds,
        &|value| value < 0.5,
    );
    verdict(
        "daemon ÷ redis-server, start to first reply: below 1",
        (!measured.redis_warm.is_empty()).then(|| measured.daemon_warm.ratio(&measured.redis_warm)),
        &|value| format!("{value:.2} ×"),
        &|value| value < 1.0,
    );
    verdict(
        "bytes per entry: at most key + value + 24",
        Some(bytes.max(measured.journal_bytes) / entries as f64 - 76.0),
        &|value| format!("+ {value:.1}"),
        &|value| value <= 24.0,
    );
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (entries, rounds) = if quick { (10_000, 1) } else { (1_000_000, ROUNDS) };
    let root =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-directory-{}", std::process::id()));
    let mut measured = Measured::default();
    let result = (0..rounds).try_for_each(|_| {
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root)?;
        round(&root, entries, &mut measured)
    });
    let _ = fs::remove_dir_all(&root);
    match result {
        Ok(()) => {
            report(&measured, entries, quick);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}
