//! What the query of a URI asks for.

use std::borrow::Cow;

use hyper::Uri;

use super::super::problem::Problem;
use super::names::decoded;

/// The last of the parameters of this name. In a query, `+` is a space.
pub(in super::super) fn bytes(uri: &Uri, name: &str) -> Option<Vec<u8>> {
    let parameters = uri.query()?.split('&');
    let found = parameters.rev().find_map(|parameter| {
        let (given, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (given == name).then_some(value)
    })?;
    let spaced = if found.contains('+') {
        Cow::Owned(found.replace('+', " "))
    } else {
        Cow::Borrowed(found)
    };
    Some(decoded(&spaced).into_owned())
}

pub(in super::super) fn text(uri: &Uri, name: &str) -> Result<Option<String>, Problem> {
    let Some(bytes) = bytes(uri, name) else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes);
    text.map(Some)
        .map_err(|_| Problem::bad_request(format!("{name} is not UTF-8")))
}

/// A number that may be asked for, within limits.
#[derive(Debug)]
pub(in super::super) struct Number {
    pub(in super::super) name: &'static str,
    pub(in super::super) least: usize,
    pub(in super::super) most: usize,
    pub(in super::super) by_default: usize,
}

impl Number {
    pub(in super::super) fn of(&self, uri: &Uri) -> Result<usize, Problem> {
        let &Number {
            name,
            least,
            most,
            by_default,
        } = self;
        let Some(text) = text(uri, name)? else {
            return Ok(by_default);
        };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            Problem::bad_request(format!(
                "{name} is {text:?} and must be a number from {least} to {most}"
            ))
        })
    }
}

/// `true` and `false`, and `1` and `0`; the name alone is true.
pub(in super::super) fn flag(uri: &Uri, name: &str) -> Result<bool, Problem> {
    match text(uri, name)?.as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(other) => Err(Problem::bad_request(format!(
            "{name} is {other:?} and must be true or false"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_last_of_a_name_counts() {
        let uri: Uri = "/x?a=1&b=%2B+%ff&a=2&peek&c=no".parse().expect("a URI");
        assert_eq!(bytes(&uri, "a"), Some(b"2".to_vec()));
        assert_eq!(bytes(&uri, "b"), Some(b"+ \xff".to_vec()));
        assert_eq!(bytes(&uri, "d"), None);
        assert!(text(&uri, "b").is_err());
        let number = |name, least| Number {
            name,
            least,
            most: 9,
            by_default: 5,
        };
        assert_eq!(number("a", 1).of(&uri).ok(), Some(2));
        assert_eq!(number("d", 1).of(&uri).ok(), Some(5));
        assert!(number("a", 3).of(&uri).is_err());
        assert_eq!(flag(&uri, "peek").ok(), Some(true));
        assert_eq!(flag(&uri, "d").ok(), Some(false));
        assert!(flag(&uri, "c").is_err());
    }
}
