//! What is said again and again as long as something is wrong, but not each time.

use std::time::{Duration, Instant};

/// Something that is said at most once in a while.
#[derive(Debug, Clone)]
pub struct Seldom {
    every: Duration,
    last: Option<Instant>,
}

impl Seldom {
    /// Once in this time.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Whether it is said now; then it is not for a while.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn it_is_said_at_once_and_then_once_in_a_while() {
        let (mut seldom, start) = (Seldom::new(Duration::from_secs(5)), clock::now());
        let said = [0, 1, 4_999, 5_000, 9_999, 10_001]
            .map(|millis| seldom.is_due(start + Duration::from_millis(millis)));
        assert_eq!(said, [true, false, false, true, false, true]);
    }
}
