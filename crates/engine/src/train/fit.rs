//! One candidate: two passes over the rows and a few factorisations.
//!
//! The first pass accumulates the moments of every stretch of the folds; penalties are chosen from them. The
//! second pass forecasts the left-out rows with each fold's own readouts, in the arithmetic that serves, which
//! gives the validation figures in the data's units, the weights of a mixture and the scores of the intervals.

use super::error::{Error, Unfit};
use super::judge::{Judged, judge};
use super::learn::{self, Learned};
use super::penalty::Hints;
use super::{Feeds, Task, room};
use crate::block::Block;
use crate::cohort::Cohort;
use crate::encoder::{Channel, Encoder, Memory};
use crate::kernel::{Real, dispatch};
use crate::model::{Contraction, Core, FORGETS_WITHIN, Model, Parts, Readout};
use crate::spec::{Base, Mixing, Spec, Transform};
use spinwell_core::NumericProfile;

/// Rows before the first origin of a reservoir that are only listened to.
const WASHOUT: usize = 100;

/// How a candidate did on rows that its folds had not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Mean over folds and targets of RMSE ÷ standard deviation of the fold's truths.
    pub nrmse: f64,
    /// The same of each fold.
    pub folds: Vec<f64>,
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
    /// The penalties chosen, where a similar candidate may begin to look.
    pub(super) hints: Hints,
    core: Core,
}

impl Fitted {
    pub(super) fn into_model(self) -> Model {
        Model::assemble(self.core)
    }
}

/// Fits one candidate.
///
/// # Errors
/// Where it may not be had, before anything of it is allocated; where the rows do not suffice for its lags or its
/// equations cannot be solved.
pub(super) fn fit(task: &Task<'_>, spec: &Spec, hints: &Hints) -> Result<Fitted, Unfit> {
    room::check(task, spec).map_err(Unfit::Refused)?;
    match spec.profile {
        // Models are trained on the CPU, wherever they serve.
        NumericProfile::CpuF32 | NumericProfile::GpuF32 => fit_in::<f32>(task, spec, hints, Core::F32),
        NumericProfile::CpuF64 => fit_in::<f64>(task, spec, hints, Core::F64),
    }
}

fn fit_in<R: Real>(
    task: &Task<'_>,
    spec: &Spec,
    hints: &Hints,
    core: fn(Parts<R>) -> Core,
) -> Result<Fitted, Unfit> {
    let mut encoder = encoder::<R>(task, spec)?;
    let outputs = outputs(task, spec.transform).ok_or(Unfit::Rows)?;
    let (folds, last, found) = if spec.family.is_naive() {
        let silent = vec![Readout::silent(task.outputs())];
        let fold = Learned { members: silent.clone(), ranges: Vec::new() };
        (vec![fold; task.folds.count()], silent, Hints::default())
    } else {
        learn::learn(task, spec, &mut encoder, &outputs, hints).ok_or(Unfit::Rows)?
    };
    let judged = judge(task, spec, &encoder, &outputs, &folds).ok_or(Unfit::Rows)?;
    let Judged { validation, intervals, mixer } = judged;
    let mut spec = spec.clone();
    spec.mixing = mixer.as_ref().map_or(Mixing::Off, |mixer| Mixing::Power(mixer.power));
    let mut members = last;
    if mixer.is_none() {
        members.truncate(1);
        encoder.bases.truncate(1);
    }
    let contraction = contraction(task, &encoder);
    let parts = Parts {
        spec: spec.clone(),
        outputs,
        hears_targets: task.options.feeds == Feeds::Everything,
        horizon: task.options.horizon,
        season: task.season,
        members,
        mixer,
        intervals,
        contraction,
        time_column: task.options.time_column.clone(),
        encoder,
    };
    Ok(Fitted { spec, validation, hints: found, core: core(parts) })
}

/// How one column is standardised: from the rows that a fit may see. `None` for a constant.
fn channel(task: &Task<'_>, column: usize, transform: Transform) -> Option<Channel> {
    let seen = &task.table.columns[column][..task.folds.fit_end()];
    let n = seen.len() as f64;
    let mean = seen.iter().map(|&value| transform.apply(value)).sum::<f64>() / n;
    let deviation =
        (seen.iter().map(|&value| (transform.apply(value) - mean).powi(2)).sum::<f64>() / n).sqrt();
    if !(deviation.is_finite() && deviation > 0.0) {
        return None;
    }
    let z: Vec<f64> = seen.iter().map(|&value| (transform.apply(value) - mean) / deviation).collect();
    let changes: Vec<f64> = z.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let power = changes.iter().map(|change| change * change).sum::<f64>() / changes.len().max(1) as f64;
    let change = if power > 0.0 { power.sqrt() } else { 1.0 };
    let (low, high) = extent(&changes);
    let name = task.table.names[column].clone();
    Some(Channel {
        name,
        transform,
        mean,
        deviation,
        change,
        range: extent(&z),
        change_range: (low / change, high / change),
    })
}

