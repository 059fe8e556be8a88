//! Any bytes in the place of a file, with the header of one before them or without. What they are read as is the target's affair.

use std::io::{self, Read};

use rustcache::persist::format::{FileHeader, FileKind};
use rustcache::persist::replay::FileReport;

use crate::checked::Checked;
use crate::damage::file;

/// The beginning of a file of that generation.
pub fn header(kind: FileKind, generation: u64) -> Vec<u8> {
    let header = FileHeader {
        generation,
        created: 1,
    };
    header.encode(kind).to_vec()
}

/// Replays bytes behind `header`. No more comes out than went in.
pub fn noise(
    mut header: Vec<u8>,
    bytes: &[u8],
    replay: impl FnOnce(Box<dyn Read>, &mut Checked) -> io::Result<FileReport>,
) {
    header.extend_from_slice(bytes);
    let mut sink = Checked::default();
    replay(file(&header), &mut sink).expect("memory can be read");
    assert!(sink.bytes <= header.len(), "more comes out than went in");
}
