//! The figures of a model's versions.
//!
//! Sums are made anew from the newest values whenever somebody asks: sums that are carried along drift, and they would depend
//! on the order in which truths arrived.

use super::WINDOW;
use super::paired::{Comparison, Pair};
use spinwell_core::ModelVersion;
use std::collections::{BTreeMap, VecDeque};

/// Versions of a model that figures are kept of; beyond them, those that were counted longest ago go.
const VERSIONS_MAX: usize = 8;
/// The largest error, width or score that figures are made of. Beyond it are rows that fit 32 bits and measure nothing: a few of them
/// would be all that a mean of thousands shows, and their scores fit no 32 bits any more.
const SCALE_MAX: f64 = 1e30;

/// How a forecast of one value did. In 32 bits: there are many of these, and errors are small numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Matured {
    error: f32,
    /// NaN where there is no interval.
    width: f32,
    /// NaN where there is no interval.
    score: f32,
    /// The naive forecast's error; NaN where the last value is not known.
    naive: f32,
    is_inside: bool,
}

impl Matured {
    /// An error, the truth, the interval with the share of truths that it should hold, and the naive forecast's error.
    pub(super) fn new(error: f64, truth: f64, interval: Option<(f64, f64, f64)>, naive: Option<f64>) -> Self {
        let (mut width, mut score, mut is_inside) = (f64::NAN, f64::NAN, false);
        if let Some((lower, upper, coverage)) = interval {
            // Gneiting and Raftery (2007), eq. 43: the width, and 2/alpha times what lies beyond it.
            let beyond = (lower - truth).max(truth - upper).max(0.0);
            width = upper - lower;
            score = width + 2.0 / (1.0 - coverage).max(f64::EPSILON) * beyond;
            is_inside = beyond == 0.0;
        }
        Self {
            error: error as f32,
            width: width as f32,
            score: score as f32,
            naive: naive.unwrap_or(f64::NAN) as f32,
            is_inside,
        }
    }

    /// Whether figures can be made of it.
    fn is_in_scale(&self) -> bool {
        // What is not known is NaN, and no smaller or larger than anything.
        let parts = [self.error, self.width, self.score, self.naive];
        !parts.iter().any(|part| f64::from(part.abs()) > SCALE_MAX)
    }
}

/// How a version did on the newest [`WINDOW`] values whose truth is known, all steps ahead and targets together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Values whose truth has become known, ever.
    pub matured_total: u64,
    /// Those of them whose error or interval is so large (beyond 1e30) that no figure is made of them.
    pub off_scale_total: u64,
    /// Those that the figures are made of.
    pub values: usize,
    /// Mean absolute error, in the data's units.
    pub mean_absolute_error: Option<f64>,
    /// Root of the mean squared error, in the data's units.
    pub root_mean_squared_error: Option<f64>,
    /// Values that had an interval.
    pub intervals: usize,
    /// The share of those whose interval held the truth.
    pub coverage: Option<f64>,
    /// Mean width of the intervals, in the data's units.
    pub mean_interval_width: Option<f64>,
    /// Mean interval score, in the data's units; lower is better.
    pub mean_interval_score: Option<f64>,
    /// 1 − the absolute errors ÷ those of the naive forecast, which says the last value again, where both are known.
    pub skill: Option<f64>,
    /// Forecasts of which some truth is missing.
    pub awaiting: u64,
    /// Forecasts that were forgotten before all of their truth was known.
    pub forgotten_total: u64,
    /// Requests that it failed, so that there is no forecast to judge.
    pub failed_total: u64,
}

/// What is counted of one version.
#[derive(Debug, Default)]
struct Version {
    newest: VecDeque<Matured>,
    matured_total: u64,
    off_scale_total: u64,
    awaiting: u64,
    forgotten_total: u64,
    failed_total: u64,
    /// When it was last counted, by the model's own count.
    used: u64,
}

impl Version {
    fn figures(&self) -> Figures {
        let of = |sum: f64, count: usize| (count > 0).then(|| sum / count as f64);
        let sum = |value: fn(&Matured) -> f32| -> f64 {
            self.newest.iter().map(value).filter(|value| !value.is_nan()).map(f64::from).sum()
        };
        let values = self.newest.len();
        let intervals = self.newest.iter().filter(|one| !one.width.is_nan()).count();
        let inside = self.newest.iter().filter(|one| one.is_inside).count();
        let squared: f64 = self.newest.iter().map(|one| f64::from(one.error).powi(2)).sum();
        let naive = sum(|one| one.naive.abs());
        let beside_naive = sum(|one| if one.naive.is_nan() { f32::NAN } else { one.error.abs() });
        Figures {
            matured_total: self.matured_total,
            off_scale_total: self.off_scale_total,
            values,
            mean_absolute_error: of(sum(|one| one.error.abs()), values),
            root_mean_squared_error: of(squared, values).map(f64::sqrt),
            intervals,
            coverage: of(inside as f64, intervals),
            mean_interval_width: of(sum(|one| one.width), intervals),
            mean_interval_score: of(sum(|one| one.score), intervals),
            skill: (naive > 0.0).then(|| 1.0 - beside_naive / naive),
            awaiting: self.awaiting,
            forgotten_total: self.forgotten_total,
            failed_total: self.failed_total,
        }
    }
}

