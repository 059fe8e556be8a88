//! Traces: who asked for what, in order. Text or binary, compressed with xz or not, and the sizes at which one is played.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// A trace in memory. Ids are numbered in the order in which they are first asked for.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) requests: Vec<u32>,
    pub(super) distinct: usize,
    /// Of the value that each request is about, in bytes; `None` if all count the same.
    pub(super) sizes: Option<Vec<u32>>,
    at: Sizes,
}

/// At which sizes of the cache a trace is played.
#[derive(Debug, Clone)]
pub(super) enum Sizes {
    /// Parts of all different keys (or of their weight).
    Shares(&'static [f64]),
    /// Entries (or bytes).
    Exactly(Vec<u64>),
}

/// Who is to be named where figures of a trace are printed, by the beginning of its file's name.
const AUTHORS: &[(&str, &str)] = &[(
    "cache2k_",
    "copyright headissue GmbH, Jens Wilke; published with cache2k-benchmark under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)",
)];

pub(super) const SHARES: &[f64] = &[0.01, 0.05, 0.2];

/// A trace on the command line: `PATH` or `PATH@SIZE,SIZE,…`.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    path: String,
    sizes: Option<Vec<u64>>,
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((path, sizes)) = text.rsplit_once('@') else {
            return Ok(Source {
                path: text.to_owned(),
                sizes: None,
            });
        };
        let sizes: Result<Vec<u64>, String> = sizes
            .split(',')
            .map(|size| match size.parse() {
                Ok(size) if size > 0 => Ok(size),
                _ => Err(format!(
                    "{size:?} is no size: write PATH@200,1000,4000, in entries (bytes for a trace with sizes)"
                )),
            })
            .collect();
        Ok(Source {
            path: path.to_owned(),
            sizes: Some(sizes?),
        })
    }
}

/// How ids are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Text if all of the beginning is text, u32be otherwise.
    Auto,
    /// A request in each line: the id (any word), and its size in bytes if it has one, with spaces or a comma between; of several sizes of a key, the first counts. Lines that begin with # are left out.
    Text,
    U32be,
    U32le,
    U64be,
    U64le,
    /// Of libCacheSim: 24 bytes for each request (time, id, size, time of the next).
    OracleGeneral,
}

/// Numbers ids as they come.
struct Numbered<K> {
    numbers: HashMap<K, u32, ahash::RandomState>,
    requests: Vec<u32>,
}

impl<K: Hash + Eq> Numbered<K> {
    fn new() -> Self {
        Numbered {
            numbers: HashMap::default(),
            requests: Vec::new(),
        }
    }

    fn ask(&mut self, id: K) {
        let fresh = u32::try_from(self.numbers.len()).expect("fewer than 2^32 keys");
        self.requests.push(*self.numbers.entry(id).or_insert(fresh));
    }
}

impl Trace {
    /// Of any numbers, as a generator makes them.
    pub(super) fn made(name: &str, about: &str, ids: impl IntoIterator<Item = u64>) -> Self {
        let mut numbered = Numbered::new();
        for id in ids {
            numbered.ask(id);
        }
        Trace {
            name: name.to_owned(),
            about: about.to_owned(),
            distinct: numbered.numbers.len(),
            requests: numbered.requests,
            sizes: None,
            at: Sizes::Shares(SHARES),
        }
    }

    pub(super) fn at_shares(mut self, shares: &'static [f64]) -> Self {
        self.at = Sizes::Shares(shares);
        self
    }

    /// Gives each key one size, the first it has in the trace; gives the number of keys that had others. A cache that has an entry holds the size that it was
    /// inserted with, which no bound of what is possible knows.
    pub(super) fn with_one_size_for_each_key(&mut self) -> usize {
        let Some(sizes) = &mut self.sizes else {
            return 0;
        };
        let mut first = vec![None; self.distinct];
        let mut changes = vec![false; self.distinct];
        for (&id, size) in self.requests.iter().zip(sizes) {
            let first = *first[id as usize].get_or_insert(*size);
            changes[id as usize] |= *size != first;
            *size = first;
        }
        changes.into_iter().filter(|&changes| changes).count()
    }

    /// Gives each key a size, by its number.
    pub(super) fn sized(mut self, mut size: impl FnMut() -> u32) -> Self {
        let sizes: Vec<u32> = (0..self.distinct).map(|_| size()).collect();
        self.sizes = Some(self.requests.iter().map(|&id| sizes[id as usize]).collect());
        self
    }

