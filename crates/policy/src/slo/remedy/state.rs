//! What was decided, what is in effect, and what becomes of that.

use super::super::counts::Counts;
use super::super::objective::ObjectiveName;
use super::super::rules::Severity;
use super::super::spans::{MINUTE, between};
use super::decision::{Action, Decision, Kind, Step, Verdict};
use super::diagnosis::{Candidate, NodeState, Situation, candidates};
use super::guards::{Guards, Mode};
use spinwell_core::{Millis, UnixMillis};

/// Decisions that are remembered; the oldest are forgotten first.
pub const DECISIONS_MAX: usize = 1_000;
/// What is refused, or only decided upon, is told again after so long.
const TOLD_AGAIN: Millis = Millis(10 * MINUTE);
/// After so many short windows without an event, an action that cannot be judged is taken back.
const WINDOWS_MAX: u64 = 3;

/// An action that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What was done.
    pub action: Action,
    /// For which objective.
    pub objective: ObjectiveName,
    /// When.
    pub at: UnixMillis,
    /// The alert's short window, after which it is looked at whether it helped.
    pub short: Millis,
    /// The objective's events in the short window before.
    pub before: Counts,
    /// Whether it has helped: only of what has to be taken back some time.
    pub has_helped: bool,
}

/// What is done about breaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    guards: Guards,
    /// Oldest first.
    decisions: Vec<Decision>,
    effects: Vec<Effect>,
    /// The number of the next decision.
    next: u64,
}

/// All that is known, as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemedyPast {
    /// Decisions, oldest first.
    pub decisions: Vec<Decision>,
    /// What is in effect.
    pub effects: Vec<Effect>,
    /// The number of the next decision.
    pub next: u64,
}

impl Remedy {
    /// Goes on from what is known.
    #[must_use]
    pub fn new(guards: Guards, past: RemedyPast) -> Self {
        let RemedyPast { decisions, effects, next } = past;
        Self { guards, decisions, effects, next }
    }

    /// As plain data.
    #[must_use]
    pub fn past(&self) -> RemedyPast {
        RemedyPast { decisions: self.decisions.clone(), effects: self.effects.clone(), next: self.next }
    }

    /// Decisions, oldest first.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// What is in effect.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Looks at an objective: whether what was done for it has helped, and what is to be done. To be called at every look while one of its
    /// alerts fires or anything done for it is in effect. What was decided, in the order in which it is to be carried out.
    pub fn look(&mut self, seen: &Situation, now: UnixMillis) -> Vec<Decision> {
        let mut decided = self.review(seen, now);
        if seen.firing.is_none() {
            decided.extend(self.end(seen, now));
        }
        let is_under_review =
            self.effects.iter().any(|effect| effect.objective == seen.objective && !effect.has_helped);
        if seen.firing == Some(Severity::Page) && !is_under_review {
            decided.extend(self.try_next(seen, now));
        }
        decided
    }

    /// Takes the first action that the figures point at and no guard stands in the way of.
    fn try_next(&mut self, seen: &Situation, now: UnixMillis) -> Vec<Decision> {
        let mut decided = Vec::new();
        for Candidate { action, reason } in candidates(seen) {
            if self.effects.iter().any(|effect| effect.action == action) {
                continue;
            }
            let verdict = self.verdict(&action, seen, now);
            let is_refused = matches!(verdict, Verdict::Refused(_));
            // What is not carried out changes nothing, and would be decided again at every look.
            if verdict == Verdict::Act || !self.was_told(&action, now) {
                decided.push(self.decide(Step::Do(action), verdict, seen, reason, now));
            }
            if !is_refused {
                break;
            }
        }
        decided
    }

    /// What becomes of an action.
    fn verdict(&self, action: &Action, seen: &Situation, now: UnixMillis) -> Verdict {
        match (self.guards.against(action, seen, &self.decisions, now), self.guards.mode) {
            (Some(guard), _) => Verdict::Refused(guard),
            (None, Mode::DryRun) => Verdict::DryRun,
            (None, Mode::Act) => Verdict::Act,
        }
    }

    /// Whether it has been told not long ago that an action was refused or taken.
    fn was_told(&self, action: &Action, now: UnixMillis) -> bool {
        let is_like = |own: &&Decision| matches!(&own.step, Step::Do(done) if done.is_like(action));
        let last = self.decisions.iter().rev().find(is_like);
        last.is_some_and(|own| between(own.at, now) < TOLD_AGAIN)
    }

