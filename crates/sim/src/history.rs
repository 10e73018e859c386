//! What happened in a run, as far as invariants and figures want to know.

use std::time::Duration;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, after so long.
    Answered(Duration),
    /// Its nodes failed, and no attempt more was allowed.
    Failed,
    /// No node would have it: all were full, or none was there.
    Refused,
    /// Its deadline passed.
    Late,
}

/// What a gateway heard of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It withdraws.
    Withdrawn,
    /// It is there again.
    Joined,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Outcomes of each request, by number.
    pub outcomes: Vec<Vec<Outcome>>,
    /// What each gateway heard of nodes: when, gateway, node.
    pub heard: Vec<(Duration, usize, usize, Word)>,
    /// Where gateways sent requests: when, gateway, node.
    pub sent: Vec<(Duration, usize, usize)>,
    /// Requests that reached a node that had exited after a drain, by node.
    pub met_exited: Vec<usize>,
    /// The longest queue of each node.
    pub queue_len_max: Vec<usize>,
    /// How long executors of each node were busy, in all.
    pub busy: Vec<Duration>,
    /// Attempts beyond each request's first.
    pub retries: u64,
    /// Attempts that were given up because nothing was heard in time.
    pub timeouts: u64,
    /// Picks by another strategy than the one that was asked for.
    pub fell_back: u64,
    /// Rows that gateways still count as in flight, and requests that still wait, after the last event.
    pub left_over: u64,
    /// When the last event happened.
    pub ended: Duration,
}
