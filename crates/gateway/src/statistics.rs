//! What callers may know of past outcomes, per version of a model.

use spinwell_core::{ModelName, ModelVersion, Outcome, ResultClass};
use spinwell_protocol::{Counts, ModelDescription, ModelStatistics};
use spinwell_runtime::clock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Counts of every version that was ever asked.
#[derive(Debug, Default)]
pub struct Statistics(RwLock<HashMap<Version, Arc<Mutex<Counts>>>>);

/// A version of a model.
type Version = (ModelName, ModelVersion);

/// Requests of all versions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// Those that ended, however they did.
    pub(crate) ended: u64,
    /// Those that were not answered.
    pub(crate) failed: u64,
}

impl Statistics {
    /// How many requests have ended.
    pub(crate) fn totals(&self) -> Totals {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values().fold(Totals::default(), |totals, counts| {
            let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            Totals {
                ended: totals.ended + counts.success.count + counts.fail.count,
                failed: totals.failed + counts.fail.count,
            }
        })
    }

    /// Counts an outcome of a version that exists.
    pub(crate) fn count(&self, outcome: &Outcome) {
        let (Some(name), Some(version)) = (&outcome.model, outcome.version) else { return };
        let counts = self.counts(name, version);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.result != ResultClass::Answered {
            counts.fail.add(outcome.timings.total);
            return;
        }
        counts.last_inference = clock::unix();
        counts.inferences += outcome.windows as u64;
        counts.success.add(outcome.timings.total);
        counts.queue.add(outcome.timings.queue);
        counts.compute_input.add(outcome.timings.decode);
        counts.compute_infer.add(outcome.timings.compute);
        counts.compute_output.add(outcome.timings.encode);
        if let Some(batch) = outcome.batch.filter(|batch| batch.counts) {
            counts.executions += 1;
            counts.batches.entry(batch.windows).or_default().add(outcome.timings.compute);
        }
    }

    /// The counts of a version.
    pub(crate) fn of(&self, model: &ModelDescription) -> ModelStatistics {
        let counts = self.counts(&model.name, model.version);
        let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ModelStatistics { name: model.name.clone(), version: model.version, counts }
    }

    /// The counts of every version that was ever asked, by name and version.
    pub(crate) fn all(&self) -> Vec<ModelStatistics> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = all
            .iter()
            .map(|((name, version), counts)| {
                let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
                ModelStatistics { name: name.clone(), version: *version, counts }
            })
            .collect();
        all.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        all
    }

    fn counts(&self, name: &ModelName, version: ModelVersion) -> Arc<Mutex<Counts>> {
        let key = (name.clone(), version);
        if let Some(counts) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return counts.clone();
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{catalogue, outcome};
    use spinwell_core::{BatchShare, Code, Micros};

    #[test]
    fn answers_and_failures_are_counted_apart_and_batches_once() {
        let statistics = Statistics::default();
        let mut answered = outcome(ResultClass::Answered);
        answered.timings.compute = Micros(40);
        answered.batch = Some(BatchShare { windows: 4, counts: true });
        statistics.count(&answered);
        answered.batch = Some(BatchShare { windows: 4, counts: false });
        statistics.count(&answered);
        statistics.count(&outcome(ResultClass::Failed(Code::QueueFull)));
        let mut of_nobody = outcome(ResultClass::Failed(Code::ModelNotFound));
        of_nobody.version = None;
        statistics.count(&of_nobody);
        let models = catalogue();
        let ModelStatistics { counts, .. } = statistics.of(models.find("taxi", None).unwrap());
        assert_eq!((counts.success.count, counts.fail.count), (2, 1));
        assert_eq!((counts.inferences, counts.executions), (4, 1));
        assert_eq!((counts.compute_infer.count, counts.compute_infer.ns()), (2, 80_000));
        assert_eq!(counts.batches[&4].count, 1);
        assert_eq!(statistics.totals(), Totals { ended: 3, failed: 1 });
        assert_eq!(statistics.all().len(), 1);
    }
}
