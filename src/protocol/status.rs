//! The status of a reply: one table, the same as in `docs/protocol.md` and `node/protocol.ts`.

use std::fmt;

/// First byte of a reply after its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

/// What is refused, and why, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// An error status.
    pub status: Status,
    /// Names the offending value and what to do.
    pub text: String,
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Status = Status($code);)*

            /// The name that the documentation uses.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Status::$name => stringify!($name),)*
                    _ => "UNKNOWN_STATUS",
                }
            }
        }
    };
}

statuses! {
    /// Done, or found.
    OK = 0x00;
    /// The key is absent or has expired.
    MISS = 0x01;
    /// A condition did not hold; nothing changed.
    NOT_STORED = 0x02;
    /// An item of a batch for which the reply had no room.
    DEFERRED = 0x03;
    /// Lengths that do not add up, unknown flags, a count that does not match.
    BAD_FRAME = 0x80;
    /// No such op.
    UNKNOWN_OP = 0x81;
    /// Longer than the limit.
    KEY_TOO_LONG = 0x82;
    /// Longer than the limit.
    VALUE_TOO_LONG = 0x83;
    /// The entry can never fit.
    TOO_LARGE = 0x84;
    /// Increment of something else.
    NOT_AN_INTEGER = 0x85;
    /// Increment past 64 bits.
    OVERFLOW = 0x86;
    /// No protocol version in common; ends the connection.
    UNSUPPORTED_VERSION = 0x87;
    /// The first frame was not HELLO; ends the connection.
    HANDSHAKE_REQUIRED = 0x88;
    /// A length that no frame may have; ends the connection.
    FRAME_TOO_LONG = 0x89;
    /// There is nowhere to write a snapshot.
    NO_DIRECTORY = 0x8A;
    /// A fault of the daemon.
    INTERNAL = 0x8B;
    /// Refused, because the disk has failed before; nothing changed.
    DISK_FAILED = 0x8C;
    /// Done in memory, but it could not be written to the disk.
    NOT_DURABLE = 0x8D;
}

impl Status {
    /// Whether this is an error, with a text for people.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Refusal {
    /// A refusal with its text.
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Refusal {
            status,
            text: text.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.text)
    }
}
