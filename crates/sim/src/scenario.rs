//! What a run consists of: machines, load, and what goes wrong when.

use spinwell_policy::balance::Strategy;
use std::time::Duration;

/// Everything that fixes a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What all randomness comes from.
    pub seed: u64,
    /// How gateways choose nodes.
    pub strategy: Strategy,
    /// How many gateways there are.
    pub gateways: usize,
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// The load: until when (from the start) how many requests come a second, in order. The last ends the load.
    pub load: Vec<(Duration, f64)>,
    /// How long a request is worth something.
    pub deadline: Duration,
    /// What goes wrong when, in any order.
    pub faults: Vec<(Duration, Fault)>,
    /// A bug, to show that it is found.
    pub plant: Option<Plant>,
}

impl Scenario {
    /// When the last request comes.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.load.last().map_or(Duration::ZERO, |&(until, _)| until)
    }
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeSpec {
    /// Its announced weight.
    pub weight: f64,
    /// How many times faster than usual it really is.
    pub speed: f64,
    /// Batches it runs at the same time.
    pub executors: usize,
    /// Requests that may wait there.
    pub queue_len_max: usize,
    /// Whether it has a graphics card to report of.
    pub has_gpu: bool,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self { weight: 1.0, speed: 1.0, executors: 2, queue_len_max: 256, has_gpu: true }
    }
}

/// Something goes wrong, or is right again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// A node takes so many times as long as usual.
    Slow(usize, f64),
    /// A node answers this share of its requests with an error, at once.
    Errors(usize, f64),
    /// A node never answers this share of its requests, but beats and reports as usual: a grey failure.
    Hangs(usize, f64),
    /// A node's process is gone: connections break and are refused.
    Crash(usize),
    /// A node's process starts, after a crash or a drain.
    Start(usize),
    /// A node is stopped (SIGSTOP): nothing goes in or out, and nobody is told.
    Freeze(usize),
    /// It goes on.
    Thaw(usize),
    /// Nothing passes between a gateway and a node any more.
    Cut(usize, usize),
    /// It does again.
    Mend(usize, usize),
    /// A node is drained: it withdraws, finishes what it has, and exits.
    Drain(usize),
}

/// A bug of ours that a run is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Gateways do not listen when a node withdraws.
    RoutesToDrained,
    /// An answer that comes after its attempt was given up is answered again.
    AnswersTwice,
    /// Whoever finds the retry budget spent is forgotten.
    ForgetsWaiting,
    /// Nodes let everybody wait.
    UnboundedQueues,
    /// A retry does not ask the budget.
    UnboundedRetries,
}

impl Plant {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("routes-to-drained", Plant::RoutesToDrained),
        ("answers-twice", Plant::AnswersTwice),
        ("forgets-waiting", Plant::ForgetsWaiting),
        ("unbounded-queues", Plant::UnboundedQueues),
        ("unbounded-retries", Plant::UnboundedRetries),
    ];
}
