//! What a node needs of a model.
//!
//! A trait, so that the queue, the batches and the recovery from a panic can be tested with a predictor that
//! misbehaves on purpose; the engine's models never do.

use spinwell_core::{Fault, NumericProfile};
use spinwell_engine::classify::{Classified, Classifier, ClassifyError};
use spinwell_engine::detect::{Detector, Verdict};
use spinwell_engine::{Forecast, Model, Window, WindowError};

/// What a model says of one window.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    /// What comes next.
    Forecast(Forecast),
    /// Which class it is of.
    Class {
        /// The place of the class among the model's labels.
        label: usize,
        /// The probability of each class, in the order of the labels.
        probabilities: Vec<f32>,
    },
    /// How unusual its last row is.
    Anomaly {
        /// Minus the logarithm of the row's p-value.
        score: f32,
        /// Whether it is called unusual.
        is_anomaly: bool,
    },
}

impl Prediction {
    /// Whether it says anything: numbers that fit 32 bits.
    pub(crate) fn is_finite(&self) -> bool {
        let all = |values: &[f32]| values.iter().all(|value| value.is_finite());
        match self {
            Prediction::Forecast(own) => all(&own.forecast) && all(&own.lower) && all(&own.upper),
            Prediction::Class { probabilities, .. } => all(probabilities),
            Prediction::Anomaly { score, .. } => score.is_finite(),
        }
    }
}

/// What a model says of several windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// One result for each window, in order.
    pub results: Vec<Result<Prediction, Fault>>,
    /// The arithmetic that they were computed with.
    pub profile: NumericProfile,
}

impl Predicted {
    pub(crate) fn forecasts(results: Vec<Result<Forecast, WindowError>>, profile: NumericProfile) -> Self {
        let fault = |error: WindowError| Fault::new(error.code(), error.to_string());
        let result = |result: Result<Forecast, WindowError>| result.map(Prediction::Forecast).map_err(fault);
        Self { results: results.into_iter().map(result).collect(), profile }
    }
}

/// Something that predicts from windows.
pub trait Predictor: Send + Sync + 'static {
    /// What it says of the windows. The result of a window does not depend on the others.
    fn predict(&self, windows: &[Window<'_>]) -> Predicted;
}

impl Predictor for Model {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        Predicted::forecasts(self.forecast_windows(windows), self.profile())
    }
}

impl Predictor for Classifier {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        let results = self.classify_windows(windows).into_iter();
        let class = |Classified { label, probabilities }| Prediction::Class { label, probabilities };
        let fault = |error: ClassifyError| Fault::new(error.code(), error.to_string());
        let results = results.map(|result| result.map(class).map_err(fault)).collect();
        Predicted { results, profile: NumericProfile::CpuF32 }
    }
}

impl Predictor for Detector {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        let results = self.judge_windows(windows).into_iter();
        let anomaly = |Verdict { score, is_anomaly }| Prediction::Anomaly { score: score as f32, is_anomaly };
        let fault = |error: WindowError| Fault::new(error.code(), error.to_string());
        let results = results.map(|result| result.map(anomaly).map_err(fault)).collect();
        Predicted { results, profile: self.forecaster().profile() }
    }
}
