//! What the command line may say: the only place that knows the names of flags and environment variables.

mod http;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use rustcache::persist::{OnDiskError, Recover, StoreOptions, Sync};
use rustcache::transport::http::Options as HttpOptions;
use rustcache::{Builder, PolicyKind};

use http::Http;

/// A cache beside your process: serves version 1 and version 2 of its protocol on stdin and stdout, and HTTP.
#[derive(Debug, Parser)]
#[command(name = "rustcache", version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Task>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

const AFTER_HELP: &str = "\
Sizes: 512mb (millions), 2gib (powers of two), or bytes. Durations: 500ms, 90s, 1h 30m.

Try it:
  rustcache encode insert user:1 hello --ttl 60 | rustcache | rustcache decode

Exit codes:
  0  the input ended, or SIGTERM came (with --http alone also SIGINT); everything was answered
  1  reading or writing failed
  2  an option is wrong, or there is a terminal where frames are expected
  3  the client broke the protocol
  4  the client went away, or did not read, before its replies were written
  5  the directory cannot be used, or the disk failed with --on-disk-error exit
  6  another process has the directory
  7  damage was found, by `rustcache inspect`";

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Serve stdin and stdout, or HTTP (what is done without a subcommand, too).
    Serve(Box<Serve>),
    /// Write a request to stdout, for a shell pipe.
    Encode(Encode),
    /// Read replies from stdin and print a line for each.
    Decode,
    /// Say what is in a directory, what is wrong with it, and what a start would give. Changes nothing.
    #[command(after_help = INSPECT_HELP)]
    Inspect(Inspect),
    /// Write what can be kept of a damaged directory into a new one. Changes nothing in the old one.
    #[command(after_help = REPAIR_HELP)]
    Repair(Repair),
}

const INSPECT_HELP: &str = "\
Exit codes:
  0  the directory is sound
  1  it could not be read
  2  an option is wrong
  7  damage was found";

