//! JSON as Python's `json` reads and writes it: which it takes, what it says and where it stops if it does not, how it writes numbers. For what is answered to
//! a body that is wrong; bodies that are right do not come here.

use std::collections::HashMap;
use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

/// Parts within parts, at most.
const DEEPEST: usize = 500;

/// What was read, and where it stands in the text, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// As it is written.
    Integer(String),
    /// It may be infinite, or none.
    Float(f64),
    /// Halves of surrogate pairs have been replaced if `is_whole` is false.
    Text {
        text: String,
        is_whole: bool,
    },
    Array(Vec<Node>),
    /// The last of several with one name counts, in the place of the first.
    Object(Vec<(String, Node)>),
}

/// Why a text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// What is wrong, and where: in characters.
    Said(&'static str, usize),
    /// Parts within parts within parts.
    TooDeep,
}

type Read<T> = Result<T, Wrong>;

/// Reads a whole text.
pub(super) fn read(text: &str) -> Read<Node> {
    Reader::of(text, true).whole(Reader::value)
}

/// Reads a whole text and keeps nothing of it but where it stands; of an object, `member` is told each name, and where its value stands.
pub(super) fn outline(text: &str, mut member: impl FnMut(String, Range<usize>)) -> Read<Range<usize>> {
    Reader::of(text, false).whole(|reader| {
        let from = reader.offset();
        if reader.peek() == Some('{') {
            reader.deeper(|reader| reader.members(true, |name, value| member(name, value.at)))?;
        } else {
            reader.value()?;
        }
        Ok(from..reader.offset())
    })
}

struct Reader<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
    /// In characters.
    at: usize,
    depth: usize,
    /// Whether there is to be more of the nodes than where they stand.
    is_kept: bool,
}

impl<'t> Reader<'t> {
    fn of(text: &'t str, is_kept: bool) -> Self {
        Reader {
            text,
            rest: text.char_indices().peekable(),
            at: 0,
            depth: 0,
            is_kept,
        }
    }

    fn whole<T>(mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        self.skip_spaces();
        let read = read(&mut self)?;
        self.skip_spaces();
        match self.peek() {
            None => Ok(read),
            Some(_) => Err(Wrong::Said("Extra data", self.at)),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|&(_, character)| character)
    }

    fn next(&mut self) -> Option<char> {
        let (_, character) = self.rest.next()?;
        self.at += 1;
        Some(character)
    }

    /// In bytes.
    fn offset(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |&(offset, _)| offset)
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn value(&mut self) -> Read<Node> {
        let from = self.offset();
        let kind = match self.peek() {
            Some('"') => {
                let (text, is_whole) = self.text(self.is_kept)?;
                Kind::Text { text, is_whole }
            }
            Some('{') => self.deeper(Self::object)?,
            Some('[') => self.deeper(Self::array)?,
            _ => self.scalar(from)?,
        };
        Ok(Node {
            kind,
            at: from..self.offset(),
        })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == DEEPEST {
            return Err(Wrong::TooDeep);
        }
        self.depth += 1;
        self.next();
        self.skip_spaces();
        let inside = read(self)?;
        self.next();
        self.depth -= 1;
        Ok(inside)
    }

