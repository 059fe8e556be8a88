//! `rustcache inspect`: what was found in a directory, for people, or as JSON for programs. What is found is decided in `persist/inspect.rs`.

mod json;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustcache::Tag;
use rustcache::persist::format::FileKind;
use rustcache::persist::inspect::{Content, File, Inspection, Live, Progress, inspect};

use crate::cli::Inspect;
use crate::progress;

/// How it came to its end.
pub(crate) enum Verdict {
    Sound,
    Damaged,
    /// A line that says why not.
    Unreadable(String),
}

/// Prints what is in a directory.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print(options: &Inspect) -> io::Result<Verdict> {
    let mut out = BufWriter::new(io::stdout().lock());
    let progress = Arc::new(Progress::default());
    let looked = progress::shown(&progress, || inspect(&options.dir, &progress));
    let (found, entries) = match looked {
        Ok(looked) => looked,
        Err(failure) => {
            let hint = "name the directory that is given to --dir";
            return Ok(Verdict::Unreadable(format!("{failure}; {hint}")));
        }
    };
    match (options.keys, options.json) {
        (true, as_json) => {
            let line = if as_json { json::entry } else { line };
            for entry in entries.coldest_first() {
                writeln!(out, "{}", line(&entry))?;
            }
            // Whoever reads the lines of stdout expects nothing but entries.
            for problem in found.problems(1) {
                let _ = writeln!(io::stderr(), "rustcache: {problem}");
            }
        }
        (false, true) => writeln!(out, "{}", json::inspection(&found))?,
        (false, false) => for_people(&found, &mut out)?,
    }
    out.flush()?;
    Ok(match found.is_damaged() {
        true => Verdict::Damaged,
        false => Verdict::Sound,
    })
}

/// An entry in a line: key, tag, bytes of the value, time left, with tabs between them, of which a key that is printed has none.
fn line(live: &Live<'_>) -> String {
    let left = match live.left {
        None => "never expires".to_owned(),
        Some(left) => humantime::format_duration(Duration::from_millis(left)).to_string(),
    };
    let (key, tag) = (printable(live.key), tag(live.tag));
    format!("{key}\t{tag}\t{}\t{left}", live.bytes)
}

/// As it is where it can be printed; `\\` for a backslash, `\xNN` for each byte of what cannot be printed.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |bytes: &[u8], text: &mut String| {
        for byte in bytes {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\'' | '"' => text.push(c),
                c if c.escape_debug().len() == 1 => text.push(c),
                c => escape(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
            }
        }
        escape(chunk.invalid(), &mut text);
    }
    text
}

fn tag(tag: Tag) -> String {
    match tag {
        Tag::BYTES => "bytes".to_owned(),
        Tag::TEXT => "text".to_owned(),
        Tag::JSON => "json".to_owned(),
        Tag::V8 => "v8".to_owned(),
        Tag::PICKLE => "pickle".to_owned(),
        Tag::MESSAGE_PACK => "msgpack".to_owned(),
        tag if tag.is_wrapped() => "wrapped".to_owned(),
        Tag(number) => format!("tag {number}"),
    }
}

fn name(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    printable(path.file_name().unwrap_or(path.as_os_str()).as_bytes())
}

