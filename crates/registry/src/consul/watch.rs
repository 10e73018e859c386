//! When to ask Consul who is there, and what to make of the answer.
//!
//! One machine for one service name. It follows Consul's rules for blocking queries (documentation of the HTTP API,
//! "Blocking Queries"): an index that goes backwards starts again from 0, the index waited for is at least 1, a return is
//! not a change, and queries have a rate. After a failure the next query does not block: a Consul that has lost its
//! state counts from the beginning, and would let an old index wait for its whole time.
//!
//! What is believed:
//!
//! | situation | members |
//! |---|---|
//! | an answer | as answered, also where it is empty or says that somebody is critical |
//! | no answer | frozen: as they were |
//! | an answer within one period of grace after an outage, or after an index that went backwards | good news at once, bad news held back: who was usable stays so |
//!
//! The grace is there because nobody could beat during an outage: an agent that comes back holds everybody for critical,
//! or has forgotten them, until they have beaten or registered again. Who is really gone meets those who would talk to
//! it and find out by themselves.

use super::pace::{Backoff, Bucket};
use crate::Listed;
use spinwell_core::Rng;
use std::time::{Duration, Instant};

/// No wait after a failure is longer: it bounds how late the end of an outage is seen.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// A blocking query is shortened by up to this share at random, so that the queries of many processes spread out.
const JITTER: f64 = 1.0 / 16.0;
/// No query waits less, so that the end of a grace is not asked for again and again.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long a query waits for a change at most.
    pub(super) wait: Duration,
    /// For how long bad news is held back after an outage: everybody alive has beaten by then.
    pub(super) grace: Duration,
}

/// What to ask, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Query {
    /// Not before this.
    pub(super) not_before: Instant,
    /// The index that something has to be newer than; 0 for an answer at once.
    pub(super) index: u64,
    /// How long Consul may wait for it.
    pub(super) wait: Duration,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Watch {
    timing: Timing,
    /// Index of the last answer; 0 before the first.
    last_index: u64,
    /// Index to wait behind.
    next_index: u64,
    bucket: Bucket,
    backoff: Backoff,
    /// After a failure, not before this.
    retry_at: Option<Instant>,
    /// Until when bad news is held back.
    grace_until: Option<Instant>,
    members: Vec<Listed>,
    /// Whether `members` are not what Consul last said.
    is_held: bool,
    is_answered: bool,
}

impl Watch {
    /// Nothing asked, nothing known.
    pub(super) fn new(timing: Timing, now: Instant) -> Self {
        Self {
            timing,
            last_index: 0,
            next_index: 0,
            bucket: Bucket::full(now),
            backoff: Backoff::new(RETRY_WAIT_MAX),
            retry_at: None,
            grace_until: None,
            members: Vec::new(),
            is_held: false,
            is_answered: false,
        }
    }

    /// What to ask next.
    pub(super) fn next(&mut self, now: Instant, rng: &mut Rng) -> Query {
        let paced = self.bucket.take(now);
        let wait = self.timing.wait.mul_f64(1.0 - JITTER * rng.uniform());
        let grace = self.grace_until.map(|until| until.saturating_duration_since(now));
        Query {
            not_before: self.retry_at.map_or(paced, |at| at.max(paced)),
            index: self.next_index,
            // Also without a change, the end of a grace has to be looked at.
            wait: grace.map_or(wait, |grace| wait.min(grace.max(WAIT_MIN))),
        }
    }

    /// Consul has answered with an index, where there was one, and who is there.
    pub(super) fn answered(&mut self, index: Option<u64>, listing: Vec<Listed>, now: Instant) {
        let index = index.unwrap_or(0);
        let is_backwards = index < self.last_index;
        if is_backwards || self.retry_at.is_some() {
            self.grace_until = Some(now + self.timing.grace);
        }
        if self.grace_until.is_some_and(|until| until <= now) {
            self.grace_until = None;
        }
        self.next_index = if is_backwards { 0 } else { index.max(1) };
        self.last_index = index;
        self.retry_at = None;
        self.backoff.reset();
        self.is_answered = true;
        let held = if self.grace_until.is_some() { self.held_against(&listing) } else { Vec::new() };
        self.is_held = !held.is_empty();
        self.members = listing;
        self.members.retain(|listed| !held.iter().any(|kept| is_same(kept, listed)));
        self.members.extend(held);
    }

    /// Consul could not be asked, or its answer was none.
    pub(super) fn failed(&mut self, now: Instant, rng: &mut Rng) {
        self.retry_at = Some(now + self.backoff.after_failure(rng));
        self.next_index = 0;
    }

    /// Who is there.
    pub(super) fn members(&self) -> &[Listed] {
        &self.members
    }

    /// Whether that is not what Consul says now.
    pub(super) fn is_frozen(&self) -> bool {
        !self.is_answered || self.is_held || self.retry_at.is_some()
    }

    /// Those who were usable and of whom `listing` says that they are not, as they were.
    fn held_against(&self, listing: &[Listed]) -> Vec<Listed> {
        let was_usable = self.members.iter().filter(|listed| listed.health.is_usable());
        let is_usable = |was: &Listed| listing.iter().any(|now| is_same(was, now) && now.health.is_usable());
        was_usable.filter(|was| !is_usable(was)).cloned().collect()
    }
}

fn is_same(a: &Listed, b: &Listed) -> bool {
    a.member.id == b.member.id && a.member.role == b.member.role
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
