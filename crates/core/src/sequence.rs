//! Sequences: what they are called, and where the state of one came from.

use crate::{ModelName, TenantId};
use std::fmt;
use std::sync::Arc;

/// What a caller calls a sequence: 1 to 128 bytes of printable text. A number is its decimal digits, so that the id 5 and
/// the id "5" are the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(Arc<str>);

impl SequenceId {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// The id of that text; `None` where it is empty, too long or holds a control character.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.into()))
    }

    /// The id of that number.
    #[must_use]
    pub fn of_number(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which sequence: a tenant's own, of one model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// The model that it is fed to, in whatever version it began with.
    pub model: ModelName,
    /// What the tenant calls it.
    pub id: SequenceId,
}

/// Where the state of a sequence came from when it took a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateSource {
    /// The sequence begins with this step.
    Cold,
    /// It was in memory.
    Live,
    /// The node had read along while another one took the steps.
    Standby,
    /// It was read from the disk: after a restart, after a while without use, or because a caller had put it there.
    Snapshot,
}

impl StateSource {
    /// The source as the protocol's parameter names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            StateSource::Cold => "cold",
            StateSource::Live => "live",
            StateSource::Standby => "standby",
            StateSource::Snapshot => "snapshot",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_printable_text() {
        for good in ["5", "stream-a", "größe 7", &"x".repeat(128)] {
            assert_eq!(SequenceId::of_text(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "\0", &"x".repeat(129)] {
            assert_eq!(SequenceId::of_text(bad), None, "{bad:?}");
        }
        assert_eq!(Some(SequenceId::of_number(5)), SequenceId::of_text("5"));
    }
}
