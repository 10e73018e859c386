//! A node without threads, whose caller runs what waits, when he likes.
//!
//! Threads follow the machine's clock and nobody else's: in a simulation they would take no time, and another course each time.
//! Here everything is the node's own, its models, its queue, what it refuses and how it answers, but for three things: the
//! caller says when an executor takes a batch and when it has run it, and when deadlines are looked after; and the node knows
//! nothing of the machine.

use super::work::{Begun, refuse_late};
use super::{Inner, Node, Options, StartError};
use spinwell_policy::batch::Cost;
use std::path::Path;
use std::sync::Arc;

/// The work of such a node.
#[derive(Clone)]
pub struct Work(Arc<Inner>);

/// A batch that an executor has taken and not run yet.
pub struct Taken(Begun);

impl Taken {
    /// What is in it.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.0.cost
    }
}

impl Node {
    /// Loads the models under `folder`, without starting anything. A node that has neither a data folder nor a database does not
    /// block.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_stepped(folder: &Path, options: &Options) -> Result<(Self, Work), StartError> {
        let mut node = Self::open(folder, options)?;
        // Nobody else has it yet.
        if let Some(inner) = Arc::get_mut(&mut node.inner) {
            inner.machine = None;
        }
        let work = Work(node.inner.clone());
        Ok((node, work))
    }
}

impl Work {
    /// The next batch, for an executor that is free, if there is one that may run.
    #[must_use]
    pub fn take(&self) -> Option<Taken> {
        while let Some(batch) = self.0.queue.take_now() {
            if let Some(begun) = self.0.begin(batch) {
                return Some(Taken(begun));
            }
        }
        None
    }

    /// Runs a batch and answers its requests.
    pub fn finish(&self, taken: Taken) {
        self.0.finish(taken.0);
    }

    /// Refuses the requests whose deadlines have passed while they waited.
    pub fn refuse_late(&self) {
        refuse_late(self.0.queue.take_expired());
    }
}
