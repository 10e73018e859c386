//! A model that answers from cards.

use crate::predictor::{Predicted, Predictor};
use spinwell_core::NumericProfile;
use spinwell_engine::gpu::{Failure, Resident};
use spinwell_engine::{Forecast, Model, Window, WindowError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One card that holds the model.
struct Card {
    resident: Resident,
    /// Batches on their way.
    batches: AtomicUsize,
    has_failed: AtomicBool,
}

impl Card {
    fn run(&self, windows: &[Window<'_>]) -> Result<Vec<Result<Forecast, WindowError>>, Failure> {
        let _ride = Ride::on(&self.batches);
        self.resident.forecast_windows(windows)
    }
}

/// A batch on its way, until it is dropped: also where the way ends in a panic.
struct Ride<'c>(&'c AtomicUsize);

impl<'c> Ride<'c> {
    fn on(batches: &'c AtomicUsize) -> Self {
        batches.fetch_add(1, Ordering::Relaxed);
        Self(batches)
    }
}

impl Drop for Ride<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A model on one or several cards, and on the CPU for when they fail.
pub(super) struct OnCards {
    model: Arc<Model>,
    cards: Vec<Card>,
}

impl OnCards {
    pub(super) fn new(model: Arc<Model>, residents: Vec<Resident>) -> Self {
        let card =
            |resident| Card { resident, batches: AtomicUsize::new(0), has_failed: AtomicBool::new(false) };
        Self { model, cards: residents.into_iter().map(card).collect() }
    }

    /// The working card with the fewest batches.
    fn freest(&self) -> Option<&Card> {
        let working = self.cards.iter().filter(|card| !card.has_failed.load(Ordering::Relaxed));
        working.min_by_key(|card| card.batches.load(Ordering::Relaxed))
    }
}

impl Predictor for OnCards {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        while let Some(card) = self.freest() {
            let results = card.run(windows);
            match results {
                Ok(results) => return Predicted::forecasts(results, NumericProfile::GpuF32),
                // The next batch may find room again.
                Err(Failure::Full) => break,
                Err(lost) => {
                    card.has_failed.store(true, Ordering::Relaxed);
                    let card = card.resident.gpu().adapter().index;
                    tracing::error!(card, %lost, "the model goes on without this card");
                }
            }
        }
        self.model.predict(windows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prediction;
    use spinwell_core::{Samples, Series};
    use spinwell_engine::data::{Columns, read_csv};
    use spinwell_engine::gpu::{Gpu, adapters};
    use spinwell_engine::settings::{Precision, Settings};
    use spinwell_engine::train::{Choice, Feeds, Folds, Options, Score, train};
    use spinwell_engine::{Family, Silent};

    fn model() -> Arc<Model> {
        let csv: String = (0..300).map(|t| format!("{}\n", (f64::from(t) * 0.3).sin())).collect();
        let columns = Columns { values: vec!["y".to_owned()], time: None };
        let table = read_csv(format!("y\n{csv}").as_bytes(), &columns).unwrap();
        let options = Options {
            targets: 1,
            feeds: Feeds::Everything,
            horizon: 2,
            season: Some(1),
            choice: Choice::Only(Family::Echo),
            settings: Settings::parse(["units=20"]).unwrap(),
            precision: Precision::F32,
            trials: 1,
            coverage: 0.9,
            seed: 1,
            score: Score::Path,
            time_column: None,
        };
        Arc::new(train(&table, &Folds::inside(300), &options, &Silent).unwrap().model)
    }

    #[test]
    fn work_goes_to_the_next_card_when_one_fails_and_then_to_the_cpu() {
        if adapters().is_empty() {
            // The engine's tests fail where a driver is required and missing.
            return;
        }
        let model = model();
        let gpus = [0, 1].map(|_| Arc::new(Gpu::open(0).unwrap()));
        let residents = gpus.iter().map(|gpu| Resident::load(gpu.clone(), model.clone()).unwrap());
        let on_cards = OnCards::new(model.clone(), residents.collect());
        let rows = model.window_min() + 20;
        let values = (0..rows).map(|t| (t as f64 * 0.3).sin()).collect();
        let series = Series::new(1, rows, 1, Samples::F64(values)).unwrap();
        let predict = || on_cards.predict(&[Window { series: &series, index: 0 }]);
        let all = predict();
        assert_eq!(all.profile, NumericProfile::GpuF32);
        gpus[0].destroy();
        assert_eq!(predict(), all, "the second card computes what the first did");
        let _ = gpus[1].give_up("a test");
        let on_cpu = predict();
        assert_eq!(on_cpu.profile, NumericProfile::CpuF32);
        assert!(matches!(on_cpu.results[..], [Ok(Prediction::Forecast(_))]));
    }
}
