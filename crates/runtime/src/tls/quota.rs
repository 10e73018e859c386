//! How many lines a log gets of one kind: some at once, then one a second. A stranger who knocks a thousand times a second must
//! not fill the disk, and must not hide what else is refused, so each kind has its own.

use std::time::{Duration, Instant};

/// Lines that may come at once: a cluster that starts with wrong certificates is seen whole.
const AT_ONCE: u32 = 20;
/// After these, one line in this time.
const EVERY: Duration = Duration::from_secs(1);

/// What is left of the lines of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    /// The moment from which all lines would be there again.
    full_at: Option<Instant>,
    /// Lines that were not written since the last one that was.
    withheld: u64,
}

impl Quota {
    pub(super) const FULL: Self = Self { full_at: None, withheld: 0 };

    /// Asks for a line at the time `now`: how many were withheld since the last one, or nothing where this one is, too.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at.saturating_duration_since(now) > EVERY * (AT_ONCE - 1) {
            self.withheld += 1;
            return None;
        }
        self.full_at = Some(full_at + EVERY);
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_a_second_and_nothing_is_forgotten() {
        let start = crate::clock::now();
        let mut quota = Quota::FULL;
        let burst: Vec<_> = (0..50).filter_map(|_| quota.take(start)).collect();
        assert_eq!(burst, [0; AT_ONCE as usize]);
        let mut written = Vec::new();
        for tenth in 1..=100_u32 {
            written.extend(quota.take(start + Duration::from_millis(100) * tenth));
        }
        assert_eq!(written.len(), 10);
        assert_eq!(written[0], 30 + 9);
        assert!(written[1..].iter().all(|withheld| *withheld == 9), "{written:?}");
        // After a quiet hour there are as many as at the start, and not more.
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..50).filter_map(|_| quota.take(later)).count(), AT_ONCE as usize);
    }
}
