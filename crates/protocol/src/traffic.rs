//! How the requests for a model are split between its versions.
//!
//! What is split is decoded against the default version before it is known which version answers, because the id that decides
//! stands inside. So a canary and a shadow must take what the default version takes and answer what it answers.

use crate::{ModelDescription, Task};
use spinwell_core::{ModelVersion, Ratio, Series};
use std::sync::Arc;

/// Where the requests for a model go that name no version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// The version that answers; the highest that is ready, where it is not said.
    pub default: Option<ModelVersion>,
    /// The version that answers a share of them instead.
    pub canary: Option<Part>,
    /// The version that hears a share of them beside the one that answers.
    pub shadow: Option<Part>,
}

/// A version and its share of the requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The version.
    pub model: Arc<ModelDescription>,
    /// Its share.
    pub share: Ratio,
}

impl ModelDescription {
    /// Whether this version can take the place of another: same channels, same task, every output in the same shape.
    ///
    /// # Errors
    /// What is different, as it stands in a sentence about this version.
    pub fn stands_in_for(&self, other: &Self) -> Result<(), &'static str> {
        if self.channels != other.channels {
            return Err("has other channels");
        }
        let does_the_same = match (&self.task, &other.task) {
            (Task::Forecast(own), Task::Forecast(other)) => {
                (own.horizon, &own.targets) == (other.horizon, &other.targets)
            }
            (Task::Classify { labels: own }, Task::Classify { labels: other }) => own == other,
            (Task::Detect { targets: own, .. }, Task::Detect { targets: other, .. }) => own == other,
            _ => false,
        };
        if !does_the_same {
            return Err("has another task, horizon, targets or labels");
        }
        if !other.outputs().iter().all(|output| self.outputs().contains(output)) {
            return Err("lacks outputs");
        }
        Ok(())
    }

    /// Whether windows that were checked against another version are windows for this one.
    #[must_use]
    pub fn takes_windows(&self, series: &Series) -> bool {
        let rows = series.rows();
        (self.window_min..=self.window_max).contains(&rows)
            && series.batch() <= self.max_batch_size
            && series.batch().saturating_mul(rows) <= self.request_rows_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::{classifier, detector, model, spiking_model};
    use spinwell_core::Samples;

    #[test]
    fn a_version_stands_in_where_it_takes_and_answers_the_same() {
        let check = |own: &ModelDescription, other: &ModelDescription, wanted: bool| {
            assert_eq!(own.stands_in_for(other).is_ok(), wanted, "{} for {}", own.name, other.name);
        };
        check(&model("m", 2, 1), &model("m", 1, 1), true);
        check(&model("m", 2, 2), &model("m", 1, 1), false);
        check(&classifier("m"), &classifier("m"), true);
        check(&classifier("m"), &model("m", 1, 1), false);
        check(&detector("m"), &detector("m"), true);
        check(&spiking_model("m"), &model("m", 1, 1), true);
        check(&model("m", 1, 1), &spiking_model("m"), false);
    }

    #[test]
    fn windows_fit_by_rows_and_count() {
        let fits = |batch: usize, rows: usize| {
            let series = Series::new(batch, rows, 1, Samples::F32(vec![0.0; batch * rows])).unwrap();
            model("m", 1, 1).takes_windows(&series)
        };
        assert!(fits(1, 4) && fits(16, 200) && fits(1, 1000));
        assert!(!fits(1, 3) && !fits(1, 1001) && !fits(17, 4) && !fits(5, 1000));
    }
}
