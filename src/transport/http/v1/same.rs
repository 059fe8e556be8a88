//! Whether two texts of JSON mean the same: numbers by all their digits, objects whatever the order of their members, however deep. Pure.

use std::borrow::Cow;

/// A part of a text; those in it are numbers of others.
#[derive(Debug, PartialEq, Eq)]
enum Part<'j> {
    /// `null`, `true`, `false`.
    Word(&'j str),
    Number(Number),
    Text(Cow<'j, str>),
    Array(Vec<usize>),
    /// By name.
    Object(Vec<(Cow<'j, str>, usize)>),
}

/// 0.`digits` × 10 to the power of `exponent`, without zeros at either end.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    is_negative: bool,
    digits: String,
    exponent: i128,
}

/// Parts of a text take many times the memory of the text: one that has far more of them than the other is not the same. (Of the members of a name all but one
/// may go.)
const SPARE: usize = 1000;

/// Whether two texts, both of which are JSON, mean the same; the first should be no longer than what there is room for many times.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let one = parts(one, usize::MAX);
    let other = parts(other, 2 * one.len() + SPARE);
    let (Some(last), Some(other_last)) = (one.len().checked_sub(1), other.len().checked_sub(1)) else {
        return false;
    };
    // Not by recursion: they may be nested deeper than the stack is high.
    let mut pairs = vec![(last, other_last)];
    while let Some((at, other_at)) = pairs.pop() {
        match (&one[at], &other[other_at]) {
            (Part::Array(items), Part::Array(others)) if items.len() == others.len() => {
                pairs.extend(items.iter().copied().zip(others.iter().copied()));
            }
            (Part::Object(members), Part::Object(others)) if members.len() == others.len() => {
                for ((name, value), (other_name, other_value)) in members.iter().zip(others) {
                    if name != other_name {
                        return false;
                    }
                    pairs.push((*value, *other_value));
                }
            }
            (Part::Array(_) | Part::Object(_), _) => return false,
            (one, other) if one != other => return false,
            _ => {}
        }
    }
    true
}

/// What is open, and what there is of it.
#[derive(Debug)]
struct Open<'j> {
    is_object: bool,
    /// The name of the next value.
    name: Option<Cow<'j, str>>,
    inside: Vec<(Cow<'j, str>, usize)>,
}

/// All parts of a text that is JSON; each comes after those in it, so that the whole is the last. None if there are more than `most`.
fn parts(json: &str, most: usize) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut rest = json;
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => length_of_text(rest),
            b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => 1,
            _ => rest
                .find([',', '}', ']', ' ', '\t', '\r', '\n'])
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        let part = match first {
            b'{' | b'[' => {
                open.push(Open {
                    is_object: first == b'{',
                    name: None,
                    inside: Vec::new(),
                });
                continue;
            }
            b'}' | b']' => match open.pop() {
                Some(closed) => closed.into_part(),
                None => continue,
            },
            b'"' => {
                let text = text(token);
                if let Some(Open {
                    is_object: true,
                    name: name @ None,
                    ..
                }) = open.last_mut()
                {
                    *name = Some(text);
                    continue;
                }
                Part::Text(text)
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'n' | b't' | b'f' => Part::Word(token),
            _ => number(token).map_or(Part::Word(token), Part::Number),
        };
        if let Some(around) = open.last_mut() {
            let name = around.name.take().unwrap_or_default();
            around.inside.push((name, parts.len()));
        }
        if parts.len() >= most {
            return Vec::new();
        }
        parts.push(part);
    }
    parts
}

impl<'j> Open<'j> {
    fn into_part(mut self) -> Part<'j> {
        if !self.is_object {
            return Part::Array(self.inside.into_iter().map(|(_, at)| at).collect());
        }
        // Of several members of a name, the last counts: it is put first, and those after it go.
        self.inside.reverse();
        self.inside.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.inside.dedup_by(|(one, _), (other, _)| one == other);
        Part::Object(self.inside)
    }
}

/// With both its quotes.
fn length_of_text(json: &str) -> usize {
    let mut escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(json.len(), |end| end + 2)
}

fn text(token: &str) -> Cow<'_, str> {
    let inside = token
        .strip_prefix('"')
        .and_then(|token| token.strip_suffix('"'))
        .unwrap_or(token);
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    // Half a surrogate pair is in no text, and is taken as it is written.
    serde_json::from_str(token).map_or(Cow::Borrowed(token), Cow::Owned)
}

/// `None` if its exponent has more digits than anybody needs: then it is as it is written.
fn number(token: &str) -> Option<Number> {
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => (true, mantissa),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Number {
            is_negative: false,
            digits: String::new(),
            exponent: 0,
        });
    }
    let zeros = all.len() - digits.len();
    Some(Number {
        is_negative,
        digits: digits.trim_end_matches('0').to_owned(),
        exponent: i128::from(exponent) + whole.len() as i128 - zeros as i128,
    })
}

#[cfg(test)]
mod tests {
    use super::is_same;

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
}
