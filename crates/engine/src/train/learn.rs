//! What the folds learn: moments of every stretch, penalties, readouts.

use super::fit::{first_origin, walk};
use super::folds::Part;
use super::penalty::{self, Fold, Hints, Penalties, Search};
use super::{Score, Task};
use crate::encoder::{Channel, Encoder, Memory};
use crate::kernel::{Real, dispatch};
use crate::linalg::{HeldOut, Moments, Normal, Weights};
use crate::model::Readout;
use crate::spec::{Mixing, Spec};
use std::ops::Range;

/// Features may leave the range of training by this share of it. None at all cuts the tips off a chaotic flow (the
/// error of Lorenz-63 one step ahead was ten times larger); without a limit a polynomial explodes.
const MARGIN: f64 = 0.25;

/// Smallest and largest value of each feature.
pub(super) type Ranges<R> = Vec<(R, R)>;

/// What one fold has learned from the rows before its cut. Only how channels are standardised and the range that spiking
/// and quantum reservoirs hear is taken from all rows of the training part, the left-out ones included.
#[derive(Debug, Clone)]
pub(super) struct Learned<R> {
    /// The members' readouts.
    pub(super) members: Vec<Readout<R>>,
    /// Ranges of the features.
    pub(super) ranges: Ranges<R>,
}

/// What a candidate has learned: every fold, the members fitted on all rows, and the penalties found.
type Lessons<R> = (Vec<Learned<R>>, Vec<Readout<R>>, Hints);

/// What the folds have learned, and the final readouts; the encoder gets the final ranges.
pub(super) fn learn<R: Real>(
    task: &Task<'_>,
    spec: &Spec,
    encoder: &mut Encoder<R>,
    outputs: &[Channel],
    hints: &Hints,
) -> Option<Lessons<R>> {
    let Sums { inside, across, ranges } = accumulate(task, encoder, outputs);
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
    drop((inside, across, sum));
    let mut so_far = vec![(R::INFINITY, -R::INFINITY); encoder.features_len()];
    let mut learned = Vec::new();
    for ranges in &ranges[..count] {
        widen(&mut so_far, ranges);
        if so_far.iter().any(|(low, high)| low > high) {
            return None;
        }
        learned.push(Learned { members: Vec::new(), ranges: with_margin(&so_far) });
    }
    if task.folds.refits() {
        widen(&mut so_far, &ranges[count]);
    }
    encoder.clip = with_margin(&so_far);
    let mut finals = Vec::new();
    let mut found = Hints::default();
    for (place, member) in members(spec, encoder).into_iter().enumerate() {
        let penalties = choose(task, encoder, outputs, &member, &folds, &learned, hints)?;
        let solved = penalties.solve(&member.restricted(&folds), task.hands)?;
        for (fold, weights) in learned.iter_mut().zip(&solved) {
            fold.members.push(member.readout(encoder, weights));
        }
        let weights = last.restricted(&member.indices).solve(|index| penalties.of(index))?;
        finals.push(member.readout(encoder, &weights));
        if place == 0 {
            found = penalties.hints(&member.kinds);
        }
    }
    Some((learned, finals, found))
}

/// Penalties for one member: from the moments, then, where they end at the floor of 64 bits, by looking at the rows.
fn choose<R: Real>(
    task: &Task<'_>,
    encoder: &Encoder<R>,
    outputs: &[Channel],
    member: &Member,
    folds: &[Fold],
    learned: &[Learned<R>],
    hints: &Hints,
) -> Option<Penalties> {
    if let Some(penalty) = task.options.settings.penalty {
        return Some(Penalties::uniform(&member.blocks, penalty));
    }
    let own = member.restricted(folds);
    let pool = |errors: &[f64]| pooled(task, errors);
    let search =
        Search { blocks: &member.blocks, start: hints.steps(&member.kinds), pool: &pool, hands: task.hands };
    let penalties = search.run(&own);
    if R::PROFILE == spinwell_core::NumericProfile::CpuF32 || !penalties.are_at_floor() {
        return Some(penalties);
    }
    let trials = penalties.below_the_floor();
    let mut readouts: Vec<Option<Vec<Readout<R>>>> = Vec::new();
    for trial in &trials {
        let weights = trial.solve(&own, task.hands);
        readouts
            .push(weights.map(|all| all.iter().map(|weights| member.readout(encoder, weights)).collect()));
    }
    let errors = look(task, encoder, outputs, learned, &readouts);
    Some(penalty::cautious(trials, &errors))
}

