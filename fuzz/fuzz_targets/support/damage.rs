//! What can happen to a file. Bytes are changed one by one: whoever changes four at will can forge a checksum.

use std::io::{self, Read};

use arbitrary::Arbitrary;

#[derive(Debug, Arbitrary)]
pub(crate) enum Damage {
    Flip {
        at: u16,
        bit: u8,
    },
    Byte {
        at: u16,
        byte: u8,
    },
    Cut(u16),
    Zeros {
        at: u16,
        count: u8,
    },
    Remove {
        at: u16,
        count: u8,
    },
    /// A part of the file a second time.
    Repeat {
        from: u16,
        count: u8,
        at: u16,
    },
    NoiseAtEnd(Vec<u8>),
}

impl Damage {
    pub(crate) fn hit(&self, file: &mut Vec<u8>) {
        let len = file.len();
        if len == 0 {
            return;
        }
        let place = |at: u16| usize::from(at) % len;
        let stretch = |at: u16, count: u8| place(at)..(place(at) + usize::from(count)).min(len);
        match *self {
            Damage::Flip { at, bit } => file[place(at)] ^= 1 << (bit % 8),
            Damage::Byte { at, byte } => file[place(at)] = byte,
            Damage::Cut(at) => file.truncate(place(at)),
            Damage::Zeros { at, count } => file[stretch(at, count)].fill(0),
            Damage::Remove { at, count } => drop(file.drain(stretch(at, count))),
            Damage::Repeat { from, count, at } => {
                let again = file[stretch(from, count)].to_vec();
                file.splice(place(at)..place(at), again);
            }
            // Each byte twice: no checksum in it fits.
            Damage::NoiseAtEnd(ref bytes) => file.extend(bytes.iter().flat_map(|&byte| [byte; 2])),
        }
    }
}

/// A file of these bytes, read in pieces.
pub(crate) fn file(bytes: &[u8]) -> Box<dyn Read> {
    struct Pieces(io::Cursor<Vec<u8>>);
    impl Read for Pieces {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let len = bytes.len().min(97);
            self.0.read(&mut bytes[..len])
        }
    }
    Box::new(Pieces(io::Cursor::new(bytes.to_vec())))
}
