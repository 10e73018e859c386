//! What happened in a run, as far as invariants and figures want to know.

use super::log::Written;
use super::state::State;
use spinwell_policy::sequence::{Asked, Refusal};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a caller wants done, however often he asks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Op {
    /// The caller, and his sequence.
    pub sequence: usize,
    /// When he asked for the first time.
    pub asked: Duration,
    /// Whether he knows that it is to be refused.
    pub is_wrong: bool,
    /// The ops that he sent at once through one gateway have the same.
    pub burst: u64,
}

/// A request as a gateway gets it: an op, for the first time or again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// What it asks for.
    pub op: usize,
    /// The same as a node sees it; its time is that of the gateway.
    pub asked: Asked,
    /// Whether the sequence is over after it.
    pub ends: bool,
    /// Through which gateway.
    pub gateway: usize,
    /// When the gateway got it.
    pub received: Duration,
    /// Whether the caller asks for the first time.
    pub is_first: bool,
    /// When he asked for the same again, through this gateway or another.
    pub again: Option<Duration>,
}

impl Request {
    /// Whether it was all that the caller had asked for the same until then.
    #[must_use]
    pub fn is_only(&self, until: Duration) -> bool {
        self.is_first && self.again.is_none_or(|again| again > until)
    }
}

/// An answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is taken as that step.
    Taken {
        /// The step's number.
        step: u64,
        /// What the model says.
        value: u64,
    },
    /// It is refused.
    Refused(Refusal),
    /// Others have written to the shard, again and again.
    Moved,
    /// Its node was lost, and it had no number.
    Lost,
    /// The gateway has waited for too long.
    TimedOut,
    /// The gateway is not there.
    Unreachable,
}

/// An answer that left a node, or a gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered {
    /// To which request.
    pub request: usize,
    /// What.
    pub answer: Answer,
    /// When.
    pub at: Duration,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// What callers wanted.
    pub ops: Vec<Op>,
    /// Requests, in the order in which gateways got them.
    pub requests: Vec<Request>,
    /// Everything that was ever written to the log, by shard.
    pub log: BTreeMap<u16, Vec<Written>>,
    /// Copies as they were exchanged: the position before, and the new one.
    pub kept: Vec<(u64, State)>,
    /// What nodes answered, whether anybody heard it or not.
    pub said: Vec<Answered>,
    /// What callers were told.
    pub told: Vec<Answered>,
    /// Ops whose caller waits for them no more, and why: he has an answer, or has given up.
    pub closed: BTreeMap<usize, Duration>,
    /// Appends that failed because another had written, or that were not sent because another's entries were read.
    pub fences: u64,
    /// Requests that gateways sent again.
    pub resent: u64,
    /// When the last event happened.
    pub ended: Duration,
}
