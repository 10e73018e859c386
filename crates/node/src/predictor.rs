//! What a node needs of a model.
//!
//! A trait, so that the queue, the batches and the recovery from a panic can be tested with a predictor that
//! misbehaves on purpose; the engine's models never do.

use spinwell_core::Fault;
use spinwell_engine::{Forecast, Model, Window};

/// Something that predicts from windows.
pub trait Predictor: Send + Sync + 'static {
    /// One result for each window, in order. The result of a window does not depend on the others.
    fn predict(&self, windows: &[Window<'_>]) -> Vec<Result<Forecast, Fault>>;
}

impl Predictor for Model {
    fn predict(&self, windows: &[Window<'_>]) -> Vec<Result<Forecast, Fault>> {
        let results = self.forecast_windows(windows).into_iter();
        results.map(|result| result.map_err(|error| Fault::new(error.code(), error.to_string()))).collect()
    }
}
