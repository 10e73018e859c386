//! How a member is.

use std::fmt;

/// How a member is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Health {
    /// Send it work.
    #[default]
    Passing,
    /// It works, but prefer others: it is overloaded, or about to leave.
    Warning,
    /// Send it nothing: it says so itself, or has not been heard of in time.
    Critical,
}

impl Health {
    /// The word that Consul has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Passing => "passing",
            Health::Warning => "warning",
            Health::Critical => "critical",
        }
    }

    /// Whether a member of that health may be sent work.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        !matches!(self, Health::Critical)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
