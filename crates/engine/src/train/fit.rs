//! One candidate: two passes over the rows and a few factorisations.
//!
//! The first pass accumulates the moments of every stretch of the folds; penalties are chosen from them. The
//! second pass forecasts the left-out rows with each fold's own readout, in the arithmetic that serves, which
//! gives the validation figures in the data's units and the scores of the intervals.

use super::folds::Part;
use super::penalty::{self, Fold, Penalties};
use super::{Score, Task};
use crate::echo::{Reservoir, Weights as EchoWeights};
use crate::encoder::{Channel, Encoder, Memory};
use crate::interval::{self, Intervals};
use crate::kernel::dispatch;
use crate::linalg::{HeldOut, Moments, Normal, Weights};
use crate::metrics::{Spread, naive_in_sample};
use crate::model::{FORGETS_WITHIN, Model, Parts, Readout};
use crate::spec::Spec;
use std::ops::Range;

/// Rows before the first origin of a reservoir that are only listened to.
const WASHOUT: usize = 100;

/// How a candidate did on rows that its folds had not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validation {
    /// Mean over folds and targets of RMSE ÷ standard deviation of the fold's truths.
    pub nrmse: f64,
    /// MAE ÷ in-sample MAE of the seasonal naive forecast, mean over targets.
    pub mase: f64,
    /// Share of truths inside the interval that earlier scores would have given, at the last horizon; `None` where
    /// there are too few.
    pub coverage: Option<f64>,
}

/// A fitted candidate.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) spec: Spec,
    pub(super) validation: Validation,
    encoder: Encoder,
    readout: Readout,
    intervals: Intervals,
    forget_rows: Option<usize>,
}

/// Fits one candidate. `None` where the rows do not suffice for its lags or its equations cannot be solved.
pub(super) fn fit(task: &Task<'_>, spec: &Spec) -> Option<Fitted> {
    let mut encoder = encoder(task, spec)?;
    let (learned, readout) = if spec.family.is_naive() {
        let nothing = Readout { weights: Vec::new(), intercepts: vec![0.0; outputs(task)] };
        let fold = Learned { readout: nothing.clone(), ranges: Vec::new() };
        (vec![fold; task.folds.count()], nothing)
    } else {
        learn(task, &mut encoder)?
    };
    let judged = judge(task, &encoder, &learned)?;
    let forget_rows = forget_rows(task, &encoder);
    Some(Fitted {
        spec: spec.clone(),
        validation: judged.validation,
        encoder,
        readout,
        intervals: judged.intervals,
        forget_rows,
    })
}

impl Fitted {
    pub(super) fn into_model(self, task: &Task<'_>) -> Model {
        Model::assemble(Parts {
            spec: self.spec,
            encoder: self.encoder,
            targets: task.options.targets,
            horizon: task.options.horizon,
            season: task.season,
            readout: self.readout,
            intervals: self.intervals,
            forget_rows: self.forget_rows,
            time_column: task.options.time_column.clone(),
        })
    }
}

fn outputs(task: &Task<'_>) -> usize {
    task.options.targets * task.options.horizon
}

fn encoder(task: &Task<'_>, spec: &Spec) -> Option<Encoder> {
    let seen = task.folds.fit_end();
    let channel = |(name, column): (&String, &Vec<f64>)| {
        let values = || column[..seen].iter().map(|&value| spec.transform.apply(value));
        let n = seen as f64;
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        let usable = deviation.is_finite() && deviation > 0.0;
        usable.then(|| Channel { name: name.clone(), transform: spec.transform, mean, deviation })
    };
    let channels: Vec<Channel> =
        task.table.names.iter().zip(&task.table.columns).map(channel).collect::<Option<_>>()?;
    let seasonal_inputs = spec.echo.as_ref().map_or_else(Vec::new, |echo| echo.seasonal_inputs.clone());
    let reservoir = spec.echo.as_ref().map(|echo| {
        let inputs = Encoder::reservoir_inputs(channels.len(), seasonal_inputs.len());
        Reservoir::new(EchoWeights::draw(echo, inputs))
    });
    Some(Encoder {
        channels,
        lags: spec.lags.clone(),
        base: spec.base,
        season: task.season,
        seasonal_inputs,
        reservoir,
        clip: Vec::new(),
    })
}

