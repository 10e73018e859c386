//! What the log says of a node that cannot be reached: each reason once, and nothing bad of a node that said it would stop.

use std::time::{Duration, Instant};

/// Reasons that are remembered of one absence. What comes beyond is not said.
const REASONS_MAX: usize = 8;
/// A node that stopped in good order and is away for longer is missed like any other.
const EXPECTED_BACK: Duration = Duration::from_secs(15);

/// How loudly a reason is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remark {
    /// The node has stopped in good order.
    Left,
    /// It cannot be reached.
    Missed,
}

/// A node's absence. Each begins with [`Absence::default`].
#[derive(Debug, Default)]
pub(super) struct Absence {
    told: Vec<String>,
    /// When it stopped in good order, where it did.
    left_at: Option<Instant>,
}

impl Absence {
    /// That of a node which was there until now, and had said whether it was about to stop.
    pub(super) fn after(was_leaving: bool, now: Instant) -> Self {
        Self { told: Vec::new(), left_at: was_leaving.then_some(now) }
    }

    /// What to say now that the node cannot be reached for this reason.
    pub(super) fn remark(&mut self, why: &str, now: Instant) -> Option<Remark> {
        if let Some(left_at) = self.left_at {
            if self.told.is_empty() {
                self.told.push(why.to_owned());
                return Some(Remark::Left);
            }
            if now - left_at < EXPECTED_BACK {
                return None;
            }
        }
        if self.told.len() >= REASONS_MAX || self.told.iter().any(|told| told == why) {
            return None;
        }
        self.told.push(why.to_owned());
        Some(Remark::Missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_runtime::clock;

    #[test]
    fn each_reason_is_said_once_and_those_after_a_planned_stop_only_when_it_lasts() {
        let check = |was_leaving: bool, reasons: &[(u64, &str, Option<Remark>)]| {
            let start = clock::now();
            let mut absence = Absence::after(was_leaving, start);
            for (second, why, wanted) in reasons {
                let got = absence.remark(why, start + Duration::from_secs(*second));
                assert_eq!(got, *wanted, "{why} after {second} s");
            }
        };
        let (missed, left) = (Some(Remark::Missed), Some(Remark::Left));
        check(
            false,
            &[(0, "closed", missed), (1, "refused", missed), (2, "refused", None), (3, "closed", None)],
        );
        check(
            true,
            &[(0, "closed", left), (1, "refused", None), (14, "refused", None), (15, "refused", missed)],
        );
    }

    #[test]
    fn reasons_that_are_ever_new_do_not_fill_the_log() {
        let mut absence = Absence::default();
        let said = (0..100).filter(|n| absence.remark(&n.to_string(), clock::now()).is_some()).count();
        assert_eq!(said, REASONS_MAX);
    }
}