    /// In entries, or in bytes by the weight of each request.
    pub(super) fn sizes_to_play(&self, weights: Option<&[u64]>) -> Vec<u64> {
        let shares = match &self.at {
            Sizes::Exactly(sizes) => return sizes.clone(),
            Sizes::Shares(shares) => *shares,
        };
        let all = weights.map_or(self.distinct as u64, |weights| {
            let mut seen = vec![false; self.distinct];
            let first = |&(&id, _): &(&u32, &u64)| !std::mem::replace(&mut seen[id as usize], true);
            self.requests
                .iter()
                .zip(weights)
                .filter(first)
                .map(|(_, weight)| weight)
                .sum()
        });
        let least = if weights.is_some() { 4096 } else { 2 };
        shares
            .iter()
            .map(|share| ((all as f64 * share).round() as u64).max(least))
            .collect()
    }
}

pub(super) fn read(source: &Source, format: Format) -> Result<Trace, String> {
    let path = source.path.as_str();
    let failed = |error: io::Error| format!("{path}: {error}");
    let mut trace = if path == "-" {
        parse(io::stdin().lock(), format)
    } else if Path::new(path).extension().is_some_and(|extension| extension == "xz") {
        // Opened here first, so that a file that is not there is not xz's to complain about.
        let file = File::open(path).map_err(failed)?;
        let mut xz = Command::new("xz")
            .arg("-dc")
            .stdin(file)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{path}: it needs `xz`, which cannot be started ({error}): install it, or decompress the file"))?;
        let trace = parse(BufReader::new(xz.stdout.take().expect("it is piped")), format);
        let status = xz.wait().map_err(failed)?;
        if !status.success() {
            return Err(format!("{path}: `xz -dc` ended with {status}: the file is damaged, or not compressed with xz"));
        }
        trace
    } else {
        parse(BufReader::new(File::open(path).map_err(failed)?), format)
    }
    .map_err(|error| format!("{path}: {error}"))?;
    if trace.requests.is_empty() {
        return Err(format!("{path}: it holds no request"));
    }
    let file = Path::new(path)
        .file_name()
        .map_or(path.into(), |name| name.to_string_lossy());
    trace.name = file.trim_end_matches(".xz").trim_end_matches(".trace").to_owned();
    let authors = AUTHORS.iter().find(|(begin, _)| trace.name.starts_with(begin));
    trace.about = authors
        .map_or("a trace from a file", |(_, authors)| authors)
        .to_owned();
    let changing = trace.with_one_size_for_each_key();
    if changing > 0 {
        trace.about += &format!("; {changing} keys have several sizes in it, of which the first counts");
    }
    if let Some(sizes) = &source.sizes {
        trace.at = Sizes::Exactly(sizes.clone());
    }
    Ok(trace)
}

fn parse(mut input: impl BufRead, format: Format) -> Result<Trace, String> {
    let format = if format == Format::Auto {
        let beginning = input.fill_buf().map_err(|error| error.to_string())?;
        let is_text = beginning
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        if is_text { Format::Text } else { Format::U32be }
    } else {
        format
    };
    match format {
        Format::Auto | Format::Text => text(input),
        Format::U32be => binary(input, |bytes| u64::from(u32::from_be_bytes(bytes))),
        Format::U32le => binary(input, |bytes| u64::from(u32::from_le_bytes(bytes))),
        Format::U64be => binary(input, u64::from_be_bytes),
        Format::U64le => binary(input, u64::from_le_bytes),
        Format::OracleGeneral => {
            let mut sizes = Vec::new();
            let mut trace = binary(input, |bytes: [u8; 24]| {
                let part = |range: std::ops::Range<usize>| {
                    bytes[range]
                        .iter()
                        .rev()
                        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
                };
                sizes.push(crate::workload::narrow(part(12..16)));
                part(4..12)
            })?;
            trace.sizes = Some(sizes);
            Ok(trace)
        }
    }
}

fn binary<const N: usize>(mut input: impl Read, mut id: impl FnMut([u8; N]) -> u64) -> Result<Trace, String> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let (ids, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!(
            "it has {} bytes, which is no whole number of requests of {N} bytes: choose another --format",
            bytes.len()
        ));
    }
    Ok(Trace::made("", "", ids.iter().map(|bytes| id(*bytes))))
}

