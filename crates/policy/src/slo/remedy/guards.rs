//! What keeps actions from doing harm.

use super::super::spans::{DAY, HOUR, MINUTE};
use super::decision::{Action, Decision, Guard, Kind, Step, Verdict};
use super::diagnosis::{NodeState, Situation};
use spinwell_core::{Millis, UnixMillis};

/// For how long what did not help is not tried again.
const NOT_AGAIN: Millis = Millis(HOUR);

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They are written down. The default: an operator who has read them for a while switches to the other.
    #[default]
    DryRun,
    /// They are carried out.
    Act,
}

/// So often within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How often.
    pub times: usize,
    /// Within how long.
    pub within: Millis,
}

/// What actions have to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guards {
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// How often each kind of action may be taken. A kind that is not in it may never be.
    pub rates: Vec<(Kind, Rate)>,
    /// How often anything may be done.
    pub budget: Rate,
}

impl Default for Guards {
    fn default() -> Self {
        let rate = |times, within| Rate { times, within: Millis(within) };
        Self {
            mode: Mode::default(),
            rates: vec![
                (Kind::ScaleUp, rate(1, 2 * MINUTE)),
                (Kind::EjectNode, rate(1, MINUTE)),
                (Kind::RestartNode, rate(1, 5 * MINUTE)),
                (Kind::ShedLowPriority, rate(1, 5 * MINUTE)),
                (Kind::RollBackModel, rate(1, HOUR)),
            ],
            budget: rate(12, DAY),
        }
    }
}

impl Guards {
    /// What stands in the way of an action, seeing what was decided before.
    pub(super) fn against(
        &self,
        action: &Action,
        situation: &Situation,
        before: &[Decision],
        now: UnixMillis,
    ) -> Option<Guard> {
        let useless =
            before.iter().rev().find(|own| is_undone_for(own, action)).map(|own| own.at.0 + NOT_AGAIN.0);
        if let Some(until) = useless.filter(|until| now.0 < *until) {
            return Some(Guard::DidNotHelp { until: UnixMillis(until) });
        }
        let rate = self.rates.iter().find(|(kind, _)| *kind == action.kind()).map(|(_, rate)| *rate);
        let rate = rate.unwrap_or(Rate { times: 0, within: Millis(DAY) });
        let of_kind = |own: &Decision| own.step.action().kind() == action.kind();
        if let Some(next) = rate.next(before.iter().filter(|own| of_kind(own)), now) {
            return Some(Guard::Rate { next });
        }
        if let Some(next) = self.budget.next(before.iter(), now) {
            return Some(Guard::Budget { next });
        }
        blast_radius(action, situation)
    }
}

/// Whether a decision took back an action like this because it had not helped.
fn is_undone_for(own: &Decision, action: &Action) -> bool {
    own.inputs.firing.is_some() && matches!(&own.step, Step::Undo(undone) if undone.is_like(action))
}

impl Rate {
    /// When the next may be, where that is not now. What was refused or taken back does not count.
    fn next<'a>(&self, before: impl Iterator<Item = &'a Decision>, now: UnixMillis) -> Option<UnixMillis> {
        let counts =
            |own: &&Decision| matches!(own.step, Step::Do(_)) && !matches!(own.verdict, Verdict::Refused(_));
        let begins = now.before(self.within);
        let taken: Vec<UnixMillis> =
            before.filter(counts).map(|own| own.at).filter(|at| *at > begins).collect();
        if taken.len() < self.times {
            return None;
        }
        // When as many of them are past that one more fits.
        let leaves = taken.len().checked_sub(self.times).and_then(|place| taken.get(place)).copied();
        Some(UnixMillis(leaves.unwrap_or(now).0.saturating_add(self.within.0)))
    }
}

/// Whether more than a third of the nodes would be out.
fn blast_radius(action: &Action, situation: &Situation) -> Option<Guard> {
    let (Action::EjectNode(node) | Action::RestartNode(node)) = action else { return None };
    let is_out = |own: &&super::NodeSeen| own.state != NodeState::Serving || own.id == *node;
    let out = situation.nodes.iter().filter(is_out).count();
    let out_max = situation.nodes.len() / 3;
    (out > out_max).then_some(Guard::BlastRadius { out, out_max })
}
