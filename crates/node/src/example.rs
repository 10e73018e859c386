//! A model's description for this crate's tests.

use crate::Predictor;
use crate::executor::Job;
use crate::models::Models;
use crate::queue::{Lane, Queue};
use crate::repository::{Bounds, Loaded, Repository, Terms};
use spinwell_core::{ModelHash, ModelVersion, NumericProfile};
use spinwell_engine::data::Table;
use spinwell_engine::settings::{Precision, Settings};
use spinwell_engine::train::{Choice, Feeds, Folds, Options as Training, Score, train};
use spinwell_engine::{Family, Model, Silent};
use spinwell_policy::batch::{Cost, Limits};
use spinwell_protocol::{ForecastFacts, ModelDescription, ModelFacts, Task};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Limits of a queue that never has to use them.
pub(crate) const LIMITS: Limits = Limits {
    len_max: 100,
    batch_max: Cost { windows: 8, rows: 80 },
    executors: 1,
    target: Duration::from_secs(600),
    interval: Duration::from_secs(600),
};

/// A loaded model of that description that predicts so.
pub(crate) fn loaded(description: ModelDescription, predictor: Arc<dyn Predictor>) -> Arc<Loaded> {
    let lane = Arc::new(Queue::new(LIMITS)).open_lane(&description.name);
    Arc::new(loaded_in(lane, description, predictor))
}

/// The same in a lane.
pub(crate) fn loaded_in(
    lane: Lane<Job>,
    description: ModelDescription,
    predictor: Arc<dyn Predictor>,
) -> Loaded {
    let (description, windows_max) = (Arc::new(description), AtomicUsize::new(usize::MAX));
    Loaded { description, predictor, stateful: None, state_bytes: 0, file_bytes: 0, windows_max, lane }
}

/// A model of one channel that does this task.
pub(crate) fn description(task: Task) -> ModelDescription {
    ModelDescription::new(ModelFacts {
        name: "echo".parse().unwrap(),
        version: ModelVersion(1),
        hash: ModelHash([0; 32]),
        family: "echo".into(),
        task,
        channels: vec!["c".into()],
        window_min: 1,
        window_recommended: 1,
        window_max: 10,
        time_column: None,
        profile: NumericProfile::CpuF32,
        device: "cpu".to_owned(),
        max_batch_size: 8,
        request_rows_max: 80,
    })
}

/// A model of one channel that forecasts it so many steps ahead.
pub(crate) fn forecaster(horizon: usize) -> ModelDescription {
    let targets = vec!["c".into()];
    let facts = ForecastFacts { horizon, season: 1, targets, coverage: 0.95, is_spiking: false };
    description(Task::Forecast(facts))
}

/// The same, one step ahead with spiking neurons.
pub(crate) fn spiking_forecaster() -> ModelDescription {
    let targets = vec!["c".into()];
    let facts = ForecastFacts { horizon: 1, season: 1, targets, coverage: 0.95, is_spiking: true };
    description(Task::Forecast(facts))
}

/// A real model of one channel, trained with these settings.
pub(crate) fn trained(settings: &str) -> Model {
    let wave = |t: usize| (t as f64 * 0.5).sin() + 0.1 * (t as f64 * 2.3).cos();
    let columns = vec![(0..200).map(wave).collect()];
    let table =
        Table { names: vec!["c".into()], columns, missing: Vec::new(), times: None, notes: Vec::new() };
    let options = Training {
        targets: 1,
        feeds: Feeds::Everything,
        horizon: 1,
        season: Some(1),
        choice: Choice::Only(Family::Linear),
        settings: Settings::parse([settings]).unwrap(),
        precision: Precision::F32,
        trials: 1,
        coverage: 0.9,
        seed: 1,
        score: Score::Path,
        time_column: None,
    };
    train(&table, &Folds::inside(200), &options, &Silent).unwrap().model
}

/// No models, and nowhere to load any from.
pub(crate) fn no_models() -> Models {
    let bounds = Bounds { windows_max: 8, rows_max: 10, rows_in_all_max: 80 };
    let terms = Terms {
        bounds,
        cards: Arc::default(),
        queue: Arc::new(Queue::new(LIMITS)),
        executors: 1,
        kept: None,
    };
    Models::new(None, terms, Repository::default())
}
