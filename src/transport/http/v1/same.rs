//! Whether two texts of JSON mean the same: numbers by all their digits, objects whatever the order of their members, however deep. Nothing of the texts is copied. Pure.

use std::iter;

/// A value, or the name of one in an object, in the order in which they begin in the text.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Where it begins.
    at: u32,
    /// Which part is the first that begins after its end.
    next: u32,
}

/// A text and its parts.
struct Parts<'j> {
    json: &'j str,
    parts: Vec<Part>,
}

/// Parts take many times the memory of the text: a text that has far more of them than the other is not the same. (Of the members of a name all but one may go.)
const SPARE: usize = 1000;

/// What is needed for each byte of the first text, at most, in bytes: deep lists are the worst.
pub(super) const MEMORY: usize = 64;

/// Whether two texts mean the same, the first of which is JSON, and no longer than what there is room for many times. The other may be none, and then be taken for
/// the same.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_ascii(), other.trim_ascii());
    if one == other {
        return true;
    }
    let inside = |text: &str| text.len().saturating_sub(2);
    match (one.as_bytes().first(), other.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) | (Some(b'['), Some(b'[')) => {}
        (Some(b'"'), Some(b'"')) if !could_be_as_long(inside(one), inside(other)) => return false,
        _ => return is_same_token(one, other),
    }
    let Some(one) = Parts::of(one, usize::MAX) else {
        return false;
    };
    match Parts::of(other, 2 * one.parts.len() + SPARE) {
        Some(other) => one.is_same(&other),
        None => false,
    }
}

/// Whether JSON is a text, and which.
pub(super) fn is_text(json: &str, text: &[u8]) -> bool {
    let json = json.trim_ascii();
    if !json.starts_with('"') || !could_be_as_long(json.len().saturating_sub(2), text.len()) {
        return false;
    }
    std::str::from_utf8(text).is_ok_and(|text| units(json).eq(text.chars().map(u32::from)))
}

/// Whether what takes so many bytes in a string could be the same: what is escaped takes no more than six times as much.
fn could_be_as_long(one: usize, other: usize) -> bool {
    one.max(other) / 6 <= one.min(other)
}

/// Where a value goes on that is compared, in both texts, and where it ends.
#[derive(Debug, Clone, Copy)]
struct Both {
    one: u32,
    one_end: u32,
    other: u32,
    other_end: u32,
}