/// What a value takes, and what its list keeps free.
const VALUE_BYTES: usize = 2 * size_of::<Matured>();

/// What is counted of a model.
#[derive(Debug, Default)]
pub(super) struct ModelFigures {
    versions: BTreeMap<ModelVersion, Version>,
    /// By version, the newer first.
    pairs: BTreeMap<(ModelVersion, ModelVersion), Pair>,
    used: u64,
}

impl ModelFigures {
    pub(super) fn begin_awaiting(&mut self, version: ModelVersion) {
        self.version(version).awaiting += 1;
    }

    pub(super) fn end_awaiting(&mut self, version: ModelVersion) {
        let version = self.version(version);
        version.awaiting = version.awaiting.saturating_sub(1);
    }

    pub(super) fn count_forgotten(&mut self, version: ModelVersion) {
        self.version(version).forgotten_total += 1;
    }

    pub(super) fn count_failed(&mut self, version: ModelVersion) {
        self.version(version).failed_total += 1;
    }

    /// Counts values of a version whose truth is known, the last of a forecast or not.
    pub(super) fn count(
        &mut self,
        version: ModelVersion,
        values: impl Iterator<Item = Matured>,
        is_last: bool,
    ) {
        let counted = self.version(version);
        for value in values {
            counted.matured_total += 1;
            if !value.is_in_scale() {
                counted.off_scale_total += 1;
                continue;
            }
            if counted.newest.len() == WINDOW {
                counted.newest.pop_front();
            }
            counted.newest.push_back(value);
        }
        if is_last {
            counted.awaiting = counted.awaiting.saturating_sub(1);
        }
    }

    /// Counts the absolute errors of two versions on the same truth, a step ahead of a request. Where both are beyond all scale it is
    /// the rows that are to blame; where one is, that version, and by no more than the scale.
    pub(super) fn pair(
        &mut self,
        one: (ModelVersion, f64),
        other: (ModelVersion, f64),
        ordinal: u64,
        step: usize,
    ) {
        if one.1 > SCALE_MAX && other.1 > SCALE_MAX {
            return;
        }
        let (newer, older) = if one.0 > other.0 { (one, other) } else { (other, one) };
        self.pairs.entry((newer.0, older.0)).or_default().add(
            ordinal,
            step,
            newer.1.min(SCALE_MAX) - older.1.min(SCALE_MAX),
        );
    }

    /// Bytes of the values and differences that the figures are made of.
    pub(super) fn bytes(&self) -> usize {
        let values: usize = self.versions.values().map(|one| one.newest.len() * VALUE_BYTES).sum();
        values + self.pairs.values().map(Pair::bytes).sum::<usize>()
    }

    /// Lets the values and differences go, and keeps the counts.
    pub(super) fn begin_anew(&mut self) {
        self.versions.values_mut().for_each(|one| one.newest = VecDeque::new());
        self.pairs.clear();
    }

    pub(super) fn all(&self) -> Vec<(ModelVersion, Figures)> {
        self.versions.iter().map(|(version, counted)| (*version, counted.figures())).collect()
    }

    pub(super) fn comparisons(&self) -> Vec<Comparison> {
        let failed =
            |version: ModelVersion| self.versions.get(&version).map_or(0, |counted| counted.failed_total);
        let one = |(&(version, against), pair): (&(ModelVersion, ModelVersion), &Pair)| Comparison {
            failed_total: failed(version),
            against_failed_total: failed(against),
            ..pair.compare(version, against)
        };
        self.pairs.iter().map(one).collect()
    }

    fn version(&mut self, version: ModelVersion) -> &mut Version {
        if !self.versions.contains_key(&version) && self.versions.len() >= VERSIONS_MAX {
            self.let_one_go();
        }
        self.used += 1;
        let counted = self.versions.entry(version).or_default();
        counted.used = self.used;
        counted
    }

    /// Drops the version that was counted longest ago, of those whose forecasts await nothing: what they await is bounded by
    /// the memory of forecasts.
    fn let_one_go(&mut self) {
        let idle = self.versions.iter().filter(|(_, counted)| counted.awaiting == 0);
        let Some(version) = idle.min_by_key(|(_, counted)| counted.used).map(|(version, _)| *version) else {
            return;
        };
        self.versions.remove(&version);
        self.pairs.retain(|(newer, older), _| ![*newer, *older].contains(&version));
    }
}
