//! Names and numbers of things.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A name broke the rule of [`ModelName`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName(String);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a model name: use 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit",
            self.0
        )
    }
}

impl std::error::Error for InvalidName {}

/// The name of a model: 1 to 128 ASCII letters, digits, `.`, `_` or `-`, starting with a letter or digit, so
/// that it is safe as a folder's name and inside a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(Arc<str>);

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=128).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits { Ok(Self(text.into())) } else { Err(InvalidName(text.chars().take(140).collect())) }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a version under a model's name, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelVersion(pub u32);

impl ModelVersion {
    /// The version that a folder's name stands for: a number from 1, written the one way it can be.
    #[must_use]
    pub fn of_folder(name: &str) -> Option<Self> {
        let number: u32 = name.parse().ok()?;
        (number > 0 && number.to_string() == name).then_some(Self(number))
    }
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a model is: the SHA-256 of its file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelHash(pub [u8; 32]);

impl fmt::Display for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a processing node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub Arc<str>);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_folders_and_in_urls() {
        for good in ["taxi", "taxi-h48", "a.b_c-1", "9"] {
            assert!(good.parse::<ModelName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "é", "a\0", &"x".repeat(129)] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_version_has_one_folder() {
        assert_eq!(ModelVersion::of_folder("12"), Some(ModelVersion(12)));
        for other in ["0", "007", "+1", "1.0", "", "v1", "4294967296"] {
            assert_eq!(ModelVersion::of_folder(other), None, "{other}");
        }
    }

    #[test]
    fn hashes_print_as_64_hexadecimal_digits() {
        assert_eq!(ModelHash([0x0a; 32]).to_string(), "0a".repeat(32));
    }
}
