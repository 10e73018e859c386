//! Training: from labelled cases to the classifier that did best on cases it had not seen.
//!
//! Every choice (family, hyper-parameters, penalty, calibration) is made by leaving each training case out of the
//! readout in turn, which ridge regression allows in closed form ([`super::ridge`]). Blocks of features see a case that
//! is left out, but never its label. Test cases are not looked at.

use super::cases::{Cases, Split};
use super::choose::{ClassifierCandidate, Leaders, choose};
use super::extract::Extractor;
use super::model::{Classifier, Parts};
use super::options::{ClassifyEvent, ClassifyObserver, ClassifyOptions, TrainError};
use super::plan::Plan;
use super::ridge::{Block, Readout, Spectrum};
use super::series::{Normalise, Scaler, Series};
use super::shape::Buffers;
use super::softmax::{Calibration, calibrate};
use super::spec::ClassifierSpec;
use faer::Mat;
use rayon::prelude::*;

/// Training cases at most: the readout's matrices are as large as the square of their number, or nearly.
const CASES_MAX: usize = 20_000;
/// Values beyond this, or spreads below its inverse, leave no room for squares and sums in 64 bits.
const LARGEST: f64 = 1e100;
/// A spread below this share of the level is noise of the arithmetic.
const FINEST: f64 = 1e-12;
/// Powers of ten of the penalties tried, in halves.
const PENALTY_HALVES: std::ops::RangeInclusive<i32> = -12..=4;

/// The result of training.
#[derive(Debug, Clone)]
pub struct TrainedClassifier {
    /// The winner, fitted on all training cases.
    pub classifier: Classifier,
    /// All that were tried to the end, in the order of the plan.
    pub candidates: Vec<ClassifierCandidate>,
    /// The winner's place in `candidates`.
    pub chosen: usize,
    /// Whether the search was cut short.
    pub stopped_early: bool,
}

/// Trains on the training cases of `cases`.
///
/// # Errors
/// Where the cases do not suffice, an option is out of range, or the search is stopped before any candidate is ready.
pub fn train_classifier(
    cases: &Cases,
    options: &ClassifyOptions,
    observer: ClassifyObserver<'_>,
) -> Result<TrainedClassifier, TrainError> {
    options.check()?;
    let task = Task::new(cases, options)?;
    let plan = Plan::new(options, task.labels.len());
    let mut planned = plan.len();
    (observer.progress)(&ClassifyEvent::Planned { candidates: planned });

    let first = plan.first();
    let mut candidates = task.try_all(&first, 0, observer);
    let middle = plan.middle(first.len(), &Leaders::of(&candidates));
    planned = first.len() + middle.len() + plan.hybrids();
    (observer.progress)(&ClassifyEvent::Planned { candidates: planned });
    candidates.extend(task.try_all(&middle, first.len(), observer));
    let last = plan.last(&Leaders::of(&candidates));
    candidates.extend(task.try_all(&last, first.len() + middle.len(), observer));

    let stopped_early = candidates.len() < planned && (observer.stop)();
    let chosen = choose(&candidates, options.family).ok_or(TrainError::Interrupted)?;
    let classifier = task.fit(&candidates[chosen]).ok_or(TrainError::Interrupted)?;
    Ok(TrainedClassifier { classifier, candidates, chosen, stopped_early })
}

/// One training job: the training cases, standardised in both ways, and what they must be told apart by.
struct Task<'t> {
    cases: &'t Cases,
    options: &'t ClassifyOptions,
    scaler: Scaler,
    /// As they are, and each by its own mean and deviation.
    series: [Vec<Series>; 2],
    labels: Vec<usize>,
    /// Cases × classes: 1 for a case's own class, -1 for the others.
    targets: Mat<f64>,
}

/// A candidate's features of all training cases.
struct Extracted {
    extractors: Vec<Extractor>,
    blocks: Vec<(Block, f64)>,
}

impl Extracted {
    fn weighted(&self) -> Vec<(&Block, f64)> {
        self.blocks.iter().map(|(block, weight)| (block, *weight)).collect()
    }
}

impl<'t> Task<'t> {
    fn new(cases: &'t Cases, options: &'t ClassifyOptions) -> Result<Self, TrainError> {
        cases.check_trainable()?;
        let training: Vec<&[f64]> = cases.of(Split::Train).map(|case| &case.values[..]).collect();
        if training.len() > CASES_MAX {
            return Err(TrainError::TooMany { cases: training.len(), limit: CASES_MAX });
        }
        check_channels(&training, &cases.channels)?;
        let scaler = Scaler::learn(&training, cases.channels.len());
        let standardised = |normalise: Normalise| -> Vec<Series> {
            training.iter().map(|values| scaler.standardise(values, normalise)).collect()
        };
        let series = [standardised(Normalise::Off), standardised(Normalise::On)];
        let labels: Vec<usize> = cases.of(Split::Train).map(|case| case.label).collect();
        let targets = Mat::from_fn(
            labels.len(),
            cases.known,
            |case, class| {
                if labels[case] == class { 1.0 } else { -1.0 }
            },
        );
        Ok(Self { cases, options, scaler, series, labels, targets })
    }

