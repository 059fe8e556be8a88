//! The same as JSON. Names and keys are any bytes, and JSON is text: what is not UTF-8 is given in hexadecimal, under a name that ends in `_hex`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustcache::persist::format::FileKind;
use rustcache::persist::inspect::{Content, File, Inspection, Live};

/// An entry as an object.
pub(super) fn entry(live: &Live<'_>) -> String {
    object(&[
        bytes("key", live.key),
        number("tag", u64::from(live.tag.0)),
        number("bytes", live.bytes),
        option("ttl_ms", live.left),
    ])
}

/// All that was found, as an object.
pub(super) fn inspection(found: &Inspection) -> String {
    let totals = &found.totals;
    let start = object(&[
        number("live", totals.live),
        number("expired", totals.expired),
        number("key_bytes", totals.key_bytes),
        number("value_bytes", totals.value_bytes),
        number("records_lost", found.lost),
    ]);
    let generations = found.files.chunk_by(|a, b| a.generation == b.generation);
    let pid = found.holder.and_then(|holder| holder.pid);
    object(&[
        bytes("directory", found.directory.as_os_str().as_bytes()),
        field("sound", &(!found.is_damaged()).to_string()),
        field("in_use", &found.holder.is_some().to_string()),
        option("pid", pid.map(u64::from)),
        field("generations", &array(generations.map(generation))),
        field("missing", &array(found.missing.iter().map(|line| quoted(line)))),
        field("unfinished", &sized(&found.unfinished)),
        field("set_aside", &sized(&found.set_aside)),
        field(
            "foreign",
            &array(found.foreign.iter().map(|path| object(&[name(path)]))),
        ),
        field("start", &start),
    ])
}

fn generation(files: &[File]) -> String {
    object(&[
        number("generation", files.first().map_or(0, |file| file.generation)),
        field("files", &array(files.iter().map(file))),
    ])
}

fn file(file: &File) -> String {
    let kind = match file.kind {
        FileKind::Journal => "journal",
        FileKind::Snapshot => "snapshot",
    };
    let mut fields = vec![
        name(&file.path),
        field("kind", &quoted(kind)),
        number("bytes", file.bytes),
        option("begun_ms", file.begun),
        field("stale", &file.read.is_none().to_string()),
    ];
    if let Some(content) = &file.read {
        fields.extend(content_of(content));
    }
    object(&fields)
}

fn content_of(content: &Content) -> [String; 5] {
    let damage = content
        .damage
        .iter()
        .map(|(offset, what)| object(&[number("offset", *offset), field("what", &quoted(what))]));
    [
        number("applied", content.applied),
        number("records_lost", content.lost),
        field("damage", &array(damage)),
        option("torn_at", content.torn_at),
        field("dropped_older", &content.dropped_older.to_string()),
    ]
}

fn sized(files: &[(PathBuf, u64)]) -> String {
    array(
        files
            .iter()
            .map(|(path, bytes)| object(&[name(path), number("bytes", *bytes)])),
    )
}

fn name(path: &Path) -> String {
    bytes("name", path.file_name().unwrap_or(path.as_os_str()).as_bytes())
}

fn object(fields: &[String]) -> String {
    format!("{{{}}}", fields.join(","))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn field(name: &str, value: &str) -> String {
    format!("\"{name}\":{value}")
}

fn number(name: &str, value: u64) -> String {
    field(name, &value.to_string())
}

fn option(name: &str, value: Option<u64>) -> String {
    field(name, &value.map_or("null".to_owned(), |value| value.to_string()))
}

fn bytes(name: &str, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => field(name, &quoted(text)),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            field(&format!("{name}_hex"), &quoted(&hex))
        }
    }
}

/// Control characters are escaped, also those that JSON would allow: it may be read on a terminal.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_read_back_as_it_was() {
        let text: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let read: String = serde_json::from_str(&quoted(&text)).expect("it is JSON");
        assert!(read == text);
    }

    #[test]
    fn what_is_no_text_is_given_in_hexadecimal_under_a_name_of_its_own() {
        assert_eq!(bytes("key", b"a\xff\x00"), "\"key_hex\":\"61ff00\"");
        assert_eq!(bytes("key", b"61ff00"), "\"key\":\"61ff00\"");
    }
}
