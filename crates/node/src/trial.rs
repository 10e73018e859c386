//! Trying a model out before anybody is sent to it.

use crate::repository::Loaded;
use crate::{Predicted, Prediction};
use spinwell_core::{Samples, Series};
use spinwell_engine::Window;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Asks a model for two made-up windows, together and alone, which also brings its weights into the caches.
///
/// # Errors
/// What was wrong with its answers.
pub(crate) fn check(model: &Loaded) -> Result<(), String> {
    let (rows, channels) = (model.description.window_min.max(1), model.description.channels.len());
    // Waves around zero: far from what some models were trained on, which they must take as well.
    let values = (0..2 * rows * channels).map(|place| (place as f64 * 0.37).sin()).collect();
    let series = Series::new(2, rows, channels, Samples::F64(values)).ok_or("it takes no windows")?;
    let windows = [0, 1].map(|index| Window { series: &series, index });
    let predict = |windows: &[Window<'_>]| {
        catch_unwind(AssertUnwindSafe(|| model.predictor.predict(windows)))
            .map_err(|_| "it panicked on a window of its shortest length".to_owned())
    };
    let together = predict(&windows)?;
    let alone = predict(&windows[1..])?;
    if !are_answers(&together, 2) || !are_answers(&alone, 1) {
        return Err("it has no answer to a window of its shortest length".to_owned());
    }
    if together.profile == alone.profile && together.results[1] != alone.results[0] {
        return Err("its answer depends on the other windows of a batch".to_owned());
    }
    Ok(())
}

fn are_answers(predicted: &Predicted, windows: usize) -> bool {
    predicted.results.len() == windows
        && predicted.results.iter().all(|result| result.as_ref().is_ok_and(Prediction::is_finite))
}
