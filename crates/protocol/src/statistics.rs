//! What has been counted of a model version since the start, in the protocol's terms.

use spinwell_core::{Micros, ModelName, ModelVersion, UnixMillis};
use std::collections::BTreeMap;

/// How often something took place, and how long that took in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durations {
    /// How often.
    pub count: u64,
    /// How long in all.
    pub total: Micros,
}

impl Durations {
    /// The sum in the unit of the protocol.
    #[must_use]
    pub fn ns(&self) -> u64 {
        self.total.0.saturating_mul(1000)
    }

    /// Takes one more.
    pub fn add(&mut self, took: Micros) {
        self.count += 1;
        self.total = Micros(self.total.0.saturating_add(took.0));
    }
}

/// The counts of one version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// When a request was last answered.
    pub last_inference: UnixMillis,
    /// Windows predicted.
    pub inferences: u64,
    /// Batches run.
    pub executions: u64,
    /// Requests answered, from the last byte in to the first byte out.
    pub success: Durations,
    /// Requests not answered.
    pub fail: Durations,
    /// Waiting for an executor.
    pub queue: Durations,
    /// Reading requests.
    pub compute_input: Durations,
    /// Computing; what a batch took counts once for each request in it.
    pub compute_infer: Durations,
    /// Writing answers.
    pub compute_output: Durations,
    /// What batches took, by how many windows they had.
    pub batches: BTreeMap<usize, Durations>,
}

/// A version of a model and its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatistics {
    /// The model.
    pub name: ModelName,
    /// The version.
    pub version: ModelVersion,
    /// What was counted.
    pub counts: Counts,
}
