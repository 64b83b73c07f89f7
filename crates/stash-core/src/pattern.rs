//! Simple patterns for keys: `*` and `?`. Matching must take no more than key length times pattern length, whatever
//! the pattern.

use std::str::FromStr;

use crate::batch::limit;
use crate::error::StorageError;
use crate::limits::MAX_PATTERN_BYTES;

/// A pattern in which `*` stands for any characters, also none, `?` for one character, and a backslash takes the
/// meaning from the character after it. Everything else stands for itself, and a pattern matches whole keys.
///
/// ```
/// use stash_core::Pattern;
/// let pattern: Pattern = "user:*:na?e".parse()?;
/// assert!(pattern.matches("user:17:name"));
/// assert!(!pattern.matches("user:17:name2"));
/// assert!(r"50\*".parse::<Pattern>()?.matches("50*"));
/// # Ok::<(), stash_core::StorageError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Char(char),
    AnyChar,
    AnyText,
}

impl Pattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every key that matches begins with: a list has to look at no others.
    pub fn literal_prefix(&self) -> String {
        let literal = |part: &Part| match part {
            Part::Char(c) => Some(*c),
            Part::AnyChar | Part::AnyText => None,
        };
        self.parts.iter().map_while(literal).collect()
    }

    /// At most so many steps does matching take for each byte of a key.
    pub(crate) fn steps(&self) -> usize {
        self.parts.len().max(1)
    }

    /// Whether the whole of `key` matches.
    pub fn matches(&self, key: &str) -> bool {
        // The last `*` is the only one that ever has to be tried again: what came before it has matched already.
        let (mut part, mut at) = (0, 0);
        let mut retry = None;
        loop {
            let next = key.get(at..).and_then(|rest| rest.chars().next());
            match (self.parts.get(part), next) {
                (Some(Part::AnyText), _) => {
                    retry = Some((part, at));
                    part += 1;
                }
                (Some(Part::AnyChar), Some(c)) => (part, at) = (part + 1, at + c.len_utf8()),
                (Some(Part::Char(expected)), Some(c)) if *expected == c => (part, at) = (part + 1, at + c.len_utf8()),
                (None, None) => return true,
                _ => {
                    let Some((star, from)) = retry else { return false };
                    let Some(c) = key.get(from..).and_then(|rest| rest.chars().next()) else { return false };
                    retry = Some((star, from + c.len_utf8()));
                    (part, at) = (star + 1, from + c.len_utf8());
                }
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(limit("the length of a pattern in bytes", text.len(), MAX_PATTERN_BYTES));
        }
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' => Part::AnyText,
                '?' => Part::AnyChar,
                '\\' => Part::Char(chars.next().ok_or_else(|| StorageError::InvalidArgument {
                    reason: "a pattern ends with a backslash that escapes nothing; write two of them".to_owned(),
                })?),
                c => Part::Char(c),
            };
            if part != Part::AnyText || parts.last() != Some(&Part::AnyText) {
                parts.push(part);
            }
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `matches` must answer, written for clearness and not for speed.
    fn simply_matches(parts: &[Part], key: &[char]) -> bool {
        match (parts, key) {
            ([], []) => true,
            ([Part::AnyText, rest @ ..], _) => (0..=key.len()).any(|skip| simply_matches(rest, &key[skip..])),
            ([Part::AnyChar, rest @ ..], [_, key @ ..]) => simply_matches(rest, key),
            ([Part::Char(expected), rest @ ..], [c, key @ ..]) => expected == c && simply_matches(rest, key),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_it_says(pattern in "[abä*?]{0,8}", key in "[abä]{0,10}") {
            let pattern: Pattern = pattern.parse().unwrap();
            let chars: Vec<char> = key.chars().collect();
            prop_assert_eq!(pattern.matches(&key), simply_matches(&pattern.parts, &chars));
            if pattern.matches(&key) {
                prop_assert!(key.starts_with(&pattern.literal_prefix()));
            }
        }
    }

    #[test]
    fn a_hostile_pattern_is_no_slower_than_its_size() {
        let pattern: Pattern = "*a".repeat(MAX_PATTERN_BYTES / 2).parse().unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(2000))));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let error = "a\\".parse::<Pattern>().unwrap_err().to_string();
        assert!(error.contains("ends with a backslash"), "{error}");
        let error = "a".repeat(MAX_PATTERN_BYTES + 1).parse::<Pattern>().unwrap_err().to_string();
        assert!(error.contains("the length of a pattern in bytes is 257; the limit is 256"), "{error}");
    }
}