    /// Looks at what was done for an objective, once a short window lies behind it.
    fn review(&mut self, seen: &Situation, now: UnixMillis) -> Vec<Decision> {
        let mut decided = Vec::new();
        for effect in self.effects.clone() {
            let is_due = between(effect.at, now) >= effect.short;
            if effect.objective != seen.objective || effect.has_helped || !is_due {
                continue;
            }
            match has_fallen(effect.before, seen.counts) {
                Some(true) => decided.extend(self.keep(&effect, seen, now)),
                None if between(effect.at, now).0 < WINDOWS_MAX * effect.short.0 => {}
                fallen => decided.extend(self.take_back(&effect, fallen.is_some(), seen, now)),
            }
        }
        decided
    }

    /// An action has helped. A node that was to blame starts anew, so that it can come back.
    fn keep(&mut self, effect: &Effect, seen: &Situation, now: UnixMillis) -> Option<Decision> {
        // Low priority is served again when all is over. Everything else stays as it is.
        let ends = effect.action.kind() == Kind::ShedLowPriority;
        self.effects.iter_mut().filter(|own| *own == effect).for_each(|own| own.has_helped = true);
        self.effects.retain(|own| ends || !own.has_helped || own.action != effect.action);
        let Action::EjectNode(node) = &effect.action else { return None };
        let is_ejected = seen.nodes.iter().any(|own| own.id == *node && own.state == NodeState::Ejected);
        let restart = Action::RestartNode(node.clone());
        let verdict = self.verdict(&restart, seen, now);
        let reason = format!("without node {node} it is better, it may come back when it has started anew");
        is_ejected.then(|| self.decide(Step::Do(restart), verdict, seen, reason, now))
    }

    /// An action has not helped.
    fn take_back(
        &mut self,
        effect: &Effect,
        is_known: bool,
        seen: &Situation,
        now: UnixMillis,
    ) -> Option<Decision> {
        self.effects.retain(|own| own != effect);
        let (before, after) = (effect.before, seen.counts);
        let reason = if is_known {
            format!(
                "it did not help: {} of {} were bad before, {} of {} since",
                before.bad(),
                before.total,
                after.bad(),
                after.total
            )
        } else {
            "nothing can be said about whether it helped: nothing was asked for since".to_owned()
        };
        let step = Step::Undo(effect.action.clone());
        effect.action.can_be_undone().then(|| self.decide(step, Verdict::Act, seen, reason, now))
    }

    /// No alert fires any more: low priority is served again, and all else stays as it is.
    fn end(&mut self, seen: &Situation, now: UnixMillis) -> Vec<Decision> {
        let own = |effect: &Effect| effect.objective == seen.objective;
        let is_shedding =
            self.effects.iter().any(|effect| own(effect) && effect.action.kind() == Kind::ShedLowPriority);
        self.effects.retain(|effect| !own(effect));
        let reason = "the breach is over".to_owned();
        let step = Step::Undo(Action::ShedLowPriority);
        is_shedding.then(|| self.decide(step, Verdict::Act, seen, reason, now)).into_iter().collect()
    }

    fn decide(
        &mut self,
        step: Step,
        verdict: Verdict,
        seen: &Situation,
        reason: String,
        now: UnixMillis,
    ) -> Decision {
        let decision = Decision { number: self.next, at: now, step, verdict, inputs: seen.clone(), reason };
        self.next += 1;
        if let (Step::Do(action), Verdict::Act) = (&decision.step, verdict) {
            self.effects.push(Effect {
                action: action.clone(),
                objective: seen.objective.clone(),
                at: now,
                short: seen.short,
                before: seen.counts,
                has_helped: false,
            });
        }
        self.decisions.push(decision.clone());
        let too_many = self.decisions.len().saturating_sub(DECISIONS_MAX);
        self.decisions.drain(..too_many);
        decision
    }
}

/// Whether a smaller share is bad than before; nothing where there were no events.
fn has_fallen(before: Counts, after: Counts) -> Option<bool> {
    let product = |one: u64, other: u64| u128::from(one) * u128::from(other);
    (after.total > 0).then(|| product(after.bad(), before.total) < product(before.bad(), after.total))
}