    fn object(&mut self) -> Read<Kind> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let is_kept = self.is_kept;
        self.members(is_kept, |name, value| match places.get(&name) {
            _ if !is_kept => {}
            Some(&place) => members[place].1 = value,
            None => {
                places.insert(name.clone(), members.len());
                members.push((name, value));
            }
        })?;
        Ok(Kind::Object(members))
    }

    fn members(&mut self, with_names: bool, mut member: impl FnMut(String, Node)) -> Read<()> {
        if self.peek() == Some('}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some('"') {
                return Err(Wrong::Said(
                    "Expecting property name enclosed in double quotes",
                    self.at,
                ));
            }
            let (name, _) = self.text(with_names)?;
            self.skip_spaces();
            if self.peek() != Some(':') {
                return Err(Wrong::Said("Expecting ':' delimiter", self.at));
            }
            self.next();
            self.skip_spaces();
            let value = self.value()?;
            member(name, value);
            if self.is_over('}', "Illegal trailing comma before end of object")? {
                return Ok(());
            }
        }
    }

    fn array(&mut self) -> Read<Kind> {
        let mut items = Vec::new();
        if self.peek() == Some(']') {
            return Ok(Kind::Array(items));
        }
        loop {
            let item = self.value()?;
            if self.is_kept {
                items.push(item);
            }
            if self.is_over(']', "Illegal trailing comma before end of array")? {
                return Ok(Kind::Array(items));
            }
        }
    }

    /// Whether the end has come, or a comma and then not the end.
    fn is_over(&mut self, end: char, trailing_comma: &'static str) -> Read<bool> {
        self.skip_spaces();
        let at = self.at;
        match self.peek() {
            Some(character) if character == end => return Ok(true),
            Some(',') => {}
            _ => return Err(Wrong::Said("Expecting ',' delimiter", at)),
        }
        self.next();
        self.skip_spaces();
        match self.peek() {
            Some(character) if character == end => Err(Wrong::Said(trailing_comma, at)),
            _ => Ok(false),
        }
    }

    fn scalar(&mut self, from: usize) -> Read<Kind> {
        const WORDS: [(&str, Kind); 6] = [
            ("null", Kind::Null),
            ("true", Kind::Bool(true)),
            ("false", Kind::Bool(false)),
            ("NaN", Kind::Float(f64::NAN)),
            ("Infinity", Kind::Float(f64::INFINITY)),
            ("-Infinity", Kind::Float(f64::NEG_INFINITY)),
        ];
        let rest = &self.text[from..];
        let word = WORDS.iter().find(|(word, _)| rest.starts_with(word));
        let (len, kind) = match word {
            Some((word, kind)) => (word.len(), kind.clone()),
            None => number(rest).ok_or(Wrong::Said("Expecting value", self.at))?,
        };
        // ASCII: as many characters as bytes.
        for _ in 0..len {
            self.next();
        }
        Ok(kind)
    }

    /// And whether it is whole; nothing of it, if it is not kept.
    fn text(&mut self, is_kept: bool) -> Read<(String, bool)> {
        let begin = self.at;
        let unterminated = Wrong::Said("Unterminated string starting at", begin);
        self.next();
        let mut text = String::new();
        let mut push = |character| {
            if is_kept {
                text.push(character);
            }
        };
        let mut is_whole = true;
        // The first half of a surrogate pair that may have a second.
        let mut half: Option<u32> = None;
        loop {
            let at = self.at;
            let character = self.next().ok_or_else(|| unterminated.clone())?;
            let unit = match character {
                '\\' => match self.escaped(at, &unterminated)? {
                    Escaped::Character(character) => u32::from(character),
                    Escaped::Unit(unit) => unit,
                },
                '"' => {
                    if half.is_some() {
                        is_whole = false;
                        push(char::REPLACEMENT_CHARACTER);
                    }
                    return Ok((text, is_whole));
                }
                '\0'..='\x1f' => return Err(Wrong::Said("Invalid control character at", at)),
                character => u32::from(character),
            };
            if let Some(first) = half.take() {
                if (0xdc00..0xe000).contains(&unit) {
                    let pair = 0x10000 + ((first - 0xd800) << 10) + (unit - 0xdc00);
                    push(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
                    continue;
                }
                is_whole = false;
                push(char::REPLACEMENT_CHARACTER);
            }
            if (0xd800..0xdc00).contains(&unit) {
                half = Some(unit);
                continue;
            }
            let character = char::from_u32(unit);
            is_whole &= character.is_some();
            push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    /// What follows a backslash, which stands at `at`.
    fn escaped(&mut self, at: usize, unterminated: &Wrong) -> Read<Escaped> {
        let character = self.next().ok_or_else(|| unterminated.clone())?;
        Ok(Escaped::Character(match character {
            '"' | '\\' | '/' => character,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let wrong = Wrong::Said("Invalid \\uXXXX escape", at + 1);
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = self.peek().and_then(|digit| digit.to_digit(16));
                    unit = unit * 16 + digit.ok_or_else(|| wrong.clone())?;
                    self.next();
                }
                // One more has to come, if only the closing quote.
                return self.peek().map(|_| Escaped::Unit(unit)).ok_or(wrong);
            }
            _ => return Err(Wrong::Said("Invalid \\escape", at)),
        }))
    }
}

enum Escaped {
    Character(char),
    /// Of UTF-16.
    Unit(u32),
}