/// The first row, counted from 1, whose features a fit uses.
fn first_origin(encoder: &Encoder) -> usize {
    let washout = if encoder.reservoir.is_some() { WASHOUT } else { 1 };
    encoder.rows_needed().max(washout)
}

/// Feeds rows [0, `end`) to a fresh memory and calls `each` after every row.
fn walk(task: &Task<'_>, encoder: &Encoder, end: usize, mut each: impl FnMut(usize, &Memory)) {
    let mut memory = encoder.fresh();
    let mut scratch = [Vec::new()];
    for row in 0..end {
        let value = |_: usize, channel: usize| task.table.columns[channel][row];
        dispatch(
            #[inline(always)]
            || encoder.advance(&mut [&mut memory], value, &mut scratch),
        );
        each(row, &memory);
    }
}

/// What one fold has learned from the rows before its cut, and from no others.
#[derive(Debug, Clone)]
struct Learned {
    readout: Readout,
    /// Smallest and largest value of each feature.
    ranges: Ranges,
}

type Ranges = Vec<(f32, f32)>;

/// What the folds have learned, and the final readout; the encoder gets the final ranges.
fn learn(task: &Task<'_>, encoder: &mut Encoder) -> Option<(Vec<Learned>, Readout)> {
    let Sums { inside, across, ranges } = accumulate(task, encoder);
    let count = task.folds.count();
    let mut sum = inside[0].clone();
    let mut folds = Vec::new();
    let mut last = Normal::new(&sum)?;
    for fold in 0..count {
        let held_out = HeldOut::new(&inside[fold + 1]);
        folds.push(Fold { normal: last, held_out });
        if task.folds.refits() || fold + 1 < count {
            sum.add(&across[fold + 1]);
            sum.add(&inside[fold + 1]);
        }
        last = Normal::new(&sum)?;
    }
    let blocks = blocks(encoder);
    let penalties = match task.options.settings.penalty {
        Some(penalty) => Penalties::uniform(&blocks, penalty),
        None => penalty::choose(&blocks, &folds, &|errors| pooled(task, errors)),
    };
    let solved = penalties.solve(&folds)?;
    let weights = last.solve(|index| penalties.of(index))?;
    let mut so_far = vec![(f32::INFINITY, f32::NEG_INFINITY); encoder.features_len()];
    let mut learned = Vec::new();
    for (weights, ranges) in solved.iter().zip(&ranges) {
        widen(&mut so_far, ranges);
        if so_far.iter().any(|(low, high)| low > high) {
            return None;
        }
        learned.push(Learned { readout: readout(encoder, weights), ranges: so_far.clone() });
    }
    if task.folds.refits() {
        widen(&mut so_far, &ranges[count]);
    }
    encoder.clip = so_far;
    Some((learned, readout(encoder, &weights)))
}

fn widen(ranges: &mut Ranges, by: &Ranges) {
    for (range, by) in ranges.iter_mut().zip(by) {
        *range = (range.0.min(by.0), range.1.max(by.1));
    }
}

/// What the first pass over the rows finds.
struct Sums {
    /// Moments of the origins inside each stretch: the first fit, then each fold's validation.
    inside: Vec<Moments>,
    /// Moments of the origins whose targets cross the cut before each stretch.
    across: Vec<Moments>,
    /// Ranges of the features in each stretch of rows.
    ranges: Vec<Ranges>,
}

fn accumulate(task: &Task<'_>, encoder: &Encoder) -> Sums {
    let (count, horizon) = (task.folds.count(), task.options.horizon);
    let (features_len, outputs) = (encoder.features_len(), outputs(task));
    let empty = || vec![(f32::INFINITY, f32::NEG_INFINITY); features_len];
    let mut sums = Sums {
        inside: (0..=count).map(|_| Moments::new(features_len, outputs)).collect(),
        across: (0..=count).map(|_| Moments::new(features_len, outputs)).collect(),
        ranges: (0..=count).map(|_| empty()).collect(),
    };
    let mut features = vec![0.0; encoder.padded_len()];
    let mut residuals = vec![0.0; outputs];
    let first = first_origin(encoder);
    walk(task, encoder, task.folds.choose_end(), |row, memory| {
        if row + 1 < first {
            return;
        }
        dispatch(
            #[inline(always)]
            || encoder.features_within(memory, &[], &mut features),
        );
        for (range, &feature) in sums.ranges[task.folds.stretch(row)].iter_mut().zip(&features) {
            *range = (range.0.min(feature), range.1.max(feature));
        }
        let part = task.folds.part(row, horizon);
        if part == Part::Beyond || !residuals_of(task, encoder, memory, row, &mut residuals) {
            return;
        }
        match part {
            Part::Inside(stretch) => sums.inside[stretch].push(&features, &residuals),
            Part::Across(cut) => sums.across[cut].push(&features, &residuals),
            Part::Beyond => {}
        }
    });
    sums.inside.iter_mut().chain(&mut sums.across).for_each(Moments::flush);
    sums
}

