//! Reads `golden.json`: frames of both protocols, written by hand from `docs/protocol.md`. Unit tests and tests of the daemon share this
//! file; each uses a part of it.
#![allow(dead_code, reason = "each includer uses a part")]

use serde_json::Value;

/// One frame, and what it says.
pub(crate) struct Vector(Value);

/// All vectors of a protocol and a kind ("request" or "reply"), in their order. There is always one.
pub(crate) fn vectors(protocol: u64, kind: &str) -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.json");
    let text = std::fs::read_to_string(path).expect("tests/golden.json is there");
    let golden: Value = serde_json::from_str(&text).expect("tests/golden.json is JSON");
    let all = golden["vectors"].as_array().expect("a list of vectors");
    let chosen: Vec<_> = all
        .iter()
        .filter(|vector| vector["protocol"] == protocol && vector["kind"] == kind)
        .map(|vector| Vector(vector.clone()))
        .collect();
    assert!(!chosen.is_empty(), "no {kind} of protocol {protocol}");
    chosen
}

/// Bytes of a text of hexadecimal digits, in which spaces mean nothing.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| {
            c.to_digit(16)
                .expect("a hexadecimal digit")
                .try_into()
                .expect("below 16")
        })
        .collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

impl Vector {
    pub(crate) fn name(&self) -> &str {
        self.text("name")
    }

    /// The frame.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.hex("hex")
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.0.get(field).is_some()
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.0[field]
            .as_str()
            .unwrap_or_else(|| panic!("{field} of {} is no text", self.0))
    }

    pub(crate) fn hex(&self, field: &str) -> Vec<u8> {
        unhex(self.text(field))
    }

    pub(crate) fn flag(&self, field: &str) -> bool {
        self.0[field]
            .as_bool()
            .unwrap_or_else(|| panic!("{field} of {} is no bool", self.0))
    }

    /// An integer of at most 64 bits: a number, or a text of digits.
    pub(crate) fn integer(&self, field: &str) -> i128 {
        let value = &self.0[field];
        match value {
            Value::String(digits) => digits.parse().ok(),
            value => value.as_u64().map(i128::from),
        }
        .unwrap_or_else(|| panic!("{field} of {} is no integer", self.0))
    }

    /// The same, for a field of a given width.
    pub(crate) fn number<T: TryFrom<i128>>(&self, field: &str) -> T {
        let integer = self.integer(field);
        T::try_from(integer).unwrap_or_else(|_| panic!("{field} of {} is out of range", self.0))
    }

    /// Vectors within this one.
    pub(crate) fn items(&self, field: &str) -> Vec<Vector> {
        let items = self.0[field].as_array().expect("a list");
        items.iter().map(|item| Vector(item.clone())).collect()
    }

    pub(crate) fn inner(&self, field: &str) -> Vector {
        Vector(self.0[field].clone())
    }
}