/// The pooled relative error of each set of readouts (one a fold) on the left-out rows themselves. Where a series is
/// nearly free of noise, the moments cancel to nothing and only this tells penalties apart.
fn look<R: Real>(
    task: &Task<'_>,
    encoder: &Encoder<R>,
    outputs: &[Channel],
    learned: &[Learned<R>],
    readouts: &[Option<Vec<Readout<R>>>],
) -> Vec<f64> {
    let (per_vector, horizon) = (task.outputs_per_vector(encoder.shared), task.options.horizon);
    let mut features = vec![R::ZERO; encoder.vectors(outputs.len()) * encoder.padded_len()];
    let mut residuals = vec![R::ZERO; task.outputs()];
    let mut squared = vec![vec![vec![0.0; per_vector]; learned.len()]; readouts.len()];
    let mut power = vec![vec![0.0; per_vector]; learned.len()];
    let first = first_origin(encoder);
    walk(task, encoder, task.folds.choose_end(), |row, memory| {
        let Part::Inside(stretch @ 1..) = task.folds.part(row, horizon) else { return };
        if row + 1 < first || !residuals_of(task, encoder, outputs, memory, row, &mut residuals) {
            return;
        }
        let fold = stretch - 1;
        dispatch(
            #[inline(always)]
            || encoder.features_within(memory, &learned[fold].ranges, &mut features),
        );
        let vectors = features.chunks_exact(encoder.padded_len());
        for (features, residuals) in vectors.zip(residuals.chunks_exact(per_vector)) {
            for output in 0..per_vector {
                let truth = residuals[output].widen();
                power[fold][output] += truth * truth;
                for (readout, squared) in readouts.iter().zip(&mut squared) {
                    let Some(folds) = readout else { continue };
                    let said = dispatch(
                        #[inline(always)]
                        || folds[fold].output(output, features),
                    );
                    squared[fold][output] += (truth - said) * (truth - said);
                }
            }
        }
    });
    let relative = |readout: usize| {
        let fold = |fold: usize| {
            let without = pooled(task, &power[fold]).max(f64::MIN_POSITIVE);
            (pooled(task, &squared[readout][fold]) / without).sqrt()
        };
        (0..learned.len()).map(fold).sum::<f64>()
    };
    (0..readouts.len()).map(|i| if readouts[i].is_some() { relative(i) } else { f64::INFINITY }).collect()
}

fn widen<R: Real>(ranges: &mut Ranges<R>, by: &Ranges<R>) {
    for (range, by) in ranges.iter_mut().zip(by) {
        *range = (smaller(range.0, by.0), -smaller(-range.1, -by.1));
    }
}

/// The ranges with a margin on both sides: what comes may go a little beyond what was seen.
fn with_margin<R: Real>(ranges: &Ranges<R>) -> Ranges<R> {
    let wider = |&(low, high): &(R, R)| {
        let margin = MARGIN * (high - low).widen();
        (R::narrow(low.widen() - margin), R::narrow(high.widen() + margin))
    };
    ranges.iter().map(wider).collect()
}

fn smaller<R: Real>(a: R, b: R) -> R {
    if b < a { b } else { a }
}

/// What the first pass over the rows finds.
struct Sums<R> {
    /// Moments of the origins inside each stretch: the first fit, then each fold's validation.
    inside: Vec<Moments>,
    /// Moments of the origins whose targets cross the cut before each stretch.
    across: Vec<Moments>,
    /// Ranges of the features in each stretch of rows.
    ranges: Vec<Ranges<R>>,
}

fn accumulate<R: Real>(task: &Task<'_>, encoder: &Encoder<R>, outputs: &[Channel]) -> Sums<R> {
    let (count, horizon) = (task.folds.count(), task.options.horizon);
    let (features_len, per_vector) = (encoder.features_len(), task.outputs_per_vector(encoder.shared));
    let empty = || vec![(R::INFINITY, -R::INFINITY); features_len];
    let mut sums = Sums {
        inside: (0..=count).map(|_| Moments::new(features_len, per_vector, task.hands)).collect(),
        across: (0..=count).map(|_| Moments::new(features_len, per_vector, task.hands)).collect(),
        ranges: (0..=count).map(|_| empty()).collect(),
    };
    let mut features = vec![R::ZERO; encoder.vectors(outputs.len()) * encoder.padded_len()];
    let mut residuals = vec![R::ZERO; task.outputs()];
    let first = first_origin(encoder);
    walk(task, encoder, task.folds.choose_end(), |row, memory| {
        if row + 1 < first {
            return;
        }
        dispatch(
            #[inline(always)]
            || encoder.features_within(memory, &[], &mut features),
        );
        let ranges = &mut sums.ranges[task.folds.stretch(row)];
        for features in features.chunks_exact(encoder.padded_len()) {
            for (range, &feature) in ranges.iter_mut().zip(features) {
                *range = (smaller(range.0, feature), -smaller(-range.1, -feature));
            }
        }
        let part = task.folds.part(row, horizon);
        if part == Part::Beyond || !residuals_of(task, encoder, outputs, memory, row, &mut residuals) {
            return;
        }
        let moments = match part {
            Part::Inside(stretch) => &mut sums.inside[stretch],
            Part::Across(cut) => &mut sums.across[cut],
            Part::Beyond => return,
        };
        let vectors = features.chunks_exact(encoder.padded_len());
        vectors.zip(residuals.chunks_exact(per_vector)).for_each(|(x, y)| moments.push(x, y));
    });
    sums.inside.iter_mut().chain(&mut sums.across).for_each(Moments::flush);
    sums
}