/// Writes what the readout should have said at `row`: truth minus base, standardised. False where more than a quarter
/// of the truths are missing from the file: what was filled in would be learned as fact.
fn residuals_of(
    task: &Task<'_>,
    encoder: &Encoder,
    memory: &Memory,
    row: usize,
    residuals: &mut [f32],
) -> bool {
    let targets = task.options.targets;
    let mut missing = 0;
    for step in 1..=task.options.horizon {
        for target in 0..targets {
            missing += usize::from(task.table.is_missing(target, row + step));
            let truth = encoder.channels[target].standardise(task.table.columns[target][row + step]);
            residuals[(step - 1) * targets + target] = truth - encoder.base_of(memory, target, step);
        }
    }
    4 * missing <= residuals.len()
}

/// Recent lags, seasonal lags, reservoir.
fn blocks(encoder: &Encoder) -> [Range<usize>; 3] {
    let recent = encoder.lags.recent * encoder.channels.len();
    [0..recent, recent..encoder.lag_features(), encoder.lag_features()..encoder.features_len()]
}

/// The mean squared error that decides, of one per output.
fn pooled(task: &Task<'_>, errors: &[f64]) -> f64 {
    let scored = match task.options.score {
        Score::Last => &errors[errors.len() - task.options.targets..],
        Score::Path => errors,
    };
    scored.iter().sum::<f64>() / scored.len() as f64
}

fn readout(encoder: &Encoder, weights: &Weights) -> Readout {
    let (features, padded) = (encoder.features_len(), encoder.padded_len());
    let mut packed = vec![0.0f32; weights.intercepts.len() * padded];
    for (output, row) in packed.chunks_exact_mut(padded.max(1)).enumerate().take(weights.intercepts.len()) {
        for (feature, weight) in row.iter_mut().enumerate().take(features) {
            *weight = weights.slopes[(feature, output)] as f32;
        }
    }
    Readout { weights: packed, intercepts: weights.intercepts.clone() }
}

struct Judged {
    validation: Validation,
    intervals: Intervals,
}

/// Errors of one target in one fold.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    n: f64,
    truths: Spread,
    squared: f64,
    absolute: f64,
}

impl Errors {
    fn add(&mut self, truth: f64, forecast: f64) {
        self.n += 1.0;
        self.truths.add(truth);
        self.squared += (truth - forecast).powi(2);
        self.absolute += (truth - forecast).abs();
    }

    /// RMSE ÷ standard deviation of the truths; where those are constant, the RMSE is compared with `deviation`.
    fn nrmse(&self, deviation: f64) -> f64 {
        let variance = self.truths.variance();
        let spread = if variance > 1e-12 * deviation * deviation { variance.sqrt() } else { deviation };
        (self.squared / self.n).sqrt() / spread
    }
}

