//! The attempts of one request.

use super::Budget;
use crate::breaker::Class;
use spinwell_core::NodeId;
use std::time::{Duration, Instant};

/// Full nodes that a request meets before it is refused.
const FULL_MAX: usize = 3;

/// What is usual for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CourseOptions {
    /// Attempts, the first among them.
    pub attempts_max: usize,
    /// How long a request waits before it asks again for a retry, where the budget is spent.
    pub wait: Duration,
}

impl Default for CourseOptions {
    fn default() -> Self {
        Self { attempts_max: 4, wait: Duration::from_millis(10) }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// With an answer.
    Answered,
    /// The request was wrong, or its caller went away.
    ClientError,
    /// The node had no room, and said so.
    BackPressure,
    /// The node could not take it, and said so: it is about to go, holds the model no more, or has too little time for it.
    Declined,
    /// No connection came about: the node has seen nothing of the request.
    Refused,
    /// The node failed, or the connection broke.
    Failed,
    /// Nothing was heard in time.
    TimedOut,
}

impl End {
    /// What it says about the node.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            End::Answered => Class::Success,
            End::ClientError | End::BackPressure | End::Declined => Class::Neutral,
            End::Refused | End::Failed | End::TimedOut => Class::Failure,
        }
    }
}

/// What becomes of a request after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It has its answer.
    Done,
    /// It is tried again now. The budget has been charged: [`Budget::end_retry`] when that attempt ends.
    Retry,
    /// The budget is spent: ask again after this long.
    Wait(Duration),
    /// It is not tried again.
    GiveUp(GiveUp),
}

/// Why a request is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GiveUp {
    /// It would be wrong everywhere.
    ClientError,
    /// An answer would come after the deadline.
    DeadlineNear,
    /// It was tried as often as may be.
    AttemptsSpent,
    /// Nodes are full: three have said so, or one has and the budget is spent.
    Full,
}

/// The attempts of one request that any node may answer.
#[derive(Debug, Clone)]
pub struct Course {
    options: CourseOptions,
    deadline: Instant,
    tried: Vec<NodeId>,
    /// Attempts that found their node full.
    full: usize,
}

impl Course {
    /// A request that was not tried yet.
    #[must_use]
    pub fn new(options: CourseOptions, deadline: Instant) -> Self {
        Self { options, deadline, tried: Vec::new(), full: 0 }
    }

    /// It is tried at a node.
    pub fn begin(&mut self, node: NodeId) {
        self.tried.push(node);
    }

    /// How often it was tried.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.tried.len()
    }

    /// Whether it will not be tried again after the next attempt.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.tried.len() + 1 >= self.options.attempts_max
    }

    /// Whether it was not tried yet, and may be tried again.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.tried.is_empty() && !self.is_last()
    }

    /// Until when it is worth anything.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The candidates at which it was not tried yet.
    #[must_use]
    pub fn untried(&self, candidates: &[NodeId]) -> Vec<NodeId> {
        candidates.iter().filter(|node| !self.tried.contains(node)).cloned().collect()
    }

    /// What becomes of it after an attempt, where an answer usually takes `usual`. Also to be asked after a wait.
    ///
    /// Full nodes are not waited for: the node that was chosen was thought to be the least busy, so that the others are
    /// full as well, and a refusal that comes at once is worth more to the caller than one that comes late.
    pub fn next(&mut self, end: End, usual: Duration, now: Instant, budget: &mut Budget) -> Next {
        match end {
            End::Answered => return Next::Done,
            End::ClientError => return Next::GiveUp(GiveUp::ClientError),
            End::BackPressure | End::Declined => self.full += 1,
            End::Refused | End::Failed | End::TimedOut => {}
        }
        if self.full >= FULL_MAX {
            return Next::GiveUp(GiveUp::Full);
        }
        if self.tried.len() >= self.options.attempts_max {
            return Next::GiveUp(GiveUp::AttemptsSpent);
        }
        if now + usual >= self.deadline {
            return Next::GiveUp(GiveUp::DeadlineNear);
        }
        match budget.begin_retry(now) {
            true => Next::Retry,
            false if matches!(end, End::BackPressure | End::Declined) => Next::GiveUp(GiveUp::Full),
            false => Next::Wait(self.options.wait),
        }
    }
}