fn text(input: impl BufRead) -> Result<Trace, String> {
    let mut numbered = Numbered::new();
    let mut sizes: Vec<u32> = Vec::new();
    for (number, line) in input.lines().enumerate() {
        let number = number + 1;
        let line = line
            .map_err(|error| format!("line {number}: {error}: choose another --format if this is no text"))?;
        if line.starts_with('#') {
            continue;
        }
        let mut words = line
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty());
        let Some(id) = words.next() else { continue };
        numbered.ask(id.to_owned());
        if let Some(size) = words.next() {
            let size = size
                .parse()
                .map_err(|_| format!("line {number}: {size:?} is no size in bytes: write the id, and a number behind it or nothing"))?;
            sizes.push(size);
        }
        if !sizes.is_empty() && sizes.len() != numbered.requests.len() {
            return Err(format!(
                "line {number}: some requests have a size and some have none: give one to all, or to none"
            ));
        }
    }
    Ok(Trace {
        name: String::new(),
        about: String::new(),
        distinct: numbered.numbers.len(),
        requests: numbered.requests,
        sizes: (!sizes.is_empty()).then_some(sizes),
        at: Sizes::Shares(SHARES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(bytes: &[u8], format: Format) -> Vec<u32> {
        parse(bytes, format).expect("it is well-formed").requests
    }

    #[test]
    fn every_format_gives_the_same_requests() {
        let ids = [7u32, 900_000, 7, 1];
        let expected = [0, 1, 0, 2];
        let bytes = |each: fn(u32) -> Vec<u8>| ids.iter().flat_map(|&id| each(id)).collect::<Vec<u8>>();
        let u32be = bytes(|id| id.to_be_bytes().to_vec());
        assert_eq!(requests(&u32be, Format::U32be), expected);
        assert_eq!(requests(&u32be, Format::Auto), expected);
        assert_eq!(
            requests(&bytes(|id| id.to_le_bytes().to_vec()), Format::U32le),
            expected
        );
        assert_eq!(
            requests(&bytes(|id| u64::from(id).to_be_bytes().to_vec()), Format::U64be),
            expected
        );
        assert_eq!(
            requests(&bytes(|id| u64::from(id).to_le_bytes().to_vec()), Format::U64le),
            expected
        );
        assert_eq!(requests(b"# four\n7\n900000\n\n7\n1\n", Format::Auto), expected);
    }

    #[test]
    fn a_trace_in_which_keys_change_their_sizes_is_played_with_the_first_of_each() {
        let text = "a 10\na 100000\nb 10\nb 100000\na 100000\nb 100000\n";
        let mut trace = parse(text.as_bytes(), Format::Auto).expect("it is well-formed");
        assert_eq!(trace.with_one_size_for_each_key(), 2);
        assert_eq!(trace.sizes, Some(vec![10; 6]));
        trace.at = Sizes::Exactly(vec![8_192]);
        let lru = crate::contender::named(crate::contender::BASE).expect("it is there");
        let played = super::super::play(&trace, &[lru]).expect("no cache beats the bound");
        assert_eq!((played.points[0].opt, &played.points[0].hits[..]), (4, &[4][..]));
        let mut even = parse(&b"a 1\nb 2\na 1\n"[..], Format::Auto).expect("it is well-formed");
        assert_eq!(even.with_one_size_for_each_key(), 0);
        assert_eq!(even.sizes, Some(vec![1, 2, 1]));
    }

    #[test]
    fn sizes_are_read_from_text_and_from_oracle_general() {
        let trace = parse(&b"a 10\nb,20\na 11\n"[..], Format::Auto).expect("it is well-formed");
        assert_eq!(
            (trace.requests, trace.sizes),
            (vec![0, 1, 0], Some(vec![10, 20, 11]))
        );
        let mut bytes = Vec::new();
        for (id, size) in [(5u64 << 40, 100u32), (6, 70_000)] {
            bytes.extend(1u32.to_le_bytes());
            bytes.extend(id.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend((-1i64).to_le_bytes());
        }
        let trace = parse(&bytes[..], Format::OracleGeneral).expect("it is well-formed");
        assert_eq!(
            (trace.requests, trace.sizes),
            (vec![0, 1], Some(vec![100, 70_000]))
        );
    }

    #[test]
    fn what_is_wrong_with_a_trace_is_said() {
        let error = |bytes: &[u8], format| parse(bytes, format).expect_err("it is malformed");
        assert!(error(&[0; 7], Format::U32be).contains("7 bytes"));
        assert!(error(b"a 1\nb\n", Format::Text).contains("line 2"));
        assert!(error(b"a x\n", Format::Text).contains("\"x\""));
        assert!("a@0".parse::<Source>().expect_err("no room").contains("\"0\""));
    }

    #[test]
    fn shares_of_weight_count_each_key_once() {
        let trace = Trace::made("", "", [1, 2, 1]).at_shares(&[0.5]);
        assert_eq!(trace.sizes_to_play(None), [2]);
        assert_eq!(trace.sizes_to_play(Some(&[10_000, 30_000, 10_000])), [20_000]);
    }
}