/// Forecasts the left-out rows with each fold's readout.
fn judge(task: &Task<'_>, encoder: &Encoder, folds: &[Learned]) -> Option<Judged> {
    let (horizon, targets) = (task.options.horizon, task.options.targets);
    let scored = interval::scored_horizons(horizon);
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); targets * scored.len()];
    let mut sums = vec![vec![Errors::default(); targets]; folds.len()];
    let mut features = vec![0.0; encoder.padded_len()];
    let first = first_origin(encoder);
    walk(task, encoder, task.folds.choose_end(), |row, memory| {
        let Part::Inside(stretch @ 1..) = task.folds.part(row, horizon) else { return };
        if row + 1 < first {
            return;
        }
        let fold = stretch - 1;
        dispatch(
            #[inline(always)]
            || encoder.features_within(memory, &folds[fold].ranges, &mut features),
        );
        for target in 0..targets {
            let (channel, column) = (&encoder.channels[target], &task.table.columns[target]);
            for step in 1..=horizon {
                let scored_at = scored.binary_search(&step);
                let counts = task.options.score == Score::Path || step == horizon;
                if task.table.is_missing(target, row + step) || (!counts && scored_at.is_err()) {
                    continue;
                }
                let base = f64::from(encoder.base_of(memory, target, step));
                let output = (step - 1) * targets + target;
                let z = base
                    + dispatch(
                        #[inline(always)]
                        || folds[fold].readout.output(output, &features),
                    );
                if counts {
                    sums[fold][target].add(column[row + step], channel.restore(z));
                }
                if let Ok(place) = scored_at {
                    let truth = f64::from(channel.standardise(column[row + step]));
                    errors[target * scored.len() + place].push((truth - z).abs());
                }
            }
        }
    });
    if sums.iter().flatten().any(|sums| sums.n == 0.0 || !sums.squared.is_finite()) {
        return None;
    }
    let calibrations: Vec<_> = errors
        .iter()
        .enumerate()
        .map(|(track, errors)| {
            interval::calibrate(errors, scored[track % scored.len()], task.options.coverage)
        })
        .collect();
    let coverages: Option<Vec<f64>> =
        (0..targets).map(|target| calibrations[(target + 1) * scored.len() - 1].coverage_split).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let validation = Validation {
        nrmse: mean(
            sums.iter().flat_map(|fold| (0..targets).map(|k| fold[k].nrmse(deviation(task, k)))).collect(),
        ),
        mase: mean((0..targets).map(|target| mase(task, &sums, target)).collect()),
        coverage: coverages.map(mean),
    };
    let tracks = calibrations.into_iter().map(|calibration| calibration.track).collect();
    Some(Judged { validation, intervals: Intervals::new(task.options.coverage, scored, tracks) })
}

fn deviation(task: &Task<'_>, target: usize) -> f64 {
    let seen = &task.table.columns[target][..task.folds.fit_end()];
    let n = seen.len() as f64;
    let mean = seen.iter().sum::<f64>() / n;
    (seen.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

fn mase(task: &Task<'_>, sums: &[Vec<Errors>], target: usize) -> f64 {
    let n: f64 = sums.iter().map(|fold| fold[target].n).sum();
    let absolute: f64 = sums.iter().map(|fold| fold[target].absolute).sum();
    let naive = naive_in_sample(&task.table.columns[target][..task.folds.fit_end()], task.season);
    if naive > 0.0 { absolute / n / naive } else { 0.0 }
}

/// Rows after which reservoirs that start elsewhere (all units at −1 or 1, or at rest) agree to 1e-3 when they hear
/// the same rows: the slowest of several starts. `None` where some do not within [`FORGETS_WITHIN`].
fn forget_rows(task: &Task<'_>, encoder: &Encoder) -> Option<usize> {
    if encoder.reservoir.is_none() {
        return Some(1);
    }
    let end = task.folds.fit_end();
    let mut slowest = 1;
    for start in [end / 4, end / 2] {
        let mut reference = encoder.fresh();
        let mut scratch = [Vec::new()];
        let mut advance = |memory: &mut Memory, row: usize| {
            let value = |_: usize, channel: usize| task.table.columns[channel][row];
            dispatch(
                #[inline(always)]
                || encoder.advance(&mut [memory], value, &mut scratch),
            );
        };
        (start.saturating_sub(WASHOUT)..start).for_each(|row| advance(&mut reference, row));
        for displaced_to in [-1.0, 0.0, 1.0] {
            let (mut here, mut there) = (reference.clone(), encoder.displaced(&reference, displaced_to));
            let apart = |a: &Memory, b: &Memory| {
                let pairs = encoder.reservoir_state(a).iter().zip(encoder.reservoir_state(b));
                pairs.map(|(x, y)| (x - y).abs()).fold(0.0f32, f32::max)
            };
            let mut rows = 0;
            while apart(&here, &there) >= 1e-3 {
                if rows == FORGETS_WITHIN || start + rows >= end {
                    return None;
                }
                advance(&mut here, start + rows);
                advance(&mut there, start + rows);
                rows += 1;
            }
            slowest = slowest.max(rows);
        }
    }
    Some(slowest)
}
