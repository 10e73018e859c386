//! One request for a step, at a node that shares its log with others.
//!
//! A node decides by what it knows, and that may be behind the log. A step that is taken proves itself: it is appended behind what
//! the node knows, and where another has written since, the append fails and nothing has happened. Nothing proves a refusal or a
//! repeated answer, so before those are given the node reads the log to its end. They are rare: it costs nothing.

use super::{Asked, Decision, Known, Refusal, decide};
use spinwell_core::{Millis, UnixMillis};

/// How often a step is tried whose append fails. Each failure means that another node has written to the same shard, which
/// happens for as long as gateways disagree about its owner. In half a second of that a busy shard fails a step more than eight times;
/// with eight, hand-overs refused steps, and those behind them as ones that leave a gap.
const FENCED_MAX: u8 = 64;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do it; what is appended must stand behind what is known.
    Take(Decision),
    /// Read the log to its end, and ask again.
    Refresh,
    /// Refuse: it is true.
    Refuse(Refusal),
}

/// How far the trial of a step has come.
///
/// ```
/// use spinwell_core::{Millis, UnixMillis};
/// use spinwell_policy::sequence::{Asked, Refusal, Trial, Verdict};
/// let (asked, now, idle) = (Asked::default(), UnixMillis(0), Millis(1));
/// let mut trial = Trial::shared();
/// assert_eq!(trial.verdict(None, asked, now, idle), Verdict::Refresh);
/// trial.refreshed();
/// assert_eq!(trial.verdict(None, asked, now, idle), Verdict::Refuse(Refusal::Unknown));
/// ```
#[derive(Debug, Clone)]
pub struct Trial {
    /// Whether what is known is what the log held after the request had come.
    is_fresh: bool,
    /// Appends that have failed because another had written.
    fenced: u8,
}

impl Trial {
    /// At a node whose log nobody else writes: it knows all there is.
    #[must_use]
    pub const fn alone() -> Self {
        Self { is_fresh: true, fenced: 0 }
    }

    /// At a node that shares its log.
    #[must_use]
    pub const fn shared() -> Self {
        Self { is_fresh: false, fenced: 0 }
    }

    /// What to do, by what is known of the sequence at `now`; it expires after `idle`.
    #[must_use]
    pub fn verdict(&self, known: Option<&Known>, asked: Asked, now: UnixMillis, idle: Millis) -> Verdict {
        match decide(known, asked, now, idle) {
            Ok(decision @ (Decision::Begin | Decision::Continue { .. })) => Verdict::Take(decision),
            _ if !self.is_fresh => Verdict::Refresh,
            Ok(Decision::Repeat) => Verdict::Take(Decision::Repeat),
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }

    /// The log was read to its end since the request had come.
    pub const fn refreshed(&mut self) {
        self.is_fresh = true;
    }

    /// The append has failed because another had written. Whether the step should be tried again, after the log was read.
    #[must_use]
    pub const fn fenced(&mut self) -> bool {
        self.is_fresh = false;
        self.fenced = self.fenced.saturating_add(1);
        self.fenced < FENCED_MAX
    }

    /// The append has failed that had been sent more than once: the log may have taken it the first time, and have been pruned
    /// since. Whether the step should be tried again: one without a number might be taken twice.
    #[must_use]
    pub const fn in_doubt(&mut self, asked: &Asked) -> bool {
        self.fenced() && asked.step.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Phase;
    use super::*;

    const KNOWN: Known = Known {
        step: 4,
        digest: 44,
        first_digest: 11,
        used: UnixMillis(5),
        begun_at: UnixMillis(0),
        phase: Phase::Live,
    };

    fn verdict(trial: &Trial, step: Option<u64>, digest: u64) -> Verdict {
        let asked = Asked { step, digest, ..Asked::default() };
        trial.verdict(Some(&KNOWN), asked, UnixMillis(5), Millis(10))
    }

    #[test]
    fn what_is_appended_needs_no_look_and_what_is_only_said_does() {
        let mut trial = Trial::shared();
        assert_eq!(verdict(&trial, Some(5), 1), Verdict::Take(Decision::Continue { step: 5 }));
        for (step, digest) in [(4, 44), (4, 45), (3, 1), (6, 1)] {
            assert_eq!(verdict(&trial, Some(step), digest), Verdict::Refresh, "{step}");
        }
        trial.refreshed();
        assert_eq!(verdict(&trial, Some(4), 44), Verdict::Take(Decision::Repeat));
        assert_eq!(verdict(&trial, Some(6), 1), Verdict::Refuse(Refusal::Gap { expected: 5 }));
        assert_eq!(verdict(&Trial::alone(), Some(6), 1), Verdict::Refuse(Refusal::Gap { expected: 5 }));
    }

    #[test]
    fn a_step_without_a_number_is_not_tried_again_where_it_may_have_been_taken() {
        let mut trial = Trial::shared();
        trial.refreshed();
        assert!(trial.in_doubt(&Asked { step: Some(5), ..Asked::default() }));
        assert_eq!(verdict(&trial, Some(6), 1), Verdict::Refresh);
        assert!(!trial.in_doubt(&Asked::default()));
    }

    #[test]
    fn a_fenced_step_looks_again_and_is_not_tried_for_ever() {
        let mut trial = Trial::shared();
        trial.refreshed();
        assert!(trial.fenced());
        assert_eq!(verdict(&trial, Some(6), 1), Verdict::Refresh);
        let more = std::iter::repeat_with(|| trial.fenced()).take_while(|again| *again).count();
        assert_eq!(more, usize::from(FENCED_MAX) - 2);
    }
}