    fn channels(&self) -> usize {
        self.cases.channels.len()
    }

    fn try_all(
        &self,
        specs: &[ClassifierSpec],
        first: usize,
        observer: ClassifyObserver<'_>,
    ) -> Vec<ClassifierCandidate> {
        specs
            .par_iter()
            .enumerate()
            .filter_map(|(place, spec)| {
                let index = first + place;
                if (observer.stop)() {
                    return None;
                }
                (observer.progress)(&ClassifyEvent::Started { index, spec });
                let candidate = self.validate(spec, index);
                let accuracy = candidate.as_ref().map(|candidate| candidate.accuracy_validation);
                (observer.progress)(&ClassifyEvent::Finished { index, spec, accuracy });
                candidate
            })
            .collect()
    }

    fn extract(&self, spec: &ClassifierSpec) -> Extracted {
        let series = &self.series[usize::from(spec.normalise == Normalise::On)];
        let extractors = Extractor::draw(spec, series, self.channels());
        let mut buffers = Buffers::default();
        let blocks = extractors
            .iter()
            .map(|extractor| {
                let features: Vec<Vec<f32>> = series
                    .iter()
                    .map(|series| {
                        let mut features = Vec::with_capacity(extractor.len());
                        extractor.append(series, self.channels(), &mut buffers, &mut features);
                        features
                    })
                    .collect();
                let weight = if matches!(extractor, Extractor::Echo(_)) { spec.echo_weight } else { 1.0 };
                (Block::new(&features), weight)
            })
            .collect();
        Extracted { extractors, blocks }
    }

    /// The best penalty of a candidate and how it does on left-out cases. `None` where nothing can be solved.
    fn validate(&self, spec: &ClassifierSpec, index: usize) -> Option<ClassifierCandidate> {
        let extracted = self.extract(spec);
        let spectrum = Spectrum::new(&extracted.weighted())?;
        let penalties: Vec<f64> = match self.options.settings.penalty {
            Some(penalty) => vec![penalty],
            None => PENALTY_HALVES.map(|half| 10f64.powf(f64::from(half) / 2.0)).collect(),
        };
        let calibrated = |penalty: f64| -> (f64, Calibration) {
            (penalty, calibrate(&spectrum.left_out(&self.targets, penalty), &self.labels))
        };
        let (penalty, calibration) = penalties
            .into_iter()
            .map(calibrated)
            .filter(|(_, calibration)| calibration.log_loss.is_finite())
            .min_by(|a, b| a.1.log_loss.total_cmp(&b.1.log_loss))?;
        Some(ClassifierCandidate {
            index,
            spec: spec.clone(),
            accuracy_validation: calibration.right as f64 / self.labels.len() as f64,
            log_loss_validation: calibration.log_loss,
            penalty,
            factor: calibration.factor,
            losses: calibration.losses,
        })
    }

    /// The classifier of a candidate, fitted on all training cases.
    fn fit(&self, candidate: &ClassifierCandidate) -> Option<Classifier> {
        let extracted = self.extract(&candidate.spec);
        let weighted = extracted.weighted();
        let readout = Spectrum::new(&weighted)?.readout(&weighted, &self.targets, candidate.penalty);
        let shortest = self.series[0].iter().map(|series| series.rows).min()?;
        let parameters = candidate.spec.parameters().into_iter().map(|(key, value)| (key.to_owned(), value));
        let mut parts = Parts {
            family: candidate.spec.family(),
            parameters: parameters.collect(),
            labels: self.cases.labels[..self.cases.known].to_vec(),
            channels: self.cases.channels.clone(),
            window_min: (shortest / 2).max(super::cases::ROWS_MIN),
            scaler: self.scaler.clone(),
            normalise: candidate.spec.normalise,
            blocks: extracted.extractors,
            weights: Vec::new(),
            intercepts: Vec::new(),
            factor: candidate.factor,
        };
        let width = parts.padded_len();
        let Readout { weights, intercepts } = readout;
        for mut weights in weights {
            weights.resize(width, 0.0);
            parts.weights.extend(weights.iter().map(|&weight| weight as f32));
        }
        parts.intercepts = intercepts;
        Some(Classifier::assemble(parts))
    }
}

/// Refuses channels that never change and values that arithmetic cannot carry.
fn check_channels(training: &[&[f64]], names: &[String]) -> Result<(), TrainError> {
    for (channel, name) in names.iter().enumerate() {
        let values =
            || training.iter().flat_map(|values| values.iter().skip(channel).step_by(names.len()).copied());
        let (low, high) =
            values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
        let column = || name.clone();
        if low == high {
            return Err(TrainError::Constant { column: column(), value: low });
        }
        let (largest, spread) = (high.abs().max(low.abs()), high - low);
        if largest > LARGEST || spread < 1.0 / LARGEST || spread < FINEST * largest {
            return Err(TrainError::Scale { column: column(), largest, spread });
        }
    }
    Ok(())
}
