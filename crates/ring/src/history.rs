//! What happened in a run, as far as invariants and figures want to know.

use spinwell_core::{Code, ResultClass};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A request, as its caller knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The gateway that was asked.
    pub gateway: usize,
    /// When.
    pub at: Duration,
    /// How long it is worth something, as the gateway was told.
    pub timeout: Duration,
    /// What the caller learned, and when; nothing where he is left waiting.
    pub ended: Option<(Duration, Ended)>,
}

/// What a caller learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The answer.
    Answered(Told),
    /// That there is none, and why.
    Failed(Code),
    /// Nothing: he hung up.
    HungUp,
    /// Something that no caller should.
    Senseless(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The node that answered.
    pub node: String,
    /// Whether it is, bit for bit, what the model says of the request's window.
    pub is_right: bool,
}

/// A request that has reached a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The request, by its place in the history.
    pub request: usize,
    /// The node.
    pub node: usize,
    /// When its gateway had sent it, by the time that was left of it.
    pub sent: Duration,
}

/// What a gateway knew of a node when the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The gateway.
    pub gateway: usize,
    /// Nodes that it could ask and that were not leaving.
    pub serving: usize,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// All requests, in the order in which they were made.
    pub asked: Vec<Asked>,
    /// What gateways recorded of each request, by its place.
    pub outcomes: Vec<(usize, ResultClass)>,
    /// What reached nodes.
    pub arrivals: Vec<Arrival>,
    /// When nodes said that they were leaving: when, and which.
    pub leaving: Vec<(Duration, usize)>,
    /// When nodes that were leaving had ended.
    pub exited: Vec<(Duration, usize)>,
    /// When nodes began to answer.
    pub ready: Vec<(Duration, usize)>,
    /// The most requests that waited at each node.
    pub queue_len_max: Vec<usize>,
    /// Attempts beyond the first of each request, as gateways counted them.
    pub retries: u64,
    /// Attempts that gateways gave up because nothing was heard in time.
    pub timeouts: u64,
    /// What gateways knew at the end.
    pub standings: Vec<Standing>,
    /// Requests and batches that nodes still had at the end.
    pub left_over: usize,
}

impl History {
    /// Requests that ended so.
    #[must_use]
    pub fn count(&self, is_so: impl Fn(&Ended) -> bool) -> usize {
        self.asked.iter().filter_map(|asked| asked.ended.as_ref()).filter(|(_, ended)| is_so(ended)).count()
    }

    /// Where this one and another part, if they do.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        let both = self.asked.iter().zip(&other.asked).enumerate();
        let request = both.into_iter().find(|(_, (own, other))| own != other);
        Some(match request {
            Some((number, (own, other))) => format!("request {number} is {own:?} and {other:?}"),
            None => "they part in something else than what callers learned".to_owned(),
        })
    }
}

/// A history that all hosts of a run write.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<History>>);

impl Recorder {
    pub(crate) fn write(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written.
    pub(crate) fn take(&self) -> History {
        std::mem::take(&mut *self.write())
    }
}

/// The time of the run, from within one of its hosts.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
