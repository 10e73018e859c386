//! The model that nodes serve: trained once, as small as they come, on disk as any other.

use anyhow::Context;
use spinwell_core::{Samples, Series};
use spinwell_engine::data::Table;
use spinwell_engine::settings::{Precision, Settings};
use spinwell_engine::train::{Choice, Feeds, Folds, Options, Score, train};
use spinwell_engine::{AnyModel, Family, Model, Silent, Window};
use spinwell_runtime::files::write_atomically;
use std::fs::create_dir_all;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What it is called.
pub(crate) const NAME: &str = "wave";

/// Rows that it is trained on.
const ROWS: usize = 200;

/// A model and the folder that nodes load it from.
pub(crate) struct OnDisk {
    folder: TempDir,
    model: Model,
}

impl OnDisk {
    /// The one of this process.
    pub(crate) fn get() -> anyhow::Result<&'static Self> {
        static MADE: OnceLock<Result<OnDisk, String>> = OnceLock::new();
        let made = MADE.get_or_init(|| Self::make().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|error| anyhow::anyhow!("the model of the ring cannot be made: {error}"))
    }

    fn make() -> anyhow::Result<Self> {
        let model = trained()?;
        let folder = tempfile::tempdir().context("there is no folder for it")?;
        let version = folder.path().join(NAME).join("1");
        create_dir_all(&version).context("there is no folder for it")?;
        let bytes = AnyModel::Forecaster(trained()?).to_bytes();
        write_atomically(&version.join("model.spinwell"), &bytes).context("it cannot be written")?;
        Ok(Self { folder, model })
    }

    /// The folder of models.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Rows of a window at least.
    pub(crate) fn window_min(&self) -> usize {
        self.model.window_min()
    }

    /// What it says of a window.
    pub(crate) fn forecast(&self, window: &[f32]) -> Option<Vec<f32>> {
        let series = Series::new(1, window.len(), 1, Samples::F32(window.to_vec()))?;
        let forecasts = self.model.forecast_windows(&[Window { series: &series, index: 0 }]);
        Some(forecasts.into_iter().next()?.ok()?.forecast)
    }
}

fn trained() -> anyhow::Result<Model> {
    let wave = |row: usize| (row as f64 * 0.5).sin() + 0.1 * (row as f64 * 2.3).cos();
    let columns = vec![(0..ROWS).map(wave).collect()];
    let table =
        Table { names: vec!["value".into()], columns, missing: Vec::new(), times: None, notes: Vec::new() };
    let options = Options {
        targets: 1,
        feeds: Feeds::Everything,
        horizon: 2,
        season: Some(1),
        choice: Choice::Only(Family::Linear),
        settings: Settings::parse(["lags=4"])?,
        precision: Precision::F32,
        trials: 1,
        coverage: 0.9,
        seed: 1,
        score: Score::Path,
        time_column: None,
    };
    Ok(train(&table, &Folds::inside(ROWS), &options, &Silent)?.model)
}