/// Writes what the readouts should have said at `row`: truth minus base, standardised, ordered by step, then target
/// (by target, then step for a shared readout). False where more than a quarter of the truths are missing from the
/// file: what was filled in would be learned as fact.
fn residuals_of<R: Real>(
    task: &Task<'_>,
    encoder: &Encoder<R>,
    outputs: &[Channel],
    memory: &Memory<R>,
    row: usize,
    residuals: &mut [R],
) -> bool {
    let (targets, horizon) = (outputs.len(), task.options.horizon);
    let mut missing = 0;
    for step in 1..=horizon {
        for (target, channel) in outputs.iter().enumerate() {
            missing += usize::from(task.table.is_missing(target, row + step));
            let truth: R = channel.standardise(task.table.columns[target][row + step]);
            let place =
                if encoder.shared { target * horizon + step - 1 } else { (step - 1) * targets + target };
            residuals[place] = truth - encoder.base_of(memory, target, step);
        }
    }
    4 * missing <= residuals.len()
}

/// The mean squared error that decides, of one per output of a vector.
fn pooled(task: &Task<'_>, errors: &[f64]) -> f64 {
    let scored = match task.options.score {
        Score::Last => &errors[errors.len() - errors.len() / task.options.horizon..],
        Score::Path => errors,
    };
    scored.iter().sum::<f64>() / scored.len() as f64
}

/// A part of the features with a readout of its own.
struct Member {
    /// Its features' places among all.
    indices: Vec<usize>,
    /// Its blocks, as ranges of its own features.
    blocks: Vec<Range<usize>>,
    /// Which of the encoder's blocks they are.
    kinds: Vec<usize>,
}

impl Member {
    fn new(spans: &[Range<usize>], kinds: &[usize]) -> Self {
        let kinds: Vec<usize> = kinds.iter().copied().filter(|&kind| !spans[kind].is_empty()).collect();
        let mut end = 0;
        let blocks = kinds.iter().map(|&kind| {
            end += spans[kind].len();
            end - spans[kind].len()..end
        });
        let blocks = blocks.collect();
        Self { indices: kinds.iter().flat_map(|&kind| spans[kind].clone()).collect(), blocks, kinds }
    }

    fn restricted(&self, folds: &[Fold]) -> Vec<Fold> {
        let restrict = |fold: &Fold| Fold {
            normal: fold.normal.restricted(&self.indices),
            held_out: fold.held_out.restricted(&self.indices),
        };
        folds.iter().map(restrict).collect()
    }

    fn readout<R: Real>(&self, encoder: &Encoder<R>, weights: &Weights) -> Readout<R> {
        let padded = encoder.padded_len();
        let mut packed = vec![R::ZERO; weights.intercepts.len() * padded];
        for (output, row) in packed.chunks_exact_mut(padded.max(1)).enumerate().take(weights.intercepts.len())
        {
            for (own, &index) in self.indices.iter().enumerate() {
                row[index] = R::narrow(weights.slopes[(own, output)]);
            }
        }
        Readout { weights: packed, intercepts: weights.intercepts.clone() }
    }
}

/// All features first; where members are mixed, also each reservoir (and the products) beside the lags, and the lags
/// alone.
fn members<R: Real>(spec: &Spec, encoder: &Encoder<R>) -> Vec<Member> {
    let spans = encoder.spans();
    let all: Vec<usize> = (0..spans.len()).collect();
    let mut members = vec![Member::new(&spans, &all)];
    if spec.mixing == Mixing::Off {
        return members;
    }
    let extras: Vec<usize> = (2..spans.len()).filter(|&kind| !spans[kind].is_empty()).collect();
    if extras.len() > 1 {
        members.extend(extras.iter().map(|&kind| Member::new(&spans, &[0, 1, kind])));
    }
    if !extras.is_empty() && !spans[0].is_empty() {
        members.push(Member::new(&spans, &[0, 1]));
    }
    members
}
