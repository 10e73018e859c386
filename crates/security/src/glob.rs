//! Names with a star in them.
//!
//! A star stands for any run of characters, and nothing else is special: what limits a credential must be read in one way
//! only. Matching goes back to the last star alone and so takes at most the product of both lengths.

use std::fmt;
use std::str::FromStr;

/// No longer than this: a model's name has at most 128 bytes.
const BYTES_MAX: usize = 160;

/// A text is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pattern of names: use 1 to {BYTES_MAX} letters, digits, '.', '_', '-', ':' or '*'")]
pub struct InvalidGlob(String);

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

/// Whether a name fits a pattern, also one whose letters no [`Glob`] has.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Behind the last star, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, from));
            at += 1;
        } else if pattern.get(at) == name.get(from) {
            (at, from) = (at + 1, from + 1);
        } else if let Some((behind, taken)) = star {
            star = Some((behind, taken + 1));
            (at, from) = (behind, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl FromStr for Glob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<Self, InvalidGlob> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:*".contains(&byte);
        let fits = (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text.into())) } else { Err(InvalidGlob(text.chars().take(BYTES_MAX).collect())) }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_any_run() {
        let rows = [
            ("*", "", true),
            ("*", "anything", true),
            ("taxi", "taxi", true),
            ("taxi", "taxi2", false),
            ("taxi*", "taxi", true),
            ("*-v*", "taxi-v2", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("**x", "x", true),
            ("x*x", "x", false),
        ];
        for (pattern, name, fits) in rows {
            assert_eq!(pattern.parse::<Glob>().unwrap().matches(name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn other_characters_are_refused() {
        for text in ["", "a b", "a?", "[a]", "ä", &"a".repeat(161)] {
            assert!(text.parse::<Glob>().is_err(), "{text}");
        }
    }

    /// What a matcher without any cleverness says.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                plainly(rest, name) || matches!(name, [_, tail @ ..] if plainly(pattern, tail))
            }
            ([p, rest @ ..], [n, tail @ ..]) if p == n => plainly(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_one(pattern in "[ab*]{1,8}", name in "[ab]{0,8}") {
            let glob: Glob = pattern.parse().unwrap();
            prop_assert_eq!(glob.matches(&name), plainly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
