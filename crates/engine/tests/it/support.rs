//! Small tables, small models of every family, and what must hold of every forecast.

use rayon::prelude::*;
use spinwell_core::{Rng, Series};
use spinwell_engine::backtest::cut;
use spinwell_engine::data::Table;
use spinwell_engine::settings::{Precision, Settings};
use spinwell_engine::train::{Choice, Error, Feeds, Folds, Options, Score, Trained, train};
use spinwell_engine::{Activity, Family, Forecast, Model, Scratch, Silent, Stream, Window};
use std::sync::OnceLock;

/// Rows of a season of [`waves`].
pub(crate) const SEASON: usize = 12;

/// Columns named c0, c1 and so on.
pub(crate) fn table(columns: Vec<Vec<f64>>) -> Table {
    let names = (0..columns.len()).map(|index| format!("c{index}")).collect();
    Table { names, columns, missing: Vec::new(), times: None, notes: Vec::new() }
}

/// Two related seasonal columns with noise.
pub(crate) fn waves(rows: usize) -> Table {
    let wave = |t: usize| 5.0 + 2.0 * (t as f64 * std::f64::consts::TAU / SEASON as f64).sin();
    // Each column has its own noise, so that a longer table begins with the shorter one.
    let column = |index: u64, ahead: usize, level: f64| {
        let mut rng = Rng::seeded(31).fork(index);
        (0..rows).map(|t| wave(t + ahead) + level + 0.4 * rng.normal()).collect()
    };
    table(vec![column(0, 0, 0.0), column(1, 5, -9.0)])
}

/// Sizes that train in no time.
pub(crate) const SMALL: [&str; 10] = [
    "units=12",
    "neurons=12",
    "delay_max=3",
    "qubits=2",
    "reservoirs=2",
    "substeps=2",
    "lags=4",
    "taps=2",
    "stride=1",
    "order=2",
];

/// A quick search for a small model of one family.
pub(crate) fn options(family: Family) -> Options {
    Options {
        targets: 1,
        feeds: if family == Family::Mean { Feeds::InputsAlone } else { Feeds::Everything },
        horizon: 2,
        season: Some(SEASON),
        choice: Choice::Only(family),
        settings: Settings::parse(SMALL).unwrap(),
        precision: Precision::F32,
        // A hybrid is put together of what was tried before: of every kind at least one.
        trials: if family == Family::Hybrid { 12 } else { 4 },
        coverage: 0.9,
        seed: 5,
        score: Score::Path,
        time_column: None,
    }
}

/// Trains on all rows of a table.
pub(crate) fn try_train(table: &Table, options: &Options) -> Result<Trained, Error> {
    train(table, &Folds::inside(table.rows()), options, &Silent)
}

/// The file of as small a model of a family as there is.
pub(crate) fn smallest(family: Family) -> Vec<u8> {
    let options = options(family);
    let settings = Settings {
        units: Some(4),
        neurons: Some(4),
        delay_max: Some(2),
        lags: Some(2),
        substeps: Some(1),
        reservoirs: Some(1),
        ..options.settings.clone()
    };
    let options = Options { settings, horizon: 1, season: Some(3), ..options };
    try_train(&waves(200), &options).unwrap().model.to_bytes()
}

/// CSV files of different makes that can be read.
pub(crate) const TABLES: [&str; 5] = [
    "t,v,w\n2020-01-01,1,2\n2020-01-02,3,4\n2020-01-03,,6\n2020-01-04,7,8\n",
    "t,v\n1,1.5\n2,2.5\n3,NA\n4,4.5\n7,1e-300\n",
    "v\n1\n\n3\n4\n",
    "\u{feff}t,\"v\"\r\n2020-01-01T00:00:00Z,1\r\n2020-01-01T00:30:00Z,-2\r\n",
    "v,w\n1,2\n3,4\n5,6\n7,8\n1,2\n3,4\n5,6\n7,8\n1,2\n3,4\n5,6\n7,8\n1,2\n",
];

/// A model of one family and precision.
pub(crate) struct Sample {
    pub(crate) family: Family,
    pub(crate) precision: Precision,
    pub(crate) model: Model,
}

impl Sample {
    pub(crate) fn name(&self) -> String {
        format!("{} in {:?}", self.family, self.precision)
    }

    /// A forecast window that ends with row `end` of the waves.
    pub(crate) fn window(&self, end: usize, rows: usize) -> Series {
        cut(&waves(end), &heard(&self.model), end - rows, rows)
    }
}

/// Which columns of a table a model is fed.
pub(crate) fn heard(model: &Model) -> std::ops::Range<usize> {
    if model.hears_targets() { 0..2 } else { 1..2 }
}

/// A model of every family in both precisions, trained once.
pub(crate) fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let waves = waves(320);
        let families = Family::ALL.into_iter();
        let kinds: Vec<(Family, Precision)> =
            families.flat_map(|family| [(family, Precision::F32), (family, Precision::F64)]).collect();
        let sample = |&(family, precision): &(Family, Precision)| {
            let options = Options { precision, ..options(family) };
            let model = try_train(&waves, &options).unwrap().model;
            assert_eq!(model.family(), family);
            Sample { family, precision, model }
        };
        kinds.par_iter().map(sample).collect()
    })
}

/// The forecast of one window.
pub(crate) fn forecast(model: &Model, series: &Series) -> Forecast {
    model.forecast_windows(&[Window { series, index: 0 }])[0].clone().unwrap()
}

/// A stream fed rows of a table.
pub(crate) fn feed(model: &Model, stream: &mut Stream, table: &Table, rows: std::ops::Range<usize>) {
    let (mut scratch, heard) = (Scratch::default(), heard(model));
    for row in rows {
        let values: Vec<f64> = table.columns[heard.clone()].iter().map(|column| column[row]).collect();
        model.step(stream, &values, &mut scratch);
    }
}

/// All numbers of a forecast, to the bit.
pub(crate) fn bits(forecast: &Forecast) -> Vec<u32> {
    let Forecast { forecast, lower, upper, direction, confidence, activity } = forecast;
    let named = activity.iter().flat_map(Activity::named).map(|(_, value)| value.to_bits());
    let numbers = [forecast, lower, upper, confidence].into_iter().flatten().map(|value| value.to_bits());
    numbers.chain(named).chain(direction.iter().map(|&sign| sign as u32)).collect()
}

/// What holds of every forecast of a sound model: numbers, in order.
pub(crate) fn assert_sound(name: &str, forecast: &Forecast) {
    let Forecast { forecast, lower, upper, direction, confidence, activity } = forecast;
    for (of_activity, value) in activity.iter().flat_map(Activity::named) {
        assert!(value.is_finite() && value >= 0.0, "{name}: {of_activity} {value}");
    }
    for (at, &middle) in forecast.iter().enumerate() {
        assert!(middle.is_finite(), "{name}: {forecast:?}");
        assert!(lower[at] <= middle && middle <= upper[at], "{name}: {} {middle} {}", lower[at], upper[at]);
        assert!((0.0..=1.0).contains(&confidence[at]), "{name}: confidence {confidence:?}");
        assert!((-1..=1).contains(&direction[at]), "{name}: direction {direction:?}");
    }
}
