//! How a candidate does on the rows its folds left out, in the arithmetic that serves, mixtures included.

use super::fit::{Validation, first_origin, walk};
use super::folds::Part;
use super::learn::Learned;
use super::{Score, Task};
use crate::encoder::{Channel, Encoder, Memory};
use crate::intervals::{Intervals, Outcome, Setup, calibrate, scored_horizons};
use crate::kernel::{Real, dispatch};
use crate::metrics::{Spread, naive_in_sample};
use crate::model::{MixState, Mixer};
use crate::spec::{Mixing, Spec};

/// Powers that a mixture may have: the steeper one suits series where one member is right and the others are noise.
const POWERS: [u32; 2] = [16, 4];

/// A mixture is taken if it costs no more than this factor of error on the left-out rows: what comes later may differ
/// from them, and then it finds out which member to follow.
const INSURANCE: f64 = 1.02;

/// What the left-out rows say.
pub(super) struct Judged {
    pub(super) validation: Validation,
    pub(super) intervals: Intervals,
    /// The mixture, where one does better than the readout of all features.
    pub(super) mixer: Option<Mixer>,
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

/// One way of making one forecast of the members': the first alone, or a mixture.
struct Variant {
    power: Option<u32>,
    /// Sums by fold, then target.
    sums: Vec<Vec<Errors>>,
    /// What was said and what came by track, standardised, in order of origin.
    outcomes: Vec<Vec<Outcome>>,
}

impl Variant {
    /// NRMSE of each fold, mean over targets.
    fn nrmse(&self, task: &Task<'_>) -> Vec<f64> {
        let targets = task.options.targets;
        let of = |fold: &Vec<Errors>| (0..targets).map(|k| fold[k].nrmse(deviation(task, k))).sum::<f64>();
        self.sums.iter().map(|fold| of(fold) / targets as f64).collect()
    }
}

/// The second pass over the rows.
struct Pass<'p, 't, R> {
    task: &'p Task<'t>,
    encoder: &'p Encoder<R>,
    outputs: &'p [Channel],
    folds: &'p [Learned<R>],
    scored: Vec<usize>,
    variants: Vec<Variant>,
    /// What is known of the members at each track, as in service; empty without a mixture.
    mixes: Vec<MixState>,
    /// Origins seen.
    origins: usize,
    features: Vec<R>,
    said: Vec<f64>,
}

/// Forecasts the left-out rows with each fold's readouts.
pub(super) fn judge<R: Real>(
    task: &Task<'_>,
    spec: &Spec,
    encoder: &Encoder<R>,
    outputs: &[Channel],
    folds: &[Learned<R>],
) -> Option<Judged> {
    let scored = scored_horizons(task.options.horizon);
    let tracks = outputs.len() * scored.len();
    let mut powers = vec![None];
    let mut mixes = Vec::new();
    if let Mixing::Power(_) = spec.mixing {
        powers.extend(POWERS.map(Some));
        let members = folds[0].members.len() + encoder.bases.len() - 1;
        mixes = (0..tracks).map(|t| MixState::new(&vec![1.0; members], scored[t % scored.len()])).collect();
    }
    let variant = |power| Variant {
        power,
        sums: vec![vec![Errors::default(); outputs.len()]; folds.len()],
        outcomes: vec![Vec::new(); tracks],
    };
    let mut pass = Pass {
        task,
        encoder,
        outputs,
        folds,
        scored,
        variants: powers.into_iter().map(variant).collect(),
        mixes,
        origins: 0,
        features: vec![R::ZERO; encoder.vectors(outputs.len()) * encoder.padded_len()],
        said: Vec::new(),
    };
    let first = first_origin(encoder).max(task.folds.first_cut());
    walk(task, encoder, task.folds.choose_end(), |row, memory| {
        if row + 1 >= first {
            pass.origin(row, memory);
        }
    });
    pass.finish()
}

impl<R: Real> Pass<'_, '_, R> {
    /// Everything that is forecast from one row.
    fn origin(&mut self, row: usize, memory: &Memory<R>) {
        let horizon = self.task.options.horizon;
        self.learn_truths(row);
        let part = self.task.folds.part(row, horizon);
        let inside = matches!(part, Part::Inside(1..));
        if self.mixes.is_empty() && !inside {
            return;
        }
        let fold =
            self.task.folds.part(row, 1).stretch().unwrap_or(self.folds.len()).clamp(1, self.folds.len()) - 1;
        let (encoder, folds) = (self.encoder, self.folds);
        let features = &mut self.features;
        dispatch(
            #[inline(always)]
            || encoder.features_within(memory, &folds[fold].ranges, features),
        );
        for target in 0..self.outputs.len() {
            for step in 1..=horizon {
                self.output(row, memory, Place { fold, target, step, inside });
            }
        }
        self.origins += 1;
    }

