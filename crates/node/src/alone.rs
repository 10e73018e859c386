//! A model by itself, without a queue and without a node: what it answers is, bit for bit, what a node answers with its CPU.

use crate::gather::gather;
use crate::repository::{Bounds, facts};
use crate::{Predicted, Predictor};
use spinwell_core::{Fault, ModelName, ModelVersion, NumericProfile, Series};
use spinwell_engine::{AnyModel, Window};
use spinwell_protocol::{ModelDescription, Outputs, Predictions};
use spinwell_runtime::options::Limits;

/// Windows that step side by side: their states are in memory together, and the bits are the same for any number.
const WINDOWS: usize = 16;

/// A model by itself.
pub struct Alone {
    description: ModelDescription,
    predictor: Box<dyn Predictor>,
}

impl Alone {
    /// This model, under that name and within the limits of a server.
    #[must_use]
    pub fn new(model: AnyModel, name: &ModelName, version: ModelVersion, limits: &Limits) -> Self {
        let bounds = Bounds {
            windows_max: limits.batch_windows_max,
            rows_max: limits.rows_max,
            rows_in_all_max: limits.batch_rows_max,
        };
        let description = ModelDescription::new(facts(&model, name, version, bounds));
        let predictor: Box<dyn Predictor> = match model {
            AnyModel::Forecaster(model) => Box::new(model),
            AnyModel::Classifier(classifier) => Box::new(classifier),
            AnyModel::Detector(detector) => Box::new(detector),
        };
        Self { description, predictor }
    }

    /// What callers may know of it.
    #[must_use]
    pub fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// Predicts from each window of a request that is checked. Comes with the arithmetic that it was done in.
    ///
    /// # Errors
    /// The first fault among the windows.
    pub fn predict(
        &self,
        series: &Series,
        outputs: &Outputs,
    ) -> Result<(Predictions, NumericProfile), Fault> {
        let windows: Vec<_> = (0..series.batch()).map(|index| Window { series, index }).collect();
        let (mut all, mut used) = (Vec::with_capacity(windows.len()), self.description.profile);
        for part in windows.chunks(WINDOWS) {
            let Predicted { results, profile } = self.predictor.predict(part);
            all.extend(results);
            used = profile;
        }
        Ok((gather(&self.description, outputs, all)?, used))
    }
}
