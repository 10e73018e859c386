//! What was decided, as a value.

use super::diagnosis::Situation;
use spinwell_core::{ModelName, ModelVersion, NodeId, UnixMillis};
use std::fmt;

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// More nodes.
    ScaleUp {
        /// How many more.
        nodes: u32,
    },
    /// A node gets no requests any more.
    EjectNode(NodeId),
    /// A node that gets no requests starts anew.
    RestartNode(NodeId),
    /// Requests of low priority are refused.
    ShedLowPriority,
    /// The version of a model that answered before answers again.
    RollBackModel {
        /// The model.
        model: ModelName,
        /// The version that answers now.
        from: ModelVersion,
        /// The version that shall answer.
        to: ModelVersion,
    },
}

/// Kinds of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// More nodes.
    ScaleUp,
    /// A node gets no requests.
    EjectNode,
    /// A node starts anew.
    RestartNode,
    /// Low priority is refused.
    ShedLowPriority,
    /// An older version answers.
    RollBackModel,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ScaleUp, Self::EjectNode, Self::RestartNode, Self::ShedLowPriority, Self::RollBackModel];

    /// Its name in options, logs and the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScaleUp => "scale_up",
            Self::EjectNode => "eject_node",
            Self::RestartNode => "restart_node",
            Self::ShedLowPriority => "shed_low_priority",
            Self::RollBackModel => "roll_back_model",
        }
    }
}

impl Action {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ScaleUp { .. } => Kind::ScaleUp,
            Self::EjectNode(_) => Kind::EjectNode,
            Self::RestartNode(_) => Kind::RestartNode,
            Self::ShedLowPriority => Kind::ShedLowPriority,
            Self::RollBackModel { .. } => Kind::RollBackModel,
        }
    }

    /// Whether it can be taken back. A node that has started anew has.
    #[must_use]
    pub const fn can_be_undone(&self) -> bool {
        !matches!(self, Self::RestartNode(_))
    }

    /// Whether it is about the same thing: how many nodes are added does not matter.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self == other || self.kind() == Kind::ScaleUp && other.kind() == Kind::ScaleUp
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind().as_str();
        match self {
            Self::ScaleUp { nodes } => write!(f, "{kind} by {nodes}"),
            Self::EjectNode(node) | Self::RestartNode(node) => write!(f, "{kind} {node}"),
            Self::ShedLowPriority => f.write_str(kind),
            Self::RollBackModel { model, from, to } => write!(f, "{kind} {model} from {from} to {to}"),
        }
    }
}

/// Which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is done.
    Do(Action),
    /// What was done is taken back.
    Undo(Action),
}

impl Step {
    /// What is done or taken back.
    #[must_use]
    pub const fn action(&self) -> &Action {
        match self {
            Self::Do(action) | Self::Undo(action) => action,
        }
    }
}

/// What stands in the way of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Actions of its kind were taken as often as they may be.
    Rate {
        /// When the next may be.
        next: UnixMillis,
    },
    /// Actions of all kinds were.
    Budget {
        /// When the next may be.
        next: UnixMillis,
    },
    /// More than a third of the nodes would be out.
    BlastRadius {
        /// Nodes that would be.
        out: usize,
        /// Nodes that may be.
        out_max: usize,
    },
    /// It was tried and did not help.
    DidNotHelp {
        /// Until then it is not tried again.
        until: UnixMillis,
    },
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { next } => write!(f, "not again before {} (Unix ms)", next.0),
            Self::Budget { next } => {
                write!(f, "too much was done already, nothing before {} (Unix ms)", next.0)
            }
            Self::BlastRadius { out, out_max } => {
                write!(f, "{out} nodes would be out, at most {out_max} may be")
            }
            Self::DidNotHelp { until } => {
                write!(f, "it did not help, it is not tried before {} (Unix ms)", until.0)
            }
        }
    }
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be carried out.
    Act,
    /// It would be, if this were not a dry run.
    DryRun,
    /// A guard stands in its way.
    Refused(Guard),
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its number: the next has the next.
    pub number: u64,
    /// When it was made.
    pub at: UnixMillis,
    /// What is done or taken back.
    pub step: Step,
    /// What becomes of it.
    pub verdict: Verdict,
    /// What was seen.
    pub inputs: Situation,
    /// Why, with the figures that it rests on.
    pub reason: String,
}