fn for_people(found: &Inspection, out: &mut impl Write) -> io::Result<()> {
    let verdict = match (found.is_damaged(), found.files.is_empty()) {
        (true, _) => "damage was found",
        (false, true) => "sound; there is nothing of a cache in it yet",
        (false, false) => "sound",
    };
    writeln!(out, "{}: {verdict}", found.directory.display())?;
    match found.holder.map(|holder| holder.pid) {
        Some(Some(pid)) => writeln!(
            out,
            "in use by process {pid}: this is what was there a moment ago"
        )?,
        Some(None) => writeln!(out, "in use by a process: this is what was there a moment ago")?,
        None => {}
    }
    for line in &found.missing {
        writeln!(out, "{line}")?;
    }
    let mut generation = None;
    for file in &found.files {
        if generation.replace(file.generation) != Some(file.generation) {
            writeln!(out, "\ngeneration {}", file.generation)?;
        }
        print_file(file, found.holder.is_some(), out)?;
    }
    let unfinished = "a snapshot that was not finished; the next start removes it";
    let set_aside = "set aside; nobody reads it, remove it when you like";
    let others = [(&found.unfinished, unfinished), (&found.set_aside, set_aside)];
    if others.iter().any(|(files, _)| !files.is_empty()) || !found.foreign.is_empty() {
        writeln!(out, "\nother files")?;
    }
    for (files, what) in others {
        for (path, bytes) in files {
            writeln!(out, "  {}  {bytes} bytes  {what}", name(path))?;
        }
    }
    for path in &found.foreign {
        writeln!(out, "  {}  does not belong to the cache", name(path))?;
    }
    let totals = &found.totals;
    let rows = [
        ("live entries", totals.live),
        ("expired entries", totals.expired),
        ("bytes of keys", totals.key_bytes),
        ("bytes of values", totals.value_bytes),
        ("records lost", found.lost),
    ];
    writeln!(out, "\na start would give")?;
    for (what, number) in rows {
        writeln!(out, "  {what:<16} {number:>14}")?;
    }
    Ok(())
}

fn print_file(file: &File, in_use: bool, out: &mut impl Write) -> io::Result<()> {
    let (name, bytes) = (name(&file.path), file.bytes);
    let begun = file.begun.map_or("unknown when begun".to_owned(), |at| {
        format!("begun {}", time(at))
    });
    let Some(content) = &file.read else {
        return writeln!(
            out,
            "  {name}  {bytes} bytes  {begun}  stale; the next start removes it"
        );
    };
    let unit = match file.kind {
        FileKind::Journal => "records",
        FileKind::Snapshot => "entries",
    };
    let Content { applied, .. } = content;
    writeln!(out, "  {name}  {bytes} bytes  {applied} {unit}  {begun}")?;
    if let Some((offset, what)) = content.damage.first() {
        let more = match content.damage.len() - 1 {
            0 => String::new(),
            more => format!(" ({more} more)"),
        };
        writeln!(out, "    damaged at offset {offset}: {what}{more}")?;
    }
    if let Some(offset) = content.torn_at {
        let why = match in_use {
            true => "perhaps it is being written now",
            false => "it was never acknowledged, and the next start drops it",
        };
        writeln!(out, "    an unfinished write at offset {offset}: {why}")?;
    }
    if content.dropped_older {
        writeln!(
            out,
            "    nothing older than the damage is kept, since it might be stale"
        )?;
    }
    Ok(())
}

/// As people write it; a number where no calendar goes.
fn time(unix_millis: u64) -> String {
    let year_10000 = 253_402_300_800_000;
    if unix_millis >= year_10000 {
        return format!("{unix_millis} ms after 1970");
    }
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_millis)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_has_no_control_characters_and_no_two_keys_look_the_same() {
        let keys: [&[u8]; 12] = [
            b"",
            b"user:1",
            b"a b",
            b"it's \"it\"",
            "Z\u{fc}rich \u{2603}".as_bytes(),
            b"tab\tline\n",
            b"\\x09",
            b"\\",
            b"\x00\x1b[31m\x7f",
            b"\xff\xfe",
            "\u{202e}right to left \u{200b}\u{a0}".as_bytes(),
            "\u{fffd}".as_bytes(),
        ];
        let lines: Vec<String> = keys.iter().map(|key| printable(key)).collect();
        for (number, line) in lines.iter().enumerate() {
            assert!(
                line.chars()
                    .all(|c| c == ' ' || c.escape_debug().len() == 1 || "\\'\"".contains(c)),
                "{line:?}"
            );
            assert!(!lines[..number].contains(line), "{line:?}");
        }
        assert_eq!(lines[1], "user:1");
        assert_eq!(lines[5], "tab\\x09line\\x0a");
        assert_eq!(lines[6], "\\\\x09");
    }

    #[test]
    fn any_time_can_be_printed() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        for millis in [0, 253_402_300_800_000, u64::MAX] {
            assert!(!time(millis).is_empty());
        }
    }
}