    /// One forecast: what each member says, what each variant makes of it, and how far it is off.
    fn output(&mut self, row: usize, memory: &Memory<R>, place: Place) {
        let Place { fold, target, step, inside } = place;
        let (task, horizon) = (self.task, self.task.options.horizon);
        let scored_at = self.scored.binary_search(&step);
        let counts = inside && (task.options.score == Score::Path || step == horizon);
        if !counts && scored_at.is_err() {
            return;
        }
        self.ask_members(memory, place);
        let track = |at: usize| target * self.scored.len() + at;
        if let (Ok(at), false) = (scored_at, self.mixes.is_empty()) {
            let index = track(at);
            self.mixes[index].note(row + 1, &self.said);
        }
        if !inside || task.table.is_missing(target, row + step) {
            return;
        }
        let value = task.table.columns[target][row + step];
        let nearest = track(self.scored.partition_point(|&scored| scored < step).min(self.scored.len() - 1));
        let channel = &self.outputs[target];
        let truth = channel.standardise::<R>(value).widen();
        let last = channel.standardise::<R>(task.table.columns[target][row]).widen();
        let scored_track = scored_at.ok().map(track);
        for variant in &mut self.variants {
            let z = variant.power.map_or(self.said[0], |power| self.mixes[nearest].mix(power, &self.said));
            if counts {
                variant.sums[fold][target].add(value, channel.restore(z));
            }
            if let Some(track) = scored_track {
                variant.outcomes[track].push(Outcome { row, last, forecast: z, truth });
            }
        }
    }

    /// Leaves in `said` the standardised forecast of each member and of each naive forecast mixed in.
    fn ask_members(&mut self, memory: &Memory<R>, Place { fold, target, step, .. }: Place) {
        let (encoder, targets) = (self.encoder, self.outputs.len());
        let base = encoder.base_of(memory, target, step).widen();
        let padded = encoder.padded_len();
        let (vector, output) = if encoder.shared {
            (&self.features[target * padded..][..padded], step - 1)
        } else {
            (&self.features[..], (step - 1) * targets + target)
        };
        self.said.clear();
        for member in &self.folds[fold].members {
            let correction = dispatch(
                #[inline(always)]
                || member.output(output, vector),
            );
            self.said.push(base + correction);
        }
        if !self.mixes.is_empty() {
            let naive =
                encoder.bases[1..].iter().map(|&naive| encoder.naive(naive, memory, target, step).widen());
            self.said.extend(naive);
        }
    }

    /// Tells the mixtures what came in `row`, once enough origins have spoken of it.
    fn learn_truths(&mut self, row: usize) {
        for (index, mix) in self.mixes.iter_mut().enumerate() {
            let (target, horizon) = (index / self.scored.len(), self.scored[index % self.scored.len()]);
            if self.origins >= horizon && !self.task.table.is_missing(target, row) {
                let truth =
                    self.outputs[target].standardise::<R>(self.task.table.columns[target][row]).widen();
                mix.observe_early(row, truth, self.origins - horizon);
            }
        }
    }

    fn finish(self) -> Option<Judged> {
        let task = self.task;
        let broken = |v: &Variant| v.sums.iter().flatten().any(|s| s.n == 0.0 || !s.squared.is_finite());
        if self.variants.iter().any(broken) {
            return None;
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let nrmse: Vec<f64> = self.variants.iter().map(|variant| mean(variant.nrmse(task))).collect();
        let least = nrmse.iter().copied().fold(f64::INFINITY, f64::min);
        // The mixtures come last.
        let best = (0..nrmse.len()).rev().find(|&variant| nrmse[variant] <= INSURANCE * least)?;
        let folds = self.variants[best].nrmse(task);
        let Variant { power, sums, outcomes } = &self.variants[best];
        let (scored, coverage, targets) = (self.scored, task.options.coverage, self.outputs.len());
        let setup =
            |track: usize| Setup { horizon: scored[track % scored.len()], season: task.season, coverage };
        let calibrations: Vec<_> =
            outcomes.iter().enumerate().map(|(track, outcomes)| calibrate(outcomes, setup(track))).collect();
        let coverages: Option<Vec<f64>> =
            (0..targets).map(|target| calibrations[(target + 1) * scored.len() - 1].coverage_split).collect();
        let validation = Validation {
            nrmse: nrmse[best],
            folds,
            mase: mean((0..targets).map(|target| mase(task, sums, target)).collect()),
            coverage: coverages.map(mean),
        };
        let tracks = calibrations.into_iter().map(|calibration| calibration.track).collect();
        let mixer = power
            .map(|power| Mixer { power, errors: self.mixes.into_iter().map(|mix| mix.errors).collect() });
        Some(Judged { validation, intervals: Intervals::new(coverage, scored, tracks), mixer })
    }
}

/// Which output is forecast, with which fold's readouts, and whether it counts.
#[derive(Clone, Copy)]
struct Place {
    fold: usize,
    target: usize,
    step: usize,
    inside: bool,
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