/// The smallest and the largest value, apart by at least a little.
fn extent(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high > low { (low, high) } else { (-1.0, 1.0) }
}

fn outputs(task: &Task<'_>, transform: Transform) -> Option<Vec<Channel>> {
    (0..task.options.targets).map(|target| channel(task, target, transform)).collect()
}

fn encoder<R: Real>(task: &Task<'_>, spec: &Spec) -> Result<Encoder<R>, Unfit> {
    let channels = task.heard().map(|column| channel(task, column, spec.transform));
    let channels = channels.collect::<Option<Vec<Channel>>>().ok_or(Unfit::Rows)?;
    let refused = |reason| Unfit::Refused(Error::Reservoir { family: spec.family, reason });
    let blocks = spec.blocks.iter().map(|block| Block::draw(block, channels.len()).map_err(refused));
    let blocks = blocks.collect::<Result<_, _>>()?;
    let mut bases = vec![spec.base];
    if spec.mixing != Mixing::Off {
        bases.push(if task.options.feeds == Feeds::Everything { Base::Last } else { Base::Mean });
        if task.season > 1 && task.options.feeds == Feeds::Everything {
            bases.push(Base::Season);
        }
    }
    Ok(Encoder {
        channels,
        lags: spec.lags.clone(),
        products: spec.products,
        bases,
        shared: spec.shared,
        season: task.season,
        blocks,
        clip: Vec::new(),
    })
}

/// The first row, counted from 1, whose features a fit uses.
pub(super) fn first_origin<R: Real>(encoder: &Encoder<R>) -> usize {
    let washout = if encoder.blocks.is_empty() { 1 } else { WASHOUT };
    encoder.rows_needed().max(washout)
}

/// Feeds rows [0, `end`) to a fresh memory and calls `each` after every row.
pub(super) fn walk<R: Real>(
    task: &Task<'_>,
    encoder: &Encoder<R>,
    end: usize,
    mut each: impl FnMut(usize, &Memory<R>),
) {
    let mut memory = encoder.fresh();
    let mut cohort = Cohort::default();
    let heard: Vec<&[f64]> = task.heard().map(|column| &task.table.columns[column][..]).collect();
    (0..end).for_each(|row| {
        let value = |_: usize, channel: usize| heard[channel][row];
        dispatch(
            #[inline(always)]
            || encoder.advance(&mut [&mut memory], value, &mut cohort),
        );
        each(row, &memory);
    });
}

/// Rows after which reservoirs that start elsewhere (echo units at −1, 0 or 1, other reservoirs afresh) agree when
/// they hear the same rows: the slowest of several starts.
fn contraction<R: Real>(task: &Task<'_>, encoder: &Encoder<R>) -> Contraction {
    if encoder.blocks.is_empty() {
        return Contraction { to_1e3: Some(1), to_1e6: Some(1) };
    }
    let end = task.folds.fit_end();
    let heard: Vec<&[f64]> = task.heard().map(|column| &task.table.columns[column][..]).collect();
    let mut slowest = Contraction { to_1e3: Some(1), to_1e6: Some(1) };
    for start in [end / 4, end / 2] {
        let mut reference = encoder.fresh();
        let mut cohort = Cohort::default();
        let mut advance = |memory: &mut Memory<R>, row: usize| {
            let value = |_: usize, channel: usize| heard[channel][row];
            dispatch(
                #[inline(always)]
                || encoder.advance(&mut [memory], value, &mut cohort),
            );
        };
        (start.saturating_sub(WASHOUT)..start).for_each(|row| advance(&mut reference, row));
        for displaced_to in [-1.0, 0.0, 1.0] {
            let (mut here, mut there) = (reference.clone(), encoder.displaced(&reference, displaced_to));
            let mut found = Contraction::default();
            for rows in 0..=FORGETS_WITHIN {
                let apart = encoder.distance(&here, &there);
                if apart < 1e-3 && found.to_1e3.is_none() {
                    found.to_1e3 = Some(rows);
                }
                if apart < 1e-6 {
                    found.to_1e6 = Some(rows);
                    break;
                }
                if start + rows >= end {
                    break;
                }
                advance(&mut here, start + rows);
                advance(&mut there, start + rows);
            }
            let slower = |a: Option<usize>, b: Option<usize>| a.zip(b).map(|(a, b)| a.max(b));
            slowest = Contraction {
                to_1e3: slower(slowest.to_1e3, found.to_1e3),
                to_1e6: slower(slowest.to_1e6, found.to_1e6),
            };
        }
    }
    slowest
}
