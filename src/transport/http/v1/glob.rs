//! Patterns for keys, as a shell has them: the same as the Node client's. Pure.

/// `*` is any text, `?` any character, `\` takes the meaning from the next one.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    AnyText,
    AnyCharacter,
    Byte(u8),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            parts.push(match byte {
                // Several are one.
                b'*' if parts.last() == Some(&Part::AnyText) => continue,
                b'*' => Part::AnyText,
                b'?' => Part::AnyCharacter,
                b'\\' => Part::Byte(bytes.next().unwrap_or(b'\\')),
                byte => Part::Byte(byte),
            });
        }
        Pattern { parts }
    }

    /// What all that matches begins with.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let bytes = self.parts.iter().map_while(|part| match part {
            Part::Byte(byte) => Some(*byte),
            Part::AnyText | Part::AnyCharacter => None,
        });
        bytes.collect()
    }

    /// Whether a key matches; `None` if that takes more steps than are left. Goes back to the last `*` only, so that it takes no more steps than the length of
    /// the pattern times that of the key.
    pub(super) fn matches(&self, key: &[u8], steps: &mut usize) -> Option<bool> {
        let (mut at, mut i) = (0, 0);
        let mut retry = None;
        while i < key.len() {
            *steps = steps.checked_sub(1)?;
            match self.parts.get(at) {
                Some(Part::AnyText) => {
                    at += 1;
                    retry = Some((at, i));
                }
                Some(Part::AnyCharacter) => {
                    at += 1;
                    i += character(&key[i..]);
                }
                Some(Part::Byte(byte)) if *byte == key[i] => {
                    at += 1;
                    i += 1;
                }
                _ => {
                    let Some((after, from)) = retry else {
                        return Some(false);
                    };
                    let from = from + character(&key[from..]);
                    retry = Some((after, from));
                    (at, i) = (after, from);
                }
            }
        }
        Some(self.parts[at..].iter().all(|part| *part == Part::AnyText))
    }
}

/// The length of the first character; of what is not UTF-8, a byte.
fn character(text: &[u8]) -> usize {
    let len = match text.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    let is_one = text.len() >= len && std::str::from_utf8(&text[..len]).is_ok();
    if is_one { len } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, key: &str) -> bool {
        Pattern::new(pattern)
            .matches(key.as_bytes(), &mut usize::MAX.clone())
            .expect("no limit")
    }

    /// What the pattern means, said in the shortest way.
    fn means(pattern: &[char], key: &[char]) -> bool {
        match (pattern, key) {
            ([], _) => key.is_empty(),
            (['*', rest @ ..], _) => (0..=key.len()).any(|from| means(rest, &key[from..])),
            (['?', rest @ ..], [_, key @ ..]) => means(rest, key),
            (['\\'], _) => key == ['\\'],
            (['\\', one, rest @ ..] | [one, rest @ ..], [first, key @ ..]) => {
                one == first && means(rest, key)
            }
            _ => false,
        }
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, key, wanted) in [
            ("user:*", "user:1", true),
            ("user:*:name", "user:1:2:name", true),
            ("user:*:name", "user:1:names", false),
            ("?", "\u{1f600}", true),
            ("??", "\u{1f600}", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("", "", true),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, key), wanted, "{pattern} {key}");
        }
        assert_eq!(Pattern::new("user:\\*1*x").prefix(), b"user:*1");
    }

    #[test]
    fn a_pattern_that_would_take_for_ever_is_given_up() {
        let pattern = Pattern::new(&"*a".repeat(100));
        let mut steps = 1000;
        assert_eq!(pattern.matches(&[b'a'; 50_000], &mut steps), None);
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_means(pattern in "[ab*?\\\\\u{e4}]{0,8}", key in "[ab*\u{e4}\\\\]{0,8}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &key), means(&characters(&pattern), &characters(&key)));
        }
    }
}
