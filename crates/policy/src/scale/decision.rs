//! What was decided, and why.

use super::figures::{Figures, Obstacle};
use super::scaler::Mode;
use super::score::Score;
use spinwell_core::UnixMillis;
use std::fmt;
use std::time::Duration;

/// What was decided at one moment: a plan for whoever carries it out, who chooses nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<I> {
    /// When.
    pub at: UnixMillis,
    /// What the scaler was told to do.
    pub mode: Mode,
    /// Whether it is to be carried out; otherwise it says what would be.
    pub is_order: bool,
    /// How many there were meant to be before.
    pub before: usize,
    /// How many there are meant to be.
    pub target: usize,
    /// Why so many.
    pub why: Vec<Reason>,
    /// What is to be done.
    pub items: Vec<Item<I>>,
    /// What turned out to have failed.
    pub failures: Vec<Failure<I>>,
    /// What it was decided by.
    pub figures: Figures,
    /// The weighted score.
    pub score: Score,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<I> {
    /// One more is to be started.
    Add(Reason),
    /// That one is to be drained and stopped.
    Remove(I, Reason),
}

/// An addition or removal that did not come about. Neither changes how many there are meant to be: it is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<I> {
    /// A node was ordered and does not serve.
    NodeAdditionFailed {
        /// Its name, where it has one.
        id: Option<I>,
        /// What went wrong.
        reason: String,
    },
    /// A node was to be removed and is still there.
    NodeRemovalFailed {
        /// Its name.
        id: I,
        /// What went wrong.
        reason: String,
    },
}

impl<I: fmt::Display> fmt::Display for Failure<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NodeAdditionFailed { id: Some(id), reason } => write!(f, "{id} was not added: {reason}"),
            Failure::NodeAdditionFailed { id: None, reason } => write!(f, "no node was added: {reason}"),
            Failure::NodeRemovalFailed { id, reason } => write!(f, "{id} was not removed: {reason}"),
        }
    }
}

impl<I: fmt::Debug + fmt::Display> std::error::Error for Failure<I> {}

/// A figure that would have to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// What arrives.
    Arrivals,
    /// How a node serves.
    Service,
}

/// Why there are to be more, fewer, or as many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// There are more than `max`.
    AboveMaximum,
    /// As many as there are cannot carry what arrives now.
    TooFewNow(Obstacle),
    /// As many as there are could not carry what is expected.
    TooFewAhead(Obstacle),
    /// Those that serve are busier than the threshold, though by their capacity they should not be.
    Utilization(f64),
    /// Requests queue for too long.
    QueueDelay(Duration),
    /// Requests take too long.
    Latency(Duration),
    /// Too many requests are refused.
    Refused(f64),
    /// One fewer is enough, for what arrives and what is expected.
    FewerDo,
    /// One that is lost or was not added is replaced.
    Missing,
    /// It has not served in time.
    NeverServed,
    /// There are as many as there may be, and they are too few.
    AtMaximum,
    /// More are needed or fewer would do, but not before that moment: the last step was just now.
    CoolsDown(UnixMillis),
    /// Too few serve, but enough are coming.
    Coming(usize),
    /// Something is tried again at that moment.
    BacksOff(UnixMillis),
    /// One fewer would do, and must for a while longer.
    NotYet(UnixMillis),
    /// One fewer would not do.
    FewerWouldNotDo(Obstacle),
    /// One fewer would do, but barely.
    TooClose,
    /// Nothing is removed while that is not known.
    NoData(Figure),
    /// There are as few as there may be.
    AtMinimum,
    /// Somebody has said how many there should be.
    ByHand,
    /// Somebody has said that nothing is to be done.
    Paused,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: &f64| 100.0 * share;
        match self {
            Reason::AboveMaximum => f.write_str("there are more than there may be"),
            Reason::TooFewNow(obstacle) => write!(f, "too few for what arrives: {obstacle}"),
            Reason::TooFewAhead(obstacle) => write!(f, "too few for what is expected: {obstacle}"),
            Reason::Utilization(busy) => write!(f, "they are {:.0} % busy", percent(busy)),
            Reason::QueueDelay(delay) => write!(f, "requests queue for {} ms", delay.as_millis()),
            Reason::Latency(latency) => write!(f, "requests take {} ms at P95", latency.as_millis()),
            Reason::Refused(share) => write!(f, "{:.2} % of the requests are refused", percent(share)),
            Reason::FewerDo => f.write_str("one fewer is enough, also for what is expected"),
            Reason::Missing => f.write_str("one is lost, or was not added"),
            Reason::NeverServed => f.write_str("it has not served in time"),
            Reason::AtMaximum => f.write_str("there are as many as there may be"),
            Reason::CoolsDown(until) => write!(f, "the last step was just now; not before {}", until.0),
            Reason::Coming(count) => write!(f, "{count} more are coming, which will be enough"),
            Reason::BacksOff(until) => write!(f, "what failed is tried again at {}", until.0),
            Reason::NotYet(until) => write!(f, "one fewer would do; not before {}", until.0),
            Reason::FewerWouldNotDo(obstacle) => write!(f, "one fewer would not do: {obstacle}"),
            Reason::TooClose => f.write_str("one fewer would do, but barely"),
            Reason::NoData(Figure::Arrivals) => f.write_str("nobody knows what arrives"),
            Reason::NoData(Figure::Service) => f.write_str("nobody has measured how a node serves"),
            Reason::AtMinimum => f.write_str("there are as few as there may be"),
            Reason::ByHand => f.write_str("somebody has said so"),
            Reason::Paused => f.write_str("scaling is paused"),
        }
    }
}