impl<'j> Parts<'j> {
    /// All parts of a text that is JSON. None if there are more than `most`.
    fn of(json: &'j str, most: usize) -> Option<Self> {
        if u32::try_from(json.len()).is_err() {
            return None;
        }
        let mut parts: Vec<Part> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut at = 0;
        while let Some(&first) = json.as_bytes().get(at) {
            let length = match first {
                b'}' | b']' => {
                    if let Some(opened) = open.pop() {
                        parts[opened].next = number_of(parts.len());
                    }
                    at += 1;
                    continue;
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => {
                    at += 1;
                    continue;
                }
                b'{' | b'[' => {
                    open.push(parts.len());
                    1
                }
                _ => token(&json[at..]).len(),
            };
            if parts.len() >= most {
                return None;
            }
            let next = number_of(parts.len() + 1);
            parts.push(Part {
                at: number_of(at),
                next,
            });
            at += length;
        }
        Some(Parts { json, parts })
    }

    fn is_same(&self, other: &Parts<'_>) -> bool {
        if self.parts.is_empty() || other.parts.is_empty() {
            return false;
        }
        // Not by recursion: they may be nested deeper than the stack is high.
        let mut left = vec![Both {
            one: 0,
            one_end: 1,
            other: 0,
            other_end: 1,
        }];
        while let Some(both) = left.pop() {
            if both.one >= both.one_end || both.other >= both.other_end {
                if both.one < both.one_end || both.other < both.other_end {
                    return false;
                }
                continue;
            }
            let (one, one_next) = self.value(both.one);
            let (theirs, other_next) = other.value(both.other);
            let rest = Both {
                one: one_next,
                other: other_next,
                ..both
            };
            // Where something is the last of what is around it, nothing is left of that.
            if rest.one < rest.one_end || rest.other < rest.other_end {
                left.push(rest);
            }
            let inside = Both {
                one: both.one + 1,
                one_end: one_next,
                other: both.other + 1,
                other_end: other_next,
            };
            match (one.as_bytes().first(), theirs.as_bytes().first()) {
                (Some(b'['), Some(b'[')) => left.push(inside),
                (Some(b'{'), Some(b'{')) if self.match_members(other, inside, &mut left) => {}
                (Some(b'['), _) | (_, Some(b'[')) | (Some(b'{'), _) | (_, Some(b'{')) => return false,
                _ if !is_same_token(token(one), token(theirs)) => return false,
                _ => {}
            }
        }
        true
    }

    /// The text from a part on, and the part after it.
    fn value(&self, at: u32) -> (&'j str, u32) {
        // Objects that are none may have a name without a value.
        let Some(part) = self.parts.get(at as usize) else {
            return ("", at + 1);
        };
        (&self.json[part.at as usize..], part.next)
    }

    /// Puts the values of the members of two objects beside each other, if their names are the same.
    fn match_members(&self, other: &Parts<'_>, inside: Both, left: &mut Vec<Both>) -> bool {
        let members = self.members(inside.one, inside.one_end);
        let others = other.members(inside.other, inside.other_end);
        let are_same = members.len() == others.len()
            && iter::zip(&members, &others)
                .all(|((name, _), (other_name, _))| units(name).eq(units(other_name)));
        if are_same {
            let values = iter::zip(members, others);
            left.extend(values.map(|((_, one), (_, other))| Both {
                one,
                one_end: one + 1,
                other,
                other_end: other + 1,
            }));
        }
        are_same
    }

    /// By name; of several of one name the last, which is the one that counts.
    fn members(&self, from: u32, end: u32) -> Vec<(&'j str, u32)> {
        let names = || {
            let mut at = from;
            iter::from_fn(move || {
                let name = (at < end).then_some(at)?;
                let (_, value) = self.value(name);
                at = self.value(value).1;
                Some((name, value))
            })
        };
        let mut members = Vec::with_capacity(names().count());
        members.extend(names().map(|(name, value)| (token(self.value(name).0), value)));
        members.sort_unstable_by(|(one, at), (other, other_at)| {
            units(one).cmp(units(other)).then(other_at.cmp(at))
        });
        members.dedup_by(|(one, _), (other, _)| units(one).eq(units(other)));
        members
    }
}

#[expect(clippy::cast_possible_truncation, reason = "longer texts are not taken apart")]
fn number_of(at: usize) -> u32 {
    at as u32
}

/// What a text begins with: a string, a number or a word.
fn token(json: &str) -> &str {
    let end = match json.strip_prefix('"') {
        Some(inside) => length_inside(inside) + 2,
        None => json
            .find([',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\r', '\n'])
            .unwrap_or(json.len()),
    };
    json.get(..end).unwrap_or(json)
}

/// Of what comes before the closing quote.
fn length_inside(inside: &str) -> usize {
    let mut bytes = inside.bytes();
    let mut length = 0;
    loop {
        length += match bytes.next() {
            None | Some(b'"') => return length,
            // And what it is followed by.
            Some(b'\\') => 1 + usize::from(bytes.next().is_some()),
            Some(_) => 1,
        };
    }
}

/// Neither is an array or an object.
fn is_same_token(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (one.as_bytes().first(), other.as_bytes().first()) {
        (Some(b'"'), Some(b'"')) => units(one).eq(units(other)),
        (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => match (Number::of(one), Number::of(other)) {
            (Some(one), Some(other)) => one.is_same(&other),
            _ => false,
        },
        _ => false,
    }
}

/// The characters of a string that is given with its quotes; half a surrogate pair is one of its own.
fn units(token: &str) -> impl Iterator<Item = u32> {
    let inside = token.strip_prefix('"').unwrap_or(token);
    let mut rest = inside.strip_suffix('"').unwrap_or(inside);
    iter::from_fn(move || {
        let (unit, after) = unit(rest)?;
        rest = after;
        if let 0xd800..0xdc00 = unit
            && let Some((second @ 0xdc00..0xe000, after)) = self::unit(rest)
        {
            rest = after;
            return Some(0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00));
        }
        Some(unit)
    })
}

/// The first of a text, and what comes after it. What is escaped in no way that JSON has is taken as it is written.
fn unit(text: &str) -> Option<(u32, &str)> {
    let mut characters = text.chars();
    let first = characters.next()?;
    if first != '\\' {
        return Some((first.into(), characters.as_str()));
    }
    let unit = match characters.next()? {
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'u' => {
            let (digits, after) = characters.as_str().split_at_checked(4)?;
            return Some((u32::from_str_radix(digits, 16).ok()?, after));
        }
        other => other.into(),
    };
    Some((unit, characters.as_str()))
}

/// 0.`whole``fraction` × 10 to the power of `exponent`, without zeros at either end.
struct Number<'j> {
    is_negative: bool,
    whole: &'j str,
    fraction: &'j str,
    exponent: i128,
}

