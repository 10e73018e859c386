//! What to tell the agent of ourselves, and when.
//!
//! The wish (be listed so and so, or not at all) and what the agent knows are held apart, and each step brings the second
//! nearer to the first. So an agent that was away, has restarted or has forgotten us needs no case of its own: a beat
//! that it refuses means that it does not know us, and the next step is to register.

use super::pace::Backoff;
use crate::{Health, Member};
use spinwell_core::Rng;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A beat comes earlier by up to this share at random, so that the beats of many processes spread out.
const JITTER: f64 = 0.1;

/// What the process wants to be known as.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Wish {
    /// Not listed.
    #[default]
    Absent,
    /// Listed as this member, of this health.
    Listed(Arc<Member>, Health),
}

/// What to tell the agent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Who we are. It also says how we are.
    Register(Arc<Member>, Health),
    /// That we are there, and how.
    Beat(Arc<Member>, Health),
    /// That we are gone.
    Deregister(Arc<Member>),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is so.
    Done,
    /// The agent said no.
    Refused,
    /// The agent could not be asked, and may or may not have heard.
    Unreachable,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Announcer {
    /// Longest time between two beats.
    interval: Duration,
    wish: Wish,
    /// Who the agent knows us as, or may know us as.
    known: Option<Arc<Member>>,
    /// The health that it surely has of us.
    told: Option<Health>,
    beat_at: Instant,
    /// After a failure, not before this.
    retry_at: Option<Instant>,
    backoff: Backoff,
}

impl Announcer {
    /// The agent does not know us, and nothing is to be told.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            wish: Wish::Absent,
            known: None,
            told: None,
            beat_at: now,
            retry_at: None,
            backoff: Backoff::new(interval),
        }
    }

    /// From now on this is wanted.
    pub(super) fn wish(&mut self, wish: Wish) {
        self.wish = wish;
    }

    /// The next step and when it is due; none where all is as it should be for good.
    pub(super) fn next(&self, now: Instant) -> Option<(Instant, Step)> {
        let step = match (&self.wish, &self.known) {
            (Wish::Absent, None) => return None,
            (Wish::Absent, Some(known)) => Step::Deregister(known.clone()),
            (Wish::Listed(member, _), Some(known)) if !replaces(member, known) => {
                Step::Deregister(known.clone())
            }
            (Wish::Listed(member, health), Some(known)) if self.told.is_some() && known == member => {
                Step::Beat(member.clone(), *health)
            }
            (Wish::Listed(member, health), _) => Step::Register(member.clone(), *health),
        };
        let is_only_a_beat = matches!(&step, Step::Beat(_, health) if self.told == Some(*health));
        let due = if is_only_a_beat { self.beat_at } else { now };
        Some((self.retry_at.map_or(due, |at| at.max(due)), step))
    }

    /// What became of a step.
    pub(super) fn answered(&mut self, step: &Step, answer: Answer, now: Instant, rng: &mut Rng) {
        match (step, answer) {
            (Step::Register(member, health) | Step::Beat(member, health), Answer::Done) => {
                self.known = Some(member.clone());
                self.told = Some(*health);
                self.beat_at = now + self.interval.mul_f64(1.0 - JITTER * rng.uniform());
            }
            (Step::Deregister(_), Answer::Done) => {
                self.known = None;
                self.told = None;
            }
            // It does not know us: the next step is to register, at once.
            (Step::Beat(..), Answer::Refused) => {
                self.told = None;
                return;
            }
            // It may have heard, so there may be something to deregister.
            (Step::Register(member, _), Answer::Refused | Answer::Unreachable) => {
                self.known = Some(member.clone());
                self.told = None;
            }
            (Step::Beat(..), Answer::Unreachable) => {}
            (Step::Deregister(_), Answer::Refused | Answer::Unreachable) => {}
        }
        if answer == Answer::Done {
            self.backoff.reset();
            self.retry_at = None;
        } else {
            self.retry_at = Some(now + self.backoff.after_failure(rng));
        }
    }

    /// Whether the agent knows of us what we want it to know.
    pub(super) fn is_settled(&self) -> bool {
        match (&self.wish, &self.known) {
            (Wish::Absent, known) => known.is_none(),
            (Wish::Listed(member, health), Some(known)) => known == member && self.told == Some(*health),
            (Wish::Listed(..), None) => false,
        }
    }

    /// Whether the last step failed.
    pub(super) fn is_failing(&self) -> bool {
        self.retry_at.is_some()
    }
}

/// Whether registering one member overwrites all that was registered for the other.
fn replaces(new: &Member, old: &Member) -> bool {
    new.id == old.id && new.role == old.role && (new.grpc.is_some() || old.grpc.is_none())
}

#[cfg(test)]
#[path = "announce_tests.rs"]
mod tests;