const REPAIR_HELP: &str = "\
Exit codes:
  0  it was written
  1  something could not be read or written
  2  an option is wrong
  6  a daemon has the directory";

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The directory that is given to --dir.
    pub(crate) dir: PathBuf,
    /// Print JSON: one object, or with --keys one for each entry, a line each.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a line for each live entry instead: key, tag, bytes of the value and time left, with tabs between them.
    #[arg(long)]
    pub(crate) keys: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// The directory that is given to --dir.
    pub(crate) dir: PathBuf,
    /// Write to this directory, which must be new or empty [default: DIR.repaired].
    #[arg(long, value_name = "DIR2")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// The most entries to hold [default: no limit].
    #[arg(long, value_name = "N", env = "RUSTCACHE_MAX_ITEMS")]
    max_items: Option<u64>,

    /// The most bytes to hold, keys, values and overhead together [default: no limit].
    #[arg(long, value_name = "SIZE", env = "RUSTCACHE_MAX_BYTES", value_parser = size)]
    max_bytes: Option<u64>,

    /// What goes when room is needed and nothing has expired: lru, s3-fifo, tinylfu, or adaptive, which finds out which of them suits.
    #[arg(long, value_name = "POLICY", env = "RUSTCACHE_POLICY", default_value = "lru", value_parser = str::parse::<PolicyKind>)]
    policy: PolicyKind,

    /// TTL of entries that are written without one [default: they never expire].
    #[arg(long, value_name = "DURATION", env = "RUSTCACHE_DEFAULT_TTL", value_parser = humantime::parse_duration)]
    default_ttl: Option<Duration>,

    /// The longest key.
    #[arg(long, value_name = "SIZE", env = "RUSTCACHE_MAX_KEY", default_value = "64kib", value_parser = size)]
    max_key: u64,

    /// The longest value.
    #[arg(long, value_name = "SIZE", env = "RUSTCACHE_MAX_VALUE", default_value = "64mib", value_parser = size)]
    max_value: u64,

    /// Stop reading while so many bytes of replies wait for the client to read them, or of requests for the directory to be loaded.
    #[arg(long, value_name = "SIZE", env = "RUSTCACHE_MAX_PENDING_REPLIES", default_value = "64mib", value_parser = size)]
    max_pending_replies: u64,

    /// Keep the cache in this directory, which is made if need be [default: in memory only].
    #[arg(long, value_name = "DIR", env = "RUSTCACHE_DIR", value_parser = directory)]
    dir: Option<PathBuf>,

    /// When what is acknowledged is synced to the disk: before that, within a second, or when the system likes.
    #[arg(long, value_name = "WHEN", env = "RUSTCACHE_SYNC", default_value = "everysec")]
    sync: SyncWhen,

    /// What to do about damage in the directory: keep what is valid, or refuse to start.
    #[arg(long, value_name = "HOW", env = "RUSTCACHE_RECOVER", default_value = "valid")]
    recover: RecoverHow,

    /// What to do with writes once the disk has failed: refuse them, do them in memory alone, or exit.
    #[arg(
        long,
        value_name = "WHAT",
        env = "RUSTCACHE_ON_DISK_ERROR",
        default_value = "refuse"
    )]
    on_disk_error: DiskErrorPolicy,

    /// Write a snapshot when the journals are larger than this, and than the last snapshot.
    #[arg(
        long,
        value_name = "SIZE",
        env = "RUSTCACHE_SNAPSHOT_AFTER",
        default_value = "64mib",
        value_parser = size
    )]
    snapshot_after: u64,

    /// Write a snapshot so often, too [default: only when the journals are large].
    #[arg(long, value_name = "DURATION", env = "RUSTCACHE_SNAPSHOT_EVERY", value_parser = some_time)]
    snapshot_every: Option<Duration>,

    /// What to log, on stderr.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "RUSTCACHE_LOG_LEVEL",
        default_value = "warn"
    )]
    pub(crate) log_level: LogLevel,

    /// How to log.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "RUSTCACHE_LOG_FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    pub(crate) http: Http,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SyncWhen {
    Always,
    #[value(name = "everysec")]
    EverySecond,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecoverHow {
    Valid,
    Strict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiskErrorPolicy {
    Refuse,
    Memory,
    Exit,
}

/// Of a cache of one shard: see "Pages and places" in docs/engine.md.
const MOST_BYTES_OF_PAGES: u64 = 32 << 30;

impl Serve {
    /// How the directory is to be kept, if there is to be one.
    pub(crate) fn store(&self) -> Option<StoreOptions> {
        let directory = self.dir.as_ref()?;
        Some(StoreOptions {
            sync: match self.sync {
                SyncWhen::Always => Sync::Always,
                SyncWhen::EverySecond => Sync::EverySecond,
                SyncWhen::Never => Sync::Never,
            },
            recover: match self.recover {
                RecoverHow::Valid => Recover::Valid,
                RecoverHow::Strict => Recover::Strict,
            },
            on_disk_error: match self.on_disk_error {
                DiskErrorPolicy::Refuse => OnDiskError::Refuse,
                DiskErrorPolicy::Memory => OnDiskError::Memory,
                DiskErrorPolicy::Exit => OnDiskError::Exit,
            },
            snapshot_after: self.snapshot_after,
            snapshot_every: self.snapshot_every,
            ..StoreOptions::new(directory)
        })
    }

    /// The cache that these options describe. One shard: a single connection does not need more, and the order of eviction is exact at any size.
    pub(crate) fn builder(&self) -> Builder {
        let mut builder = rustcache::Cache::builder()
            .shards(1)
            .policy(self.policy)
            .max_key_bytes(length(self.max_key))
            .max_value_bytes(length(self.max_value));
        if let Some(items) = self.max_items {
            builder = builder.max_items(items);
        }
        if let Some(bytes) = self.max_bytes {
            builder = builder.max_bytes(bytes);
        }
        if let Some(ttl) = self.default_ttl {
            builder = builder.default_ttl(ttl);
        }
        builder
    }

    /// The limit on bytes, if one shard has not as many pages for small entries.
    pub(crate) fn beyond_pages(&self) -> Option<u64> {
        self.max_bytes.filter(|&bytes| bytes > MOST_BYTES_OF_PAGES)
    }

    /// How to serve HTTP, if that is asked for.
    ///
    /// # Errors
    /// A line that says what is wrong.
    pub(crate) fn http_options(&self) -> Result<Option<HttpOptions>, String> {
        // What does not fit into the cache need not be read.
        let max_bytes = self.max_bytes.unwrap_or(u64::MAX).max(LEAST_LONGEST_BODY);
        self.http.options(self.max_value.min(max_bytes))
    }

    pub(crate) fn max_pending_replies(&self) -> usize {
        length(self.max_pending_replies)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Encode {
    /// The version of the protocol: 1 is frames of 128 bytes, 2 length-prefixed ones.
    #[arg(long, value_name = "VERSION", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2), global = true)]
    pub(crate) protocol: u8,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The first four exist in both versions of the protocol, the others in version 2 alone.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Store a value.
    #[command(alias = "set")]
    Insert {
        /// The key.
        key: String,
        /// The value; `-` reads it from stdin.
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        ttl: Ttl,
        /// Only if the key is absent (version 2).
        #[arg(long, conflicts_with = "if_present")]
        if_absent: bool,
        /// Only if the key is present (version 2).
        #[arg(long)]
        if_present: bool,
    },
    /// Read a value.
    Get { key: String },
    /// Remove an entry.
    Remove { key: String },
    /// Write a snapshot now.
    Snapshot,
    /// Read a value and remove it.
    Take { key: String },
    /// Ask whether a key is there.
    Contains { key: String },
    /// Give an entry another time to live.
    Touch {
        key: String,
        #[command(flatten)]
        ttl: Ttl,
    },
    /// Ask how long an entry has to live.
    Ttl { key: String },
    /// Take the deadline of an entry away.
    Persist { key: String },
    /// Add to an integer.
    Incr {
        key: String,
        #[arg(default_value_t = 1, allow_hyphen_values = true)]
        delta: i64,
        #[command(flatten)]
        ttl: Ttl,
    },
    /// Store a value if the key holds the expected one.
    Cas {
        key: String,
        #[arg(allow_hyphen_values = true)]
        expected: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        ttl: Ttl,
    },
    /// Remove everything, or what begins with a prefix.
    Clear {
        #[arg(default_value = "")]
        prefix: String,
    },
    /// List keys and values, or those that begin with a prefix.
    Scan {
        #[arg(default_value = "")]
        prefix: String,
        /// Where to go on.
        #[arg(long, default_value_t = 0)]
        cursor: u64,
        /// The most entries of a page.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Ask for a sign of life.
    Ping,
    /// Ask for the counters.
    Stats,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Ttl {
    /// Time to live: seconds, or a duration such as 500ms or 1h; 0 = never expires [default: never, in version 2 the daemon's default].
    #[arg(long, value_name = "TTL", value_parser = seconds_or_duration)]
    pub(crate) ttl: Option<Duration>,
}

fn seconds_or_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "not a size: write bytes, or a number with kb, mb, gb, kib, mib or gib".to_owned())
}

fn directory(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("empty: name a directory, or leave the option out to keep nothing".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("no time at all: use a longer one, or leave the option out".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// A batch has many values, be the cache ever so small.
const LEAST_LONGEST_BODY: u64 = 1 << 20;

fn length(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Reads the command line and the environment.
///
/// # Errors
/// As clap says; also for help and version, which are no mistakes.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    if arguments.get(1).is_some_and(|first| {
        ["encode", "decode", "inspect", "repair"]
            .iter()
            .any(|task| first == task)
    }) {
        // The variables are for serving: one of them that is wrong is no concern of these.
        command = command.mut_args(|argument| argument.env(None::<&str>));
    }
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// The environment variable that a wrong value came from, if it did not come from the command line.
fn variable_at_fault(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let flag = argument.split(' ').next()?;
    let on_the_line = arguments
        .iter()
        .any(|given| given.to_string_lossy().split('=').next() == Some(flag));
    let name = format!(
        "RUSTCACHE_{}",
        flag.strip_prefix("--")?.replace('-', "_").to_uppercase()
    );
    (!on_the_line && std::env::var_os(&name).is_some()).then_some(name)
}

/// What is wrong with the command line, in one line.
pub(crate) fn one_line(error: &clap::Error, arguments: &[OsString]) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "rustcache: a command is missing after `encode`; `rustcache encode --help` lists them"
            .to_owned();
    }
    let text = error.render().to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty() && !line.starts_with("Usage:"));
    let line = lines.collect::<Vec<_>>().join(" ");
    let source = variable_at_fault(error, arguments).map_or(String::new(), |name| format!(" (from {name})"));
    format!(
        "rustcache: {}{source}; `rustcache --help` lists the options",
        line.trim_start_matches("error: ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("512mb", 512_000_000),
            ("512 MB", 512_000_000),
            ("2gib", 2 << 30),
            ("64KiB", 65_536),
            ("1.5gb", 1_500_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "12xb", "-1", "mb"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_option_is_one_line_with_the_value() {
        for (arguments, part) in [
            (["rustcache", "--max-bytes", "12xb"].as_slice(), "12xb"),
            (&["rustcache", "--default-ttl", "soon"], "soon"),
            (
                &["rustcache", "--policy", "fifo"],
                "\"fifo\": use lru, s3-fifo, tinylfu or adaptive",
            ),
            (&["rustcache", "--nonsense"], "--nonsense"),
            (&["rustcache", "encode"], "`encode`"),
            (&["rustcache", "encode", "insert", "key"], "<VALUE>"),
            (&["rustcache", "encode", "get", "key", "--protocol", "3"], "3"),
        ] {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let line = one_line(&parse(&arguments).expect_err("it is wrong"), &arguments);
            assert!(line.contains(part) && !line.contains('\n'), "{line}");
        }
    }
}