impl<'j> Number<'j> {
    /// `None` if its exponent has more digits than anybody needs: then it is as it is written.
    fn of(token: &'j str) -> Option<Self> {
        let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let exponent = i128::from(exponent) + whole.len() as i128;
        let (whole, fraction, exponent) = match (whole.is_empty(), fraction.is_empty()) {
            (true, true) => {
                return Some(Number {
                    is_negative: false,
                    whole,
                    fraction,
                    exponent: 0,
                });
            }
            (true, false) => {
                let digits = fraction.trim_start_matches('0');
                (whole, digits, exponent - (fraction.len() - digits.len()) as i128)
            }
            (false, true) => (whole.trim_end_matches('0'), fraction, exponent),
            (false, false) => (whole, fraction, exponent),
        };
        Some(Number {
            is_negative,
            whole,
            fraction,
            exponent,
        })
    }

    fn is_same(&self, other: &Number<'_>) -> bool {
        let length = |number: &Number<'_>| number.whole.len() + number.fraction.len();
        self.is_negative == other.is_negative
            && self.exponent == other.exponent
            && length(self) == length(other)
            && self.digits().eq(other.digits())
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_means_the_same_is_the_same() {
        for (one, other) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.001", "1E-3"),
            ("-0", "0.0"),
            ("1.50", "15e-1"),
            ("12345678901234567890123", "1.2345678901234567890123e22"),
            ("\"\\u00e4\\n\"", "\"\u{e4}\\u000a\""),
            ("[1, {\"a\": [], \"b\": {}}]", "[1.0,{\"b\":{},\"a\":[]}]"),
            ("{\"a\":1,\"a\":2}", "{\"a\":2}"),
            ("{\"a\\\"}\":1}", "{ \"a\\u0022}\" : 1 }"),
            ("\"\\ud800\"", "\"\\ud800\""),
        ] {
            assert!(is_same(one, other), "{one} {other}");
            assert!(is_same(other, one), "{other} {one}");
        }
        let long = format!("[{}1]", "1,".repeat(100_000));
        assert!(is_same(&long, &format!(" {long}")) && !is_same("[1]", &long) && !is_same(&long, "[1]"));
        let deep = |inside: &str| "[".repeat(300_000) + inside + &"]".repeat(300_000);
        assert!(is_same(&deep("1"), &deep("1.0")));
        assert!(!is_same(&deep("1"), &deep("2")));
    }

    #[test]
    fn json_that_means_something_else_is_not() {
        for (one, other) in [
            ("12345678901234567890123", "12345678901234567890124"),
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.01"),
            ("1", "\"1\""),
            ("null", "false"),
            ("null", "\"null\""),
            ("[1,2]", "[2,1]"),
            ("[]", "{}"),
            ("[1]", "[1,1]"),
            ("{\"a\":1}", "{\"b\":1}"),
            ("{\"a\":1}", "{\"a\":1,\"b\":1}"),
            ("{\"a\":1,\"a\":2}", "{\"a\":1}"),
            ("1e99999999999999999999", "1e99999999999999999998"),
            ("1e9223372036854775807", "1e9223372036854775806"),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
            assert!(!is_same(other, one), "{other} {one}");
        }
    }

    #[test]
    fn what_is_no_json_is_compared_without_harm() {
        let pieces = [
            "{", "}", "[", "]", "\"", "\\", ":", ",", "1", "\u{e4}", "\\u12", " ",
        ];
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut other = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                other += pieces[(seed >> 33) as usize % pieces.len()];
            }
            for one in ["{\"a\":[1,{}]}", "[[]]", "\"\u{e4}\"", "1"] {
                is_same(one, &other);
            }
        }
        assert!(!is_same("1", "") && !is_same("{\"a\":1}", "{\"a\"") && !is_same("[1]", "]"));
    }

    #[test]
    fn json_is_a_text_if_it_is_that_text() {
        for (json, text) in [
            ("\"\"", ""),
            (" \"a\" ", "a"),
            ("\"\\u00e4\\n\\\"\\ud83d\\ude00\"", "\u{e4}\n\"\u{1f600}"),
            ("\"\\u0001\\u0001\"", "\u{1}\u{1}"),
        ] {
            assert!(is_text(json, text.as_bytes()), "{json}");
        }
        for (json, text) in [
            ("0", &b"0"[..]),
            ("null", b"null"),
            ("\"a\"", b"b"),
            ("\"a\"", b"ab"),
            ("\"ab\"", b"a"),
            ("\"\u{c3}\"", b"\xc3"),
            ("\"\\ud800\"", b"\\ud800"),
            ("[\"a\"]", b"a"),
        ] {
            assert!(!is_text(json, text), "{json}");
        }
    }
}
