//! How urgent a request is, and whose it is.

use std::sync::Arc;

/// How urgent a request is, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Before everything else.
    Critical,
    /// Before what is usual.
    High,
    /// As usual.
    #[default]
    Normal,
    /// When there is little else to do.
    Low,
}

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All of them, the most urgent first.
    pub const ALL: [Self; Self::COUNT] =
        [Priority::Critical, Priority::High, Priority::Normal, Priority::Low];

    /// The priority of the protocol's number: 1 is the most urgent, 0 leaves it to the server, larger is lower.
    #[must_use]
    pub const fn of_number(number: u64) -> Self {
        match number {
            0 | 3 => Priority::Normal,
            1 => Priority::Critical,
            2 => Priority::High,
            _ => Priority::Low,
        }
    }
}

/// Who owns a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub Arc<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_protocol_are_classes() {
        use Priority::{Critical, High, Low, Normal};
        let classes = [0, 1, 2, 3, 4, 5, u64::MAX].map(Priority::of_number);
        assert_eq!(classes, [Normal, Critical, High, Normal, Low, Low, Low]);
    }
}
