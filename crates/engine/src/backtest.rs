//! Scoring a model on rows it has not seen, in exactly the way it is served.

use crate::data::Table;
use crate::metrics::{self, Figures, Scored, ScoredHorizon, Tally};
use crate::model::{Forecast, Model, Scratch, Stream, Window, WindowError};
use crate::train::Score;
use rayon::prelude::*;
use spinwell_core::{Samples, Series};
use std::ops::Range;

/// Windows that one task answers together.
const TOGETHER: usize = 16;

/// How rows reach the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Row by row, from the first.
    Stream,
    /// A cold window of so many rows at each origin.
    Window(usize),
}

/// Which origins to score and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Rows before this are known to the model; the in-sample naive error comes from them.
    pub train_end: usize,
    /// The first target row scored.
    pub test_start: usize,
    /// No target row at or after this is scored.
    pub test_end: usize,
    /// Only the last horizon or the whole path.
    pub score: Score,
    /// How rows reach the model.
    pub mode: Mode,
    /// Every so many origins, 1 for all.
    pub stride: usize,
    /// In which units.
    pub units: Units,
}

/// The units that figures are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// The data's own.
    Data,
    /// Standard deviations of each target in the rows before [`Plan::train_end`], about their mean there.
    TrainingDeviations,
}

/// A forecast of the last horizon and what came, for plots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The target row.
    pub row: usize,
    /// What came and what was said of it.
    pub scored: Scored,
}

/// How a model did.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Figures of each target.
    pub targets: Vec<Figures>,
    /// Their mean.
    pub overall: Figures,
    /// The rows forecast from, in order.
    pub origins: Vec<usize>,
    /// What was forecast from each.
    pub forecasts: Vec<Forecast>,
    /// Forecasts of the first target that had a truth to be scored against.
    pub scored: usize,
    /// The last horizon of the first target, in order of time.
    pub points: Vec<Point>,
    /// The whole path from the last origin that has its truth, of the first target.
    pub last_path: Vec<Point>,
}

/// Why nothing was scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The rows asked for do not hold one origin with its truth.
    #[error(
        "rows {test_start} to {test_end} of {rows} hold no origin whose target {horizon} rows ahead is known: the end must lie beyond start + horizon - 1 and within the data"
    )]
    NoOrigin {
        /// First target row.
        test_start: usize,
        /// End of the target rows.
        test_end: usize,
        /// Rows of the table.
        rows: usize,
        /// The model's horizon.
        horizon: usize,
    },
    /// A window is too short or reaches before the first row.
    #[error("{0}")]
    Window(#[from] WindowError),
    /// A closed loop does not fit the data.
    #[error(
        "{count} closed loops of {steps} steps from row {start}, {stride} rows apart, do not fit the {rows} rows there are"
    )]
    FreeRun {
        /// Steps of a loop.
        steps: usize,
        /// The first row forecast.
        start: usize,
        /// Rows from loop to loop.
        stride: usize,
        /// How many loops.
        count: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// A closed loop needs values that nobody forecasts.
    #[error("a closed loop needs every channel to be forecast: leave out --inputs, or name them as targets")]
    OpenLoop,
    /// The first window would begin before the data.
    #[error("a window of {window} rows at origin row {origin} begins before the first row")]
    BeforeData {
        /// Rows of a window.
        window: usize,
        /// The first origin.
        origin: usize,
    },
}

/// Scores `model` on `table`, whose columns are the model's channels in order.
///
/// # Errors
/// Where the plan leaves no origin or its windows do not suit the model.
pub fn evaluate(model: &Model, table: &Table, plan: &Plan) -> Result<Evaluation, Error> {
    let (horizon, rows) = (model.horizon(), table.rows());
    let first = plan.test_start.saturating_sub(1);
    let end = plan.test_end.min(rows).saturating_sub(horizon);
    if plan.test_start == 0 || plan.test_end > rows || first >= end {
        let Plan { test_start, test_end, .. } = *plan;
        return Err(Error::NoOrigin { test_start, test_end, rows, horizon });
    }
    let origins: Vec<usize> = (first..end).step_by(plan.stride.max(1)).collect();
    let forecasts = match plan.mode {
        Mode::Stream => stream(model, table, &origins)?,
        Mode::Window(window) => windows(model, table, &origins, window)?,
    };
    Ok(score(model, table, plan, origins, forecasts))
}

fn stream(model: &Model, table: &Table, origins: &[usize]) -> Result<Vec<Forecast>, Error> {
    let (mut stream, mut scratch, mut row) = (model.stream(), Scratch::default(), Vec::new());
    let mut fed = 0;
    let mut forecasts = Vec::with_capacity(origins.len());
    for &origin in origins {
        while fed <= origin {
            feed(model, table, fed, &mut stream, &mut row, &mut scratch);
            fed += 1;
        }
        forecasts.push(model.forecast(&stream, &mut scratch)?);
    }
    Ok(forecasts)
}

/// The columns of a table, targets first, that the model's rows are made of.
fn heard(model: &Model, table: &Table) -> Range<usize> {
    if model.hears_targets() { 0..table.width() } else { model.targets().len()..table.width() }
}