/// The number that a text begins with, and its length.
fn number(text: &str) -> Option<(usize, Kind)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes[from.min(bytes.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let mut len = match bytes.get(sign)? {
        b'0' => sign + 1,
        b'1'..=b'9' => sign + digits(sign),
        _ => return None,
    };
    let mut is_float = false;
    if bytes.get(len) == Some(&b'.') && digits(len + 1) > 0 {
        len += 1 + digits(len + 1);
        is_float = true;
    }
    if let Some(b'e' | b'E') = bytes.get(len) {
        let signed = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let count = digits(len + 1 + signed);
        if count > 0 {
            len += 1 + signed + count;
            is_float = true;
        }
    }
    let text = &text[..len];
    Some(match is_float {
        true => (len, Kind::Float(text.parse().ok()?)),
        false if text == "-0" => (len, Kind::Integer("0".to_owned())),
        false => (len, Kind::Integer(text.to_owned())),
    })
}

/// Writes what was read, without spaces. What JSON has no way to write is `null`.
pub(super) fn write(kind: &Kind, out: &mut String) {
    match kind {
        Kind::Null => out.push_str("null"),
        Kind::Bool(is) => out.push_str(if *is { "true" } else { "false" }),
        Kind::Integer(digits) => out.push_str(digits),
        Kind::Float(number) => write_float(*number, out),
        Kind::Text { text, .. } => write_text(text, out),
        Kind::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(&item.kind, out);
            }
            out.push(']');
        }
        Kind::Object(members) => {
            out.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(&value.kind, out);
            }
            out.push('}');
        }
    }
}

/// As `repr` does: exponents have a sign and two digits.
fn write_float(number: f64, out: &mut String) {
    if !number.is_finite() {
        return out.push_str("null");
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        None => out.push_str(&text),
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent
                .strip_prefix('-')
                .map_or(('+', exponent), |exponent| ('-', exponent));
            out.push_str(digits);
            out.push('e');
            out.push(sign);
            if exponent.len() == 1 {
                out.push('0');
            }
            out.push_str(exponent);
        }
    }
}

pub(super) fn write_text(text: &str, out: &mut String) {
    // Text can be written.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        write(&read(text).expect("JSON").kind, &mut out);
        out
    }

    #[test]
    fn numbers_are_written_as_python_does() {
        for (text, wanted) in [
            ("1.0", "1.0"),
            ("1e16", "1e+16"),
            ("123456789012345.5", "123456789012345.5"),
            ("1e-5", "1e-05"),
            ("0.0001", "0.0001"),
            ("1.5e-300", "1.5e-300"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("NaN", "null"),
            ("1e999", "null"),
        ] {
            assert_eq!(written(text), wanted, "{text}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_noticed() {
        for (text, whole) in [
            ("\"\\ud83d\\ude00\"", true),
            ("\"\\ud83d\"", false),
            ("\"\\ud83dx\"", false),
            ("\"\\ude00\"", false),
            ("\"\\ud83d\\ud83d\\ude00\"", false),
        ] {
            let Kind::Text { is_whole, .. } = read(text).expect("JSON").kind else {
                panic!("text")
            };
            assert_eq!(is_whole, whole, "{text}");
        }
    }

    #[test]
    fn what_is_nested_for_ever_is_refused() {
        assert!(read(&("[".repeat(DEEPEST) + &"]".repeat(DEEPEST))).is_ok());
        for open in ["[", "{\"a\":"] {
            assert_eq!(read(&open.repeat(1_000_000)), Err(Wrong::TooDeep));
        }
    }

    proptest! {
        #[test]
        fn whatever_serde_takes_is_taken_and_means_the_same(text in "[\\[\\]{}:,\"a\\\\u0-9.eE+ -]{0,12}|\\{\"a\":[0-9.eE-]{1,5}\\}") {
            match (serde_json::from_str::<serde_json::Value>(&text), read(&text)) {
                // Python has no integer below zero that is zero.
                (Ok(_), Ok(_)) if text.contains("-0") => {}
                (Ok(value), Ok(_)) => prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written(&text)).expect("JSON"), value),
                // One is stricter about numbers that are too large, and halves of pairs.
                (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("number out of range") || error.to_string().contains("surrogate"), "{} {}", text, error),
                (Ok(_), Err(wrong)) => prop_assert!(false, "{} {:?}", text, wrong),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