/// Feeds one row, and beside it the truths that the file holds: a value that stands in for a missing one is heard, but
/// teaches nothing.
pub(crate) fn feed(
    model: &Model,
    table: &Table,
    at: usize,
    stream: &mut Stream,
    row: &mut Vec<f64>,
    scratch: &mut Scratch,
) {
    table.row_into(at, row);
    let targets = model.targets().len();
    let known = |target: usize| if table.is_missing(target, at) { f64::NAN } else { row[target] };
    let truths: Vec<f64> = (0..targets).map(known).collect();
    let heard = if model.hears_targets() { &row[..] } else { &row[targets..] };
    model.step_with_truth(stream, heard, &truths, scratch);
}

fn windows(model: &Model, table: &Table, origins: &[usize], window: usize) -> Result<Vec<Forecast>, Error> {
    if window > origins[0] + 1 {
        return Err(Error::BeforeData { window, origin: origins[0] });
    }
    let answer = |origins: &[usize]| -> Result<Vec<Forecast>, Error> {
        let series: Vec<Series> = origins
            .iter()
            .map(|&origin| cut(table, &heard(model, table), origin + 1 - window, window))
            .collect();
        let asked: Vec<Window<'_>> = series.iter().map(|series| Window { series, index: 0 }).collect();
        Ok(model.forecast_windows(&asked).into_iter().collect::<Result<_, _>>()?)
    };
    let parts: Vec<Vec<Forecast>> = origins.par_chunks(TOGETHER).map(answer).collect::<Result<_, _>>()?;
    Ok(parts.concat())
}

/// Rows [`from`, `from + rows`) of some columns of a table as one window in 64 bits.
#[must_use]
pub fn cut(table: &Table, columns: &Range<usize>, from: usize, rows: usize) -> Series {
    let columns = &table.columns[columns.clone()];
    let values = (from..from + rows).flat_map(|row| columns.iter().map(move |column| column[row]));
    Series::new(1, rows, columns.len(), Samples::F64(values.collect())).expect("one value per cell")
}

fn score(
    model: &Model,
    table: &Table,
    plan: &Plan,
    origins: Vec<usize>,
    forecasts: Vec<Forecast>,
) -> Evaluation {
    let (horizon, count, season) = (model.horizon(), model.targets().len(), model.season());
    let mut tallies = vec![Tally::default(); count];
    let scales: Vec<Scale> = (0..count).map(|target| Scale::of(table, target, plan)).collect();
    let (mut points, mut last_path) = (Vec::new(), Vec::new());
    for (&origin, forecast) in origins.iter().zip(&forecasts) {
        for step in 1..=horizon {
            let place = if step == horizon { ScoredHorizon::Last } else { ScoredHorizon::Earlier };
            for (target, tally) in tallies.iter_mut().enumerate() {
                let column = &table.columns[target];
                let output = (step - 1) * count + target;
                let season_before = (origin + step).checked_sub(season * step.div_ceil(season));
                let scored = Scored {
                    truth: column[origin + step],
                    forecast: f64::from(forecast.forecast[output]),
                    lower: f64::from(forecast.lower[output]),
                    upper: f64::from(forecast.upper[output]),
                    last: column[origin],
                    seasonal: season_before.map_or(column[origin], |row| column[row]),
                };
                let counts = place == ScoredHorizon::Last || plan.score == Score::Path;
                let is_scored = counts && !table.is_missing(target, origin + step);
                if is_scored {
                    tally.add(&scales[target].apply(&scored), model.coverage(), place);
                }
                let point = Point { row: origin + step, scored };
                if target == 0 && place == ScoredHorizon::Last {
                    points.push(point);
                }
                if target == 0 && origins.last() == Some(&origin) {
                    last_path.push(point);
                }
            }
        }
    }
    let naive = |target: usize| {
        metrics::naive_in_sample(&table.columns[target][..plan.train_end], season) / scales[target].deviation
    };
    let targets: Vec<Figures> =
        tallies.iter().enumerate().map(|(k, tally)| tally.figures(naive(k))).collect();
    Evaluation {
        overall: metrics::mean(&targets),
        targets,
        origins,
        forecasts,
        scored: tallies[0].count(),
        points,
        last_path,
    }
}

/// The units that one target is scored in.
#[derive(Debug, Clone, Copy)]
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    fn of(table: &Table, target: usize, plan: &Plan) -> Self {
        let seen = &table.columns[target][..plan.train_end];
        let n = seen.len().max(1) as f64;
        let mean = seen.iter().sum::<f64>() / n;
        let deviation = (seen.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        match plan.units {
            Units::TrainingDeviations if deviation > 0.0 => Self { mean, deviation },
            _ => Self { mean: 0.0, deviation: 1.0 },
        }
    }

    fn apply(self, scored: &Scored) -> Scored {
        let scale = |value: f64| (value - self.mean) / self.deviation;
        let Scored { truth, forecast, lower, upper, last, seasonal } = *scored;
        Scored {
            truth: scale(truth),
            forecast: scale(forecast),
            lower: scale(lower),
            upper: scale(upper),
            last: scale(last),
            seasonal: scale(seasonal),
        }
    }
}
